//! The codecs of record batches. The broker compresses only what it writes itself. It decompresses what clients send,
//! to look at the records, but never to store them otherwise: see `batch::skim`, which streams.

use super::batch::Codec;
use crate::base::limits::{DECOMPRESS_MEMORY_MAX, DECOMPRESSED_BYTES_MAX, ZSTD_WINDOW_LOG_MAX};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufReader, Cursor, Read, Write};

/// Why data doesn't decompress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressError {
    /// It isn't the codec's data.
    Damaged,
    /// It is larger than `limits::DECOMPRESSED_BYTES_MAX` once decompressed, or takes too much memory on the way.
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

impl std::error::Error for CompressError {}

impl From<io::Error> for CompressError {
    /// The codecs tell of all they meet as I/O errors.
    fn from(error: io::Error) -> Self {
        let own = error.get_ref().and_then(|inner| inner.downcast_ref::<CompressError>());
        own.copied().unwrap_or(CompressError::Damaged)
    }
}

/// xerial's header of framed snappy: signature, version 1, compatible with 1.
const XERIAL: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK: usize = 32 * 1024;
/// Decompressed bytes that are in memory at a time, beside the decoder's own.
const READ_BYTES: usize = 32 * 1024;

/// The bytes of a batch's records, all at once. For tools and tests: it takes as much memory as they are long.
///
/// # Errors
/// They are damaged, or more than `limits::DECOMPRESSED_BYTES_MAX`.
pub fn decompress(codec: Codec, bytes: &[u8]) -> Result<Cow<'_, [u8]>, CompressError> {
    if codec == Codec::None {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut out = Vec::new();
    let bound = DECOMPRESSED_BYTES_MAX as u64 + 1;
    decompressing(codec, bytes)?.take(bound).read_to_end(&mut out).map_err(CompressError::from)?;
    if out.len() > DECOMPRESSED_BYTES_MAX { Err(CompressError::TooLarge) } else { Ok(out.into()) }
}

/// What `decompressing` gives.
pub type Decompressing<'a> = BufReader<Box<dyn Read + 'a>>;

/// The bytes of a batch's records as they decompress, so that little memory is taken for them, whatever they become.
///
/// # Errors
/// They don't begin as the codec's data does. Reading tells of damage later on, and of data that takes more memory at
/// a time than `limits::DECOMPRESS_MEMORY_MAX` allows.
pub fn decompressing<'a>(
    codec: Codec,
    bytes: impl AsRef<[u8]> + 'a,
) -> Result<Decompressing<'a>, CompressError> {
    let reader: Box<dyn Read + 'a> = match codec {
        Codec::None => Box::new(Cursor::new(bytes)),
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(Cursor::new(bytes))),
        Codec::Snappy => Box::new(SnappyBlocks::new(bytes)),
        Codec::Lz4 if !lz4_has_end(bytes.as_ref()) => return Err(CompressError::Damaged),
        Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(Cursor::new(bytes))),
        Codec::Zstd => zstd(bytes)?,
    };
    Ok(BufReader::with_capacity(READ_BYTES, reader))
}

/// Whether an LZ4 frame has its end mark. Clients stop at a frame without one; this decoder takes it for a short one.
fn lz4_has_end(frame: &[u8]) -> bool {
    const FLAGS_AT: usize = 4;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    let Some(flags) = frame.get(FLAGS_AT) else { return false };
    let behind = if flags & CONTENT_CHECKSUM == 0 { 0 } else { 4 };
    frame.len().checked_sub(behind).is_some_and(|end| frame[..end].ends_with(&[0; 4]))
}

/// A zstd decoder takes its window as memory, as far as data fills it. Clients that compress hardest ask for more than
/// the bound, and fill a little of it: their data may become as long as the bound, in one frame.
fn zstd<'a>(bytes: impl AsRef<[u8]> + 'a) -> Result<Box<dyn Read + 'a>, CompressError> {
    let wide = zstd_window_log(bytes.as_ref()) > DECOMPRESS_MEMORY_MAX.ilog2();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(Cursor::new(bytes))?;
    if wide {
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(Bounded { inner: decoder.single_frame(), left: DECOMPRESS_MEMORY_MAX }));
    }
    decoder.window_log_max(DECOMPRESS_MEMORY_MAX.ilog2())?;
    Ok(Box::new(decoder))
}

/// The window that a zstd frame's header asks for, as a power of two, rounded down (RFC 8878, 3.1.1.1.2); 0 if it has
/// none, since its content is its window.
fn zstd_window_log(frame: &[u8]) -> u32 {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    match frame.get(4..6) {
        Some(&[flags, window]) if flags & SINGLE_SEGMENT == 0 => 10 + u32::from(window >> 3),
        _ => 0,
    }
}

