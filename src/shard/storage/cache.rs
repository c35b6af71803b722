//! The tail cache: written chunks stay in memory until a budget that all partitions of the shard share is spent.
//! The oldest go
//! first. Chunks that aren't written yet never go; their bytes are counted on their own, for back-pressure.

use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// A cached range of a segment.
#[derive(Debug)]
pub(super) struct Slot {
    /// Where in the file it begins.
    pub(super) position: u64,
    /// Its length, also after it went.
    pub(super) len: usize,
    data: RefCell<Option<Bytes>>,
}

impl Slot {
    /// Its bytes, if they are still here.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        self.data.borrow().clone()
    }

    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        self.position + self.len as u64
    }
}

#[derive(Debug, Default)]
struct Shared {
    budget: usize,
    cached: Cell<usize>,
    unwritten: Cell<usize>,
    evicted: Cell<u64>,
    queue: RefCell<VecDeque<Rc<Slot>>>,
}

/// One shard's tail cache. A clone is the same cache.
#[derive(Clone, Debug)]
pub struct TailCache(Rc<Shared>);

impl TailCache {
    /// A cache of at most this many bytes.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        TailCache(Rc::new(Shared { budget, ..Shared::default() }))
    }

    /// Bytes in the cache.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.0.cached.get()
    }

    /// Appended bytes that no flush has written yet.
    #[must_use]
    pub fn unwritten_bytes(&self) -> usize {
        self.0.unwritten.get()
    }

    /// Chunks that went to make room.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.0.evicted.get()
    }

    pub(super) fn appended(&self, bytes: usize) {
        self.0.unwritten.set(self.0.unwritten.get() + bytes);
    }

    pub(super) fn written(&self, bytes: usize) {
        self.0.unwritten.set(self.0.unwritten.get().saturating_sub(bytes));
    }

    /// Takes a range into the cache and lets the oldest go where the budget is spent.
    pub(super) fn insert(&self, position: u64, bytes: Bytes) -> Rc<Slot> {
        let slot = Rc::new(Slot { position, len: bytes.len(), data: RefCell::new(Some(bytes)) });
        self.0.cached.set(self.0.cached.get() + slot.len);
        let mut queue = self.0.queue.borrow_mut();
        queue.push_back(slot.clone());
        while self.0.cached.get() > self.0.budget {
            let Some(oldest) = queue.pop_front() else { break };
            self.forget(&oldest);
        }
        slot
    }

    /// Lets a range go before its time: its segment is deleted.
    pub(super) fn forget(&self, slot: &Slot) {
        if slot.data.take().is_some() {
            self.0.cached.set(self.0.cached.get() - slot.len);
            self.0.evicted.set(self.0.evicted.get() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_the_budget_is_spent() {
        let cache = TailCache::new(100);
        let slots: Vec<_> = (0..5).map(|i| cache.insert(i * 40, Bytes::from(vec![0; 40]))).collect();
        assert_eq!(cache.cached_bytes(), 80);
        let here: Vec<_> = slots.iter().map(|slot| slot.bytes().is_some()).collect();
        assert_eq!(here, [false, false, false, true, true]);
        cache.forget(&slots[3]);
        assert_eq!((cache.cached_bytes(), cache.evictions()), (40, 4));
    }
}
