//! `seam::Stream` on TCP: a listener per shard, frames in, slices out.
//!
//! Every socket call is tried without waiting first; only when there is nothing to do does a task wait, for a poll on
//! the shard's ring. Received bytes stay where the kernel put them; sent slices are sent from
//! where they lie, the large ones of the log without a copy in the kernel (`splice`).
//!
//! What a peer can make a shard hold is bounded: connections by number, incomplete and unread frames by the receive
//! budget (`budget`), idle and slow peers by time (`watch`). A claimed length allocates nothing before it is checked,
//! and commits memory only as bytes arrive.

mod arrivals;
mod budget;
mod buffers;
mod connect;
mod listen;
mod pacing;
mod reader;
mod splice;
mod stream;
mod sys;
#[cfg(test)]
mod tests;
mod thrift;
mod watch;
mod writer;

pub use listen::{Guests, ListenError, Listeners};
pub use reader::SocketReader;
pub use stream::SocketStream;
pub use writer::SocketWriter;

use super::clock::Clock;
use super::memory::Grounds;
use super::ring::Ring;
use super::start::Ready;
use crate::metrics::RuntimeMetrics;
use arrivals::Arrivals;
use buffers::Buffers;
use splice::Pipe;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use thrift::Thrift;
use watch::Watches;

/// What peers may take of one shard.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of incomplete and unread frames.
    pub(super) receive_bytes: usize,
    /// How long an incomplete frame waits for its share of them.
    pub(super) receive_wait: Duration,
    /// How long a frame that has begun may bring less than its due.
    pub(super) slow_frame: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub(super) send_stall: Duration,
    /// Bytes that wait to be taken before memory counts as short.
    pub(super) send_bytes: usize,
    /// How long a peer may take less than its due while it is.
    pub(super) send_pressed: Duration,
    /// Connections.
    pub(super) connections: usize,
}

/// What all connections of one shard share.
pub(super) struct NetShard {
    clock: Clock,
    ring: Rc<Ring>,
    arrivals: Arrivals,
    metrics: Arc<RuntimeMetrics>,
    grounds: Grounds,
    /// None where the kernel has none, or not for this process.
    pipe: Option<Pipe>,
    thrift: Thrift,
    buffers: Buffers,
    watches: Watches,
    bounds: Bounds,
    /// When the turn under way began.
    turn: Cell<Duration>,
    /// Bytes that wait to be taken by peers.
    unsent: Cell<usize>,
    /// Until when memory for what is sent counts as short, whatever is unsent.
    pressed_until: Cell<Duration>,
}

impl NetShard {
    /// The network of one shard, whose metrics these are.
    pub(super) fn new(ready: &Ready, ring: Rc<Ring>, metrics: Arc<RuntimeMetrics>) -> Self {
        let bounds = ready.net;
        let buffers = Buffers::new(bounds.receive_bytes);
        NetShard {
            clock: ready.clock,
            ring,
            arrivals: Arrivals::default(),
            metrics,
            grounds: ready.grounds.clone(),
            pipe: Pipe::open().ok(),
            thrift: Thrift::default(),
            buffers,
            watches: Watches::default(),
            bounds,
            turn: Cell::new(Duration::ZERO),
            unsent: Cell::new(0),
            pressed_until: Cell::new(Duration::ZERO),
        }
    }

    /// The tick's part: memory that came back, connections that are overdue, waiters that gave up.
    pub(super) fn tick(&self, now: Duration, elapsed: Duration) {
        self.buffers.sweep();
        self.buffers.budget().expire(now);
        let pressed = self.is_pressed(now).then_some(self.bounds.send_pressed);
        let ended = self.watches.sweep(now, elapsed, pressed);
        self.metrics.connections_timed_out_total.add(ended as u64);
    }

    /// What to send bytes through without a copy, if they are the log's and it is worth while.
    fn pipe_for(&self, bytes: &[u8]) -> Option<&Pipe> {
        let pipe = self.pipe.as_ref()?;
        (self.thrift.allows(bytes.len()) && self.grounds.hold(bytes)).then_some(pipe)
    }

    /// Someone waits for memory that slow peers hold: it counts as short for long enough to end those.
    pub(super) fn press(&self, now: Duration) {
        // One that has just begun to owe must owe for long enough, and be looked at then.
        self.pressed_until.set(now + 2 * self.bounds.send_pressed + watch::ROUND);
    }

    /// Whether memory for what is sent is short.
    fn is_pressed(&self, now: Duration) -> bool {
        self.unsent.get() > self.bounds.send_bytes || now < self.pressed_until.get()
    }

    /// Connections on their way to this shard.
    pub(super) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Whether someone waits for memory that other shards may return without a word, or that slow peers hold.
    pub(super) fn wants_ticks(&self) -> bool {
        self.buffers.budget().has_line() || self.is_pressed(self.turn.get())
    }

    /// A turn begins.
    pub(super) fn begin_turn(&self, now: Duration) {
        self.turn.set(now);
    }

    /// When the turn under way began.
    pub(super) fn turn(&self) -> Duration {
        self.turn.get()
    }

    /// Frees receive memory that an idle shard doesn't need.
    pub(super) fn trim(&self) {
        self.buffers.trim();
    }

    /// Ends all connections, so that their tasks end.
    pub(super) fn shutdown_all(&self) {
        self.watches.shutdown_all();
    }

    /// Bytes that wait to be taken by peers.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.get()
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
