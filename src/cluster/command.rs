//! What may be asked of the coordinator, and what it answers. Both travel between nodes.

use super::configs::{Edit, Target};
use super::entry::Topic;
use crate::base::limits::VOTER_JOIN_MS;
use crate::base::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, TopicPartition,
};
use crate::wire::Str;
use std::collections::BTreeMap;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: Str,
    /// The id it gets, drawn by who asks.
    pub id: TopicId,
    /// Partitions, where no assignment is given.
    pub partitions: i32,
    /// Replicas of each, where no assignment is given.
    pub replication_factor: i16,
    /// Brokers of each partition, by index; empty to let the coordinator choose.
    pub assignment: BTreeMap<i32, Vec<NodeId>>,
    /// Settings, checked by who asks.
    pub configs: BTreeMap<String, String>,
}

/// A broker that says: here I am.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its id.
    pub id: NodeId,
    /// Drawn by its process when that started: a retry is told from another process of the same id.
    pub incarnation: [u8; 16],
    /// Where clients reach it.
    pub host: Str,
    /// Its port.
    pub port: u16,
    /// HOST:PORT where other nodes reach it; empty for a node that has no others.
    pub peer: Str,
    /// Its rack.
    pub rack: Option<Str>,
    /// Its shards.
    pub shards: u16,
    /// The registration under which its data directory was in use last, if it is sure that nothing which it had
    /// acknowledged under that one is lost: it was closed in good order, or everything is flushed before it is
    /// acknowledged. Then the broker keeps its places among the eligible leaders.
    pub clean_epoch: Option<BrokerEpoch>,
}

/// Other in-sync replicas for one partition, from its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    /// The partition.
    pub partition: TopicPartition,
    /// The term that the leader leads in.
    pub leader_epoch: LeaderEpoch,
    /// The entry that the change is made to.
    pub partition_epoch: PartitionEpoch,
    /// All of them, each with the epoch that it fetched with; the leader with its own.
    pub isr: Vec<(NodeId, BrokerEpoch)>,
}

/// Other replicas for one partition, or those that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// The topic.
    pub topic: Str,
    /// The partition.
    pub partition: PartitionIndex,
    /// Where it shall be; `None` to give up the reassignment that is under way.
    pub replicas: Option<Vec<NodeId>>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A broker is here.
    RegisterBroker(Registration),
    /// A broker is to be relied on, or not: from the sessions.
    SetBrokerState {
        /// Which.
        broker: NodeId,
        /// Under which registration.
        epoch: BrokerEpoch,
        /// Whether it is fenced.
        fenced: bool,
        /// Whether it is about to stop.
        shutting_down: bool,
    },
    /// A broker is gone for good.
    UnregisterBroker {
        /// Which.
        id: NodeId,
    },
    /// Replicas have fallen behind their leader, or caught up with it.
    AlterIsr {
        /// The leader.
        broker: NodeId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Each by itself.
        changes: Vec<IsrChange>,
    },
    /// A broker's copy of a partition is damaged: it counts on it no more, if another one is complete.
    GiveUpReplica {
        /// The broker.
        broker: NodeId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// The partition.
        partition: TopicPartition,
    },
    /// Have partitions led by who is preferred; or by anyone, with a loss.
    ElectLeaders {
        /// Which; `None` for all.
        partitions: Option<Vec<(Str, PartitionIndex)>>,
        /// Let a replica lead that may lack acknowledged records, where no other can.
        unclean: bool,
    },
    /// Have some of the partitions led by who is preferred that aren't: from the sessions.
    BalanceLeaders,
    /// Move partitions.
    Reassign {
        /// Each by itself.
        moves: Vec<Reassignment>,
        /// Whether a partition may get more or fewer replicas than it has.
        factor_may_change: bool,
    },
    /// Create a topic; with `validate_only` just say whether it could be.
    CreateTopic {
        /// The topic.
        topic: NewTopic,
        /// Decide, change nothing.
        validate_only: bool,
    },
    /// Delete a topic.
    DeleteTopic {
        /// Its id.
        topic: TopicId,
    },
    /// Give a topic more partitions.
    AddPartitions {
        /// Its name.
        name: Str,
        /// How many it shall have.
        count: i32,
        /// Brokers of each new partition; `None` to let the coordinator choose.
        assignment: Option<Vec<Vec<NodeId>>>,
        /// Decide, change nothing.
        validate_only: bool,
    },
    /// Replace all of a target's settings, checked by who asks.
    SetConfigs {
        /// Whose.
        target: Target,
        /// All of them.
        configs: BTreeMap<String, String>,
    },
    /// Change some of a target's settings, checked by who asks.
    EditConfigs {
        /// Whose.
        target: Target,
        /// In order.
        edits: Vec<(String, Edit)>,
    },
    /// Hand out producer ids.
    AllocateProducerIds {
        /// How many.
        count: i64,
    },
    /// Say how the coordinators' quorum fares. Answered by who runs it, with `Outcome::Quorum`: the metadata knows
    /// nothing of it.
    DescribeQuorum,
    /// Have a node that follows become a voter of the quorum. Answered by who runs it, once it votes; alone in its
    /// proposal.
    AddVoter {
        /// Which.
        id: NodeId,
        /// HOST:PORT where its peers reach it.
        peer: Str,
        /// Its directory, as it shall be told.
        directory: [u8; 16],
        /// Whether the answer waits until it votes.
        waits: bool,
    },
    /// Have a voter of the quorum be none, likewise.
    RemoveVoter {
        /// Which.
        id: NodeId,
        /// Only if this is its directory; zeros for whichever it is.
        directory: [u8; 16],
    },
}

