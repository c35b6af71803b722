//! Messages between the shards of one process.

use crate::base::ShardId;
use std::future::Future;

/// One shard's end of the mesh. Messages from one shard to another arrive in order, once.
pub trait Mesh<M: Send + 'static>: Clone + 'static {
    /// How many shards there are.
    fn shards(&self) -> u16;

    /// This shard.
    fn this(&self) -> ShardId;

    /// Queues a message for another shard (or for this one). Never blocks and never wakes more than once per turn.
    ///
    /// # Errors
    /// Gives the message back when the bound of the outbox is reached: the caller refuses its request with a
    /// retriable error.
    fn send(&self, to: ShardId, message: M) -> Result<(), M>;

    /// Waits until messages are there and moves them to `inbox`, at most a bounded number at a time. One caller per
    /// shard.
    fn receive(&self, inbox: &mut Vec<M>) -> impl Future<Output = ()>;
}
