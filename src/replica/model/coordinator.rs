//! The coordinator as the model has it: one that never fails, with the rules of KIP-966.

use crate::base::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch};
use crate::replica::{Assignment, IsrProposal, Member};

/// The metadata of one partition, and all that it ever was.
pub(super) struct Coordinator {
    pub(super) min_isr: usize,
    pub(super) elr: Vec<NodeId>,
    /// Every version, for nodes that hear of them late.
    pub(super) history: Vec<Assignment>,
    /// Who was elected, by the version that says so: to be checked.
    pub(super) elected: Option<NodeId>,
}

impl Coordinator {
    pub(super) fn new(nodes: &[NodeId], min_isr: usize) -> Self {
        let member = |id: &NodeId| Member { id: *id, broker_epoch: BrokerEpoch(1), able: true };
        let first = Assignment {
            leader: Some(nodes[0]),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            replicas: nodes.iter().map(member).collect(),
            isr: nodes.to_vec(),
            registered: true,
        };
        Coordinator { min_isr, elr: Vec::new(), history: vec![first], elected: None }
    }

    pub(super) fn now(&self) -> &Assignment {
        self.history.last().expect("it begins with one")
    }

    fn change(&mut self, mut next: Assignment) {
        let before = self.now();
        if next.isr != before.isr || next.leader_epoch != before.leader_epoch {
            next.partition_epoch = PartitionEpoch(before.partition_epoch.0 + 1);
        }
        self.history.push(next);
    }

    fn is_able(state: &Assignment, id: NodeId) -> bool {
        state.replicas.iter().any(|member| member.id == id && member.able)
    }

    /// Takes members out of the in-sync set. Where it gets too small to commit anything, they are eligible still.
    fn take_out(&mut self, state: &mut Assignment, gone: &[NodeId], lossy: bool) {
        let min_isr = self.min_isr.min(state.replicas.len());
        let left: Vec<NodeId> = state.isr.iter().copied().filter(|id| !gone.contains(id)).collect();
        let before = std::mem::replace(&mut state.isr, left);
        self.elr.retain(|id| !(lossy && gone.contains(id)));
        if state.isr.len() >= min_isr {
            self.elr.clear();
            return;
        }
        let known: Vec<NodeId> = before.into_iter().filter(|id| gone.contains(id) && !lossy).collect();
        self.elr.extend(known);
        self.elr.sort_unstable();
        self.elr.dedup();
    }

    fn elect(&mut self, state: &mut Assignment) {
        if state.leader.is_some_and(|leader| Self::is_able(state, leader) && state.isr.contains(&leader)) {
            return;
        }
        let in_sync = state.isr.iter().copied().find(|id| Self::is_able(state, *id));
        let eligible = self.elr.iter().copied().find(|id| Self::is_able(state, *id));
        let eligible = eligible.filter(|_| state.isr.is_empty());
        let next = in_sync.or(eligible);
        if next == state.leader && next.is_none() {
            return;
        }
        (state.leader, self.elected) = (next, next);
        state.leader_epoch = LeaderEpoch(state.leader_epoch.0 + 1);
        if let Some(leader) = next.filter(|leader| !state.isr.contains(leader)) {
            state.isr = vec![leader];
            self.elr.retain(|id| *id != leader);
        }
    }

    /// A broker's session ended.
    pub(super) fn fence(&mut self, id: NodeId) {
        let mut state = self.now().clone();
        for member in state.replicas.iter_mut().filter(|member| member.id == id) {
            member.able = false;
        }
        self.take_out(&mut state, &[id], false);
        self.elect(&mut state);
        self.change(state);
    }

    /// A broker that was fenced is heard of again.
    pub(super) fn unfence(&mut self, id: NodeId) {
        let mut state = self.now().clone();
        for member in state.replicas.iter_mut().filter(|member| member.id == id) {
            member.able = true;
        }
        self.elect(&mut state);
        self.change(state);
    }

    /// A broker begins a new life; `lossy`: without its log.
    pub(super) fn register(&mut self, id: NodeId, lossy: bool) -> BrokerEpoch {
        self.fence(id);
        let mut state = self.now().clone();
        if lossy {
            self.take_out(&mut state, &[id], true);
            self.elect(&mut state);
        }
        let epoch = BrokerEpoch(i64::try_from(self.history.len()).unwrap() + 1);
        for member in state.replicas.iter_mut().filter(|member| member.id == id) {
            (member.broker_epoch, member.able) = (epoch, true);
        }
        self.elect(&mut state);
        self.change(state);
        epoch
    }

    /// A leader asks for another in-sync set.
    pub(super) fn alter(&mut self, from: NodeId, asked: &IsrProposal) -> Result<PartitionEpoch, ErrorCode> {
        let mut state = self.now().clone();
        if state.leader != Some(from) || state.leader_epoch != asked.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if state.partition_epoch != asked.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let fits = |(id, epoch): &(NodeId, BrokerEpoch)| {
            state.replicas.iter().any(|m| m.id == *id && m.able && m.broker_epoch == *epoch)
        };
        if !asked.isr.iter().all(fits) || !asked.isr.iter().any(|(id, _)| *id == from) {
            return Err(ErrorCode::IneligibleReplica);
        }
        let wanted: Vec<NodeId> = asked.isr.iter().map(|(id, _)| *id).collect();
        let gone: Vec<NodeId> = state.isr.iter().copied().filter(|id| !wanted.contains(id)).collect();
        self.take_out(&mut state, &gone, false);
        self.elr.retain(|id| !wanted.contains(id));
        state.isr = wanted;
        if state.isr.len() >= self.min_isr.min(state.replicas.len()) {
            self.elr.clear();
        }
        self.change(state);
        Ok(self.now().partition_epoch)
    }
}
