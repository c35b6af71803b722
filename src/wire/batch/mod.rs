//! Record batches, version 2 (KIP-98), as they go on the wire and lie in segments.

mod header;
mod keyed;
mod marker;
mod recompress;
mod records;
mod remains;
mod search;
mod shift;
mod skim;
mod template;
mod validate;
mod walk;

#[cfg(test)]
mod tests;

pub use header::{BatchMeta, CONTROL, Codec, Stamp, TRANSACTIONAL, patch_offsets, rewrite_stamp};
pub use keyed::{KeyWalk, Keyed};
pub use marker::EndMarker;
pub use recompress::{Compression, recompress};
pub use records::{BatchBuilder, Record, RecordError, RecordView, records, visit_records};
pub use remains::{Rewrite, emptied};
pub use search::{Searched, TimestampSearch};
pub use template::{BatchStamp, BatchTemplate, CompressedRecords, RecordShape, restamp, seal_compressed};
pub use validate::{BatchError, ClientRules, Contents, Demands, Fault, Valid, faults, validate_client_batch};
pub use walk::{Walk, walk};
