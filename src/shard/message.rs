//! What shards tell each other.

use super::journey::FlushTimes;
use crate::base::{NodeId, ShardId, TopicPartition};
use crate::cluster::{Command, Outcome, Record};
use crate::group::call::{Asker, GroupCall, GroupReply};
use crate::peer::{Reply, Request};
use crate::replica::call::{PartitionCall, PartitionReply, ReadOp, ReadReply};
use crate::replica::{Waiter, Watcher};
use crate::txn::call::{TxnCall, TxnReply};
use bytes::Bytes;
use std::sync::Arc;

/// One message over the mesh. Record bytes in it are shared, never copied.
#[derive(Debug)]
pub enum Message {
    /// Questions to partitions that the receiver owns.
    Calls(Calls<PartitionCall>),
    /// Answers to calls, for any sets of the receiver.
    Replies {
        /// Who asked, and the answer.
        replies: Vec<(Waiter, PartitionReply)>,
        /// The flush that they waited for.
        flush: Option<FlushTimes>,
    },
    /// Questions to coordinators of groups that the receiver has.
    GroupCalls(Calls<GroupCall>),
    /// Answers to them, for any sets of the receiver.
    GroupReplies(Vec<(Asker, GroupReply)>),
    /// Questions to coordinators of transactions that the receiver has.
    TxnCalls(Calls<TxnCall>),
    /// Answers to them, for any sets of the receiver.
    TxnReplies(Vec<(Asker, TxnReply)>),
    /// Reads for one fetch.
    Read {
        /// Who asks.
        watcher: Watcher,
        /// Which of the fetch's rounds this is; an answer to an older one is ignored.
        round: u32,
        /// Bounds over all reads.
        budget: ReadBudget,
        /// Index within the fetch, partition, read.
        reads: Vec<(u32, TopicPartition, ReadOp)>,
    },
    /// Answers to a `Read`.
    ReadDone {
        /// The fetch.
        set: u64,
        /// As asked.
        round: u32,
        /// Index within the fetch, answer.
        replies: Vec<(u32, ReadReply)>,
    },
    /// A partition that a waiting fetch reads has more.
    Wake {
        /// The fetch.
        set: u64,
    },
    /// The fetch was answered; forget it on these partitions.
    Unwatch {
        /// Who.
        watcher: Watcher,
        /// Where.
        partitions: Vec<TopicPartition>,
    },
    /// Commands for the coordinator.
    Propose {
        /// Who asks.
        from: Origin,
        /// In order.
        commands: Vec<Command>,
    },
    /// What became of commands; every shard has applied them.
    Outcomes {
        /// The proposal on the receiver.
        set: u64,
        /// In the order of the commands.
        outcomes: Vec<Outcome>,
    },
    /// The whole metadata, to begin with or to begin anew with.
    Install {
        /// The last entry of its log that it holds.
        index: u64,
        /// The state.
        state: Bytes,
    },
    /// Committed changes of the metadata, in order.
    Apply {
        /// The last entry of its log that they come from.
        change: u64,
        /// The records.
        records: Arc<Vec<Record>>,
    },
    /// The sender has applied everything up to this change and its partitions follow it.
    Applied {
        /// The sender.
        shard: ShardId,
        /// As in `Apply`, or the index of `Install`.
        change: u64,
        /// Records of the metadata that it follows.
        records: u64,
    },
    /// Who acts as the coordinator, as far as this node knows.
    Acting(Option<NodeId>),
    /// Messages of other voters, for the receiver's quorum.
    Raft {
        /// Whose they are.
        from: NodeId,
        /// In order.
        messages: Vec<Bytes>,
    },
    /// A request of another node that concerns the coordinator.
    PeerAsks {
        /// Who passes it on.
        from: Origin,
        /// The request.
        request: Box<Request>,
    },
    /// The answer to one.
    PeerAnswer {
        /// The request on the receiver.
        set: u64,
        /// The answer.
        reply: Box<Reply>,
    },
    /// Others lead this broker's partitions: the receiver may stop, too.
    HandedOver,
    /// The sender's log directory failed: what it led others must lead.
    LogDirFailed,
    /// Every shard is ready: accept clients.
    Serve,
    /// The sender's clients are answered and it takes no more requests: nothing more comes from it.
    Drained(ShardId),
}

/// Questions of one request to what one shard owns: partitions, or coordinators.
#[derive(Debug)]
pub struct Calls<C> {
    /// Call set on the asking shard.
    pub from: Origin,
    /// Records of the metadata that the asking shard had seen: it may know a partition that the owner doesn't yet.
    pub seen: u64,
    /// Index within the set, and the call.
    pub calls: Vec<(u32, C)>,
}

impl Calls<PartitionCall> {
    /// Whether one of them is to this partition.
    pub fn concern(&self, partition: TopicPartition) -> bool {
        self.calls.iter().any(|(_, call)| call.partition == partition)
    }
}

/// A set of questions on the shard that asked them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The shard.
    pub shard: ShardId,
    /// The set.
    pub set: u64,
}

/// Bounds over all reads of one fetch that go to one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// Bytes at most; the first batch may exceed it (KIP-74).
    pub max_bytes: usize,
    /// With fewer bytes than this the fetch waits, and wants to be woken when there is more.
    pub min_bytes: usize,
    /// Whether to leave a watch where `min_bytes` isn't reached.
    pub watch: bool,
}
