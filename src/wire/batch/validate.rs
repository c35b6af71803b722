//! What a client's batch must be before it is appended, whatever the topic.
//!
//! Rules: protocol rows 32 to 35 and 41 to 42; the order of the checks is Apache Kafka's (`ProduceRequest`,
//! `UnifiedLog`, `LogValidator`), since a batch may break several. Every record is looked at, of a compressed batch
//! too: one that no consumer can read would stop all of them.

use super::header::{BatchMeta, Codec, LENGTH_END};
use super::records::RecordError;
use super::skim::skim;
use crate::base::ErrorCode;
use crate::base::limits::{BATCH_HEADER_BYTES, RECORD_ERRORS_MAX};
use crate::wire::compress::CompressError;

/// Where the magic lies, in every format.
const MAGIC_AT: usize = 16;
/// The least that Apache Kafka takes for the length of a batch of any format.
const LENGTH_MIN: i32 = 14;

/// What depends on the request's version.
#[derive(Clone, Copy, Debug)]
pub struct ClientRules {
    /// Produce 7 and later.
    pub zstd_allowed: bool,
}

/// What a batch's records are, as far as a topic's settings ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Some record has no key.
    pub keyless: bool,
    /// Smallest and largest timestamp of the records that have one; -1 means that a record has none.
    pub timestamps: Option<(i64, i64)>,
}

impl Contents {
    /// What the batch's header must give as the largest timestamp.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.timestamps.map_or(-1, |(_, largest)| largest.max(-1))
    }
}

/// A batch that may be appended where the topic's settings allow it. It is the first `meta.bytes` of what was given;
/// what follows is less than a batch, and Apache Kafka ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Its header.
    pub meta: BatchMeta,
    /// Its records.
    pub contents: Contents,
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// No batch, or part of one.
    Missing,
    /// More than one batch.
    NotOne,
    /// The length can't be that of a batch.
    Length(i32),
    /// A format that never was.
    UnknownMagic(i8),
    /// Another format than version 2.
    Magic,
    /// Too short for its header.
    Short,
    /// The CRC doesn't fit.
    Crc,
    /// The first offset isn't 0.
    BaseOffset,
    /// Offsets and count disagree, or there are no records.
    Count,
    /// Only brokers write control batches.
    Control,
    /// An idempotent producer without a sequence.
    Sequence,
    /// An unknown codec.
    Codec,
    /// zstd in a version that doesn't have it.
    ZstdVersion,
    /// The records don't decompress.
    Damaged,
    /// The records are too large once decompressed.
    TooLarge,
    /// A record isn't what its lengths say, or isn't where it should be.
    Record,
}

impl BatchError {
    /// What Kafka answers, but for damaged records: its -1 ("unknown server error") would blame the broker.
    #[must_use]
    pub fn error_code(self) -> ErrorCode {
        match self {
            BatchError::Length(_) | BatchError::UnknownMagic(_) | BatchError::Short | BatchError::Crc => {
                ErrorCode::CorruptMessage
            }
            BatchError::ZstdVersion => ErrorCode::UnsupportedCompressionType,
            // Clients answer this by sending the records in smaller batches.
            BatchError::TooLarge => ErrorCode::MessageTooLarge,
            _ => ErrorCode::InvalidRecord,
        }
    }

    /// Whether Kafka names the log start in its answer: it does where the log itself refused the batch for what is in
    /// it.
    #[must_use]
    pub fn names_log_start(self) -> bool {
        matches!(
            self,
            BatchError::BaseOffset
                | BatchError::Count
                | BatchError::Control
                | BatchError::Sequence
                | BatchError::Codec
                | BatchError::Damaged
                | BatchError::Record
        )
    }

    /// What to tell a person, in Kafka's words where it has some.
    #[must_use]
    pub fn message(self) -> String {
        let text = match self {
            BatchError::Length(length) => {
                return format!(
                    "Record size {length} is less than the minimum record overhead ({LENGTH_MIN})"
                );
            }
            BatchError::UnknownMagic(magic) => return format!("Invalid magic found in record: {magic}"),
            BatchError::Missing => "the request has no whole record batch for the partition",
            BatchError::NotOne => "a produce request has exactly one record batch a partition",
            BatchError::Magic => "only record batches of version 2 are accepted",
            BatchError::Short => "the batch is shorter than its header",
            BatchError::Crc => "the batch's CRC doesn't fit its bytes",
            BatchError::BaseOffset => "a client's batch begins at offset 0",
            BatchError::Count => "the batch's record count doesn't fit its offsets",
            BatchError::Control => "clients can't write control batches",
            BatchError::Sequence => "an idempotent producer's batch needs a sequence number",
            BatchError::Codec => "there is no codec of the number that the batch names",
            BatchError::ZstdVersion => {
                "Produce requests with version less than 7 are not allowed to use ZStandard compression"
            }
            BatchError::Damaged => "the records don't decompress",
            BatchError::TooLarge => "the records are too large once decompressed",
            BatchError::Record => "a record isn't what its lengths say, or isn't where it should be",
        };
        text.to_owned()
    }
}

