//! What happens to a replica, and what its shard has to do about it.

use super::call::Produced;
use super::machine::Source;
use crate::base::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, ShardId};
use crate::log::epochs::EpochCache;
use crate::log::producers::ProducerStates;
use crate::wire::batch::{BatchMeta, Contents, EndMarker, Stamp};

/// Who waits for an answer: a slot in a call set of the shard where the request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiter {
    /// The shard that has the connection.
    pub shard: ShardId,
    /// The call set on that shard.
    pub set: u64,
    /// The call within the set.
    pub index: u32,
}

/// Who wants to hear when there is more to read: a waiting fetch of some shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watcher {
    /// The shard that has the connection.
    pub shard: ShardId,
    /// The fetch on that shard.
    pub set: u64,
}

/// For what a fetch waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// For records that consumers may see: that the high watermark moves.
    Committed,
    /// For records that followers may have: that more was appended.
    Appended,
}

/// A broker that has a copy of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub id: NodeId,
    /// Its incarnation, as the metadata says.
    pub broker_epoch: BrokerEpoch,
    /// It is neither fenced nor shutting down.
    pub able: bool,
}

/// What the metadata says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Who leads, if anybody does.
    pub leader: Option<NodeId>,
    /// Rises with each election.
    pub leader_epoch: LeaderEpoch,
    /// Rises with each change.
    pub partition_epoch: PartitionEpoch,
    /// All that have a copy.
    pub replicas: Vec<Member>,
    /// Those of them that have all acknowledged records.
    pub isr: Vec<NodeId>,
    /// The metadata knows this very process. What it says of an earlier life of the node doesn't make this one a
    /// leader: it may lack what that one wrote under the same epoch.
    pub registered: bool,
}

