//! What one shard's runtime counts.

use std::cell::Cell;

/// A counter of one shard.
#[derive(Default)]
pub(super) struct Counter(Cell<u64>);

impl Counter {
    /// Adds, and returns the new value.
    pub(super) fn add(&self, count: u64) -> u64 {
        let sum = self.0.get().wrapping_add(count);
        self.0.set(sum);
        sum
    }

    pub(super) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// The live counters of one shard.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) connections: Counter,
    pub(super) connections_refused: Counter,
    pub(super) accept_failures: Counter,
    pub(super) timed_out: Counter,
    pub(super) frames: Counter,
    pub(super) received_bytes: Counter,
    pub(super) received_copied_bytes: Counter,
    pub(super) sent_bytes: Counter,
    pub(super) stalls: Counter,
    pub(super) ticks: Counter,
}

/// The counters and gauges of one shard's runtime at one moment. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections closed at once because there were too many.
    pub connections_refused: u64,
    /// Failed accepts: no descriptors or no memory left.
    pub accept_failures: u64,
    /// Connections ended because they were idle or slow.
    pub timed_out: u64,
    /// Frames received.
    pub frames: u64,
    /// Bytes of frames received, with their lengths.
    pub received_bytes: u64,
    /// Bytes of frames that were copied once more before the broker saw them: beginnings that were read before the
    /// frame's size was known. Frames up to 1 KiB are not counted.
    pub received_copied_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Turns over 10 ms.
    pub stalls: u64,
    /// Ticks.
    pub ticks: u64,
    /// Open connections.
    pub connections_open: usize,
    /// Bytes that incomplete and unread frames hold of the receive budget.
    pub receive_bytes: usize,
    /// Bytes of file memory that readers hold, of this shard or others.
    pub lent_bytes: usize,
    /// Bytes of the shard's memory for files that are in use.
    pub file_memory_bytes: usize,
}

impl Counters {
    /// The counts; the gauges are the world's to fill in.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.get(),
            connections_refused: self.connections_refused.get(),
            accept_failures: self.accept_failures.get(),
            timed_out: self.timed_out.get(),
            frames: self.frames.get(),
            received_bytes: self.received_bytes.get(),
            received_copied_bytes: self.received_copied_bytes.get(),
            sent_bytes: self.sent_bytes.get(),
            stalls: self.stalls.get(),
            ticks: self.ticks.get(),
            ..Stats::default()
        }
    }
}
