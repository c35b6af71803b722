//! The records inside a batch: reading them, building batches of them.

use super::header::{BatchMeta, CRC_END, Codec, patch_offsets};
use crate::base::limits::BATCH_HEADER_BYTES;
use crate::base::{LeaderEpoch, Offset};
use crate::wire::compress::{CompressError, compress, decompress};
use bytes::Bytes;
use std::fmt;

/// A record that isn't what its lengths say, or data that doesn't decompress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes end before the record does, or a length is senseless.
    Malformed,
    /// The codec's data is damaged or too large.
    Compression(CompressError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Malformed => f.write_str("a record is malformed"),
            RecordError::Compression(error) => error.fmt(f),
        }
    }
}

/// A record within its batch, borrowed from the (decompressed) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RawRecord<'a> {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// Walks over uncompressed records.
struct RawRecords<'a> {
    rest: &'a [u8],
}

impl<'a> RawRecords<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        RawRecords { rest: bytes }
    }

    /// The next record; `None` at the end.
    fn next_record(&mut self) -> Result<Option<RawRecord<'a>>, RecordError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let length = length(varint(&mut self.rest)?)?.ok_or(RecordError::Malformed)?;
        let mut record = take(&mut self.rest, length)?;
        let _attributes = take(&mut record, 1)?;
        let timestamp_delta = varint(&mut record)?;
        let offset_delta = i32::try_from(varint(&mut record)?).map_err(|_| RecordError::Malformed)?;
        let key = nullable(&mut record)?;
        let value = nullable(&mut record)?;
        let headers = length_of(&mut record)?;
        for _ in 0..headers {
            nullable(&mut record)?.ok_or(RecordError::Malformed)?;
            nullable(&mut record)?;
        }
        if !record.is_empty() {
            return Err(RecordError::Malformed);
        }
        Ok(Some(RawRecord { timestamp_delta, offset_delta, key, value }))
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], RecordError> {
    let (head, rest) = bytes.split_at_checked(len).ok_or(RecordError::Malformed)?;
    *bytes = rest;
    Ok(head)
}

/// A zig-zag varint of at most 64 bits.
fn varint(bytes: &mut &[u8]) -> Result<i64, RecordError> {
    let mut value = 0u64;
    for (shift, &byte) in (0u32..64).step_by(7).zip(bytes.iter()) {
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            *bytes = &bytes[(shift / 7 + 1) as usize..];
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(RecordError::Malformed)
}

fn length(value: i64) -> Result<Option<usize>, RecordError> {
    if value == -1 { Ok(None) } else { usize::try_from(value).map(Some).map_err(|_| RecordError::Malformed) }
}

fn length_of(bytes: &mut &[u8]) -> Result<usize, RecordError> {
    length(varint(bytes)?)?.ok_or(RecordError::Malformed)
}

fn nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    match length(varint(bytes)?)? {
        None => Ok(None),
        Some(len) => take(bytes, len).map(Some),
    }
}

/// A record with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp in ms; the broker's for LogAppendTime.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone on compacted topics.
    pub value: Option<Vec<u8>>,
}

/// The header of a batch that is all there.
fn whole(batch: &[u8]) -> Result<BatchMeta, RecordError> {
    BatchMeta::read(batch).filter(|meta| meta.bytes <= batch.len()).ok_or(RecordError::Malformed)
}

