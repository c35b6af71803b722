//! What the threads of one phase and its conductor share: the phase's times, and who isn't finished. All times are in
//! nanoseconds on the clock that the shards of one process share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// A time that isn't known yet.
pub(super) const NEVER: u64 = u64::MAX;

/// How long after the last thread is ready the phase begins.
const START_PAUSE_NS: u64 = 5_000_000;

/// Times and counts of one phase.
pub(super) struct Shared {
    /// Threads that aren't ready to begin.
    unready: AtomicU32,
    start: AtomicU64,
    measured_from: AtomicU64,
    end: AtomicU64,
    /// Bounded lanes with something left to send or to be acknowledged.
    lanes: AtomicU32,
    /// Bounded consumers with something left to read.
    readers: AtomicU32,
    failed: AtomicBool,
    /// Threads with something that isn't answered.
    unsettled: AtomicU32,
    /// Offset behind the last acknowledged record of each partition.
    acked_end: Vec<AtomicI64>,
}

impl Shared {
    /// For so many threads and partitions.
    pub(super) fn new(threads: u32, partitions: usize) -> Self {
        Shared {
            unready: AtomicU32::new(threads),
            start: AtomicU64::new(NEVER),
            measured_from: AtomicU64::new(NEVER),
            end: AtomicU64::new(NEVER),
            lanes: AtomicU32::new(0),
            readers: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            unsettled: AtomicU32::new(threads),
            acked_end: (0..partitions).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    /// A thread is ready, or has failed to be; the last one sets the time at which all begin.
    pub(super) fn ready(&self, now: u64) {
        if self.unready.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.start.store(now + START_PAUSE_NS, Ordering::Release);
        }
    }

    /// A thread can't begin: nobody does.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// All that a thread has sent is answered.
    pub(super) fn settled(&self) {
        self.unsettled.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether all that was sent is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled.load(Ordering::Acquire) == 0
    }

    /// Whether some thread can't begin.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// When the phase begins; `NEVER` until all threads are ready.
    pub(super) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// From when on is measured; `NEVER` while it warms up.
    pub(super) fn measured_from(&self) -> u64 {
        self.measured_from.load(Ordering::Acquire)
    }

    /// When the phase ends; `NEVER` if that isn't known yet.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The warm-up ends.
    pub(super) fn measure(&self, from: u64, end: u64) {
        self.measured_from.store(from, Ordering::Release);
        self.end_by(end);
    }

    /// The phase ends at this time, if not before.
    pub(super) fn end_by(&self, end: u64) {
        self.end.fetch_min(end, Ordering::AcqRel);
    }

    /// Adds lanes that have a bound.
    pub(super) fn add_lanes(&self, lanes: u32) {
        self.lanes.fetch_add(lanes, Ordering::AcqRel);
    }

    /// A bounded lane has nothing left; the last one ends the phase.
    pub(super) fn lane_done(&self, now: u64) {
        if self.lanes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end_by(now);
        }
    }

    /// Adds consumers that have a bound.
    pub(super) fn add_readers(&self, readers: u32) {
        self.readers.fetch_add(readers, Ordering::AcqRel);
    }

    /// A bounded consumer has nothing left; the last one ends the phase.
    pub(super) fn reader_done(&self, now: u64) {
        if self.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end_by(now);
        }
    }

    /// Records of a partition up to this offset were acknowledged.
    pub(super) fn acknowledged(&self, partition: usize, end: i64) {
        self.acked_end[partition].fetch_max(end, Ordering::AcqRel);
    }

    /// The offset behind the last acknowledged record of a partition.
    pub(super) fn acked_end(&self, partition: usize) -> i64 {
        self.acked_end[partition].load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thread_starts_and_the_last_lane_ends() {
        let shared = Shared::new(2, 1);
        shared.ready(100);
        assert_eq!(shared.start(), NEVER);
        shared.ready(200);
        assert_eq!(shared.start(), 200 + START_PAUSE_NS);
        shared.measure(300, 9000);
        shared.add_lanes(2);
        shared.lane_done(4000);
        assert_eq!(shared.end(), 9000);
        shared.lane_done(5000);
        shared.end_by(6000);
        assert_eq!((shared.measured_from(), shared.end()), (300, 5000));
        shared.acknowledged(0, 7);
        shared.acknowledged(0, 5);
        assert_eq!(shared.acked_end(0), 7);
    }
}
