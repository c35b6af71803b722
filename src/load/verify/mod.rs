//! Whether the broker keeps its word: stamps in records, and the ledger that compares what was acknowledged with what
//! comes back. Pure.

mod ledger;
mod ranges;
mod stamp;

pub use ledger::{Ledger, Verdict};
pub use ranges::Ranges;
pub use stamp::{STAMP_BYTES, Stamp};
