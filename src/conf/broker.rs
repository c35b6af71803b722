//! The checked configuration, cut by who needs it.

use super::cluster::ClusterConf;
use super::layers::Layers;
use crate::base::NodeId;
use std::time::Duration;

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to the device.
    Durable,
    /// The write completed.
    Replicated,
    /// Accepted in memory.
    Fast,
}

/// What one flush covers, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushScopeChoice {
    /// By the file system.
    Auto,
    /// All partitions.
    Device,
    /// One file.
    File,
}

/// For connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSettings {
    /// HOST:PORT to accept clients on.
    pub listen: String,
    /// HOST:PORT of the metrics page, if there shall be one.
    pub metrics_listen: Option<String>,
    /// HOST:PORT that clients are told.
    pub advertise: String,
    /// Largest request.
    pub request_bytes_max: usize,
    /// How long a connection may be silent.
    pub idle_max: Duration,
    /// Most bytes in one fetch response.
    pub fetch_bytes_max: usize,
}

/// For topics that say nothing themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Create topics that clients ask for.
    pub auto_create: bool,
    /// Their partitions.
    pub partitions: i32,
    /// Their replicas.
    pub replication_factor: i16,
}

/// For logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How often old segments are looked for.
    pub retention_check_interval: Duration,
    /// How often logs to compact are looked for.
    pub cleaner_backoff: Duration,
    /// Memory for keys, for all shards.
    pub cleaner_map_bytes: usize,
    /// Bytes that compaction may move, for all shards.
    pub cleaner_bytes_per_second: u64,
}

/// For groups and their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConf {
    /// How long an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// Shortest session timeout.
    pub session_timeout_min_ms: i32,
    /// Longest session timeout.
    pub session_timeout_max_ms: i32,
    /// Members of one group.
    pub members_max: usize,
    /// Session timeout of members of the consumer protocol.
    pub consumer_session: Duration,
    /// How often they shall send heartbeats.
    pub consumer_heartbeat_ms: i32,
    /// Members of one group of the consumer protocol.
    pub consumer_members_max: usize,
    /// Which way groups may change their protocol, as Kafka names it.
    pub consumer_migration: String,
    /// Characters of the text that goes with an offset.
    pub offset_metadata_max: usize,
    /// How long offsets outlive their group's members.
    pub offsets_retention: Duration,
    /// How often offsets that have expired are looked for.
    pub offsets_retention_check: Duration,
    /// Partitions of the topic that keeps groups and offsets.
    pub topic_partitions: i32,
    /// Its replicas.
    pub topic_replication_factor: i16,
    /// Its segments' size.
    pub topic_segment_bytes: usize,
}

/// For transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConf {
    /// Longest time that a producer may ask for.
    pub timeout_max_ms: i32,
    /// How long a transactional id is kept that nobody uses.
    pub id_expiration: Duration,
    /// How often those that have expired are looked for.
    pub expiration_check: Duration,
    /// Partitions of the topic that keeps transactions.
    pub topic_partitions: i32,
    /// Its replicas.
    pub topic_replication_factor: i16,
    /// In-sync replicas that it needs.
    pub topic_min_isr: i16,
    /// Its segments' size.
    pub topic_segment_bytes: usize,
}

/// Memory by purpose, for all shards together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// Appended bytes that aren't flushed yet.
    pub append_bytes: usize,
    /// Answers that clients haven't taken yet.
    pub answer_bytes: usize,
    /// Written bytes kept for readers.
    pub tail_cache_bytes: usize,
}

