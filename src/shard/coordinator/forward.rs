//! Commands on their way to whoever acts as the coordinator, and the questions of other nodes that this one answers.

use super::Asker;
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, Outcome};
use crate::peer::{Proposed, Reply, Request};
use crate::seam::World;
use crate::shard::message::Origin;
use crate::shard::notify::Slot;
use crate::shard::peers::Lane;
use crate::shard::{Broker, Shard};
use futures_lite::future::or;
use std::time::Duration;

/// How long somebody who acts is looked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(30);

impl<B: Broker> Shard<B> {
    /// Has whoever acts decide commands of a shard of this node, which is answered when all its shards have followed.
    pub(super) async fn forward(self, from: Origin, commands: Vec<Command>) {
        let until = self.world().mono() + PATIENCE;
        let mut turn = 0;
        loop {
            if self.is_acting() {
                return self.take_proposal(from, commands);
            }
            if let Some(to) = self.whom_to_ask(turn) {
                match self
                    .call_peer(to, Lane::Coordinator, Request::Propose { commands: commands.clone() })
                    .await
                {
                    Ok(Reply::Propose(Ok(Proposed { outcomes, index }))) => {
                        return self.answer_when_followed(from, outcomes, index).await;
                    }
                    Ok(Reply::Propose(Err(not_acting))) => self.note_hint(not_acting.leader),
                    _ => self.note_hint(None),
                }
            }
            if self.world().mono() >= until {
                return self.refuse_proposal(from, commands.len(), ErrorCode::RequestTimedOut);
            }
            turn += 1;
            self.rest_or_role(PAUSE).await;
        }
    }

    async fn answer_when_followed(&self, from: Origin, outcomes: Vec<Outcome>, index: u64) {
        self.until_followed(index).await;
        self.answer_proposal(from, outcomes);
    }

    /// The node that acts, as far as this one knows; if it knows nobody, one voter after the other: those of the
    /// metadata, and then those of the configuration, who may have been voters once and know others.
    pub(super) fn whom_to_ask(&self, turn: usize) -> Option<NodeId> {
        let this = self.this_node();
        let hint = self.coordinator(|it| it.hint).flatten().filter(|hint| *hint != this);
        let known = self.coordinator(|it| it.state.voters().iter().map(|voter| voter.id).collect());
        let mut others: Vec<NodeId> = known.unwrap_or_default();
        let configured = self.conf().cluster.voters.iter().map(|voter| voter.id);
        others.extend(configured.filter(|id| !others.contains(id)).collect::<Vec<_>>());
        others.retain(|id| *id != this);
        hint.or_else(|| others.get(turn.checked_rem(others.len())?).copied())
    }

    /// Takes what another node says of who acts. This node's own vote knows better, if it knows.
    pub(super) fn note_hint(&self, leader: Option<NodeId>) {
        self.coordinator(|it| it.hint = it.role.leader.or(leader));
        self.tell_who_acts();
    }

    /// Waits a little, or until somebody else acts.
    pub(super) async fn rest_or_role(&self, pause: Duration) {
        let role = self.coordinator(|it| it.role);
        let changed = self.bells().role.until(|| self.coordinator(|it| it.role) != role);
        or(self.world().sleep(pause), changed).await;
    }

    /// Answers what another node asks the coordinator.
    pub(in crate::shard) async fn answer_as_coordinator(&self, request: Request) -> Reply {
        match request {
            Request::Propose { commands } => {
                if !self.is_acting() {
                    return Reply::Propose(Err(self.not_acting()));
                }
                let slot = Slot::default();
                self.queue_proposal(Asker::Peer(slot.clone()), commands);
                Reply::Propose(slot.taken().await)
            }
            Request::Heartbeat(beat) => Reply::Heartbeat(self.hear(beat).ok_or_else(|| self.not_acting())),
            Request::Follow { broker, from, wait_ms } => {
                let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
                Reply::Follow(self.answer_follower(broker, from, wait).await)
            }
            Request::Hello(_) | Request::Raft { .. } | Request::Fetch(_) | Request::Ask(_) => Reply::Raft,
        }
    }
}
