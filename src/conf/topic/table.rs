//! Apache Kafka 4.4's topic settings, each with the broker key it falls back to and whether this broker does it.

use crate::conf::Kind;

/// One topic setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicKey {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its default where no broker key stands behind it.
    pub default: &'static str,
    /// The broker key it falls back to.
    pub broker: Option<&'static str>,
    /// Kafka's broker key behind it, where this broker has none: shown, and always at the default.
    pub shown: Option<&'static str>,
    /// Why another value than the default is refused; `None` if every value is carried out.
    pub refused: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
}

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

const I32: i64 = i32::MAX as i64;
const TIERED: Option<&str> = Some("tiered storage is not implemented");

const fn own(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    refused: Option<&'static str>,
    doc: &'static str,
) -> TopicKey {
    TopicKey { name, kind, default, broker: None, shown: None, refused, doc }
}

const fn follows(name: &'static str, kind: Kind, broker: &'static str, doc: &'static str) -> TopicKey {
    TopicKey { name, kind, default: "", broker: Some(broker), shown: None, refused: None, doc }
}

const fn under(shown: &'static str, key: TopicKey) -> TopicKey {
    TopicKey { shown: Some(shown), ..key }
}

/// All settings, by name.
#[rustfmt::skip]
pub const TOPIC_KEYS: &[TopicKey] = &[
    follows("cleanup.policy", Kind::ListOf(&["compact", "delete"]), "log.cleanup.policy", "What happens to old records: delete, compact (of each key only the last record stays), or both."),
    follows("compression.type", Kind::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "compression.type", "In which codec batches are kept; producer: in that in which they arrive."),
    under("compression.gzip.level", own("compression.gzip.level", Kind::IntOr { or: -1, min: 1, max: 9 }, "-1", None, "Level of gzip, for batches that the broker compresses; -1: its default.")),
    under("compression.lz4.level", own("compression.lz4.level", int(1, 17), "9", Some("lz4 has one level here"), "Level of lz4, for batches that the broker compresses.")),
    under("compression.zstd.level", own("compression.zstd.level", int(-131_072, 22), "3", None, "Level of zstd, for batches that the broker compresses.")),
    under("log.cleaner.delete.retention.ms", own("delete.retention.ms", int(0, i64::MAX), "86400000", None, "How long tombstones are kept at least, from when compaction first meets them.")),
    own("errors.deadletterqueue.group.enable", Kind::Bool, "false", Some("share groups are not implemented"), "Let share groups put here what they can't deliver."),
    under("log.segment.delete.delay.ms", own("file.delete.delay.ms", int(0, i64::MAX), "60000", None, "How long files of deleted segments stay at most; they go at once.")),
    follows("flush.messages", int(1, i64::MAX), "log.flush.interval.messages", "Flush after this many records at the latest. Every append is flushed at once, so any value is kept to."),
    follows("flush.ms", int(0, i64::MAX), "log.flush.interval.ms", "Flush after this long at the latest. Every append is flushed at once, so any value is kept to."),
    own("follower.replication.throttled.replicas", Kind::Replicas, "", None, "Replicas whose catching up is held to follower.replication.throttled.rate; * for all."),
    under("log.index.interval.bytes", own("index.interval.bytes", int(0, I32), "4096", None, "Bytes between index entries; the index is in memory and has an interval of its own.")),
    own("leader.replication.throttled.replicas", Kind::Replicas, "", None, "Leaders that hold followers which catch up to leader.replication.throttled.rate; * for all."),
    under("log.local.retention.bytes", own("local.retention.bytes", int(-2, i64::MAX), "-2", TIERED, "Bytes kept locally.")),
    under("log.local.retention.ms", own("local.retention.ms", int(-2, i64::MAX), "-2", TIERED, "Time kept locally.")),
    under("log.cleaner.max.compaction.lag.ms", own("max.compaction.lag.ms", int(1, i64::MAX), "9223372036854775807", None, "Longest time a record stays uncompacted.")),
    under("max.decompressed.message.bytes", own("max.decompressed.message.bytes", int(1, I32), "2147483639", Some("what a batch may unpack to has a bound already"), "Largest record once decompressed.")),
    follows("max.message.bytes", int(0, I32), "message.max.bytes", "Largest record batch."),
    follows("message.timestamp.after.max.ms", int(0, i64::MAX), "log.message.timestamp.after.max.ms", "How far a timestamp may lie ahead of the broker's clock."),
    follows("message.timestamp.before.max.ms", int(0, i64::MAX), "log.message.timestamp.before.max.ms", "How far a timestamp may lie behind the broker's clock."),
    follows("message.timestamp.type", Kind::OneOf(&["CreateTime", "LogAppendTime"]), "log.message.timestamp.type", "Whose time a record carries."),
    under("log.cleaner.min.cleanable.ratio", own("min.cleanable.dirty.ratio", Kind::Ratio, "0.5", None, "Share of uncompacted bytes up to which nothing is compacted.")),
    under("log.cleaner.min.compaction.lag.ms", own("min.compaction.lag.ms", int(0, i64::MAX), "0", None, "Shortest time a record stays uncompacted.")),
    follows("min.insync.replicas", int(1, I32), "min.insync.replicas", "In-sync replicas that acks=all needs."),
    under("log.preallocate", own("preallocate", Kind::Bool, "false", None, "Allocate segments ahead; they always are.")),
    under("log.remote.copy.lag.bytes", own("remote.copy.lag.bytes", int(-1, i64::MAX), "-1", TIERED, "Bytes that lie behind a segment before it is copied to remote storage.")),
    under("log.remote.copy.lag.ms", own("remote.copy.lag.ms", int(-1, i64::MAX), "0", TIERED, "Age of a segment that is copied to remote storage.")),
    own("remote.log.copy.disable", Kind::Bool, "false", TIERED, "Stop copying to remote storage."),
    own("remote.log.delete.on.disable", Kind::Bool, "false", TIERED, "Delete remote data when tiering ends."),
    own("remote.storage.enable", Kind::Bool, "false", TIERED, "Copy segments to remote storage."),
    follows("retention.bytes", int(i64::MIN, i64::MAX), "log.retention.bytes", "Bytes of a partition that are kept; below 0: no bound."),
    follows("retention.ms", int(-1, i64::MAX), "log.retention.ms", "How long records are kept; -1: for ever."),
    follows("segment.bytes", int(1_048_576, I32), "log.segment.bytes", "Size of a segment file."),
    under("log.index.size.max.bytes", own("segment.index.bytes", int(4, I32), "10485760", None, "Size of an index file at most; there is none.")),
    own("segment.jitter.ms", int(0, i64::MAX), "0", None, "Random part of segment.ms at most; there is none."),
    follows("segment.ms", int(1, i64::MAX), "log.roll.ms", "Age at which a segment is closed."),
    under("unclean.leader.election.enable", own("unclean.leader.election.enable", Kind::Bool, "false", Some("an unclean leader would lose acknowledged records"), "Let a replica lead that may lack records.")),
];

/// The setting with this name.
pub(super) fn topic_key(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}
