//! What an API may ask of a partition, and what the partition answers. Both travel over the mesh to the owner
//! shard and back.

use crate::base::{
    BrokerEpoch, ErrorCode, Guard, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, TopicPartition,
};
use crate::log::producers::ProducerFacts;
use crate::wire::Str;
use crate::wire::batch::{BatchMeta, Contents, Demands, EndMarker, Fault, faults};
use bytes::Bytes;

/// One question to one partition.
#[derive(Clone, Debug)]
pub struct PartitionCall {
    /// Which partition.
    pub partition: TopicPartition,
    /// What is asked.
    pub op: PartitionOp,
}

/// The questions.
#[derive(Clone, Debug)]
pub enum PartitionOp {
    /// Append one validated batch.
    Produce(ProduceOp),
    /// The offset for a timestamp or one of ListOffsets' special timestamps (-1 to -6).
    ListOffset {
        /// The leader epoch the client believes in; -1 if it doesn't say.
        current_leader_epoch: LeaderEpoch,
        /// Milliseconds, or a negative special value.
        timestamp: i64,
        /// Stop at the last stable offset instead of the high watermark.
        read_committed: bool,
    },
    /// Move the log start offset up; -1 means to the high watermark.
    DeleteRecords {
        /// The first offset to keep.
        before: Offset,
    },
    /// The end offset of a leader epoch (OffsetForLeaderEpoch).
    EpochEnd {
        /// The leader epoch the client believes in; -1 if it doesn't say.
        current_leader_epoch: LeaderEpoch,
        /// The epoch asked about.
        epoch: LeaderEpoch,
    },
    /// Size on disk and log start, for DescribeLogDirs and for answers that name the log start.
    Describe,
    /// End a producer's transaction here. Answered as a produce is.
    Mark(MarkOp),
    /// Whether a producer has a transaction open here, and what must not change until its coordinator has vouched for
    /// one that is to begin.
    Guard {
        /// Whose.
        producer_id: ProducerId,
        /// Under which epoch.
        producer_epoch: ProducerEpoch,
    },
    /// The producers that are known here.
    Producers,
}

/// The end of a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkOp {
    /// Whose transaction.
    pub producer_id: ProducerId,
    /// The epoch that its later batches have at least.
    pub producer_epoch: ProducerEpoch,
    /// How it ends.
    pub marker: EndMarker,
    /// The epoch was raised above the transaction's (KIP-890).
    pub raised: bool,
}

/// Of which transaction a batch says that it is part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The transactional id.
    pub transactional_id: Str,
    /// The partition of `__transaction_state` whose coordinator knows.
    pub coordinator: TopicPartition,
    /// The topic's name, which the coordinator knows it by.
    pub topic: Str,
    /// Version of the produce request: from 12 on the broker adds partitions to transactions (KIP-890), from 11 on the
    /// client knows error 120.
    pub version: i16,
}

impl Membership {
    /// Whether the client leaves it to the broker to add the partition to the transaction.
    #[must_use]
    pub fn is_implicit(&self) -> bool {
        self.version >= 12
    }
}

/// A batch to append. It was validated where it arrived: CRC, structure, size.
#[derive(Clone, Debug)]
pub struct ProduceOp {
    /// Exactly one batch, as the client sent it; shares the frame.
    pub batch: Bytes,
    /// Its header.
    pub meta: BatchMeta,
    /// What its records are.
    pub contents: Contents,
    /// -1, 0 or 1.
    pub acks: i16,
    /// How long an acks=all answer may wait for the in-sync replicas.
    pub timeout_ms: i32,
    /// The transaction that it is part of.
    pub membership: Option<Box<Membership>>,
}

/// A read of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOp {
    /// The leader epoch the client believes in; -1 if it doesn't say.
    pub current_leader_epoch: LeaderEpoch,
    /// First offset wanted; the batch that holds it is returned whole.
    pub offset: Offset,
    /// Epoch of the last record the client has; -1 if it doesn't say. A divergence is answered instead of data.
    pub last_fetched_epoch: LeaderEpoch,
    /// Bytes at most; the first batch is exempt if `first_whole`.
    pub max_bytes: usize,
    /// Return the first batch even if it is larger than `max_bytes` (KIP-74).
    pub first_whole: bool,
    /// Stop at the last stable offset.
    pub read_committed: bool,
    /// Who reads, if it is a replica: it may have what isn't committed yet.
    pub follower: Option<FollowerRead>,
}

