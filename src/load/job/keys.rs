//! Every key of a job, declared once: flags, job files, checks and help all come from this table.

use super::value::{KEY_FORMS, RATE_FORMS, SIZE_FORMS};
use super::value::{parse_bytes, parse_count, parse_duration, parse_keys, parse_rate, parse_sizes};
use std::time::Duration;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// true or false; as a flag it may stand alone.
    Bool,
    /// A whole number within bounds.
    Count(f64, f64),
    /// A number within bounds.
    Number(f64, f64),
    /// A number of bytes within bounds.
    Bytes(u64, u64),
    /// A time.
    Time,
    /// A time, or the word.
    TimeOr(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A rate.
    Rate,
    /// A distribution of sizes.
    Sizes,
    /// A skew of keys.
    Keys,
    /// Texts separated by commas; as a flag it may be repeated.
    List,
}

/// Where a key stands in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Broker and topic.
    Target,
    /// What is sent, and how.
    Producing,
    /// What is read, and how.
    Consuming,
    /// Connections and groups that come and go.
    Churning,
    /// Transactions.
    Transacting,
    /// How long, and how it is measured.
    Measuring,
    /// What must hold.
    Judging,
    /// What is written where.
    Reporting,
}

impl Group {
    /// The heading of its flags.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Group::Target => "Broker and topic",
            Group::Producing => "Producing",
            Group::Consuming => "Consuming",
            Group::Churning => "Churn",
            Group::Transacting => "Transactions",
            Group::Measuring => "Time and measuring",
            Group::Judging => "Verification and gates",
            Group::Reporting => "Watching and reports",
        }
    }
}

/// Which subcommands a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses(u8);

impl Uses {
    /// Commands that send records.
    pub const PRODUCE: Uses = Uses(1);
    /// Commands that read records.
    pub const CONSUME: Uses = Uses(2);
    /// `churn`.
    pub const CHURN: Uses = Uses(4);
    /// `transact`.
    pub const TRANSACT: Uses = Uses(8);
    /// Commands that run nothing.
    pub const NONE: Uses = Uses(0);
    /// All commands.
    pub const ALL: Uses = Uses(15);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Uses) -> Uses {
        Uses(self.0 | other.0)
    }

    /// Whether they have a command in common.
    #[must_use]
    pub const fn meets(self, other: Uses) -> bool {
        self.0 & other.0 != 0
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Its name: the flag without `--`, and the key in job files.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its default.
    pub default: &'static str,
    /// Where it stands in the help.
    pub group: Group,
    /// Which commands have it.
    pub uses: Uses,
    /// What it does, with its unit.
    pub doc: &'static str,
}

const TOPICAL: Uses = Uses::PRODUCE.and(Uses::CONSUME);
const TARGETED: Uses = TOPICAL.and(Uses::TRANSACT);
const SENT: Uses = Uses::PRODUCE.and(Uses::TRANSACT);
const INF: f64 = f64::INFINITY;
const MIB: u64 = 1024 * 1024;

