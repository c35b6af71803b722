//! The tail cache: chunks stay in memory until a budget that all partitions of the shard share is spent; the oldest go
//! first. What a flush still has to write is held by the flush, whatever happens here; its bytes are counted on their
//! own, for back-pressure.

use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// A cached range of a segment.
#[derive(Debug)]
pub(super) struct Slot {
    /// Where in the file it begins.
    pub(super) position: u64,
    len: usize,
    /// Bytes of memory that it holds: whole blocks.
    held: usize,
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
    carried: Cell<usize>,
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

    /// Notes bytes of a partial block that were copied to go out once more with what follows.
    pub(super) fn carried(&self, bytes: usize) {
        self.0.carried.set(self.0.carried.get() + bytes);
    }

    /// Bytes of partial blocks that were copied since this was last asked.
    pub fn take_carried(&self) -> usize {
        self.0.carried.take()
    }

    /// Bytes that were appended are flushed, or nobody waits for that any more.
    pub fn written(&self, bytes: usize) {
        self.0.unwritten.set(self.0.unwritten.get().saturating_sub(bytes));
    }

    /// Takes a range into the cache and lets the oldest go where the budget is spent.
    pub(super) fn insert(&self, position: u64, bytes: Bytes, held: usize) -> Rc<Slot> {
        let slot = Rc::new(Slot { position, len: bytes.len(), held, data: RefCell::new(Some(bytes)) });
        self.0.cached.set(self.0.cached.get() + held);
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
            self.0.cached.set(self.0.cached.get() - slot.held);
            self.0.evicted.set(self.0.evicted.get() + 1);
        }
    }
}

/// What is cached of one segment.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Appended chunks, by position. They follow each other; the next begins in the block where the last ended.
    tail: VecDeque<Rc<Slot>>,
    /// What was read from the file, by position.
    windows: BTreeMap<u64, Rc<Slot>>,
}

impl Slots {
    /// Adds a chunk at the end.
    pub(super) fn push(&mut self, slot: Rc<Slot>, cache: &TailCache) {
        // The chunk before lies wholly in this one if it didn't fill its first block.
        if let Some(last) = self.tail.pop_back_if(|last| last.position == slot.position) {
            cache.forget(&last);
        }
        while self.tail.pop_front_if(|oldest| oldest.data.borrow().is_none()).is_some() {}
        self.tail.push_back(slot);
    }

    /// Adds what was read.
    pub(super) fn keep_window(&mut self, slot: Rc<Slot>, cache: &TailCache) {
        self.windows.retain(|_, slot| slot.data.borrow().is_some());
        if let Some(shorter) = self.windows.insert(slot.position, slot) {
            cache.forget(&shorter);
        }
    }

    /// A cached range that has the byte at a position: where it begins, its bytes.
    pub(super) fn at(&self, position: u64) -> Option<(u64, Bytes)> {
        let next = self.tail.partition_point(|slot| slot.position <= position);
        let chunk = next.checked_sub(1).and_then(|index| self.tail.get(index));
        let window = self.windows.range(..=position).next_back().map(|(_, slot)| slot);
        let has = |slot: &&Rc<Slot>| slot.end() > position;
        [chunk, window]
            .into_iter()
            .flatten()
            .filter(has)
            .find_map(|slot| Some((slot.position, slot.bytes()?)))
    }

    /// Lets everything go.
    pub(super) fn forget(&self, cache: &TailCache) {
        self.tail.iter().chain(self.windows.values()).for_each(|slot| cache.forget(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_the_budget_is_spent() {
        let cache = TailCache::new(100);
        let slots: Vec<_> = (0..5).map(|i| cache.insert(i * 40, Bytes::from(vec![0; 30]), 40)).collect();
        assert_eq!(cache.cached_bytes(), 80);
        let here: Vec<_> = slots.iter().map(|slot| slot.bytes().is_some()).collect();
        assert_eq!(here, [false, false, false, true, true]);
        cache.forget(&slots[3]);
        assert_eq!((cache.cached_bytes(), cache.evictions()), (40, 4));
    }
}