impl Assignment {
    /// A partition with one copy.
    #[must_use]
    pub fn alone(me: NodeId, leader_epoch: LeaderEpoch) -> Self {
        Assignment {
            leader: Some(me),
            leader_epoch,
            partition_epoch: PartitionEpoch(0),
            replicas: vec![Member { id: me, broker_epoch: BrokerEpoch(-1), able: true }],
            isr: vec![me],
            registered: true,
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The metadata changed, or is known for the first time.
    Assigned {
        /// What it says now.
        assignment: Box<Assignment>,
        /// Wall clock.
        now_ms: i64,
    },
    /// A client wants a batch appended. It is valid in itself.
    Produce {
        /// Where it comes from.
        source: Source,
        /// Who gets the answer.
        waiter: Waiter,
        /// -1, 0 or 1.
        acks: i16,
        /// The batch's header.
        meta: BatchMeta,
        /// Its size.
        bytes: usize,
        /// What its records are.
        contents: Contents,
        /// Wall clock.
        now_ms: i64,
        /// When an answer of "timed out" is due, wall clock.
        deadline_ms: i64,
    },
    /// A coordinator wants the marker appended that ends a transaction.
    Mark {
        /// Who gets the answer.
        waiter: Waiter,
        /// The header of the marker's batch.
        meta: BatchMeta,
        /// What it says.
        marker: EndMarker,
        /// Its epoch was raised above the transaction's.
        raised: bool,
        /// Wall clock.
        now_ms: i64,
    },
    /// What was appended up to this offset lies in memory that nobody changes any more: followers may have it.
    Sealed {
        /// First offset that doesn't.
        upto: Offset,
    },
    /// All bytes up to this offset were written.
    Written {
        /// First offset that is not.
        upto: Offset,
    },
    /// All bytes up to this offset survive a power cut.
    Durable {
        /// First offset that may not.
        upto: Offset,
    },
    /// A fetch wants to hear when there is more beyond an offset.
    Watch {
        /// Who.
        watcher: Watcher,
        /// Where its reading ended.
        beyond: Offset,
        /// More of what.
        awaited: Awaited,
    },
    /// That fetch was answered.
    Unwatch {
        /// Who.
        watcher: Watcher,
    },
    /// Records below this offset are gone or going (retention, DeleteRecords).
    LogStart {
        /// The first offset to keep.
        offset: Offset,
    },
    /// What was appended can't be written for now; it will be, or the process ends.
    Short,
    /// A follower asked for more, and `Replica::read_bounds` found that its log is a part of this one.
    ReplicaFetch {
        /// Who.
        follower: NodeId,
        /// Its incarnation.
        broker_epoch: BrokerEpoch,
        /// Where its log ends.
        offset: Offset,
        /// Up to where it promises to keep it.
        flushed: Offset,
        /// Wall clock.
        now_ms: i64,
    },
    /// The coordinator answered a proposal.
    AlterAnswered {
        /// The partition's version that the proposal was made to.
        partition_epoch: PartitionEpoch,
        /// The new version, or why there is none.
        result: Result<PartitionEpoch, crate::base::ErrorCode>,
    },
    /// The leader sent a batch.
    Copied {
        /// Its header.
        meta: BatchMeta,
        /// What it says, if it is a marker.
        marker: Option<EndMarker>,
        /// Wall clock.
        now_ms: i64,
    },
    /// The leader said how far its followers are, and where its log starts.
    LeaderSaid {
        /// Its high watermark.
        high_watermark: Offset,
        /// Its log start.
        log_start: Offset,
    },
    /// The leader said that this log isn't a part of its own.
    Diverged {
        /// The largest epoch of the leader's not above that of this log's last record.
        epoch: LeaderEpoch,
        /// Where it ends in the leader's log.
        end_offset: Offset,
    },
    /// The leader has nothing where this log ends.
    OutOfRange {
        /// Where the leader's log starts.
        log_start: Offset,
    },
    /// What lay beyond this offset is gone for good.
    Truncated {
        /// The log's new end.
        to: Offset,
    },
    /// The whole log is gone for good.
    Restarted {
        /// Where the new, empty one is.
        at: Offset,
    },
    /// Time passed.
    Tick {
        /// Wall clock.
        now_ms: i64,
    },
}

/// How to append a batch that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Epoch to write into it.
    pub leader_epoch: LeaderEpoch,
    /// What to write into it about its timestamps, where that isn't what the client wrote.
    pub stamp: Option<Stamp>,
}

/// Who shall be in sync, for the coordinator to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// Brokers with their incarnations.
    pub isr: Vec<(NodeId, BrokerEpoch)>,
    /// Under which the proposer leads.
    pub leader_epoch: LeaderEpoch,
    /// The version that it changes.
    pub partition_epoch: PartitionEpoch,
}

/// What the shard has to do. Reused from step to step; the shard drains it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Copy the batch of this `Produce`, `Mark` or `Copied` event into the log.
    pub append: Option<Append>,
    /// Answers that are due.
    pub replies: Vec<(Waiter, Produced)>,
    /// Fetches that have something to read.
    pub wakes: Vec<Watcher>,
    /// The high watermark moved.
    pub committed: bool,
    /// Ask the coordinator for this.
    pub alter: Option<IsrProposal>,
    /// Cut the log here, for good, and say so by `Truncated`; nothing is fetched or copied before that.
    pub truncate: Option<Offset>,
    /// Begin an empty log here, for good, and say so by `Restarted`; nothing is fetched or copied before that.
    pub restart_at: Option<Offset>,
}

/// What a log brought back from disk.
#[derive(Debug, Default)]
pub struct Recovered {
    /// First offset that is there.
    pub log_start: Offset,
    /// Next offset to append. All of it is durable.
    pub log_end: Offset,
    /// How far consumers were known to see; it may have been further.
    pub high_watermark: Offset,
    /// Producers and their transactions at `log_end`.
    pub producers: ProducerStates,
    /// Leader epochs.
    pub epochs: EpochCache,
}

/// From where a follower goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// Whom it asks.
    pub leader: NodeId,
    /// Under which epoch.
    pub leader_epoch: LeaderEpoch,
    /// The first offset that it lacks.
    pub offset: Offset,
    /// Up to where it promises to keep what it has.
    pub flushed: Offset,
    /// Epoch of its last record; -1 if it has none.
    pub last_epoch: LeaderEpoch,
    /// Its log start.
    pub log_start: Offset,
}