/// All keys, by group.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    Key { name: "bootstrap", kind: Kind::List, default: "127.0.0.1:9092", group: Group::Target, uses: Uses::ALL, doc: "HOST:PORT of one or more brokers of the cluster, separated by commas." },
    Key { name: "topic", kind: Kind::Text, default: "", group: Group::Target, uses: Uses::ALL, doc: "Topic to use. It is created if it isn't there, and kept. Empty: a fresh one for this run, deleted at the end." },
    Key { name: "topics", kind: Kind::Count(1.0, 10_000.0), default: "1", group: Group::Target, uses: TARGETED, doc: "How many topics; with more than one, -0, -1 and so on is appended to the name." },
    Key { name: "partitions", kind: Kind::Count(1.0, 100_000.0), default: "1", group: Group::Target, uses: TARGETED, doc: "Partitions of each topic that is created. A topic that is there keeps its own." },
    Key { name: "replication", kind: Kind::Count(-1.0, 32_767.0), default: "-1", group: Group::Target, uses: TARGETED, doc: "Replicas of each partition that is created; -1: the broker's default." },
    Key { name: "topic-config", kind: Kind::List, default: "", group: Group::Target, uses: TARGETED, doc: "KEY=VALUE for a topic that is created, e.g. retention.ms=600000." },
    Key { name: "keep-topic", kind: Kind::Bool, default: "false", group: Group::Target, uses: TARGETED, doc: "Keep the topic that was made for this run." },
    Key { name: "client-id", kind: Kind::Text, default: "ringlog-load", group: Group::Target, uses: Uses::ALL, doc: "The client id that the broker sees." },
    Key { name: "request-timeout", kind: Kind::Time, default: "30s", group: Group::Target, uses: Uses::ALL, doc: "How long a request may stay without an answer before its connection is given up." },

    Key { name: "rate", kind: Kind::Rate, default: "max", group: Group::Producing, uses: Uses::PRODUCE, doc: "Records per second over all producers. max is a closed loop: each waits for acknowledgements. Anything else is an open loop: records are due at given times, and a late one counts from when it was due. A ramp lasts as long as the phase." },
    Key { name: "size", kind: Kind::Sizes, default: "1KiB", group: Group::Producing, uses: SENT, doc: "Bytes of a record's value, at least 28." },
    Key { name: "keys", kind: Kind::Keys, default: "none", group: Group::Producing, uses: SENT, doc: "Keys of records, and how they are skewed. With keys, Kafka's partitioner (murmur2) chooses the partition; without, batches go to the partitions in turn." },
    Key { name: "key-bytes", kind: Kind::Bytes(1, 1024), default: "16", group: Group::Producing, uses: SENT, doc: "Bytes of a key, where there are keys." },
    Key { name: "ratio", kind: Kind::Number(1.0, 100.0), default: "1", group: Group::Producing, uses: SENT, doc: "How many times smaller a codec can make the payload; 1: random bytes, which don't compress." },
    Key { name: "compression", kind: Kind::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]), default: "none", group: Group::Producing, uses: SENT, doc: "Codec of the batches." },
    Key { name: "producers", kind: Kind::Count(0.0, 100_000.0), default: "1", group: Group::Producing, uses: SENT, doc: "Producing clients; each has one connection to every broker that leads a partition." },
    Key { name: "batch", kind: Kind::Bytes(0, 100 * MIB), default: "16KiB", group: Group::Producing, uses: SENT, doc: "Bytes of a batch at most; 0: one record per batch." },
    Key { name: "linger", kind: Kind::Time, default: "0ms", group: Group::Producing, uses: Uses::PRODUCE, doc: "How long a batch waits for more records." },
    Key { name: "in-flight", kind: Kind::Count(1.0, 10_000.0), default: "5", group: Group::Producing, uses: Uses::PRODUCE, doc: "Unacknowledged requests per connection at most." },
    Key { name: "partitions-per-request", kind: Kind::Count(0.0, 10_000.0), default: "0", group: Group::Producing, uses: Uses::PRODUCE, doc: "Batches in one request at most; 0: one in a closed loop, else as many as are ready and fit request-max." },
    Key { name: "request-max", kind: Kind::Bytes(1024, 100 * MIB), default: "1MiB", group: Group::Producing, uses: Uses::PRODUCE, doc: "Bytes of one request's batches at most, as far as they are several." },
    Key { name: "buffer", kind: Kind::Bytes(MIB, 1024 * MIB), default: "32MiB", group: Group::Producing, uses: Uses::PRODUCE, doc: "Bytes that each producer may hold in batches; when they are full, records wait and their latency grows." },
    Key { name: "acks", kind: Kind::OneOf(&["all", "1", "0"]), default: "all", group: Group::Producing, uses: Uses::PRODUCE, doc: "What must have a record before it counts as acknowledged: all in-sync replicas, the leader, or nobody." },
    Key { name: "idempotence", kind: Kind::OneOf(&["auto", "true", "false"]), default: "auto", group: Group::Producing, uses: Uses::PRODUCE, doc: "Producer ids and sequence numbers, so that a retry isn't written twice. auto: with acks=all and at most 5 in flight, as Kafka's own client." },
    Key { name: "delivery-timeout", kind: Kind::Time, default: "120s", group: Group::Producing, uses: Uses::PRODUCE, doc: "How long a batch is tried again before it is given up." },
    Key { name: "stamps", kind: Kind::OneOf(&["auto", "every", "none"]), default: "auto", group: Group::Producing, uses: Uses::PRODUCE, doc: "every: each record carries its intended send time, sequence and checksum. none: batches are prepared once, which costs nothing per record, but nothing can be verified. auto: every, except for compressed records that nobody reads." },

    Key { name: "consumers", kind: Kind::Count(0.0, 100_000.0), default: "0", group: Group::Consuming, uses: TOPICAL, doc: "Consuming clients, which share the partitions; at most one per partition has work." },
    Key { name: "from", kind: Kind::OneOf(&["beginning", "end"]), default: "beginning", group: Group::Consuming, uses: Uses::CONSUME, doc: "Where reading starts in a topic that was there before." },
    Key { name: "until", kind: Kind::OneOf(&["time", "end"]), default: "time", group: Group::Consuming, uses: Uses::CONSUME, doc: "time: read for the whole duration, from the start again at the end. end: stop where the partitions ended when reading began." },
    Key { name: "fetch-bytes", kind: Kind::Bytes(1, 100 * MIB), default: "1MiB", group: Group::Consuming, uses: TOPICAL, doc: "Bytes per partition and fetch at most." },
    Key { name: "fetch-max", kind: Kind::Bytes(1, 100 * MIB), default: "50MiB", group: Group::Consuming, uses: TOPICAL, doc: "Bytes per fetch at most." },
    Key { name: "fetch-min", kind: Kind::Bytes(0, 1024 * MIB), default: "1", group: Group::Consuming, uses: TOPICAL, doc: "Bytes for which a fetch waits." },
    Key { name: "fetch-wait", kind: Kind::Time, default: "500ms", group: Group::Consuming, uses: TOPICAL, doc: "How long a fetch waits for fetch-min." },
    Key { name: "check", kind: Kind::OneOf(&["auto", "none", "crc", "records"]), default: "auto", group: Group::Consuming, uses: Uses::CONSUME, doc: "What is looked at of what is read: none (headers of batches), crc (each batch's CRC), records (each record's stamp and checksum). auto: records where latency or verification needs them, else none." },

    Key { name: "churn", kind: Kind::Bool, default: "false", group: Group::Churning, uses: Uses::CHURN, doc: "Let connections and group members come and go, instead of sending records. `churn` says so itself." },
    Key { name: "connections", kind: Kind::Count(1.0, 1e6), default: "100", group: Group::Churning, uses: Uses::CHURN, doc: "New connections per second." },
    Key { name: "hold", kind: Kind::Time, default: "0ms", group: Group::Churning, uses: Uses::CHURN, doc: "How long each connection stays after its answers." },
    Key { name: "ask", kind: Kind::OneOf(&["versions", "metadata", "produce"]), default: "metadata", group: Group::Churning, uses: Uses::CHURN, doc: "What each connection asks before it goes: ApiVersions alone, Metadata as well, or a record sent as well." },
    Key { name: "groups", kind: Kind::Count(0.0, 10_000.0), default: "0", group: Group::Churning, uses: Uses::CHURN, doc: "Consumer groups whose members come and go; needs a broker with groups." },
    Key { name: "members", kind: Kind::Count(1.0, 1000.0), default: "3", group: Group::Churning, uses: Uses::CHURN, doc: "Members of each group; one after the other leaves and joins again." },

    Key { name: "transact", kind: Kind::Bool, default: "false", group: Group::Transacting, uses: Uses::TRANSACT, doc: "Let every producer run one transaction after the other, instead of a stream of batches. `transact` says so itself." },
    Key { name: "batches", kind: Kind::Count(1.0, 1000.0), default: "1", group: Group::Transacting, uses: Uses::TRANSACT, doc: "Batches of each transaction; each goes to another partition, as far as there are any." },
    Key { name: "abort-every", kind: Kind::Count(0.0, 1e9), default: "0", group: Group::Transacting, uses: Uses::TRANSACT, doc: "Abort one transaction in so many instead of committing it; 0: none." },

    Key { name: "duration", kind: Kind::Time, default: "10s", group: Group::Measuring, uses: Uses::ALL, doc: "How long is measured, after the warm-up." },
    Key { name: "records", kind: Kind::Count(0.0, INF), default: "0", group: Group::Measuring, uses: Uses::PRODUCE, doc: "End after so many records, if the duration isn't over before; 0: no bound." },
    Key { name: "bytes", kind: Kind::Bytes(0, u64::MAX), default: "0", group: Group::Measuring, uses: Uses::PRODUCE, doc: "End after so many bytes of values, if the duration isn't over before; 0: no bound." },
    Key { name: "warmup", kind: Kind::TimeOr("auto"), default: "auto", group: Group::Measuring, uses: Uses::ALL, doc: "What is left out of the results at the beginning; auto: until throughput and latency have stopped changing." },
    Key { name: "warmup-max", kind: Kind::Time, default: "30s", group: Group::Measuring, uses: Uses::ALL, doc: "When an automatic warm-up ends at the latest." },
    Key { name: "interval", kind: Kind::Time, default: "1s", group: Group::Measuring, uses: Uses::ALL, doc: "Length of the intervals of the progress lines, the interval log and the pictures." },
    Key { name: "threads", kind: Kind::Count(1.0, 256.0), default: "1", group: Group::Measuring, uses: Uses::ALL, doc: "Threads of the generator, which share producers and consumers." },
    Key { name: "pin", kind: Kind::Bool, default: "false", group: Group::Measuring, uses: Uses::ALL, doc: "Bind each thread to a processor of those that this process may use (see taskset)." },
    Key { name: "spin", kind: Kind::Time, default: "0us", group: Group::Measuring, uses: Uses::ALL, doc: "How long an idle thread looks for work before it sleeps: sharper times, a busy core." },
    Key { name: "seed", kind: Kind::Count(0.0, 9e15), default: "1", group: Group::Measuring, uses: Uses::ALL, doc: "Seed of all sizes, keys, payloads and random arrivals." },

    Key { name: "verify", kind: Kind::Bool, default: "false", group: Group::Judging, uses: TOPICAL, doc: "Read back what was acknowledged and check sequences and checksums: loss, duplicates, order. Exit code 4 if the broker broke its word." },
    Key { name: "gate", kind: Kind::List, default: "", group: Group::Judging, uses: Uses::ALL, doc: "What must hold, e.g. p99<5ms, e2e.p99.9<50ms, rate>100k, loss=0, errors=0. Exit code 3 if it doesn't." },
    Key { name: "junit", kind: Kind::Text, default: "", group: Group::Judging, uses: Uses::ALL, doc: "File for the gates' outcome in JUnit's form." },
    Key { name: "lag-max", kind: Kind::TimeOr("auto"), default: "auto", group: Group::Judging, uses: Uses::PRODUCE, doc: "Send lag (p99) above which the generator counts as saturated; auto: 1 ms and a quarter of the acknowledgements' p99." },
    Key { name: "allow-saturated", kind: Kind::Bool, default: "false", group: Group::Judging, uses: Uses::ALL, doc: "Don't end with exit code 5 when the generator was saturated." },

    Key { name: "broker-pid", kind: Kind::List, default: "", group: Group::Reporting, uses: Uses::ALL, doc: "Process ids of brokers on this machine: CPU, memory and threads are watched." },
    Key { name: "disk", kind: Kind::Text, default: "", group: Group::Reporting, uses: Uses::ALL, doc: "Block device of this machine whose writes and flushes are watched, e.g. nvme0n1. Empty: all disks, where a pid is given." },
    Key { name: "broker-metrics", kind: Kind::List, default: "", group: Group::Reporting, uses: Uses::ALL, doc: "Where Ringlog brokers tell of themselves: HOST:PORT of metrics.listen, or the path of admin.sock in the data directory. Reports then show where the brokers' time goes, stage by stage." },
    Key { name: "label", kind: Kind::Text, default: "", group: Group::Reporting, uses: Uses::ALL, doc: "A name for this run in reports." },
    Key { name: "out", kind: Kind::Text, default: "", group: Group::Reporting, uses: Uses::ALL, doc: "Write OUT.json, OUT.html, OUT.hlog and OUT.*.hgrm; folders are made." },
    Key { name: "quiet", kind: Kind::Bool, default: "false", group: Group::Reporting, uses: Uses::ALL, doc: "No progress lines." },
];

