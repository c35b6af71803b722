//! Record batches, version 2 (KIP-98), as they go on the wire and lie in segments.

mod header;
mod records;
mod search;
mod skim;
mod validate;
mod walk;

#[cfg(test)]
mod tests;

pub use header::{BatchMeta, Codec, Stamp, patch_offsets, rewrite_stamp};
pub use records::{BatchBuilder, Record, RecordError, records};
pub use search::{Searched, TimestampSearch};
pub use validate::{BatchError, ClientRules, Contents, Demands, Fault, Valid, faults, validate_client_batch};
pub use walk::{Walk, walk};
