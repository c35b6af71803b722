//! The codecs of record batches. The broker compresses only what it writes itself. It decompresses what clients send,
//! to look at the records, but never to store them otherwise: see `batch::skim`, which streams.

use super::batch::Codec;
use crate::base::limits::DECOMPRESSED_BYTES_MAX;
use std::borrow::Cow;
use std::fmt;
use std::io::{Read, Write};

/// Why data doesn't decompress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressError {
    /// It isn't the codec's data.
    Damaged,
    /// It is larger than `limits::DECOMPRESSED_BYTES_MAX` once decompressed.
    TooLarge,
}

impl fmt::Display for CompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CompressError::Damaged => "the compressed data is damaged",
            CompressError::TooLarge => "the data is too large once decompressed",
        })
    }
}

/// xerial's header of framed snappy: signature, version 1, compatible with 1.
const XERIAL: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK: usize = 32 * 1024;

/// The bytes of a batch's records.
///
/// # Errors
/// They are damaged, or more than `limits::DECOMPRESSED_BYTES_MAX`.
pub fn decompress(codec: Codec, bytes: &[u8]) -> Result<Cow<'_, [u8]>, CompressError> {
    match codec {
        Codec::None => Ok(Cow::Borrowed(bytes)),
        Codec::Gzip => read_all(flate2::read::MultiGzDecoder::new(bytes)),
        Codec::Snappy => snappy(bytes),
        Codec::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(bytes)),
        Codec::Zstd => {
            read_all(zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| CompressError::Damaged)?)
        }
    }
}

fn read_all(reader: impl Read) -> Result<Cow<'static, [u8]>, CompressError> {
    let mut out = Vec::new();
    let bound = DECOMPRESSED_BYTES_MAX as u64 + 1;
    reader.take(bound).read_to_end(&mut out).map_err(|_| CompressError::Damaged)?;
    if out.len() > DECOMPRESSED_BYTES_MAX { Err(CompressError::TooLarge) } else { Ok(out.into()) }
}

/// Snappy's blocks, in xerial's framing or one raw block.
pub(super) fn snappy(bytes: &[u8]) -> Result<Cow<'static, [u8]>, CompressError> {
    let mut out = Vec::new();
    let Some(mut rest) = bytes.strip_prefix(XERIAL) else {
        snappy_block(bytes, &mut out)?;
        return Ok(out.into());
    };
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or(CompressError::Damaged)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CompressError::Damaged)?;
        let (block, tail) = tail.split_at_checked(length).ok_or(CompressError::Damaged)?;
        snappy_block(block, &mut out)?;
        rest = tail;
    }
    Ok(out.into())
}

/// Appends one block. The length it claims is checked before room is made for it (CVE-2023-34455 is what happens
/// otherwise).
fn snappy_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
    let claimed = snap::raw::decompress_len(block).map_err(|_| CompressError::Damaged)?;
    // Snappy's best case is 64 bytes from a three-byte copy.
    if claimed > block.len().saturating_mul(64) || out.len() + claimed > DECOMPRESSED_BYTES_MAX {
        return Err(CompressError::TooLarge);
    }
    let start = out.len();
    out.resize(start + claimed, 0);
    snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(|_| CompressError::Damaged)?;
    Ok(())
}

/// Compresses a batch's records.
#[must_use]
pub fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    const MEMORY: &str = "writing to memory doesn't fail";
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).expect(MEMORY);
            encoder.finish().expect(MEMORY)
        }
        Codec::Snappy => {
            let mut out = XERIAL.to_vec();
            for block in bytes.chunks(XERIAL_BLOCK) {
                let block = snap::raw::Encoder::new().compress_vec(block).expect("a block is small");
                out.extend_from_slice(&u32::try_from(block.len()).expect("a block is small").to_be_bytes());
                out.extend_from_slice(&block);
            }
            out
        }
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).expect(MEMORY);
            encoder.finish().expect(MEMORY)
        }
        Codec::Zstd => zstd::stream::encode_all(bytes, 0).expect(MEMORY),
    }
}