/// The key with this name.
#[must_use]
pub(super) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Kind {
    /// Checks a value.
    ///
    /// # Errors
    /// What it must be.
    pub fn check(self, value: &str) -> Result<(), String> {
        let within = |number: f64, min: f64, max: f64| match number {
            number if number < min => Err(format!("must be at least {min}")),
            number if number > max => Err(format!("must be no more than {max}")),
            _ => Ok(()),
        };
        match self {
            Kind::Text | Kind::List => Ok(()),
            Kind::Bool => match value {
                "true" | "false" => Ok(()),
                _ => Err("must be true or false".to_owned()),
            },
            Kind::Count(min, max) => {
                let (sign, digits) = value.strip_prefix('-').map_or((1.0, value), |rest| (-1.0, rest));
                let number = parse_count(digits)? * sign;
                if number.fract() == 0.0 { within(number, min, max) } else { Err("must be whole".to_owned()) }
            }
            Kind::Number(min, max) => within(parse_count(value)?, min, max),
            Kind::Bytes(min, max) => within(parse_bytes(value)? as f64, min as f64, max as f64),
            Kind::Time => parse_duration(value).map(drop),
            Kind::TimeOr(word) if value == word => Ok(()),
            Kind::TimeOr(word) => parse_duration(value).map(drop).map_err(|why| format!("{why}, or {word}")),
            Kind::OneOf(words) if words.contains(&value) => Ok(()),
            Kind::OneOf(words) => Err(format!("must be one of {}", words.join(", "))),
            Kind::Rate => parse_rate(value, 1.0, Duration::from_secs(1)).map(drop),
            Kind::Sizes => parse_sizes(value).map(drop),
            Kind::Keys => parse_keys(value).map(drop),
        }
    }

    /// What a value looks like, for the help.
    #[must_use]
    pub fn form(self) -> String {
        match self {
            Kind::Text => "TEXT".to_owned(),
            Kind::Bool => "true|false".to_owned(),
            Kind::Count(..) | Kind::Number(..) => "N".to_owned(),
            Kind::Bytes(..) => "BYTES".to_owned(),
            Kind::Time => "TIME".to_owned(),
            Kind::TimeOr(word) => format!("TIME|{word}"),
            Kind::OneOf(words) => words.join("|"),
            Kind::Rate => "RATE".to_owned(),
            Kind::Sizes => "SIZE".to_owned(),
            Kind::Keys => "KEYS".to_owned(),
            Kind::List => "LIST".to_owned(),
        }
    }

    /// The forms of a value that has several.
    #[must_use]
    pub fn forms(self) -> Option<&'static str> {
        match self {
            Kind::Rate => Some(RATE_FORMS),
            Kind::Sizes => Some(SIZE_FORMS),
            Kind::Keys => Some(KEY_FORMS),
            _ => None,
        }
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
    fn wrong_values_say_what_they_must_be() {
        let check = |name, value| key(name).unwrap().kind.check(value).unwrap_err();
        assert!(check("in-flight", "0").contains("at least 1"));
        assert!(check("in-flight", "1.5").contains("whole"));
        assert!(check("warmup", "soon").contains("or auto"));
        assert!(check("acks", "2").contains("all, 1, 0"));
        assert!(check("rate", "ramp").contains("ramp 1k..50k"));
    }
}
