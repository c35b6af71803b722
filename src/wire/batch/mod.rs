//! Record batches, version 2 (KIP-98), as they go on the wire and lie in segments.

mod header;
mod records;
mod validate;
mod walk;

#[cfg(test)]
mod tests;

pub use header::{BatchMeta, Codec, patch_offsets, rewrite_append_time};
pub use records::{BatchBuilder, Record, RecordError, first_at_or_after, largest_timestamp, records};
pub use validate::{BatchError, ClientRules, Valid, validate_client_batch};
pub use walk::{Walk, walk};
