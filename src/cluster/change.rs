//! What becomes of a partition when its replicas, those in sync, or the brokers that it may rely on change: who is
//! eligible to lead it, who leads it, and whether a reassignment is complete. The rules are KIP-966's, and KIP-455's
//! for reassignments.
//!
//! What they rest on: a record is acknowledged once every in-sync replica has it, and only while there are at least
//! `min.insync.replicas` of them. So whoever leaves the in-sync replicas while these are, or become, too few, has every
//! acknowledged record for as long as they stay too few: it is an eligible leader.

use super::entry::{NO_LEADER, PartitionEntry, Topic, without};
use super::record::Record;
use super::state::ClusterState;
use crate::base::mutant::{Mutant, planted};
use crate::base::{LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex};

/// Who is to lead where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// Who leads already, if that may go on.
    Keep,
    /// The preferred replica, if that may lead.
    Preferred,
    /// As `Keep`; where nobody may lead without a loss, somebody with one.
    Unclean,
}

/// What a change is made under.
#[derive(Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// In-sync replicas that an acknowledgement needs, as configured.
    pub(super) min_isr: usize,
    /// Which brokers may lead and be in sync.
    pub(super) active: &'a dyn Fn(NodeId) -> bool,
    /// A broker that may have lost acknowledged records.
    pub(super) lossy: Option<NodeId>,
    /// Who is to lead.
    pub(super) election: Election,
}

/// An entry in the making.
struct Draft<'a> {
    was: &'a PartitionEntry,
    entry: PartitionEntry,
    around: Circumstances<'a>,
}

/// The entry after a change; `None` if it stays as it is. `wish` has the replicas, the in-sync replicas and the
/// reassignment as they shall be; all else follows from them.
pub(super) fn settle(
    was: &PartitionEntry,
    wish: PartitionEntry,
    around: Circumstances<'_>,
) -> Option<PartitionEntry> {
    let mut draft = Draft { was, entry: wish, around };
    draft.forget_lossy();
    draft.complete_reassignment();
    draft.keep_to_replicas();
    draft.keep_eligible();
    draft.elect();
    draft.count_epochs()
}

