//! Who answers which of other nodes' requests: shard 0 what concerns the coordinator, this shard the rest.

use super::PeerError;
use super::link::Outcome;
use crate::base::NodeId;
use crate::peer::{NotActing, ReplicaFetched, Reply, Request, Welcome};
use crate::seam::World;
use crate::shard::message::{Message, Origin};
use crate::shard::notify::Notify;
use crate::shard::origin::COORDINATOR;
use crate::shard::{Broker, Shard};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;

/// A request that shard 0 answers.
#[derive(Clone, Default)]
pub(super) struct Asked(Rc<(RefCell<Option<Reply>>, Notify)>);

impl Asked {
    pub(super) fn answer(&self, reply: Reply) {
        *self.0.0.borrow_mut() = Some(reply);
        self.0.1.notify();
    }

    async fn reply(&self) -> Outcome {
        let (reply, settled) = &*self.0;
        settled.until(|| reply.borrow().is_some()).await;
        reply.borrow_mut().take().ok_or(PeerError::Unreachable)
    }
}

impl<B: Broker> Shard<B> {
    /// Answers one request of another node.
    pub(super) async fn answer_peer(&self, request: Request) -> Reply {
        match request {
            Request::Hello(_) => Reply::Hello(Welcome::No("that was said before".into())),
            Request::Raft { from, messages } => {
                self.pass_raft(from, messages);
                Reply::Raft
            }
            Request::Fetch(fetch) => Reply::Fetch(self.answer_replica_fetch(fetch).await),
            Request::Ask(asks) => Reply::Ask(self.answer_asks(asks).await),
            request if self.this() == COORDINATOR => self.answer_as_coordinator(request).await,
            request => self.ask_coordinator(request).await,
        }
    }

    /// Hands the quorum's messages to the shard that has the quorum.
    pub(super) fn pass_raft(&self, from: NodeId, messages: Vec<Bytes>) {
        if self.this() == COORDINATOR {
            self.take_raft(from, messages);
        } else {
            self.send(COORDINATOR, Message::Raft { from, messages });
        }
    }

    async fn ask_coordinator(&self, request: Request) -> Reply {
        let kind = not_acting(&request);
        let (from, asked) = (self.peer_origin(), Asked::default());
        self.0.peers.asked.borrow_mut().insert(from.set, asked.clone());
        self.send(COORDINATOR, Message::PeerAsks { from, request: Box::new(request) });
        asked.reply().await.unwrap_or(kind)
    }

    /// Answers a request that another shard passed on.
    pub(in crate::shard) fn take_peer_request(&self, from: Origin, request: Request) {
        let shard = self.clone();
        self.world().spawn(async move {
            let reply = shard.answer_as_coordinator(request).await;
            shard.send(from.shard, Message::PeerAnswer { set: from.set, reply: Box::new(reply) });
        });
    }
}

/// What a node says that has nothing to say.
fn not_acting(request: &Request) -> Reply {
    let nobody = NotActing { leader: None };
    match request {
        Request::Propose { .. } => Reply::Propose(Err(nobody)),
        Request::Follow { .. } => Reply::Follow(Err(nobody)),
        Request::Heartbeat(_) => Reply::Heartbeat(Err(nobody)),
        Request::Fetch(_) => Reply::Fetch(ReplicaFetched::default()),
        Request::Ask(_) => Reply::Ask(Vec::new()),
        Request::Hello(_) | Request::Raft { .. } => Reply::Raft,
    }
}

impl<B: Broker> Shard<B> {}