impl From<RecordError> for BatchError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Malformed => BatchError::Record,
            RecordError::Compression(CompressError::Damaged) => BatchError::Damaged,
            RecordError::Compression(CompressError::TooLarge) => BatchError::TooLarge,
        }
    }
}

/// Bytes of the batch at the start of `bytes`, of whatever format; `None` if it isn't all there.
fn batch_bytes(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    let Some(length) = bytes.get(LENGTH_END - 4..LENGTH_END) else { return Ok(None) };
    let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    if length < LENGTH_MIN {
        return Err(BatchError::Length(length));
    }
    let Some(magic) = bytes.get(MAGIC_AT).map(|magic| magic.cast_signed()) else { return Ok(None) };
    if !(0..=2).contains(&magic) {
        return Err(BatchError::UnknownMagic(magic));
    }
    let whole = usize::try_from(length).map_or(usize::MAX, |length| length + LENGTH_END);
    Ok((whole <= bytes.len()).then_some(whole))
}

/// Checks that `bytes` are exactly one batch that a client may write.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate_client_batch(bytes: &[u8], rules: &ClientRules) -> Result<Valid, BatchError> {
    let whole = batch_bytes(bytes)?.ok_or(BatchError::Missing)?;
    if bytes[MAGIC_AT] != 2 {
        return Err(BatchError::Magic);
    }
    if whole < BATCH_HEADER_BYTES {
        return Err(BatchError::Short);
    }
    let (batch, rest) = bytes.split_at(whole);
    let meta = BatchMeta::read(batch).ok_or(BatchError::Missing)?;
    if meta.codec() == Some(Codec::Zstd) && !rules.zstd_allowed {
        return Err(BatchError::ZstdVersion);
    }
    if batch_bytes(rest)?.is_some() {
        return Err(BatchError::NotOne);
    }
    if meta.base_offset != 0 {
        return Err(BatchError::BaseOffset);
    }
    if !meta.crc_fits(batch) {
        return Err(BatchError::Crc);
    }
    if meta.codec().is_none() {
        return Err(BatchError::Codec);
    }
    if meta.count < 1 || i64::from(meta.count) != i64::from(meta.last_offset_delta) + 1 {
        return Err(BatchError::Count);
    }
    if meta.is_control() {
        return Err(BatchError::Control);
    }
    if meta.is_idempotent() && meta.base_sequence < 0 {
        return Err(BatchError::Sequence);
    }
    Ok(Valid { meta, contents: contents(batch, &meta)? })
}

/// Looks at every record.
fn contents(batch: &[u8], meta: &BatchMeta) -> Result<Contents, BatchError> {
    let mut contents = Contents { keyless: false, timestamps: None };
    let mut next = 0;
    let mut in_place = true;
    skim(batch, meta, |record| {
        in_place = record.offset_delta == next && next < i64::from(meta.count);
        next += 1;
        contents.keyless |= !record.has_key;
        let timestamp = meta.base_timestamp.wrapping_add(record.timestamp_delta);
        if timestamp != -1 {
            let (smallest, largest) = contents.timestamps.unwrap_or((timestamp, timestamp));
            contents.timestamps = Some((smallest.min(timestamp), largest.max(timestamp)));
        }
        in_place
    })?;
    if in_place && next == i64::from(meta.count) { Ok(contents) } else { Err(BatchError::Record) }
}

/// What a topic's settings demand of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// It has a key.
    pub keyed: bool,
    /// Its timestamp, if it has one, lies between these.
    pub within: Option<(i64, i64)>,
}

/// A record that doesn't meet them: its place in the batch, and its timestamp if that is what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 0.
    pub index: i32,
    /// Out of range; `None` if the record lacks its key.
    pub timestamp: Option<i64>,
}

/// The records of a valid batch that don't meet demands: how many, and the first `limits::RECORD_ERRORS_MAX` of them.
#[must_use]
pub fn faults(batch: &[u8], meta: &BatchMeta, demands: Demands) -> (usize, Vec<Fault>) {
    let (mut count, mut list, mut index) = (0, Vec::new(), 0);
    // It was walked to its end when it was validated.
    let _ = skim(batch, meta, |record| {
        let timestamp = meta.base_timestamp.wrapping_add(record.timestamp_delta);
        let late = demands.within.is_some_and(|within| timestamp != -1 && !fits(timestamp, within));
        let keyless = demands.keyed && !record.has_key;
        if keyless || late {
            count += 1;
            if list.len() < RECORD_ERRORS_MAX {
                list.push(Fault { index, timestamp: (!keyless).then_some(timestamp) });
            }
        }
        index += 1;
        true
    });
    (count, list)
}

fn fits(timestamp: i64, (from, upto): (i64, i64)) -> bool {
    (from..=upto).contains(&timestamp)
}

impl Demands {
    /// Whether all timestamps lie within the bounds.
    #[must_use]
    pub fn allow_times_of(&self, contents: &Contents) -> bool {
        match (self.within, contents.timestamps) {
            (Some(within), Some((smallest, largest))) => fits(smallest, within) && fits(largest, within),
            _ => true,
        }
    }

    /// Whether all keys are there that must be.
    #[must_use]
    pub fn allow_keys_of(&self, contents: &Contents) -> bool {
        !(self.keyed && contents.keyless)
    }
}

#[cfg(test)]
mod tests;