/// Calls `each` with (offset, timestamp) and the record, in order, until it says to stop.
fn for_each(
    batch: &[u8],
    mut each: impl FnMut(Offset, i64, &RawRecord<'_>) -> bool,
) -> Result<(), RecordError> {
    let meta = whole(batch)?;
    let payload = &batch[BATCH_HEADER_BYTES..meta.bytes];
    let codec = meta.codec().ok_or(RecordError::Malformed)?;
    let plain = decompress(codec, payload).map_err(RecordError::Compression)?;
    let mut walk = RawRecords::new(&plain);
    while let Some(record) = walk.next_record()? {
        // Sums wrap as in Kafka: a client's batch may say anything, and must not end who reads it.
        let offset = meta.base_offset.wrapping_add(i64::from(record.offset_delta));
        if !each(offset, meta.timestamp_of(record.timestamp_delta), &record) {
            break;
        }
    }
    Ok(())
}

/// A record as it lies in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp in ms; the broker's for LogAppendTime.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// Calls `each` with every record of one batch, in order, without copying any. An uncompressed batch allocates nothing.
///
/// # Errors
/// The batch is malformed or doesn't decompress.
pub fn visit_records(batch: &[u8], mut each: impl FnMut(RecordView<'_>)) -> Result<(), RecordError> {
    for_each(batch, |offset, timestamp, record| {
        each(RecordView { offset, timestamp, key: record.key, value: record.value });
        true
    })
}

/// All records of one batch.
///
/// # Errors
/// The batch is malformed or doesn't decompress.
pub fn records(batch: &[u8]) -> Result<Vec<Record>, RecordError> {
    let mut list = Vec::new();
    for_each(batch, |offset, timestamp, record| {
        let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
        list.push(Record { offset, timestamp, key, value });
        true
    })?;
    Ok(list)
}

/// Builds one batch. For tests, tools and what the broker itself writes.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    base_timestamp: i64,
    max_timestamp: i64,
    producer: (i64, i16, i32),
    attributes: i16,
    records: Vec<u8>,
    count: i32,
}

impl BatchBuilder {
    /// A batch whose first record has this timestamp.
    #[must_use]
    pub fn new(codec: Codec, base_timestamp: i64) -> Self {
        BatchBuilder {
            codec,
            base_timestamp,
            max_timestamp: base_timestamp,
            producer: (-1, -1, -1),
            attributes: 0,
            records: Vec::new(),
            count: 0,
        }
    }

    /// An idempotent producer's id, epoch and first sequence number.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
        self.producer = (id, epoch, sequence);
        self
    }

    /// Further attribute bits.
    #[must_use]
    pub fn attributes(mut self, bits: i16) -> Self {
        self.attributes |= bits;
        self
    }

    /// Adds a record.
    #[must_use]
    pub fn record(mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let mut body = vec![0];
        put_varint(&mut body, timestamp - self.base_timestamp);
        put_varint(&mut body, i64::from(self.count));
        for part in [key, value] {
            put_varint(
                &mut body,
                part.map_or(-1, |part| i64::try_from(part.len()).expect("a record is small")),
            );
            body.extend_from_slice(part.unwrap_or_default());
        }
        put_varint(&mut body, 0);
        put_varint(&mut self.records, i64::try_from(body.len()).expect("a record is small"));
        self.records.append(&mut body);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
        self
    }

    /// The batch, at offset 0.
    #[must_use]
    pub fn build(&self) -> Bytes {
        let payload = compress(self.codec, &self.records);
        let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
        batch.extend_from_slice(&[0; 8]);
        let length = BATCH_HEADER_BYTES - super::header::LENGTH_END + payload.len();
        batch.extend_from_slice(&i32::try_from(length).expect("a batch is below 2 GiB").to_be_bytes());
        batch.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0]);
        batch.extend_from_slice(&(self.attributes | self.codec.bits()).to_be_bytes());
        batch.extend_from_slice(&(self.count - 1).to_be_bytes());
        batch.extend_from_slice(&self.base_timestamp.to_be_bytes());
        batch.extend_from_slice(&self.max_timestamp.to_be_bytes());
        let (id, epoch, sequence) = self.producer;
        batch.extend_from_slice(&id.to_be_bytes());
        batch.extend_from_slice(&epoch.to_be_bytes());
        batch.extend_from_slice(&sequence.to_be_bytes());
        batch.extend_from_slice(&self.count.to_be_bytes());
        batch.extend_from_slice(&payload);
        let crc = crc32c::crc32c(&batch[CRC_END..]);
        batch[CRC_END - 4..CRC_END].copy_from_slice(&crc.to_be_bytes());
        batch.into()
    }

    /// The batch as a leader would have appended it.
    #[must_use]
    pub fn build_at(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Bytes {
        let mut batch = self.build().to_vec();
        patch_offsets(&mut batch, base_offset, leader_epoch);
        batch.into()
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}
