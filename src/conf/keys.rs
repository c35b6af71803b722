//! Every key of the broker, declared once: parsing, checks, `config explain` and the sample file all come from
//! this table.

use super::cluster::read_voters;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number within bounds.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A whole number within bounds, or one that stands for itself.
    IntOr {
        /// The one without the bounds.
        or: i64,
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// true or false.
    Bool,
    /// Any text.
    Text,
    /// HOST:PORT, or empty.
    Address,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, separated by commas; or none.
    ListOf(&'static [&'static str]),
    /// A fraction from 0 to 1.
    Ratio,
    /// `*`, or pairs of partition and broker (`0:1,0:2`).
    Replicas,
    /// Voters with their addresses (`1@a:9093,2@b:9093`), or none.
    Voters,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name; Apache Kafka's where Kafka has the setting.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its default.
    pub default: &'static str,
    /// What it does, with its unit.
    pub doc: &'static str,
}

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

const MS_MAX: i64 = i64::MAX;

/// All keys, by subject.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    Key { name: "node.id", kind: int(0, i32::MAX as i64), default: "1", doc: "This broker's id in the cluster. A data directory belongs to one id." },
    Key { name: "cluster.id", kind: Kind::Text, default: "", doc: "Id of the cluster, 22 characters of base64; empty: drawn when the data directory is made." },
    Key { name: "broker.rack", kind: Kind::Text, default: "", doc: "The rack this broker stands in; empty for none." },
    Key { name: "listen", kind: Kind::Address, default: "127.0.0.1:9092", doc: "HOST:PORT to accept clients on." },
    Key { name: "advertise", kind: Kind::Address, default: "", doc: "HOST:PORT that clients are told to connect to; empty: the same as listen." },
    Key { name: "process.roles", kind: Kind::ListOf(&["broker", "coordinator", "controller"]), default: "broker,coordinator", doc: "What this process does: broker (has partitions, serves clients), coordinator (is one of coordinator.voters, or may be added to them; controller is the same). Both by default; a broker alone needs voters elsewhere." },
    Key { name: "peer.listen", kind: Kind::Address, default: "", doc: "HOST:PORT to accept the other nodes of the cluster on; empty: there are none. Not for clients: whoever can reach it is believed, so keep it within the cluster's network." },
    Key { name: "peer.advertised", kind: Kind::Address, default: "", doc: "HOST:PORT that other nodes are told to connect to; empty: the same as peer.listen." },
    Key { name: "coordinator.voters", kind: Kind::Voters, default: "", doc: "The coordinators of the cluster, as ID@HOST:PORT of their peer.listen, the same on all nodes; empty: this node alone. With 3 of them one may be down, with 5 two. Once voters were added or removed while they run, the metadata's log says who votes, and this is whom to ask for it." },
    Key { name: "coordinator.heartbeat.interval.ms", kind: int(1, 60_000), default: "50", doc: "How often the acting coordinator tells the other voters that it lives." },
    Key { name: "coordinator.election.timeout.ms", kind: int(2, 600_000), default: "300", doc: "How long they believe it before they elect another; each draws from this to twice this. Kafka: 1000. Short, so that with the session timeout after it the loss of a node is over within 2 seconds." },
    Key { name: "broker.heartbeat.interval.ms", kind: int(1, 600_000), default: "200", doc: "How often a broker tells the acting coordinator that it lives. Kafka: 2000; a heartbeat costs a hundred bytes and no write." },
    Key { name: "broker.session.timeout.ms", kind: int(2, 3_600_000), default: "800", doc: "A broker that wasn't heard of for this long is fenced: others lead its partitions. Kafka: 9000. Short, so that clients of a lost leader go on within 2 seconds; to be fenced for a moment costs a broker its leaders and no record." },
    Key { name: "controlled.shutdown.enable", kind: Kind::Bool, default: "true", doc: "A broker that is asked to stop has others lead its partitions first." },
    Key { name: "replica.lag.time.max.ms", kind: int(1, MS_MAX), default: "30000", doc: "A follower that hasn't caught up with its leader for this long is out of sync, and acknowledgements wait for it no more." },
    Key { name: "replica.fetch.wait.max.ms", kind: int(0, i32::MAX as i64), default: "500", doc: "How long a follower's fetch waits at its leader for something new." },
    Key { name: "replica.fetch.min.bytes", kind: int(0, i32::MAX as i64), default: "1", doc: "Bytes that it waits for." },
    Key { name: "replica.fetch.max.bytes", kind: int(0, i32::MAX as i64), default: "1048576", doc: "Bytes of one partition in a follower's fetch; a larger batch comes as a whole." },
    Key { name: "replica.fetch.response.max.bytes", kind: int(0, i32::MAX as i64), default: "10485760", doc: "Bytes of all partitions in a follower's fetch." },
    Key { name: "replica.selector.class", kind: Kind::OneOf(&["", "org.apache.kafka.common.replica.LeaderSelector", "org.apache.kafka.common.replica.RackAwareReplicaSelector"]), default: "", doc: "From which replica consumers read that tell their rack: the leader, or with Kafka's RackAwareReplicaSelector one that stands there (KIP-392)." },
    Key { name: "auto.leader.rebalance.enable", kind: Kind::Bool, default: "true", doc: "Move leaders back to the preferred replicas when these have returned." },
    Key { name: "leader.imbalance.check.interval.seconds", kind: int(1, MS_MAX / 1000), default: "300", doc: "How often that is looked at." },
    Key { name: "metrics.listen", kind: Kind::Address, default: "", doc: "HOST:PORT of a page with all counters for Prometheus, at /metrics; empty: none." },
    Key { name: "data.dir", kind: Kind::Text, default: "./data", doc: "Folder of all files of this broker." },
    Key { name: "shards", kind: int(0, 256), default: "0", doc: "Pinned threads that share the partitions; 0: one per core." },
    Key { name: "durability", kind: Kind::OneOf(&["durable", "replicated", "fast"]), default: "durable", doc: "What an acknowledgement promises: durable (flushed to the device), replicated (the write completed; a power cut may lose it), fast (accepted in memory; any crash may lose it)." },
    Key { name: "flush.scope", kind: Kind::OneOf(&["auto", "device", "file"]), default: "auto", doc: "What one flush covers: device (all partitions; known for ext4 and XFS), file (each file needs its own), auto (by the file system)." },
    Key { name: "flush.overlap.bytes", kind: int(0, i64::MAX), default: "262144", doc: "While a flush is under way, what was appended meanwhile is written once it is this many bytes; less waits for the flush." },
    Key { name: "memory.bytes", kind: int(0, i64::MAX), default: "0", doc: "Memory for caches and buffers of all shards; 0: an eighth of the machine's, or of what its control group allows." },
    Key { name: "spin.us", kind: int(0, 10_000), default: "0", doc: "How long an idle shard spins before it sleeps, in microseconds. Shortens latency, costs CPU." },
    Key { name: "spin.lone.us", kind: int(0, 10_000), default: "200", doc: "How long at most a shard that serves single small requests spins for a flush or the next request, in microseconds, if the last ones came that soon. A shard with more to do, or whose processor others need, sleeps." },
    Key { name: "drain.timeout.ms", kind: int(0, 600_000), default: "5000", doc: "How long a stopping broker answers requests in flight." },
    Key { name: "socket.request.max.bytes", kind: int(1024, 104_857_600), default: "104857600", doc: "Largest request; a larger one closes the connection." },
    Key { name: "connections.max.idle.ms", kind: int(1000, MS_MAX), default: "600000", doc: "A connection silent for this long is closed." },
    Key { name: "fetch.max.bytes", kind: int(1024, i32::MAX as i64), default: "57671680", doc: "Most bytes in one fetch response, whatever the client asks for." },
    Key { name: "auto.create.topics.enable", kind: Kind::Bool, default: "true", doc: "Create a topic when a client that allows it asks for its metadata." },
    Key { name: "num.partitions", kind: int(1, 100_000), default: "1", doc: "Partitions of a topic that is created without a number." },
    Key { name: "default.replication.factor", kind: int(1, 32_767), default: "1", doc: "Replicas of a topic that is created without a number." },
    Key { name: "group.initial.rebalance.delay.ms", kind: int(0, i32::MAX as i64), default: "3000", doc: "How long an empty group waits for more members before its first rebalance; each that comes makes it longer, up to the rebalance timeout." },
    Key { name: "group.min.session.timeout.ms", kind: int(1, i32::MAX as i64), default: "6000", doc: "Shortest session timeout that a group's member may ask for." },
    Key { name: "group.max.session.timeout.ms", kind: int(1, i32::MAX as i64), default: "1800000", doc: "Longest session timeout that a group's member may ask for." },
    Key { name: "group.max.size", kind: int(1, i32::MAX as i64), default: "2147483647", doc: "Most members of one group; more than 10,000 never fit." },
    Key { name: "group.consumer.session.timeout.ms", kind: int(1, i32::MAX as i64), default: "45000", doc: "Session timeout of members of the consumer protocol (KIP-848)." },
    Key { name: "group.consumer.heartbeat.interval.ms", kind: int(1, i32::MAX as i64), default: "5000", doc: "How often members of the consumer protocol shall send heartbeats." },
    Key { name: "group.consumer.max.size", kind: int(1, i32::MAX as i64), default: "2147483647", doc: "Most members of one group of the consumer protocol; more than 10,000 never fit." },
    Key { name: "group.consumer.migration.policy", kind: Kind::OneOf(&["disabled", "downgrade", "upgrade", "bidirectional"]), default: "bidirectional", doc: "Which way groups may change between the classic and the consumer protocol while they have members." },
    Key { name: "offset.metadata.max.bytes", kind: int(0, i32::MAX as i64), default: "4096", doc: "Longest text that may go with a committed offset, in characters." },
    Key { name: "offsets.retention.minutes", kind: int(1, i32::MAX as i64), default: "10080", doc: "How long committed offsets are kept after their group became empty; of a group that never had members, after the commit." },
    Key { name: "offsets.retention.check.interval.ms", kind: int(1, MS_MAX), default: "600000", doc: "How often offsets that have expired are looked for." },
    Key { name: "offsets.topic.num.partitions", kind: int(1, 10_000), default: "50", doc: "Partitions of __consumer_offsets, which is created when it is first needed. Must not change afterwards." },
    Key { name: "offsets.topic.replication.factor", kind: int(1, 32_767), default: "3", doc: "Replicas of __consumer_offsets; 1 on a node without peer.listen." },
    Key { name: "offsets.topic.segment.bytes", kind: int(1_048_576, i32::MAX as i64), default: "104857600", doc: "Size of a segment file of __consumer_offsets." },
    Key { name: "transaction.max.timeout.ms", kind: int(1, i32::MAX as i64), default: "900000", doc: "Longest time that a producer may ask for its transactions to take; those that take longer than it asked are aborted." },
    Key { name: "transactional.id.expiration.ms", kind: int(1, i32::MAX as i64), default: "604800000", doc: "A transactional id that nobody used for this long is forgotten." },
    Key { name: "transaction.remove.expired.transaction.cleanup.interval.ms", kind: int(1, i32::MAX as i64), default: "3600000", doc: "How often transactional ids that have expired are looked for." },
    Key { name: "transaction.state.log.num.partitions", kind: int(1, 10_000), default: "50", doc: "Partitions of __transaction_state, which is created when it is first needed. Must not change afterwards." },
    Key { name: "transaction.state.log.replication.factor", kind: int(1, 32_767), default: "3", doc: "Replicas of __transaction_state; 1 on a node without peer.listen." },
    Key { name: "transaction.state.log.min.isr", kind: int(1, 32_767), default: "2", doc: "In-sync replicas that __transaction_state needs; no more than it has replicas." },
    Key { name: "transaction.state.log.segment.bytes", kind: int(1_048_576, i32::MAX as i64), default: "104857600", doc: "Size of a segment file of __transaction_state." },
    Key { name: "producer.id.expiration.ms", kind: int(1, i32::MAX as i64), default: "86400000", doc: "A producer that wrote nothing to a partition for this long is forgotten there." },
    Key { name: "message.max.bytes", kind: int(0, i32::MAX as i64), default: "1048588", doc: "Largest record batch; topics may set max.message.bytes." },
    Key { name: "min.insync.replicas", kind: int(1, i32::MAX as i64), default: "1", doc: "In-sync replicas that acks=all needs; topics may set their own." },
    Key { name: "compression.type", kind: Kind::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), default: "producer", doc: "In which codec batches are kept; producer: in that in which they arrive. Topics may set their own. Another codec costs the broker what it saves the disk." },
    Key { name: "log.cleanup.policy", kind: Kind::ListOf(&["compact", "delete"]), default: "delete", doc: "What happens to old records; topics may set cleanup.policy." },
    Key { name: "log.cleaner.backoff.ms", kind: int(1, MS_MAX), default: "15000", doc: "How often logs that are due for compaction are looked for." },
    Key { name: "log.cleaner.dedupe.buffer.size", kind: int(1_048_576, MS_MAX), default: "134217728", doc: "Memory for the keys of logs that are being compacted, for all shards together; taken only while it is needed." },
    Key { name: "log.cleaner.io.max.bytes.per.second", kind: int(1, MS_MAX), default: "134217728", doc: "Bytes that compaction may read and write in a second, all shards together. Not without bound as in Kafka, so that producers don't feel it." },
    Key { name: "log.retention.ms", kind: int(-1, MS_MAX), default: "604800000", doc: "How long records are kept, in ms; -1: for ever. One week by default; topics may set retention.ms." },
    Key { name: "log.retention.bytes", kind: int(i64::MIN, i64::MAX), default: "-1", doc: "How many bytes of a partition are kept; below 0: no bound. Topics may set retention.bytes." },
    Key { name: "log.segment.bytes", kind: int(1_048_576, i32::MAX as i64), default: "1073741824", doc: "Size of a segment file; topics may set segment.bytes." },
    Key { name: "log.roll.ms", kind: int(1, MS_MAX), default: "604800000", doc: "A segment is closed when it is this old; topics may set segment.ms." },
    Key { name: "log.flush.interval.messages", kind: int(1, MS_MAX), default: "9223372036854775807", doc: "Flush after this many records at the latest. Every append is flushed at once, so any value is kept to; topics may set flush.messages." },
    Key { name: "log.flush.interval.ms", kind: int(0, MS_MAX), default: "9223372036854775807", doc: "Flush after this long at the latest. Every append is flushed at once, so any value is kept to; topics may set flush.ms." },
    Key { name: "log.retention.check.interval.ms", kind: int(1, MS_MAX), default: "300000", doc: "How often old segments are looked for." },
    Key { name: "log.message.timestamp.type", kind: Kind::OneOf(&["CreateTime", "LogAppendTime"]), default: "CreateTime", doc: "Whose time a record carries; topics may set message.timestamp.type." },
    Key { name: "log.message.timestamp.before.max.ms", kind: int(0, MS_MAX), default: "9223372036854775807", doc: "How far a record's timestamp may lie behind the broker's clock." },
    Key { name: "log.message.timestamp.after.max.ms", kind: int(0, MS_MAX), default: "3600000", doc: "How far a record's timestamp may lie ahead of the broker's clock." },
];

