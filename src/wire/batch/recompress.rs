//! Batches in another codec than their client chose: what a topic's `compression.type` asks for. Only the records'
//! bytes and what the header says of them change; offsets, timestamps and the producer's sequence stay.

use super::header::{BatchMeta, CRC_END, Codec, LENGTH_END, put_codec, put_crc};
use crate::base::limits::BATCH_HEADER_BYTES;
use crate::wire::compress::{CompressError, Compressing, decompressing};
use bytes::Bytes;
use std::io::BufRead;

/// How batches shall be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// Its level, where it has levels; `None` for its default.
    pub level: Option<i32>,
}

/// A whole, valid batch in another codec, with its header. Little memory is taken beside the result, and for that about
/// `bytes_max` at most: a few bytes may unpack to very many.
///
/// # Errors
/// The records don't decompress within the limits, or the result is larger than `bytes_max`.
pub fn recompress(
    batch: &[u8],
    to: Compression,
    bytes_max: usize,
) -> Result<(Bytes, BatchMeta), CompressError> {
    let from = BatchMeta::read(batch).and_then(|meta| meta.codec()).ok_or(CompressError::Damaged)?;
    let (header, records) = batch.split_at(BATCH_HEADER_BYTES);
    let mut source = decompressing(from, records)?;
    let mut out = Compressing::with_level(to.codec, to.level);
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        if out.len() > bytes_max {
            return Err(CompressError::TooLarge);
        }
        out.write(bytes);
        let count = bytes.len();
        source.consume(count);
    }
    let payload = out.finish();
    if BATCH_HEADER_BYTES + payload.len() > bytes_max {
        return Err(CompressError::TooLarge);
    }
    let mut new = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
    new.extend_from_slice(header);
    new.extend_from_slice(&payload);
    let length = i32::try_from(new.len() - LENGTH_END).map_err(|_| CompressError::TooLarge)?;
    new[LENGTH_END - 4..LENGTH_END].copy_from_slice(&length.to_be_bytes());
    put_codec(&mut new, to.codec);
    let crc = crc32c::crc32c(&new[CRC_END..]);
    put_crc(&mut new, crc);
    let meta = BatchMeta::read(&new).ok_or(CompressError::TooLarge)?;
    Ok((new.into(), meta))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{BatchBuilder, ClientRules, TRANSACTIONAL, records, validate_client_batch};

    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn batch(codec: Codec) -> Bytes {
        let mut builder = BatchBuilder::new(codec, 1000).producer(7, 1, 40).attributes(TRANSACTIONAL);
        for nth in 0..60_u8 {
            let value = vec![nth; usize::from(nth) * 900];
            builder = builder.record(1000 + i64::from(nth), Some(&[nth]), Some(&value));
        }
        builder.build()
    }

    #[test]
    fn only_the_codec_changes() {
        for from in CODECS {
            for to in CODECS {
                for level in [None, Some(1), Some(9)] {
                    let old = batch(from);
                    let (new, meta) = recompress(&old, Compression { codec: to, level }, usize::MAX).unwrap();
                    let before = BatchMeta::read(&old).unwrap();
                    let attributes = TRANSACTIONAL | to.bits();
                    let expected = BatchMeta { bytes: new.len(), crc: meta.crc, attributes, ..before };
                    assert_eq!(meta, expected, "{from:?} to {to:?}");
                    assert_eq!(records(&new).unwrap(), records(&old).unwrap(), "{from:?} to {to:?}");
                    assert!(validate_client_batch(&new, &ClientRules { zstd_allowed: true }).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_result_beyond_the_bound_is_given_up() {
        let plain = batch(Codec::None);
        for from in CODECS {
            let to = Compression { codec: Codec::None, level: None };
            assert_eq!(
                recompress(&batch(from), to, plain.len() - 1),
                Err(CompressError::TooLarge),
                "{from:?}"
            );
            assert_eq!(recompress(&batch(from), to, plain.len()).map(|(new, _)| new), Ok(plain.clone()));
        }
    }

    #[test]
    fn a_higher_level_compresses_harder() {
        for codec in [Codec::Gzip, Codec::Zstd] {
            let to = |level| Compression { codec, level };
            let size = |level| recompress(&batch(Codec::None), to(level), usize::MAX).unwrap().0.len();
            assert!(size(Some(9)) <= size(Some(1)), "{codec:?}");
        }
    }
}