/// The broker's configuration. The same on all shards of a node.
#[derive(Clone, Debug)]
pub struct BrokerConf {
    /// `node.id`.
    pub node_id: i32,
    /// `cluster.id`, if set.
    pub cluster_id: Option<String>,
    /// `broker.rack`, if set.
    pub rack: Option<String>,
    /// `data.dir`.
    pub data_dir: String,
    /// `shards`; 0: one per core.
    pub shards: u16,
    /// `durability`.
    pub durability: Durability,
    /// `compression.type`.
    pub compression_type: String,
    /// `flush.scope`.
    pub flush_scope: FlushScopeChoice,
    /// `flush.overlap.bytes`.
    pub flush_overlap_bytes: usize,
    /// `spin.us`.
    pub spin: Duration,
    /// `spin.lone.us`.
    pub spin_lone: Duration,
    /// `drain.timeout.ms`.
    pub drain_timeout: Duration,
    /// Its place in the cluster.
    pub cluster: ClusterConf,
    /// For connections.
    pub net: NetSettings,
    /// For topics.
    pub topics: TopicSettings,
    /// For groups.
    pub groups: GroupConf,
    /// For transactions.
    pub transactions: TransactionConf,
    /// For logs.
    pub log: LogSettings,
    /// Memory by purpose.
    pub memory: MemorySettings,
    /// All values with their sources, for DescribeConfigs and `config explain`.
    pub layers: Layers,
}