/// The key with this name.
#[must_use]
pub(super) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The known name nearest to a mistyped one, if any is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Names more than twice as long can't be near, and a client's may be long enough to keep a shard busy.
    let candidates = known.filter(|other| name.len() <= 2 * other.len());
    let ranked = candidates.map(|other| (distance(name, other), other)).min()?;
    (ranked.0 <= name.len().max(ranked.1.len()) / 2).then_some(ranked.1)
}

/// Edits between two words (Levenshtein 1965).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

impl Kind {
    /// Checks a value.
    ///
    /// # Errors
    /// What it must be, in Kafka's words.
    pub fn check(self, value: &str) -> Result<(), String> {
        let any_of = |words: &[&str]| Err(format!("String must be one of: {}", words.join(", ")));
        match self {
            Kind::Int { min, max } => check_int(value, min, max),
            Kind::IntOr { or, min, max } => match number(value, max)? {
                number if number == or || (min..=max).contains(&number) => Ok(()),
                _ => Err(format!("Value must be between {min} and {max} or equal to {or}")),
            },
            Kind::Bool if matches!(value, "true" | "false") => Ok(()),
            Kind::Bool => Err("Expected value to be either true or false".to_owned()),
            Kind::Text => Ok(()),
            Kind::Address => check_address(value),
            Kind::OneOf(words) if words.contains(&value) => Ok(()),
            Kind::OneOf(words) => any_of(words),
            Kind::ListOf(words) => {
                let known = |word: &str| words.contains(&word.trim());
                if value.is_empty() || value.split(',').all(known) { Ok(()) } else { any_of(words) }
            }
            Kind::Ratio => match value.parse::<f64>() {
                Ok(ratio) if ratio < 0.0 => Err("Value must be at least 0".to_owned()),
                Ok(ratio) if ratio > 1.0 => Err("Value must be no more than 1".to_owned()),
                Ok(ratio) if ratio.is_finite() => Ok(()),
                _ => Err("Not a number of type DOUBLE".to_owned()),
            },
            Kind::Replicas if value == "*" || value.is_empty() || value.split(',').all(is_replica) => Ok(()),
            Kind::Voters if read_voters(value).is_some() => Ok(()),
            Kind::Voters => Err("Expected ID@HOST:PORT, separated by commas".to_owned()),
            Kind::Replicas => Err("must be the literal '*' or a list of replicas in the following format: \
                                   [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                .to_owned()),
        }
    }

    /// A value as it is kept and shown: without blanks around it, numbers and truth values in their plain form.
    #[must_use]
    pub fn normal(self, value: &str) -> String {
        let trimmed = value.trim();
        match self {
            Kind::Int { .. } | Kind::IntOr { .. } => {
                trimmed.parse::<i64>().map_or_else(|_| trimmed.to_owned(), |n| n.to_string())
            }
            Kind::Bool => trimmed.to_ascii_lowercase(),
            Kind::Ratio => trimmed.parse::<f64>().map_or_else(|_| trimmed.to_owned(), |x| format!("{x:?}")),
            _ => trimmed.to_owned(),
        }
    }

    /// Kafka's name of a whole number's width.
    fn width(max: i64) -> &'static str {
        if max <= i64::from(i32::MAX) { "INT" } else { "LONG" }
    }
}

