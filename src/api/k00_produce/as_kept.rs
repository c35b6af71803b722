//! Batches in the codec in which their topic keeps batches (`compression.type`).

use crate::api::Context;
use crate::cluster::Topic;
use crate::wire::batch::{BatchError, BatchMeta, Codec, Compression, recompress};
use crate::wire::compress::CompressError;
use bytes::Bytes;

/// A valid batch as its topic keeps it: as it arrived, unless the topic names a codec and it isn't the batch's. Like
/// Apache Kafka, a batch in the right codec stays at whatever level it is, and one that is too large as it arrived is
/// refused, however small it could become.
///
/// # Errors
/// The records don't decompress within the limits, or are too large for the topic in its codec.
pub(super) fn as_kept(
    context: &Context<'_>,
    topic: &Topic,
    bytes: &Bytes,
    meta: BatchMeta,
) -> Result<(Bytes, BatchMeta), BatchError> {
    let batch = bytes.slice(..meta.bytes);
    let Some(to) = wanted(context, topic).filter(|to| Some(to.codec) != meta.codec()) else {
        return Ok((batch, meta));
    };
    let own = topic.configs.get("max.message.bytes").map(String::as_str);
    let bytes_max = own.unwrap_or_else(|| context.in_force().value("message.max.bytes"));
    let bytes_max = bytes_max.parse().expect("checked when it was set");
    if batch.len() > bytes_max {
        // The partition says so.
        return Ok((batch, meta));
    }
    recompress(&batch, to, bytes_max).map_err(|error| match error {
        CompressError::TooLarge => BatchError::TooLarge,
        CompressError::Damaged => BatchError::Damaged,
    })
}

fn wanted(context: &Context<'_>, topic: &Topic) -> Option<Compression> {
    let own = |name: &str| topic.configs.get(name).map(String::as_str);
    let of_brokers =
        || context.in_force().change("compression.type").unwrap_or(&context.conf.compression_type);
    let codec = match own("compression.type").unwrap_or_else(of_brokers) {
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