/// What a follower says of itself when it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerRead {
    /// Who.
    pub id: NodeId,
    /// Its incarnation.
    pub broker_epoch: BrokerEpoch,
    /// Up to where it promises to keep what it has.
    pub flushed: Offset,
}

/// The answers.
#[derive(Clone, Debug)]
pub enum PartitionReply {
    /// To `Produce`.
    Produced(Produced),
    /// To `ListOffset`: offset and timestamp are -1 where nothing matches.
    Offset {
        /// None if answered.
        error: ErrorCode,
        /// Timestamp of the record found; -1 for special timestamps.
        timestamp: i64,
        /// Its offset.
        offset: Offset,
        /// Its leader epoch, -1 if unknown.
        leader_epoch: LeaderEpoch,
    },
    /// To `DeleteRecords`: the log start offset afterwards, -1 on error.
    Deleted {
        /// None if done.
        error: ErrorCode,
        /// The new log start offset.
        low_watermark: Offset,
    },
    /// To `EpochEnd`; -1 and -1 where the epoch is unknown.
    EpochEnd {
        /// None if answered.
        error: ErrorCode,
        /// The largest epoch not above the one asked about.
        epoch: LeaderEpoch,
        /// Where that epoch ends.
        end_offset: Offset,
    },
    /// To `Describe`.
    Described {
        /// None if the partition is there.
        error: ErrorCode,
        /// Bytes of its segments.
        size_bytes: u64,
        /// First offset that is there.
        log_start_offset: Offset,
    },
    /// To `Guard`.
    Guarded {
        /// None if the partition is there.
        error: ErrorCode,
        /// `None` if a transaction is open under the epoch.
        guard: Option<Guard>,
    },
    /// To `Producers`.
    Producers {
        /// None if the partition is there.
        error: ErrorCode,
        /// By id.
        producers: Vec<ProducerFacts>,
    },
}

/// Outcome of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// None if the batch is in the log (now or before, for a duplicate).
    pub error: ErrorCode,
    /// Offset of the batch's first record, -1 on error.
    pub base_offset: Offset,
    /// Broker time in ms where the topic uses LogAppendTime, else -1.
    pub log_append_time_ms: i64,
    /// Log start offset, -1 if unknown.
    pub log_start_offset: Offset,
    /// What to tell a person; clients log it.
    pub message: Option<&'static str>,
    /// Which records were refused, where it is they.
    pub unmet: Option<Box<Unmet>>,
}

/// Records that don't meet what the topic's settings demand (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// What is demanded.
    pub demands: Demands,
    /// How many records don't meet it.
    pub count: usize,
    /// The first of them.
    pub records: Vec<Fault>,
}

impl Produced {
    /// A refusal, with the -1s that Kafka sends.
    #[must_use]
    pub fn refused(error: ErrorCode, message: Option<&'static str>) -> Self {
        Produced {
            error,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            message,
            unmet: None,
        }
    }
}

impl Unmet {
    /// Finds the records in the batch that was refused. The machine sees no records, so its shell does this.
    pub fn look_at(&mut self, batch: &[u8], meta: &BatchMeta) {
        (self.count, self.records) = faults(batch, meta, self.demands);
    }
}

/// Outcome of a read.
#[derive(Clone, Debug, Default)]
pub struct ReadReply {
    /// None if the offset is readable.
    pub error: ErrorCode,
    /// End of what consumers may see; -1 on error.
    pub high_watermark: Offset,
    /// End of what read_committed consumers may see; -1 on error.
    pub last_stable_offset: Offset,
    /// First offset that is still there; -1 on error.
    pub log_start_offset: Offset,
    /// Whole batches in order, sharing the owner shard's memory.
    pub records: Vec<Bytes>,
    /// Aborted transactions that overlap the records: (producer id, first offset). `None` for read_uncommitted.
    pub aborted: Option<Vec<(i64, Offset)>>,
    /// There is more that a limit kept out: waiting longer wouldn't change this answer.
    pub cut: bool,
    /// Where the client's log parts from this one: (epoch, end offset).
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

impl ReadReply {
    /// An answer that carries only an error, with the -1s that Kafka sends.
    #[must_use]
    pub fn failed(error: ErrorCode) -> Self {
        ReadReply {
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            ..ReadReply::default()
        }
    }

    /// Bytes of records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}