/// A reader that fails where it would give more than so many bytes.
struct Bounded<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(into)?;
        self.left = self.left.checked_sub(got).ok_or_else(|| io::Error::other(CompressError::TooLarge))?;
        Ok(got)
    }
}

/// Snappy, a block at a time: xerial's framing, or one raw block.
struct SnappyBlocks<B> {
    bytes: B,
    /// Where the next block begins.
    at: usize,
    framed: bool,
    block: Vec<u8>,
    /// Bytes of the block that were read.
    read: usize,
}

impl<B: AsRef<[u8]>> SnappyBlocks<B> {
    fn new(bytes: B) -> Self {
        let framed = bytes.as_ref().starts_with(XERIAL);
        SnappyBlocks { bytes, at: if framed { XERIAL.len() } else { 0 }, framed, block: Vec::new(), read: 0 }
    }

    /// Decompresses the next block; false at the end. The length that it claims is checked before room is made for it
    /// (CVE-2023-34455 is what happens otherwise).
    fn next_block(&mut self) -> Result<bool, CompressError> {
        let rest = &self.bytes.as_ref()[self.at..];
        if rest.is_empty() {
            return Ok(false);
        }
        let (head, length) = if self.framed {
            let length = rest.first_chunk::<4>().ok_or(CompressError::Damaged)?;
            (4, usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CompressError::Damaged)?)
        } else {
            (0, rest.len())
        };
        let block = rest[head..].get(..length).ok_or(CompressError::Damaged)?;
        let claimed = snap::raw::decompress_len(block).map_err(|_| CompressError::Damaged)?;
        // Snappy's best case is 64 bytes from a three-byte copy.
        if claimed > block.len().saturating_mul(22) || claimed > DECOMPRESS_MEMORY_MAX {
            return Err(CompressError::TooLarge);
        }
        self.block.resize(claimed, 0);
        let decompressed = snap::raw::Decoder::new().decompress(block, &mut self.block);
        decompressed.map_err(|_| CompressError::Damaged)?;
        self.at += head + length;
        self.read = 0;
        Ok(true)
    }
}

impl<B: AsRef<[u8]>> Read for SnappyBlocks<B> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            if !self.next_block().map_err(io::Error::other)? {
                return Ok(0);
            }
        }
        let count = into.len().min(self.block.len() - self.read);
        into[..count].copy_from_slice(&self.block[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

/// Compresses a batch's records.
#[must_use]
pub fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut compressing = Compressing::new(codec);
    compressing.write(bytes);
    compressing.finish()
}

/// A batch's records being compressed as they come.
pub struct Compressing(Encoder);

enum Encoder {
    None(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Snappy { out: Vec<u8>, block: Vec<u8> },
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

const MEMORY: &str = "writing to memory doesn't fail";

impl Compressing {
    /// Begins, at the codec's default level.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self::with_level(codec, None)
    }

    /// Begins, at a level of gzip (1 to 9) or of zstd (-131,072 to 22); the other codecs have none.
    ///
    /// # Panics
    /// Never: an encoder that writes to memory doesn't fail, and zstd takes every number for a level.
    #[must_use]
    pub fn with_level(codec: Codec, level: Option<i32>) -> Self {
        let gzip = level.and_then(|level| u32::try_from(level).ok()).filter(|level| *level <= 9);
        let gzip = gzip.map_or_else(flate2::Compression::default, flate2::Compression::new);
        Compressing(match codec {
            Codec::None => Encoder::None(Vec::new()),
            Codec::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), gzip)),
            Codec::Snappy => Encoder::Snappy { out: XERIAL.to_vec(), block: Vec::new() },
            Codec::Lz4 => Encoder::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Codec::Zstd => Encoder::Zstd(
                zstd::stream::write::Encoder::new(Vec::new(), level.unwrap_or(0))
                    .expect("a level that there is"),
            ),
        })
    }

    /// Takes the next bytes.
    ///
    /// # Panics
    /// Never: an encoder that writes to memory doesn't fail.
    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Encoder::None(out) => out.extend_from_slice(bytes),
            Encoder::Gzip(encoder) => encoder.write_all(bytes).expect(MEMORY),
            Encoder::Snappy { out, block } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rest.len().min(XERIAL_BLOCK - block.len()));
                    block.extend_from_slice(now);
                    rest = later;
                    if block.len() == XERIAL_BLOCK {
                        end_xerial_block(out, block);
                    }
                }
            }
            Encoder::Lz4(encoder) => encoder.write_all(bytes).expect(MEMORY),
            Encoder::Zstd(encoder) => encoder.write_all(bytes).expect(MEMORY),
        }
    }

    /// Bytes that have come out so far; what is being gathered isn't among them.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nothing hangs on whether an encoder has begun to write")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Encoder::None(out) | Encoder::Snappy { out, .. } => out.len(),
            Encoder::Gzip(encoder) => encoder.get_ref().len(),
            Encoder::Lz4(encoder) => encoder.get_ref().len(),
            Encoder::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    /// Ends; what was written, compressed.
    ///
    /// # Panics
    /// Never: an encoder that writes to memory doesn't fail.
    pub fn finish(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.0, Encoder::None(Vec::new())) {
            Encoder::None(out) => out,
            Encoder::Gzip(encoder) => encoder.finish().expect(MEMORY),
            Encoder::Snappy { mut out, mut block } => {
                if !block.is_empty() {
                    end_xerial_block(&mut out, &mut block);
                }
                out
            }
            Encoder::Lz4(encoder) => encoder.finish().expect(MEMORY),
            Encoder::Zstd(encoder) => encoder.finish().expect(MEMORY),
        }
    }
}