/// A whole number of the width that its largest value has.
fn number(value: &str, max: i64) -> Result<i64, String> {
    let narrow = Kind::width(max) == "INT";
    let fits = |number: &i64| !narrow || i32::try_from(*number).is_ok();
    let number = value.parse::<i64>().ok().filter(fits);
    number.ok_or_else(|| format!("Not a number of type {}", Kind::width(max)))
}

fn check_int(value: &str, min: i64, max: i64) -> Result<(), String> {
    match number(value, max)? {
        number if number < min => Err(format!("Value must be at least {min}")),
        number if number > max => Err(format!("Value must be no more than {max}")),
        _ => Ok(()),
    }
}

/// `partition:broker`.
fn is_replica(pair: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u32>().is_ok();
    pair.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}

fn check_address(value: &str) -> Result<(), String> {
    let port = |text: &str| text.parse::<u16>().is_ok();
    match value.rsplit_once(':') {
        None if value.is_empty() => Ok(()),
        Some((host, text)) if !host.is_empty() && port(text) => Ok(()),
        _ => Err("Expected HOST:PORT".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_names_unique() {
        for (index, key) in KEYS.iter().enumerate() {
            assert_eq!(key.kind.check(key.default), Ok(()), "{}", key.name);
            assert!(KEYS[..index].iter().all(|other| other.name != key.name), "{}", key.name);
        }
    }

    #[test]
    fn a_very_long_name_is_near_to_nothing() {
        assert_eq!(nearest(&"num.partitions".repeat(9), KEYS.iter().map(|key| key.name)), None);
        assert_eq!(nearest("num.partitionss", KEYS.iter().map(|key| key.name)), Some("num.partitions"));
    }

    #[test]
    fn values_are_checked_and_kept_as_kafka_does() {
        let long = Kind::Int { min: -1, max: i64::MAX };
        assert_eq!(long.check("banana"), Err("Not a number of type LONG".to_owned()));
        assert_eq!(long.check("9223372036854775808"), Err("Not a number of type LONG".to_owned()));
        let int = Kind::Int { min: 1, max: i64::from(i32::MAX) };
        assert_eq!(int.check("2147483648"), Err("Not a number of type INT".to_owned()));
        assert_eq!(int.check("0"), Err("Value must be at least 1".to_owned()));
        let level = Kind::IntOr { or: -1, min: 1, max: 9 };
        assert!(["-1", "1", "9"].into_iter().all(|good| level.check(good).is_ok()));
        for bad in ["-2", "0", "10"] {
            assert_eq!(level.check(bad), Err("Value must be between 1 and 9 or equal to -1".to_owned()));
        }
        assert_eq!(level.check("x"), Err("Not a number of type INT".to_owned()));
        assert_eq!((long.normal(" 77 "), Kind::Bool.normal("TRUE")), ("77".to_owned(), "true".to_owned()));
        let policy = Kind::ListOf(&["compact", "delete"]);
        assert_eq!((policy.check(""), policy.check("delete, compact")), (Ok(()), Ok(())));
        assert!(policy.check("delete,").is_err());
        assert_eq!((Kind::Ratio.check("0.5"), Kind::Ratio.normal("1")), (Ok(()), "1.0".to_owned()));
        assert!(["2", "x", "NaN"].into_iter().all(|ratio| Kind::Ratio.check(ratio).is_err()));
        assert!(["", "*", "0:1", "0:1,2:3"].into_iter().all(|list| Kind::Replicas.check(list).is_ok()));
        assert!(["zz", "0", "0:x", "0:1,"].into_iter().all(|list| Kind::Replicas.check(list).is_err()));
    }

    #[test]
    fn a_mistyped_key_finds_its_neighbour() {
        let known = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("num.partition", known()), Some("num.partitions"));
        assert_eq!(nearest("log.retention.sm", known()), Some("log.retention.ms"));
        assert_eq!(nearest("zzz", known()), None);
    }
}