impl Draft<'_> {
    /// A broker that may have lost records is neither in sync nor eligible; but where it has the only copy there is
    /// nobody to learn from what is lost, and to wait for wouldn't bring it back.
    fn forget_lossy(&mut self) {
        let Some(lossy) = self.around.lossy.filter(|_| !planted(Mutant::TrustLossyRestart)) else { return };
        if self.was.replicas.len() > 1 {
            self.entry.isr.retain(|node| *node != lossy);
            self.entry.elr.retain(|node| *node != lossy);
        }
    }

    /// A reassignment is complete when all replicas that it adds are in sync and somebody in sync is left.
    fn complete_reassignment(&mut self) {
        let entry = &mut self.entry;
        let left = without(&entry.isr, &entry.removing);
        let joined = entry.adding.iter().all(|node| left.contains(node));
        if entry.is_reassigning() && joined && !left.is_empty() {
            entry.replicas = without(&entry.replicas, &entry.removing);
            entry.isr = left;
            entry.adding.clear();
            entry.removing.clear();
        }
    }

    fn keep_to_replicas(&mut self) {
        let entry = &mut self.entry;
        for list in [&mut entry.isr, &mut entry.elr, &mut entry.last_known_elr] {
            list.retain(|node| entry.replicas.contains(node));
        }
    }

    /// In-sync replicas that an acknowledgement needs: no more than there are replicas.
    fn enough(&self) -> usize {
        self.around.min_isr.min(self.entry.replicas.len())
    }

    /// Who is eligible although it isn't in sync, and of whom that was known once.
    fn keep_eligible(&mut self) {
        if self.entry.isr.len() >= self.enough() && !planted(Mutant::KeepEligible) {
            self.entry.elr.clear();
            self.entry.last_known_elr.clear();
            return;
        }
        let was = self.was;
        let known: Vec<NodeId> = self.entry.elr.iter().chain(&was.isr).copied().collect();
        let lossy =
            self.around.lossy.filter(|_| was.replicas.len() > 1 && !planted(Mutant::TrustLossyRestart));
        let (isr, replicas) = (self.entry.isr.clone(), self.entry.replicas.clone());
        let fits = |node: &NodeId| replicas.contains(node) && !isr.contains(node);
        let mut elr: Vec<NodeId> = Vec::new();
        for node in known.into_iter().filter(|node| fits(node) && Some(*node) != lossy) {
            push_new(&mut elr, node);
        }
        let mut last = Vec::new();
        let all = was.elr.iter().chain(&was.isr).chain(&was.last_known_elr);
        for node in all.filter(|node| fits(node) && !elr.contains(node)) {
            push_new(&mut last, *node);
        }
        (self.entry.elr, self.entry.last_known_elr) = (elr, last);
    }

    /// The first replica of a list, in the order of preference, that may lead.
    fn first_of(&self, list: &[NodeId]) -> Option<NodeId> {
        let may = |node: &NodeId| list.contains(node) && (self.around.active)(*node);
        self.entry.replicas.iter().copied().find(may)
    }

    fn elect(&mut self) {
        let isr = self.entry.isr.clone();
        let may_lead = |node: NodeId| isr.contains(&node) && (self.around.active)(node);
        let preferred = self.entry.preferred();
        let in_sync = match self.around.election {
            Election::Preferred if may_lead(preferred) => Some(preferred),
            _ if may_lead(self.entry.leader) => Some(self.entry.leader),
            _ => self.first_of(&isr),
        };
        if let Some(leader) = in_sync {
            self.entry.leader = leader;
            return;
        }
        let eligible = self.first_of(&self.entry.elr).filter(|_| isr.is_empty());
        if let Some(leader) = eligible {
            self.lead_alone(leader);
            self.entry.elr.retain(|node| *node != leader);
            return;
        }
        let unclean = self.around.election == Election::Unclean || planted(Mutant::ElectAnyone);
        let any =
            || self.first_of(&self.entry.last_known_elr).or_else(|| self.first_of(&self.entry.replicas));
        match Some(()).filter(|()| unclean).and_then(|()| any()) {
            Some(leader) => {
                self.lead_alone(leader);
                self.entry.elr.clear();
                self.entry.last_known_elr.clear();
            }
            None => self.entry.leader = NO_LEADER,
        }
    }

    /// A leader that wasn't in sync is the only one that is.
    fn lead_alone(&mut self, leader: NodeId) {
        (self.entry.leader, self.entry.isr) = (leader, vec![leader]);
        if self.entry.isr.len() >= self.enough() {
            self.entry.elr.clear();
            self.entry.last_known_elr.clear();
        }
    }

    /// A new leader leads in a new term. So does the old one when replicas go, so that what these may still send is
    /// told from what the others do.
    fn count_epochs(self) -> Option<PartitionEntry> {
        let Draft { was, mut entry, .. } = self;
        if entry == *was {
            return None;
        }
        let gone = was.replicas.iter().any(|node| !entry.replicas.contains(node));
        if (entry.leader != was.leader || gone) && !planted(Mutant::KeepTerm) {
            entry.leader_epoch = LeaderEpoch(was.leader_epoch.0 + 1);
        }
        entry.partition_epoch = PartitionEpoch(was.partition_epoch.0 + 1);
        Some(entry)
    }
}

fn push_new(list: &mut Vec<NodeId>, node: NodeId) {
    if !list.contains(&node) {
        list.push(node);
    }
}

impl ClusterState {
    /// `min.insync.replicas` of a topic, as far as the coordinator knows: what is configured for the topic or for all
    /// brokers while running. A broker whose configuration file says more acknowledges less, which does no harm.
    #[must_use]
    pub fn min_insync_replicas(&self, topic: &Topic) -> usize {
        let own = topic.configs.get(MIN_ISR).or_else(|| self.broker_configs.get(MIN_ISR));
        own.and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    /// The record of what `settle` makes of a partition, if that is a change.
    pub(super) fn changed(
        &self,
        topic: &Topic,
        partition: PartitionIndex,
        wish: PartitionEntry,
        around: &Around<'_>,
    ) -> Option<Record> {
        let was = topic.partitions.get(usize::try_from(partition.0).ok()?)?;
        let min_isr = around.min_isr.unwrap_or_else(|| self.min_insync_replicas(topic));
        let active = |node| around.active.map_or_else(|| self.is_active(node), |active| active(node));
        let circumstances =
            Circumstances { min_isr, active: &active, lossy: around.lossy, election: around.election };
        let entry = settle(was, wish, circumstances)?;
        Some(Record::PartitionChange { topic: topic.id, partition, entry })
    }
}

/// The setting that eligibility hangs on.
pub(super) const MIN_ISR: &str = "min.insync.replicas";

/// What is different from how the state has it.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// `min.insync.replicas`, where it is about to change.
    pub(super) min_isr: Option<usize>,
    /// Which brokers are active, where that is about to change.
    pub(super) active: Option<&'a dyn Fn(NodeId) -> bool>,
    /// A broker that may have lost records.
    pub(super) lossy: Option<NodeId>,
    /// Who is to lead.
    pub(super) election: Election,
}

impl Around<'_> {
    /// All as the state has it.
    pub(super) fn as_is(election: Election) -> Self {
        Around { min_isr: None, active: None, lossy: None, election }
    }
}
