//! A walk over a batch's records that looks at what the broker needs to know and skips the rest: no key, value or
//! header is copied, and of a compressed batch only the decoder's window is in memory at a time. `search` walks in
//! steps, for what may take long and is asked for often.

use super::header::{BatchMeta, Codec};
use super::records::RecordError;
use crate::base::limits::{BATCH_HEADER_BYTES, DECOMPRESSED_BYTES_MAX};
use crate::wire::compress::{CompressError, decompressing};
use std::io::{BufRead, ErrorKind};

/// What the broker looks at in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skimmed {
    /// Milliseconds after the batch's base timestamp.
    pub(super) timestamp_delta: i64,
    /// Offset after the batch's base offset.
    pub(super) offset_delta: i64,
    /// Whether it has a key, though it be empty.
    pub(super) has_key: bool,
}

/// Calls `each` with every record of a whole batch, in order, until it says to stop.
///
/// # Errors
/// The batch isn't made of records, or doesn't decompress.
pub(super) fn skim(
    batch: &[u8],
    meta: &BatchMeta,
    each: impl FnMut(Skimmed) -> bool,
) -> Result<(), RecordError> {
    let payload = batch.get(BATCH_HEADER_BYTES..meta.bytes).ok_or(RecordError::Malformed)?;
    match meta.codec().ok_or(RecordError::Malformed)? {
        Codec::None => walk(payload, each),
        codec => walk(decompressing(codec, payload).map_err(RecordError::Compression)?, each),
    }
}

fn walk(source: impl BufRead, mut each: impl FnMut(Skimmed) -> bool) -> Result<(), RecordError> {
    let mut source = Source::new(source);
    while !source.is_at_end()? {
        if !each(source.record()?) {
            break;
        }
    }
    Ok(())
}

/// The beginning of a record.
pub(super) struct Head {
    /// None are in use.
    pub(super) attributes: u8,
    /// As in `Skimmed`.
    pub(super) timestamp_delta: i64,
    /// As in `Skimmed`.
    pub(super) offset_delta: i64,
    /// Bytes of the record that follow.
    pub(super) rest: usize,
}

/// Bytes as a codec gives them, counted.
pub(super) struct Source<R> {
    inner: R,
    /// Bytes that it may still give.
    left: usize,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Source { inner, left: DECOMPRESSED_BYTES_MAX }
    }

    /// Bytes that it may still give before it is too large.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    fn window(&mut self) -> Result<&[u8], RecordError> {
        self.inner.fill_buf().map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => RecordError::Malformed,
            _ => RecordError::Compression(error.into()),
        })
    }

    pub(super) fn is_at_end(&mut self) -> Result<bool, RecordError> {
        Ok(self.window()?.is_empty())
    }

    fn consume(&mut self, bytes: usize) -> Result<(), RecordError> {
        self.left = self.left.checked_sub(bytes).ok_or(RecordError::Compression(CompressError::TooLarge))?;
        self.inner.consume(bytes);
        Ok(())
    }

    /// Gives the next bytes to `take`, at most `most` and at least one, and passes over them; how many there were.
    pub(super) fn piece(&mut self, most: usize, take: impl FnOnce(&[u8])) -> Result<usize, RecordError> {
        let window = self.window()?;
        let there = window.len().min(most);
        if there == 0 {
            return Err(RecordError::Malformed);
        }
        take(&window[..there]);
        self.consume(there)?;
        Ok(there)
    }

    pub(super) fn skip(&mut self, mut bytes: usize) -> Result<(), RecordError> {
        while bytes > 0 {
            let there = self.window()?.len().min(bytes);
            if there == 0 {
                return Err(RecordError::Malformed);
            }
            self.consume(there)?;
            bytes -= there;
        }
        Ok(())
    }

    /// One byte; counts it down from `within`, the bytes left of its record.
    fn byte(&mut self, within: &mut usize) -> Result<u8, RecordError> {
        let byte = *self.window()?.first().ok_or(RecordError::Malformed)?;
        *within = within.checked_sub(1).ok_or(RecordError::Malformed)?;
        self.consume(1)?;
        Ok(byte)
    }

    /// A zig-zag varint of at most 64 bits.
    pub(super) fn varint(&mut self, within: &mut usize) -> Result<i64, RecordError> {
        let mut value = 0u64;
        for shift in (0u32..64).step_by(7) {
            let byte = self.byte(within)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(RecordError::Malformed)
    }

    /// Skips bytes with their length in front; false if the length says null.
    fn skip_bytes(&mut self, within: &mut usize) -> Result<bool, RecordError> {
        let length = self.varint(within)?;
        if length == -1 {
            return Ok(false);
        }
        let length = usize::try_from(length).map_err(|_| RecordError::Malformed)?;
        *within = within.checked_sub(length).ok_or(RecordError::Malformed)?;
        self.skip(length)?;
        Ok(true)
    }

    /// The beginning of the record that comes next.
    pub(super) fn head(&mut self) -> Result<Head, RecordError> {
        let mut rest = usize::MAX;
        let length = self.varint(&mut rest)?;
        rest = usize::try_from(length).map_err(|_| RecordError::Malformed)?;
        let attributes = self.byte(&mut rest)?;
        let timestamp_delta = self.varint(&mut rest)?;
        let offset_delta = self.varint(&mut rest)?;
        Ok(Head { attributes, timestamp_delta, offset_delta, rest })
    }

    fn record(&mut self) -> Result<Skimmed, RecordError> {
        let Head { timestamp_delta, offset_delta, rest: mut within, .. } = self.head()?;
        let has_key = self.skip_bytes(&mut within)?;
        let _has_value = self.skip_bytes(&mut within)?;
        let headers = self.varint(&mut within)?;
        for _ in 0..u64::try_from(headers).map_err(|_| RecordError::Malformed)? {
            if !self.skip_bytes(&mut within)? {
                return Err(RecordError::Malformed);
            }
            self.skip_bytes(&mut within)?;
        }
        if within != 0 {
            return Err(RecordError::Malformed);
        }
        Ok(Skimmed { timestamp_delta, offset_delta, has_key })
    }
}