impl Command {
    /// Whether the quorum's members are to change by it.
    #[must_use]
    pub fn changes_voters(&self) -> bool {
        matches!(self, Command::AddVoter { .. } | Command::RemoveVoter { .. })
    }

    /// How long its answer may wait for what other nodes have to do first.
    #[must_use]
    pub fn wait_ms(&self) -> i32 {
        if self.changes_voters() { 2 * VOTER_JOIN_MS } else { 0 }
    }

    /// Whether what the command leads to may be any number of records. What brokers do and what becomes of them is
    /// never too much; a client's request may be (`limits::RECORDS_PER_PROPOSAL_MAX`).
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        matches!(
            self,
            Command::RegisterBroker(_)
                | Command::SetBrokerState { .. }
                | Command::UnregisterBroker { .. }
                | Command::AlterIsr { .. }
                | Command::BalanceLeaders
        )
    }
}

/// A command that can't be carried out: the code and what to tell a person.
pub type Refusal = (ErrorCode, String);

/// What became of an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elected {
    /// The topic.
    pub topic: Str,
    /// The partition.
    pub partition: PartitionIndex,
    /// Whether acknowledged records may be lost by it; or why there was none.
    pub result: Result<bool, Refusal>,
}

/// How one voter, or one node that only follows, fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterFacts {
    /// Its id.
    pub id: NodeId,
    /// Where the others reach it.
    pub host: Str,
    /// Its port.
    pub port: u16,
    /// Its directory; zeros where nobody has said.
    pub directory: [u8; 16],
    /// Entries that it is known to have.
    pub end: u64,
    /// When it was last heard from, in milliseconds of the wall clock; -1 if unknown.
    pub heard_ms: i64,
    /// When it last had all entries, likewise.
    pub caught_up_ms: i64,
}

/// How the coordinators' quorum fares, as the acting coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumFacts {
    /// The acting coordinator; -1 if there is none.
    pub leader: NodeId,
    /// Its term.
    pub term: i32,
    /// Entries that are committed.
    pub committed: u64,
    /// Who votes, by id.
    pub voters: Vec<VoterFacts>,
    /// Who only follows, by id.
    pub observers: Vec<VoterFacts>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, committed and applied everywhere on the asking node.
    Done,
    /// The broker is registered.
    Registered {
        /// Which registration this is.
        epoch: BrokerEpoch,
    },
    /// For each change the partition's new epoch, or why it isn't made.
    Isr(Vec<Result<PartitionEpoch, ErrorCode>>),
    /// For each partition that was named, or that was in need of it.
    Elected(Vec<Elected>),
    /// For each move.
    Reassigned(Vec<Result<(), Refusal>>),
    /// The topic as it was (or would be) created.
    Created(Topic),
    /// Producer ids from `first` on.
    ProducerIds {
        /// The first.
        first: i64,
        /// How many.
        count: i64,
    },
    /// How the quorum fares.
    Quorum(QuorumFacts),
    /// It can't be.
    Refused(Refusal),
}

impl Outcome {
    /// Refused because its request would take more than `limits::RECORDS_PER_PROPOSAL_MAX` records; Kafka's words.
    #[must_use]
    pub fn excessive() -> Self {
        let why = "Unable to perform excessively large batch operation.";
        Outcome::Refused((ErrorCode::PolicyViolation, why.to_owned()))
    }
}

mod codec;
#[cfg(test)]
mod tests;
