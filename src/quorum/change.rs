//! Changing the members while the quorum works: one at a time, by entries of the log (Raft, 4.1).
//!
//! A node becomes a voter in two entries. By the first it is a learner, which gets the log and doesn't count; by the
//! second, once it has caught up, it votes. Whoever leads makes the second, or takes back the first where the node
//! doesn't catch up in time: so a change that one leader began the next one ends. Members change where their entry is
//! applied; two voters that differ about them do so by one change, and any two majorities have a voter in common.

use super::effects::{Change, Changed, Refusal};
use super::members::{Member, Members, put_members};
use super::store::Store;
use super::{node_id, raft_id};
use crate::base::NodeId;
use crate::base::limits::VOTERS_MAX;
use crate::base::mutant::{Mutant, planted};
use crate::wire::Writer;
use raft::eraftpb::{self, ConfChangeSingle, ConfChangeType, ConfChangeV2, MessageType};
use raft::{ProgressState, RawNode, StateRole};

/// Entries that a learner may be behind and count as caught up: about what is on its way to it.
const BEHIND: u64 = 64;

/// How long the leader has waited for a learner.
#[derive(Default)]
pub(super) struct Joining {
    /// The term, and the entry by which it is one.
    of: (u64, u64),
    ticks: usize,
}

impl Joining {
    /// Looks after the learner, if there is one and this voter acts: what the members are to be, if it is time.
    pub(super) fn tick(&mut self, node: &RawNode<Store>, patience: usize) -> Option<Members> {
        let members = node.store().members();
        let learner = members.learner()?;
        let of = (node.raft.term, members.index);
        if self.of != of {
            *self = Joining { of, ticks: 0 };
        }
        self.ticks += 1;
        if node.raft.has_pending_conf() {
            return None;
        }
        if has_caught_up(node, learner.id) {
            return Some(members.with(Member { votes: true, ..learner.clone() }));
        }
        (self.ticks > patience).then(|| members.without(learner.id))
    }
}

fn has_caught_up(node: &RawNode<Store>, learner: NodeId) -> bool {
    node.raft.prs().get(raft_id(learner)).is_some_and(|progress| {
        progress.state == ProgressState::Replicate
            && progress.recent_active
            && progress.matched + BEHIND > node.raft.raft_log.last_index()
            && progress.matched >= node.store().members().index
    })
}

/// Begins a change, if it may be.
pub(super) fn change(node: &mut RawNode<Store>, acting: bool, change: &Change) -> Changed {
    if !acting {
        return Changed::Refused(Refusal::NotLeading);
    }
    let members = node.store().members();
    let wanted = match change {
        Change::Add { id, address, directory } => {
            let learner = Member { id: *id, address: address.clone(), directory: *directory, votes: false };
            match members.get(*id) {
                // It was asked for before: the same answer awaits it.
                Some(there) if *there == learner => {
                    return Changed::At { index: members.index, term: node.raft.term };
                }
                Some(there) if there.votes => return Changed::Refused(Refusal::Duplicate),
                _ => {}
            }
            if members.voters().count() >= VOTERS_MAX {
                return Changed::Refused(Refusal::TooMany);
            }
            if members.all.iter().any(|member| member.address.is_empty()) {
                return Changed::Refused(Refusal::Nowhere);
            }
            members.with(learner)
        }
        Change::Remove { id, directory } => {
            let known = members.get(*id).filter(|it| it.directory == *directory || *directory == [0; 16]);
            if known.is_none() {
                return Changed::Refused(Refusal::Unknown);
            }
            if members.without(*id).voters().next().is_none() {
                return Changed::Refused(Refusal::Last);
            }
            members.without(*id)
        }
    };
    let learner = members.learner().map(|learner| learner.id);
    let id = match change {
        Change::Add { id, .. } | Change::Remove { id, .. } => *id,
    };
    if learner.is_some_and(|learner| learner != id) {
        return Changed::Refused(Refusal::Busy);
    }
    propose_members(node, &wanted)
}

/// Puts members into the log, of which one differs from what they are.
pub(super) fn propose_members(node: &mut RawNode<Store>, wanted: &Members) -> Changed {
    if planted(Mutant::OverlapChanges) {
        node.raft.pending_conf_index = 0;
    }
    if node.raft.has_pending_conf() {
        return Changed::Refused(Refusal::Busy);
    }
    let mut w = Writer::new();
    put_members(&mut w, wanted);
    let Some(step) = steps(node, wanted).into_iter().next() else {
        return Changed::Refused(Refusal::Busy);
    };
    match node.propose_conf_change(w.into_pieces().concat(), step) {
        Ok(()) => Changed::At { index: node.raft.raft_log.last_index(), term: node.raft.term },
        Err(_) => Changed::Refused(Refusal::Busy),
    }
}

/// Has the crate count by these members. A leader that isn't one of them any more steps down, and whoever has most of
/// its log campaigns at once: what that takes is the message that comes back.
pub(super) fn adopt(node: &mut RawNode<Store>, members: Members, this: NodeId) -> Option<eraftpb::Message> {
    for step in steps(node, &members) {
        let changed = node.apply_conf_change(&step);
        assert!(changed.is_ok(), "one member at a time, and voters are left");
    }
    let stays = members.votes(this);
    node.mut_store().set_members(members);
    if stays || node.raft.state == StateRole::Follower {
        return None;
    }
    let led = node.raft.state == StateRole::Leader;
    let successor = if led { furthest(node, this) } else { None };
    let term = node.raft.term;
    node.raft.become_follower(term, 0);
    let mut message = eraftpb::Message::default();
    message.set_msg_type(MessageType::MsgTimeoutNow);
    (message.from, message.to, message.term) = (raft_id(this), successor?, term);
    Some(message)
}

/// The other voter with the longest log, of those that answer.
pub(super) fn furthest(node: &RawNode<Store>, this: NodeId) -> Option<u64> {
    let members = node.store().members();
    let votes = |id: u64| node_id(id).is_some_and(|id| id != this && members.votes(id));
    let others = node.raft.prs().iter().filter(|(id, it)| votes(**id) && it.recent_active);
    others.map(|(id, it)| (it.matched, std::cmp::Reverse(*id))).max().map(|(_, id)| id.0)
}

/// The changes by which the crate comes to count by these members, each of one node. Those that join come first, so
/// that somebody is always left.
fn steps(node: &RawNode<Store>, members: &Members) -> Vec<ConfChangeV2> {
    let now = node.raft.prs().conf().to_conf_state();
    let one = |id: u64, kind: ConfChangeType| {
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = id;
        let mut change = ConfChangeV2::default();
        change.mut_changes().push(single);
        change
    };
    let voters: Vec<u64> = members.voters().map(raft_id).collect();
    let learner = members.learner().map(|learner| raft_id(learner.id));
    let joins = voters.iter().filter(|id| !now.voters.contains(id));
    let learns = learner.iter().filter(|id| !now.learners.contains(id));
    let known = now.voters.iter().chain(&now.learners);
    let leaves = known.filter(|id| !voters.contains(id) && learner != Some(**id));
    joins
        .map(|id| one(*id, ConfChangeType::AddNode))
        .chain(learns.map(|id| one(*id, ConfChangeType::AddLearnerNode)))
        .chain(leaves.map(|id| one(*id, ConfChangeType::RemoveNode)))
        .collect()
}
