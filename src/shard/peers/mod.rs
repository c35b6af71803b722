//! The other nodes of the cluster: calls to them, and answers to theirs.
//!
//! A shard has one connection for each node and lane that it calls (`link`). Calls on it overlap, and their answers
//! come in any order: a long poll holds up nobody. Whoever calls again after a failure pauses in between, for while a
//! link rests its calls fail at once.

mod answer;
mod ask;
mod backoff;
mod call;
mod epoch;
mod leaving;
mod link;
mod serve;

use super::message::Origin;
use super::{Broker, Shard};
use crate::base::NodeId;
use crate::peer::Reply;
pub(super) use ask::{Abroad, told_of};
use link::Link;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// Which connection to a node a call takes: what is urgent never stands behind what is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Votes, heartbeats, metadata.
    Coordinator,
    /// Records.
    Replication,
}

/// Why a call brought no answer. Whether the other node acted on it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerError {
    /// Nobody has said where the node is.
    Unknown,
    /// It can't be reached, or the connection ended before the answer came.
    Unreachable,
    /// The answer didn't come in time.
    TimedOut,
    /// Too many calls wait for the node already.
    Busy,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerError::Unknown => "its address isn't known",
            PeerError::Unreachable => "it can't be reached",
            PeerError::TimedOut => "it doesn't answer in time",
            PeerError::Busy => "too many calls wait for it",
        })
    }
}

/// A shard's links, and what it asks its own node's coordinator for peers.
#[derive(Default)]
pub(super) struct Peers {
    links: RefCell<BTreeMap<(NodeId, Lane), Rc<Link>>>,
    /// Requests of peers that shard 0 answers.
    asked: RefCell<BTreeMap<u64, answer::Asked>>,
    leaving: leaving::Leaving,
}

impl<B: Broker> Shard<B> {
    /// Where peers reach a node: what it said of itself when it registered, what the metadata says of voters, or
    /// what this node was told of them.
    fn peer_address(&self, node: NodeId) -> Option<String> {
        let view = self.0.view.borrow();
        let registered = view.broker(node).map(|broker| broker.peer.to_string());
        drop(view);
        let voters = &self.conf().cluster.voters;
        let configured = || Some(voters.iter().find(|voter| voter.id == node)?.address.clone());
        registered
            .filter(|address| !address.is_empty())
            .or_else(|| self.member_address(node).filter(|address| !address.is_empty()))
            .or_else(configured)
            .filter(|address| !address.is_empty())
    }

    /// Takes what shard 0 answers to a request that this shard passed on.
    pub(super) fn take_peer_reply(&self, set: u64, reply: Reply) {
        if let Some(asked) = self.0.peers.asked.borrow_mut().remove(&set) {
            asked.answer(reply);
        }
    }

    fn peer_origin(&self) -> Origin {
        Origin { shard: self.this(), set: self.origin().borrow_mut().number() }
    }
}
