//! The metadata's log on this node: shard 0 follows it, and while this node leads the quorum, decides what enters it.
//!
//! `voter` drives this node's vote and `journal` keeps its file; a node without a vote follows those who have one
//! (`follow`), and if it has the coordinator's role it keeps the machine by which it may get one. Either way
//! committed entries come out in order, and `publish` takes them to every shard. `acting` decides commands while
//! this node acts as the coordinator, `forward` takes them to whoever does. `membership` registers the broker and
//! says that it lives, `standing` tells how the quorum fares, and `changes` waits for other voters.
//!
//! **Invariant:** nobody is answered from what isn't committed. (`Pending` holds the answers; the simulator's mutant
//! that answers before the journal is flushed)

mod acting;
mod changes;
mod follow;
mod forward;
mod journal;
mod membership;
mod publish;
mod standing;
mod voter;

use super::message::Origin;
use super::notify::{Notify, Slot};
use super::{Broker, FilesOf, Shard};
use crate::base::{NodeId, ShardId};
use crate::cluster::{ClusterState, Command, Record};
use crate::peer::{NotActing, Proposed};
use crate::quorum::{Committed, Role};
use crate::seam::{Files, World};
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Who proposes commands.
pub(super) enum Asker {
    /// A shard of this node.
    Shard(Origin),
    /// Another node.
    Peer(Slot<Result<Proposed, NotActing>>),
    /// The acting coordinator itself.
    Nobody,
}

/// Commands that wait for their turn.
struct Proposal {
    from: Asker,
    commands: Vec<Command>,
}

/// Shard 0's part of the metadata.
pub(super) struct Coordinator<F: Files> {
    /// What is committed, up to `index`; while this node acts, with what it has proposed.
    state: ClusterState,
    /// The last entry of the log that is committed and in the state.
    index: u64,
    role: Role,
    /// Who acts, as far as anybody said.
    hint: Option<NodeId>,
    /// This node's part in the quorum, if it has one that is of use: a vote, or what may become one.
    voter: Option<voter::Voter<F>>,
    acting: acting::Acting,
    audience: publish::Audience,
    /// Why this node can't take part any more.
    failure: Option<String>,
}

/// What tasks of the coordinator wait for.
#[derive(Default)]
pub(super) struct Bells {
    /// Commands wait, or may be decided now.
    proposals: Notify,
    /// A write for the journal waits.
    journal: Notify,
    /// More is committed.
    committed: Notify,
    /// Shards have followed.
    followed: Notify,
    /// Somebody else acts, or this node does.
    role: Notify,
    /// A heartbeat came.
    sessions: Notify,
}

impl<B: Broker> Shard<B> {
    fn bells(&self) -> &Bells {
        &self.0.bells
    }

    /// Looks at the coordinator's state. It is there from the start of shard 0 on.
    fn coordinator<T>(&self, look: impl FnOnce(&mut Coordinator<FilesOf<B>>) -> T) -> Option<T> {
        self.0.coordinator.borrow_mut().as_mut().map(look)
    }

    fn every_shard(&self) -> BTreeSet<ShardId> {
        (0..self.shards()).map(ShardId).collect()
    }

    fn this_node(&self) -> NodeId {
        NodeId(self.0.node.id)
    }

    /// Reads this node's log and begins to follow the metadata.
    pub(super) async fn start_coordinator(&self) -> Result<(), String> {
        let cluster = &self.conf().cluster;
        let takes_part = cluster.roles.coordinator;
        let voter = if takes_part { Some(self.load_voter().await?) } else { None };
        *self.0.coordinator.borrow_mut() = Some(Coordinator {
            state: ClusterState::new(&self.0.cluster_id),
            index: 0,
            role: Role::default(),
            hint: None,
            voter,
            acting: acting::Acting::default(),
            audience: publish::Audience::default(),
            failure: None,
        });
        self.world().spawn(self.clone().acting_task());
        self.world().spawn(self.clone().sessions_task());
        self.world().spawn(self.clone().follow_task());
        self.world().spawn(self.clone().reserve_task());
        if takes_part {
            self.begin_voting();
        }
        self.world().spawn(self.clone().membership_task());
        // Whoever waits for nobody is ready when its journal is; and if that fails, it never is.
        let settled = |it: &mut Coordinator<_>| {
            let members = it.voter.as_ref().map(|voter| voter.quorum.members());
            let lone = members.is_some_and(|members| members.is_lone(self.this_node()));
            !lone || it.role.acting || it.failure.is_some()
        };
        self.bells().role.until(|| self.coordinator(settled) == Some(true)).await;
        self.coordinator(|it| it.failure.clone()).flatten().map_or(Ok(()), Err)
    }

    /// Whether this node has a vote.
    fn votes(&self) -> bool {
        self.coordinator(|it| it.voter.as_ref().is_some_and(|voter| voter.votes)) == Some(true)
    }

    /// Gives up this node's part in the quorum: it goes on as one that only follows, if there are others.
    fn abandon_vote(&self, why: String) {
        tracing::error!(error = %why, "this node takes part in no decision until it is started again");
        // First, for it takes the log to know what is committed.
        self.take_role(Role::default());
        self.coordinator(|it| (it.voter, it.failure) = (None, Some(why)));
        self.bells().role.notify();
    }
}

/// An entry of the log: records, in order.
fn encode_records(records: &[Record]) -> Bytes {
    let mut w = Writer::new();
    w.array_len(Some(records.len()), true);
    records.iter().for_each(|record| record.encode(&mut w));
    w.into_pieces().concat().into()
}

/// An entry as those who follow get it.
fn encode_entry(entry: &Committed) -> Bytes {
    match &entry.members {
        Some(members) => encode_records(&[changes::record(members)]),
        None => entry.data.clone(),
    }
}

/// The records of an entry; an election's has none.
fn decode_records(entry: &Committed) -> Result<Vec<Record>, DecodeError> {
    let mut records = Vec::new();
    if let Some(members) = &entry.members {
        return Ok(vec![changes::record(members)]);
    }
    if entry.data.is_empty() {
        return Ok(records);
    }
    let mut r = Reader::new(entry.data.clone());
    let count = r.array_len(true)?.ok_or(DecodeError::Length)?;
    for _ in 0..count {
        records.push(Record::decode(&mut r)?);
    }
    r.finish()?;
    Ok(records)
}