fn end_xerial_block(out: &mut Vec<u8>, block: &mut Vec<u8>) {
    let packed = snap::raw::Encoder::new().compress_vec(block).expect("a block is small");
    out.extend_from_slice(&u32::try_from(packed.len()).expect("a block is small").to_be_bytes());
    out.extend_from_slice(&packed);
    block.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    #[test]
    fn what_is_compressed_comes_back() {
        let plain: Vec<u8> = (0..200_000_u32).map(|nth| u8::try_from(nth % 251).unwrap()).collect();
        for codec in CODECS {
            assert_eq!(decompress(codec, &compress(codec, &plain)).unwrap(), plain, "{codec:?}");
        }
        let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        assert_eq!(decompress(Codec::Snappy, &raw).unwrap(), plain, "raw snappy");
    }

    #[test]
    fn no_cut_passes_for_the_whole() {
        for codec in CODECS.into_iter().skip(1) {
            let whole = compress(codec, &[7; 1000]);
            for end in 1..whole.len() - 8 {
                let cut = decompress(codec, &whole[..end]);
                assert!(cut.is_err() || cut.unwrap().len() < 1000, "{codec:?} cut at {end}");
            }
        }
    }

    /// As a client compresses that doesn't say how much will come.
    fn zstd_of_window(log: u32, plain: &[u8]) -> Vec<u8> {
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        zstd.window_log(log).unwrap();
        zstd.write_all(plain).unwrap();
        zstd.finish().unwrap()
    }

    #[test]
    fn a_window_or_block_that_takes_much_memory_is_refused() {
        let bound = DECOMPRESS_MEMORY_MAX.ilog2();
        let (fits, long) = (vec![0; DECOMPRESS_MEMORY_MAX], vec![0; DECOMPRESS_MEMORY_MAX + 1]);
        assert_eq!(decompress(Codec::Zstd, &zstd_of_window(bound, &long)).unwrap(), long);
        assert_eq!(decompress(Codec::Zstd, &zstd_of_window(bound + 1, &fits)).unwrap(), fits);
        let wide = zstd_of_window(bound + 1, &long);
        assert_eq!(decompress(Codec::Zstd, &wide), Err(CompressError::TooLarge));
        // A second frame may not ask for more than the first.
        let two = [zstd_of_window(bound, b"first"), zstd_of_window(bound + 1, b"second")].concat();
        assert!(decompress(Codec::Zstd, &two).is_err());
        let mut widest = zstd_of_window(bound, b"little");
        assert_eq!(zstd_window_log(&widest), bound);
        widest[5] = u8::try_from((ZSTD_WINDOW_LOG_MAX - 10) << 3).unwrap();
        assert_eq!(*decompress(Codec::Zstd, &widest).unwrap(), *b"little");
        widest[5] = u8::try_from((ZSTD_WINDOW_LOG_MAX + 1 - 10) << 3).unwrap();
        assert!(decompress(Codec::Zstd, &widest).is_err());
        // A varint that claims 48 MiB, and some bytes.
        let snappy = [&[0x80, 0x80, 0x80, 0x18][..], &[0; 100]].concat();
        assert_eq!(decompress(Codec::Snappy, &snappy), Err(CompressError::TooLarge));
    }
}
