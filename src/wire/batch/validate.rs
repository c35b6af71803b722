//! What a client's batch must be before it is appended, whatever the topic.
//!
//! Rules: protocol rows 32 to 35. The cost beyond the CRC is a few ns a record of an uncompressed batch.

use super::header::{BatchMeta, Codec};
use super::records::RawRecords;
use crate::base::ErrorCode;
use crate::base::limits::BATCH_HEADER_BYTES;
use bytes::Bytes;

/// What depends on the request's version.
#[derive(Clone, Copy, Debug)]
pub struct ClientRules {
    /// Produce 7 and later.
    pub zstd_allowed: bool,
}

/// A batch that may be appended where the topic's settings allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Its header.
    pub meta: BatchMeta,
    /// Some record has no key. False for compressed batches, whose records weren't looked at.
    pub has_null_key: bool,
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// No batch, or part of one.
    Missing,
    /// More bytes than one batch.
    NotOne,
    /// Another format than version 2.
    Magic,
    /// The CRC doesn't fit.
    Crc,
    /// Offsets and count disagree, or there are no records.
    Count,
    /// Only brokers write control batches.
    Control,
    /// An idempotent producer without a sequence.
    Sequence,
    /// An unknown codec, or records that don't begin as its data does.
    Codec,
    /// zstd in a version that doesn't have it.
    ZstdVersion,
    /// A record isn't what its lengths say.
    Record,
}

impl BatchError {
    /// What Kafka answers.
    #[must_use]
    pub fn error_code(self) -> ErrorCode {
        match self {
            BatchError::Crc => ErrorCode::CorruptMessage,
            BatchError::ZstdVersion => ErrorCode::UnsupportedCompressionType,
            _ => ErrorCode::InvalidRecord,
        }
    }

    /// Whether Kafka names the log start in its answer: it does where it looked at the batch before it refused it.
    #[must_use]
    pub fn names_log_start(self) -> bool {
        !matches!(self, BatchError::Missing | BatchError::NotOne | BatchError::Magic | BatchError::Crc)
    }

    /// What to tell a person.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            BatchError::Missing => "the request has no whole record batch for the partition",
            BatchError::NotOne => "a produce request has exactly one record batch a partition",
            BatchError::Magic => "only record batches of version 2 are accepted",
            BatchError::Crc => "the batch's CRC doesn't fit its bytes",
            BatchError::Count => "the batch's record count doesn't fit its offsets",
            BatchError::Control => "clients can't write control batches",
            BatchError::Sequence => "an idempotent producer's batch needs a sequence number",
            BatchError::Codec => "the records aren't of the codec that the batch names",
            BatchError::ZstdVersion => "zstd needs Produce version 7 or later",
            BatchError::Record => "a record isn't what its lengths say",
        }
    }
}

/// Checks that `bytes` are exactly one batch that a client may write.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate_client_batch(bytes: &Bytes, rules: &ClientRules) -> Result<Valid, BatchError> {
    if bytes.len() < BATCH_HEADER_BYTES {
        return Err(BatchError::Missing);
    }
    // The magic lies at the same place in every format; older ones have another length field semantics.
    if bytes[16] != 2 {
        return Err(BatchError::Magic);
    }
    let meta = BatchMeta::read(bytes).ok_or(BatchError::Missing)?;
    if meta.bytes > bytes.len() {
        return Err(BatchError::Missing);
    }
    if meta.bytes < bytes.len() {
        return Err(BatchError::NotOne);
    }
    if !meta.crc_fits(bytes) {
        return Err(BatchError::Crc);
    }
    if meta.count < 1 || i64::from(meta.count) != i64::from(meta.last_offset_delta) + 1 {
        return Err(BatchError::Count);
    }
    if meta.is_control() {
        return Err(BatchError::Control);
    }
    if meta.is_idempotent() && (meta.base_sequence < 0 || meta.producer_epoch.0 < 0) {
        return Err(BatchError::Sequence);
    }
    let records = &bytes[BATCH_HEADER_BYTES..];
    let has_null_key = match meta.codec().ok_or(BatchError::Codec)? {
        Codec::None => walk_records(records, meta.count)?,
        Codec::Zstd if !rules.zstd_allowed => return Err(BatchError::ZstdVersion),
        codec if !looks_like(codec, records) => return Err(BatchError::Codec),
        _ => false,
    };
    Ok(Valid { meta, has_null_key })
}

/// Checks every record's lengths and offsets; true if one has no key.
fn walk_records(records: &[u8], count: i32) -> Result<bool, BatchError> {
    let mut has_null_key = false;
    let mut walk = RawRecords::new(records);
    for expected in 0..count {
        let record = walk.next_record().map_err(|_| BatchError::Record)?.ok_or(BatchError::Record)?;
        if record.offset_delta != expected {
            return Err(BatchError::Record);
        }
        has_null_key |= record.key.is_none();
    }
    if walk.next_record() == Ok(None) { Ok(has_null_key) } else { Err(BatchError::Record) }
}

/// Whether bytes begin as a codec's data does. Decompressing is left to those who read.
fn looks_like(codec: Codec, bytes: &[u8]) -> bool {
    match codec {
        Codec::None => true,
        Codec::Gzip => bytes.starts_with(&[0x1f, 0x8b]),
        // Raw snappy begins with a varint of the length and has no signature.
        Codec::Snappy => !bytes.is_empty(),
        Codec::Lz4 => bytes.starts_with(&[0x04, 0x22, 0x4d, 0x18]),
        Codec::Zstd => bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]),
    }
}
