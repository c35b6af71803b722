//! The crate's node: made, emptied of what it wants done, asked.

use super::change::{adopt, furthest};
use super::disk::Recovered;
use super::effects::{Effects, Proposed, Snapshot};
use super::members::Members;
use super::message::{Message, Whole};
use super::node::QuorumConf;
use super::store::{Store, from_raft, snapshot_from_raft};
use super::writes::Writes;
use super::{node_id, raft_id};
use crate::base::NodeId;
use crate::base::mutant::{Mutant, planted};
use bytes::Bytes;
use raft::eraftpb::{self, MessageType};
use raft::{Config, RawNode, StateRole};
use std::collections::VecDeque;

/// Bytes of entries in one message, about; a single entry may exceed it.
const APPEND_BYTES: u64 = 1 << 20;
/// Messages with entries to one voter that may be unanswered.
const APPENDS_IN_FLIGHT: usize = 64;
/// Bytes of entries that aren't committed; a leader refuses more.
const UNCOMMITTED_BYTES: u64 = 64 << 20;

/// The members that a log begins with. One that has begun knows them by itself; the configuration knows where to reach
/// those who were never changed.
pub(super) fn first_members(conf: &QuorumConf, recovered: &Recovered) -> Members {
    if recovered.members.all.is_empty() {
        return conf.members.clone();
    }
    recovered.members.clone().told_by(&conf.members)
}

/// The crate's node over a log.
pub(super) fn voter(conf: &QuorumConf, recovered: &Recovered) -> RawNode<Store> {
    let begin = recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    let config = Config {
        id: raft_id(conf.id),
        election_tick: conf.election_ticks,
        heartbeat_tick: conf.heartbeat_ticks,
        applied: begin,
        max_size_per_msg: APPEND_BYTES,
        max_inflight_msgs: APPENDS_IN_FLIGHT,
        check_quorum: true,
        pre_vote: true,
        max_uncommitted_size: UNCOMMITTED_BYTES,
        ..Config::default()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let store = Store::new(first_members(conf, recovered), recovered);
    RawNode::new(&config, store, &logger).expect("the settings fit each other, and the log was checked")
}

/// Takes one of the crate's batches: what it wants written, sent and applied.
pub(super) fn take_batch(
    (node, this): (&mut RawNode<Store>, NodeId),
    writes: &mut Writes,
    held: &mut VecDeque<(u64, Vec<eraftpb::Message>)>,
    installing: &mut VecDeque<(u64, Snapshot)>,
    out: &mut Effects,
) {
    let mut batch = node.ready();
    post(batch.take_messages(), out);
    let snapshot = (!batch.snapshot().is_empty()).then(|| snapshot_from_raft(batch.snapshot()));
    let entries: Vec<_> = batch.take_entries().into_iter().map(from_raft).collect();
    if let Some(snapshot) = &snapshot {
        node.mut_store().install(snapshot.clone());
        installing.push_back((batch.number(), snapshot.clone()));
    }
    node.mut_store().append(&entries);
    writes.take(batch.number(), snapshot, &entries, batch.must_sync());
    let (early, late): (Vec<_>, Vec<_>) =
        batch.take_persisted_messages().into_iter().partition(needs_no_flush);
    post(early, out);
    if !late.is_empty() {
        held.push_back((batch.number(), late));
    }
    let committed: Vec<_> = batch.take_committed_entries().into_iter().map(from_raft).collect();
    node.advance_append_async(batch);
    for members in committed.iter().filter_map(|entry| entry.members.clone()) {
        let farewell = adopt(node, members, this);
        post(farewell.into_iter().collect(), out);
    }
    if let Some(applied) = committed.last().map(|entry| entry.index) {
        node.advance_apply_to(applied);
    }
    out.committed.extend(committed);
}

/// Whether a message that rests on a write may leave before it is durable: never.
fn needs_no_flush(message: &eraftpb::Message) -> bool {
    match message.get_msg_type() {
        MessageType::MsgRequestVoteResponse => planted(Mutant::UnflushedVote),
        MessageType::MsgAppendResponse => planted(Mutant::UnflushedAppend),
        _ => false,
    }
}

pub(super) fn post(messages: Vec<eraftpb::Message>, out: &mut Effects) {
    for message in messages {
        let to = node_id(message.to);
        let bytes = Message::Raft(Box::new(message)).encode();
        out.send.extend(to.zip(bytes));
    }
}

pub(super) fn propose(node: &mut RawNode<Store>, acting: bool, data: &Bytes) -> Proposed {
    if !acting {
        return Proposed::Refused;
    }
    match node.propose(Vec::new(), data.to_vec()) {
        Ok(()) => Proposed::At { index: node.raft.raft_log.last_index(), term: node.raft.term },
        Err(_) => Proposed::Refused,
    }
}

/// The log as far as it is committed.
pub(super) fn whole(node: &RawNode<Store>) -> Whole {
    let (store, raft) = (node.store(), &node.raft);
    let commit = raft.raft_log.committed;
    let from = store.snapshot().map_or(1, |snapshot| snapshot.index + 1);
    let committed = store.from(from).iter().take_while(|entry| entry.index <= commit);
    Whole {
        term: raft.term,
        commit,
        members: store.first_members().clone(),
        snapshot: store.snapshot().cloned(),
        entries: committed.cloned().collect(),
    }
}

/// Has the voter with the longest log campaign at once.
pub(super) fn hand_over(node: &mut RawNode<Store>, this: NodeId) {
    if let Some(id) = furthest(node, this).filter(|_| node.raft.state == StateRole::Leader) {
        node.transfer_leader(id);
    }
}
