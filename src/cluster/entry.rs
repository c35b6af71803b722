//! One topic, one partition, one broker, as the cluster sees them.

use crate::base::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, TopicId};
use crate::wire::Str;
use std::collections::BTreeMap;

/// A member of the coordinators' quorum, as the metadata tells everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEntry {
    /// Its node.
    pub id: NodeId,
    /// HOST:PORT where its peers reach it.
    pub peer: Str,
    /// Whether it has a vote; one that hasn't is catching up.
    pub votes: bool,
}

/// "Nobody leads."
pub const NO_LEADER: NodeId = NodeId(-1);

/// One partition as the cluster sees it. The rules of its lists are KIP-966's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionEntry {
    /// The broker that leads it, or `NO_LEADER`.
    pub leader: NodeId,
    /// Rises with each election; never falls.
    pub leader_epoch: LeaderEpoch,
    /// Rises by one with each change of this entry, so that a change which was decided upon an older entry is told
    /// from one that wasn't.
    pub partition_epoch: PartitionEpoch,
    /// Brokers that have a copy or shall get one; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// Those of them that have every acknowledged record and without which none is acknowledged.
    pub isr: Vec<NodeId>,
    /// Those that left the in-sync replicas when these were, or became, too few to acknowledge anything: they have
    /// every acknowledged record as well.
    pub elr: Vec<NodeId>,
    /// Those of which that was known once: where everything else is lost, the best that there is.
    pub last_known_elr: Vec<NodeId>,
    /// Replicas that a reassignment adds; part of `replicas`.
    pub adding: Vec<NodeId>,
    /// Replicas that a reassignment removes once the added ones are in sync; part of `replicas`.
    pub removing: Vec<NodeId>,
}

impl PartitionEntry {
    /// A partition that nobody has led yet. The first of those in sync leads it.
    #[must_use]
    pub fn new(replicas: Vec<NodeId>, isr: Vec<NodeId>) -> Self {
        PartitionEntry {
            leader: isr.first().copied().unwrap_or(NO_LEADER),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            replicas,
            isr,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
        }
    }

    /// Whether somebody leads it.
    #[must_use]
    pub fn has_leader(&self) -> bool {
        self.leader != NO_LEADER
    }

    /// The replica that leads it where there is a choice.
    #[must_use]
    pub fn preferred(&self) -> NodeId {
        self.replicas.first().copied().unwrap_or(NO_LEADER)
    }

    /// Whether a reassignment is under way.
    #[must_use]
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas before the reassignment that is under way.
    #[must_use]
    pub fn before_reassignment(&self) -> Vec<NodeId> {
        without(&self.replicas, &self.adding)
    }
}

/// A list without the members of another.
pub(super) fn without(list: &[NodeId], gone: &[NodeId]) -> Vec<NodeId> {
    list.iter().copied().filter(|node| !gone.contains(node)).collect()
}

/// One topic as the cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// Its id.
    pub id: TopicId,
    /// Settings that differ from the broker's.
    pub configs: BTreeMap<String, String>,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionEntry>,
}

/// One broker as the cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerEntry {
    /// Which of its registrations this is.
    pub epoch: BrokerEpoch,
    /// Drawn by its process when that started.
    pub incarnation: [u8; 16],
    /// Where clients reach it.
    pub host: Str,
    /// Its port.
    pub port: u16,
    /// HOST:PORT where other nodes reach it; empty for a node that has no others.
    pub peer: Str,
    /// Its rack, if it has one.
    pub rack: Option<Str>,
    /// Its shards.
    pub shards: u16,
    /// It isn't to be relied on: it leads nothing and is in no partition's in-sync replicas.
    pub fenced: bool,
    /// It is about to stop, which is as good.
    pub shutting_down: bool,
    /// The epoch of the registration that this one went on from without a loss. It counts like `epoch` until the broker
    /// is unfenced: until then it may start again before it has written the new one down, and has lost nothing.
    pub resumed: Option<BrokerEpoch>,
}

impl BrokerEntry {
    /// Whether the broker may lead and be in sync.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.shutting_down
    }

    /// Whether it is the only node that there is: nobody watches over it and nobody could take its place.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.peer.is_empty()
    }
}
