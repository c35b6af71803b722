//! Numbers that one shard changes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that rises from 0 at start. One shard counts; a second one that did so at the same time would lose counts,
/// but nothing else. Counting costs a load and a store.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds, and returns the new value.
    #[inline]
    pub fn add(&self, more: u64) -> u64 {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(more);
        self.0.store(sum, Ordering::Relaxed);
        sum
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that rises and falls, as of the last time its shard told it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Tells the value.
    #[inline]
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
