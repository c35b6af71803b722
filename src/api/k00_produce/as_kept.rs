//! Batches in the codec in which their topic keeps batches (`compression.type`).

use crate::api::Context;
use crate::cluster::Topic;
use crate::wire::batch::{BatchError, BatchMeta, Codec, Compression, recompress};
use crate::wire::compress::CompressError;
use bytes::Bytes;

/// A valid batch as its topic keeps it: as it arrived, unless the topic names a codec and it isn't the batch's. Like
/// Apache Kafka, a batch in the right codec stays at whatever level it is.
///
/// # Errors
/// The records don't decompress within the limits.
pub(super) fn as_kept(
    context: &Context<'_>,
    topic: &Topic,
    bytes: &Bytes,
    meta: BatchMeta,
) -> Result<(Bytes, BatchMeta), BatchError> {
    let batch = bytes.slice(..meta.bytes);
    match wanted(context, topic) {
        Some(to) if Some(to.codec) != meta.codec() => recompress(&batch, to).map_err(|error| match error {
            CompressError::TooLarge => BatchError::TooLarge,
            _ => BatchError::Damaged,
        }),
        _ => Ok((batch, meta)),
    }
}

fn wanted(context: &Context<'_>, topic: &Topic) -> Option<Compression> {
    let own = |name: &str| topic.configs.get(name).map(String::as_str);
    let codec = match own("compression.type").unwrap_or_else(|| context.in_force().value("compression.type"))
    {
        "uncompressed" => Codec::None,
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd,
        _ => return None,
    };
    let level = match codec {
        Codec::Gzip => own("compression.gzip.level"),
        Codec::Zstd => own("compression.zstd.level"),
        _ => None,
    };
    Some(Compression { codec, level: level.and_then(|level| level.parse().ok()) })
}
