//! Partitions that have replicas on other nodes, on the shard that has one of them here.
//!
//! What a replica is at the moment says the metadata (`roles`). A follower's records come through a few tasks per
//! leading broker, each of which asks for many partitions at once (`fetcher`, `copy`, `cut`): one for those to which
//! records come all the time, the others for shares of the rest (`pace`). A leader answers such requests when there is
//! something appended (`serve`), and asks the coordinator for changes of who is in sync (`isr`). A replica whose log is
//! damaged is given up and copied anew (`damaged`); such a log, and one of a replica that isn't here any more, is set
//! `aside`.
//!
//! Leader and followers flush at the same time: a leader's records are there for followers from the moment at which
//! they are handed to its own device. A follower asks again when it has flushed what it got, and says so; that moves
//! the high watermark. So a group commit on the leader is one on each follower, and each of their requests tells of
//! one.

mod aside;
mod copy;
mod cut;
mod damaged;
mod fetcher;
mod isr;
mod pace;
mod roles;
mod serve;
mod throttle;

pub(super) use aside::is_replica;
pub use roles::ReplicaFacts;

use super::notify::Notify;
use crate::base::{NodeId, TopicPartition};
use crate::replica::IsrProposal;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a shard keeps about replication besides its partitions.
#[derive(Default)]
pub(super) struct Replication {
    /// A high watermark moved, or a replica got another role.
    pub(super) moved: Notify,
    /// For each leading broker that replicas here follow, how to tell its tasks that they have others to ask for.
    fetchers: RefCell<BTreeMap<NodeId, Rc<fetcher::Fetcher>>>,
    /// How often records came to replicas lately.
    pulses: RefCell<pace::Pulses>,
    /// Followers' fetches that aren't answered yet.
    served: RefCell<BTreeMap<u64, serve::Served>>,
    /// Those of each follower's shard that wait: one of each pace.
    asked: RefCell<BTreeMap<serve::Asker, u64>>,
    /// Changes of who is in sync that are to be proposed: of each partition the last one. A coordinator refuses the
    /// second of two in one request, and the first is of no use any more.
    proposals: RefCell<BTreeMap<TopicPartition, IsrProposal>>,
    proposals_due: Notify,
    /// Replicas whose logs are being cut.
    cutting: RefCell<BTreeSet<TopicPartition>>,
    cut_done: Notify,
    /// Replicas whose logs are damaged, of which the coordinator is being told.
    giving_up: RefCell<BTreeSet<TopicPartition>>,
    /// What throttled replicas may still copy, and what may still be copied from here.
    followed: RefCell<throttle::Budget>,
    led: RefCell<throttle::Budget>,
    /// Some shard's log directory failed. On shard 0.
    log_dir_failed: Cell<bool>,
}
