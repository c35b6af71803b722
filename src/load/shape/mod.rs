//! What records look like: sizes by distribution, keys by skew, payloads of a wished compression ratio. Pure.

mod key;
mod payload;
mod size;

pub use key::{KeyShape, Keys, partition_of, write_key};
pub use payload::fill_payload;
pub use size::Sizes;