impl BrokerConf {
    /// Checks all layers. `ram_bytes` is the memory that the process may count on.
    ///
    /// # Errors
    /// Every problem, each naming key, value, source and what to do.
    pub fn check(layers: Layers, ram_bytes: u64) -> Result<Self, Vec<String>> {
        let mut problems = layers.problems().to_vec();
        let listen = layers.value("listen").0.to_owned();
        if listen.is_empty() {
            problems.push("listen: must not be empty; give HOST:PORT".to_owned());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let cluster = ClusterConf::of(&layers);
        let text = |name: &str| Some(layers.value(name).0.to_owned()).filter(|text| !text.is_empty());
        let int = |name: &str| layers.value(name).0.parse::<i64>().expect("checked when it was set");
        let size = |name: &str| usize::try_from(int(name)).expect("checked not to be negative");
        let ms = |name: &str| Duration::from_millis(int(name).unsigned_abs());
        let (node_id, cluster_id) = (i32::try_from(int("node.id")).expect("checked"), text("cluster.id"));
        let problems = cluster.problems(NodeId(node_id), cluster_id.as_deref());
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(BrokerConf {
            node_id,
            cluster_id,
            cluster,
            rack: text("broker.rack"),
            data_dir: layers.value("data.dir").0.to_owned(),
            shards: u16::try_from(int("shards")).expect("checked"),
            durability: match layers.value("durability").0 {
                "replicated" => Durability::Replicated,
                "fast" => Durability::Fast,
                _ => Durability::Durable,
            },
            compression_type: layers.value("compression.type").0.to_owned(),
            flush_scope: match layers.value("flush.scope").0 {
                "device" => FlushScopeChoice::Device,
                "file" => FlushScopeChoice::File,
                _ => FlushScopeChoice::Auto,
            },
            flush_overlap_bytes: size("flush.overlap.bytes"),
            spin: Duration::from_micros(int("spin.us").unsigned_abs()),
            spin_lone: Duration::from_micros(int("spin.lone.us").unsigned_abs()),
            drain_timeout: ms("drain.timeout.ms"),
            net: NetSettings {
                advertise: text("advertise").unwrap_or_else(|| listen.clone()),
                listen,
                metrics_listen: text("metrics.listen"),
                request_bytes_max: size("socket.request.max.bytes"),
                idle_max: ms("connections.max.idle.ms"),
                fetch_bytes_max: size("fetch.max.bytes"),
            },
            topics: TopicSettings {
                auto_create: layers.value("auto.create.topics.enable").0 == "true",
                partitions: i32::try_from(int("num.partitions")).expect("checked"),
                replication_factor: i16::try_from(int("default.replication.factor")).expect("checked"),
            },
            groups: group_conf(&int, &layers),
            transactions: transaction_conf(&int),
            log: LogSettings {
                retention_check_interval: ms("log.retention.check.interval.ms"),
                cleaner_backoff: ms("log.cleaner.backoff.ms"),
                cleaner_map_bytes: size("log.cleaner.dedupe.buffer.size"),
                cleaner_bytes_per_second: int("log.cleaner.io.max.bytes.per.second").unsigned_abs(),
            },
            memory: memory(size("memory.bytes"), ram_bytes),
            layers,
        })
    }

    /// The defaults, as tests and tools want them.
    ///
    /// # Panics
    /// Never: the defaults are checked by a test.
    #[must_use]
    pub fn defaults() -> Self {
        BrokerConf::check(Layers::default(), 4 << 30).expect("the defaults are valid")
    }

    /// HOST and PORT that clients are told.
    #[must_use]
    pub fn advertised(&self) -> (&str, u16) {
        let (host, port) = self.net.advertise.rsplit_once(':').expect("checked when it was set");
        (host, port.parse().expect("checked when it was set"))
    }
}

fn group_conf(int: &impl Fn(&str) -> i64, layers: &Layers) -> GroupConf {
    let small = |name: &str| i32::try_from(int(name)).expect("checked");
    let size = |name: &str| usize::try_from(int(name)).expect("checked not to be negative");
    let ms = |name: &str| Duration::from_millis(int(name).unsigned_abs());
    GroupConf {
        initial_rebalance_delay: ms("group.initial.rebalance.delay.ms"),
        session_timeout_min_ms: small("group.min.session.timeout.ms"),
        session_timeout_max_ms: small("group.max.session.timeout.ms"),
        members_max: size("group.max.size"),
        consumer_session: ms("group.consumer.session.timeout.ms"),
        consumer_heartbeat_ms: small("group.consumer.heartbeat.interval.ms"),
        consumer_members_max: size("group.consumer.max.size"),
        consumer_migration: layers.value("group.consumer.migration.policy").0.to_owned(),
        offset_metadata_max: size("offset.metadata.max.bytes"),
        offsets_retention: Duration::from_secs(int("offsets.retention.minutes").unsigned_abs() * 60),
        offsets_retention_check: ms("offsets.retention.check.interval.ms"),
        topic_partitions: small("offsets.topic.num.partitions"),
        topic_replication_factor: i16::try_from(int("offsets.topic.replication.factor")).expect("checked"),
        topic_segment_bytes: size("offsets.topic.segment.bytes"),
    }
}

fn transaction_conf(int: &impl Fn(&str) -> i64) -> TransactionConf {
    let small = |name: &str| i32::try_from(int(name)).expect("checked");
    let short = |name: &str| i16::try_from(int(name)).expect("checked");
    let ms = |name: &str| Duration::from_millis(int(name).unsigned_abs());
    TransactionConf {
        timeout_max_ms: small("transaction.max.timeout.ms"),
        id_expiration: ms("transactional.id.expiration.ms"),
        expiration_check: ms("transaction.remove.expired.transaction.cleanup.interval.ms"),
        topic_partitions: small("transaction.state.log.num.partitions"),
        topic_replication_factor: short("transaction.state.log.replication.factor"),
        topic_min_isr: short("transaction.state.log.min.isr"),
        topic_segment_bytes: usize::try_from(int("transaction.state.log.segment.bytes")).expect("checked"),
    }
}

/// An eighth of the machine by default: what is read again soon fits, and other programs have room. An eighth of it is
/// for appends that wait for their flush, as much for answers that clients haven't taken, the rest for readers.
fn memory(configured: usize, ram_bytes: u64) -> MemorySettings {
    let total =
        if configured == 0 { usize::try_from(ram_bytes / 8).unwrap_or(usize::MAX) } else { configured };
    let part = (total / 8).clamp(16 << 20, 1 << 30);
    MemorySettings { append_bytes: part, answer_bytes: part, tail_cache_bytes: total - total / 4 }
}
