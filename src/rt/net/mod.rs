//! `seam::Stream` on TCP: a listener per shard, frames in, slices out.
//!
//! Every socket call is tried without waiting first; only when there is nothing to do does a task wait, through glommio's
//! readiness (a poll on the ring). Received bytes stay where the kernel put them; sent slices are sent from where they lie.
//!
//! What a peer can make a shard hold is bounded: connections by number, incomplete and unread frames by the receive budget
//! (`budget`), idle and slow peers by time (`watch`). A claimed length allocates nothing before it is checked, and commits memory
//! only as bytes arrive.

mod budget;
mod buffers;
mod listen;
mod reader;
mod stream;
mod sys;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

pub use listen::{ListenError, Listeners};
pub use reader::SocketReader;
pub use stream::SocketStream;
pub use writer::SocketWriter;

use super::clock::Clock;
use super::counters::Counters;
use buffers::Buffers;
use std::rc::Rc;
use std::time::Duration;
use watch::Watches;

/// What all connections of one shard share.
pub(super) struct NetShard {
    clock: Clock,
    counters: Rc<Counters>,
    buffers: Buffers,
    watches: Watches,
    connections_max: usize,
}

impl NetShard {
    pub(super) fn new(
        clock: Clock,
        counters: Rc<Counters>,
        receive_bytes_max: usize,
        connections_max: usize,
    ) -> Self {
        NetShard {
            clock,
            counters,
            buffers: Buffers::new(receive_bytes_max),
            watches: Watches::default(),
            connections_max,
        }
    }

    /// The tick's part: memory that came back, connections that are overdue, waiters that gave up.
    pub(super) fn tick(&self, now: Duration, elapsed: Duration) {
        self.buffers.sweep();
        self.buffers.budget().expire(now);
        let ended = self.watches.sweep(now, elapsed);
        self.counters.timed_out.add(ended as u64);
    }

    /// Frees receive memory that an idle shard doesn't need.
    pub(super) fn trim(&self) {
        self.buffers.trim();
    }

    /// Ends all connections, so that their tasks end.
    pub(super) fn shutdown_all(&self) {
        self.watches.shutdown_all();
    }

    /// Bytes that incomplete and unread frames hold.
    pub(super) fn receive_bytes(&self) -> usize {
        self.buffers.budget().used()
    }

    /// Open connections.
    pub(super) fn connections(&self) -> usize {
        self.watches.len()
    }
}
