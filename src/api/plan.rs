//! What a request needs next.

use super::Context;
use crate::base::TopicPartition;
use crate::cluster::{Command, Outcome};
use crate::group::call::{GroupCall, GroupReply};
use crate::replica::call::{PartitionCall, PartitionReply, ReadOp, ReadReply};
use crate::txn::call::{TxnCall, TxnReply};
use bytes::Bytes;

/// Resumes a request with what it waited for.
pub type Then<T> = Box<dyn FnOnce(&Context<'_>, T) -> Plan>;

/// Resumes a fetch: one answer per read, in order.
pub type FetchThen = Then<Vec<ReadReply>>;

/// What a request needs next. The shard performs it and calls back.
pub enum Plan {
    /// Nothing more: this frame is the answer, its length included.
    Respond(Vec<Bytes>),
    /// Nothing more, and no answer (acks=0).
    NoResponse,
    /// End the connection, with this reason in the log.
    Close(&'static str),
    /// Answers of partitions, wherever they live; they come in the order of the calls.
    Partitions(Vec<PartitionCall>, Then<Vec<PartitionReply>>),
    /// Answers of groups' coordinators, wherever they live; they come in the order of the calls.
    Groups(Vec<GroupCall>, Then<Vec<GroupReply>>),
    /// Answers of transactions' coordinators, wherever they live; they come in the order of the calls.
    Txns(Vec<TxnCall>, Then<Vec<TxnReply>>),
    /// Decisions of the coordinator, committed and applied on every shard.
    Cluster(Vec<Command>, Then<Vec<Outcome>>),
    /// Reads, and a wait for more.
    Fetch(Box<FetchPlan>),
}

/// A fetch: what to read, and how long to wait for how much.
pub struct FetchPlan {
    /// In the order to serve them.
    pub reads: Vec<(TopicPartition, ReadOp)>,
    /// Wait at most this long.
    pub max_wait_ms: i32,
    /// Wait for this many bytes.
    pub min_bytes: usize,
    /// Answer no more than this, but for the first batch.
    pub max_bytes: usize,
    /// How to go on.
    pub then: FetchThen,
}
