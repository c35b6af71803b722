//! Followers' reads: one request for all partitions that one shard follows on another node.

use super::reply::error;
use crate::base::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ShardId, TopicId, TopicPartition,
};
use crate::wire::collections::array;
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

/// A follower wants what it doesn't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFetch {
    /// The follower.
    pub replica: NodeId,
    /// Its shard that asks.
    pub shard: ShardId,
    /// Which of its requests this is: it asks for partitions to which records come all the time apart from others, for
    /// which it has several requests. When its next one of a pace comes, the one that waits is answered at once.
    pub pace: i8,
    /// Its epoch: a copy from before its registration counts for nothing (KIP-903).
    pub broker_epoch: BrokerEpoch,
    /// How long the answer may wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// With fewer bytes than this it waits.
    pub min_bytes: i32,
    /// Bytes of all partitions together; the first batch may exceed it.
    pub max_bytes: i32,
    /// What it wants of each partition.
    pub partitions: Vec<ReplicaRead>,
}

/// What a follower wants of one partition, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaRead {
    /// The partition.
    pub partition: TopicPartition,
    /// The term of the leader that it takes the receiver for.
    pub leader_epoch: LeaderEpoch,
    /// Where it reads: the end of its log.
    pub offset: Offset,
    /// How far its log is durable: what the high watermark counts.
    pub flushed: Offset,
    /// The term of its last batch, which tells whether its log is a beginning of the leader's.
    pub last_epoch: LeaderEpoch,
    /// Where its log begins.
    pub log_start: Offset,
    /// The leader's, as the follower knows it: an answer names only partitions of which there is news.
    pub high_watermark: Offset,
    /// Bytes at most.
    pub max_bytes: i32,
}

/// What a leader has for a follower.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaFetched {
    /// By partition, those that there is something to say of.
    pub partitions: Vec<ReplicaData>,
}

/// What there is of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaData {
    /// The partition.
    pub partition: TopicPartition,
    /// Why there is nothing.
    pub error: ErrorCode,
    /// The leader's.
    pub high_watermark: Offset,
    /// Where the leader's log begins.
    pub log_start: Offset,
    /// The logs differ: the last term of the leader's that is not above the follower's, and where it ends.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// Whole batches, one after the other.
    pub records: Vec<Bytes>,
}

impl ReplicaFetch {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.i32(self.replica.0);
        w.u16(self.shard.0);
        w.i8(self.pace);
        w.i64(self.broker_epoch.0);
        w.i32(self.max_wait_ms);
        w.i32(self.min_bytes);
        w.i32(self.max_bytes);
        w.array_len(Some(self.partitions.len()), true);
        for read in &self.partitions {
            put_partition(w, read.partition);
            w.i32(read.leader_epoch.0);
            w.i64(read.offset);
            w.i64(read.flushed);
            w.i32(read.last_epoch.0);
            w.i64(read.log_start);
            w.i64(read.high_watermark);
            w.i32(read.max_bytes);
        }
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(ReplicaFetch {
            replica: NodeId(r.i32()?),
            shard: ShardId(r.u16()?),
            pace: r.i8()?,
            broker_epoch: BrokerEpoch(r.i64()?),
            max_wait_ms: r.i32()?,
            min_bytes: r.i32()?,
            max_bytes: r.i32()?,
            partitions: array(r, true, |r| {
                Ok(ReplicaRead {
                    partition: partition(r)?,
                    leader_epoch: LeaderEpoch(r.i32()?),
                    offset: r.i64()?,
                    flushed: r.i64()?,
                    last_epoch: LeaderEpoch(r.i32()?),
                    log_start: r.i64()?,
                    high_watermark: r.i64()?,
                    max_bytes: r.i32()?,
                })
            })?,
        })
    }
}

impl ReplicaFetched {
    /// The last partition that got records, in the order of the request.
    #[must_use]
    pub fn last_served(&self) -> Option<TopicPartition> {
        self.partitions.iter().rfind(|data| !data.records.is_empty()).map(|data| data.partition)
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.array_len(Some(self.partitions.len()), true);
        for data in &self.partitions {
            put_partition(w, data.partition);
            w.i16(data.error.code());
            w.i64(data.high_watermark);
            w.i64(data.log_start);
            w.bool(data.diverging.is_some());
            if let Some((epoch, end)) = data.diverging {
                w.i32(epoch.0);
                w.i64(end);
            }
            w.records(Some(&data.records), true);
        }
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(ReplicaFetched { partitions: array(r, true, data)? })
    }
}

fn data(r: &mut Reader) -> Result<ReplicaData, DecodeError> {
    Ok(ReplicaData {
        partition: partition(r)?,
        error: error(r)?,
        high_watermark: r.i64()?,
        log_start: r.i64()?,
        diverging: if r.bool()? { Some((LeaderEpoch(r.i32()?), r.i64()?)) } else { None },
        records: Some(r.bytes(true)?).into_iter().filter(|records| !records.is_empty()).collect(),
    })
}

fn put_partition(w: &mut Writer, key: TopicPartition) {
    w.uuid(&key.topic.0);
    w.i32(key.partition.0);
}

fn partition(r: &mut Reader) -> Result<TopicPartition, DecodeError> {
    Ok(TopicPartition { topic: TopicId(r.uuid()?), partition: PartitionIndex(r.i32()?) })
}
