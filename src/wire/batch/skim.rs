//! A walk over a batch's records that looks at what the broker needs to know and skips the rest: no key, value or
//! header is copied, and of a compressed batch only the decoder's window is in memory at a time.

use super::header::{BatchMeta, Codec};
use super::records::RecordError;
use crate::base::limits::{BATCH_HEADER_BYTES, DECOMPRESSED_BYTES_MAX};
use crate::wire::compress::{CompressError, snappy};
use std::io::{BufRead, BufReader, ErrorKind, Read};

/// Decompressed bytes that are in memory at a time, beside the decoder's own.
const WINDOW_BYTES: usize = 32 * 1024;

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
        Codec::Gzip => walk(buffered(flate2::read::MultiGzDecoder::new(payload)), each),
        // Its blocks are small, and there is no decoder of them that streams.
        Codec::Snappy => walk(&*snappy(payload).map_err(RecordError::Compression)?, each),
        Codec::Lz4 if !lz4_has_end(payload) => Err(RecordError::Compression(CompressError::Damaged)),
        Codec::Lz4 => walk(lz4_flex::frame::FrameDecoder::new(payload), each),
        Codec::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(payload);
            walk(buffered(decoder.map_err(|_| RecordError::Compression(CompressError::Damaged))?), each)
        }
    }
}

fn buffered<R: Read>(decoder: R) -> BufReader<R> {
    BufReader::with_capacity(WINDOW_BYTES, decoder)
}

/// Whether an LZ4 frame has its end mark. Clients stop at a frame without one; this decoder takes it for a short one.
fn lz4_has_end(frame: &[u8]) -> bool {
    const FLAGS_AT: usize = 4;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    let Some(flags) = frame.get(FLAGS_AT) else { return false };
    let behind = if flags & CONTENT_CHECKSUM == 0 { 0 } else { 4 };
    frame.len().checked_sub(behind).is_some_and(|end| frame[..end].ends_with(&[0; 4]))
}

fn walk(source: impl BufRead, mut each: impl FnMut(Skimmed) -> bool) -> Result<(), RecordError> {
    let mut source = Source { inner: source, left: DECOMPRESSED_BYTES_MAX };
    while !source.is_at_end()? {
        if !each(source.record()?) {
            break;
        }
    }
    Ok(())
}

/// Bytes as a codec gives them, counted.
struct Source<R> {
    inner: R,
    /// Bytes that it may still give.
    left: usize,
}

impl<R: BufRead> Source<R> {
    fn window(&mut self) -> Result<&[u8], RecordError> {
        self.inner.fill_buf().map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => RecordError::Malformed,
            _ => RecordError::Compression(CompressError::Damaged),
        })
    }

    fn is_at_end(&mut self) -> Result<bool, RecordError> {
        Ok(self.window()?.is_empty())
    }

    fn consume(&mut self, bytes: usize) -> Result<(), RecordError> {
        self.left = self.left.checked_sub(bytes).ok_or(RecordError::Compression(CompressError::TooLarge))?;
        self.inner.consume(bytes);
        Ok(())
    }

    fn skip(&mut self, mut bytes: usize) -> Result<(), RecordError> {
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
    fn varint(&mut self, within: &mut usize) -> Result<i64, RecordError> {
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

    fn record(&mut self) -> Result<Skimmed, RecordError> {
        let mut within = usize::MAX;
        let length = self.varint(&mut within)?;
        within = usize::try_from(length).map_err(|_| RecordError::Malformed)?;
        let _attributes = self.byte(&mut within)?;
        let timestamp_delta = self.varint(&mut within)?;
        let offset_delta = self.varint(&mut within)?;
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
