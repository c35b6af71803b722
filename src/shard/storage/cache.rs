//! The tail cache: chunks stay in memory until a budget that all partitions of the shard share is spent; the oldest go
//! first. What a flush still has to write is held by the flush, whatever happens here; its bytes are counted on their
//! own, for back-pressure.
//!
//! The budget is spent only as far as memory is ready for it: to let an old chunk go is cheaper than a page's first
//! touch, which a busy shard would have to wait for.
//!
//! What was read from a file is on probation: it may take a small part of the budget only, so that one reader of old
//! records neither drives the others' tail out nor touches more memory than it needs. What is read once more after it
//! had to go is kept like an appended chunk (the 2Q algorithm: Johnson and Shasha, VLDB 1994).

use crate::base::limits::READ_BYTES_MAX;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// The part of the budget that is for what was read once.
const PROBATION_SHARE: usize = 16;

/// But room for so many reads at least.
const PROBATION_READS_MIN: usize = 16;

/// What the cache may hold whether memory is ready or not.
const LIMIT_BYTES_MIN: usize = 32 << 20;

/// What becomes of a range in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// Until it is among the oldest: it was appended, or read again.
    Full,
    /// It was read once.
    Probation,
}

/// A cached range of a segment.
#[derive(Debug)]
pub(super) struct Slot {
    /// Where in the file it begins.
    pub(super) position: u64,
    len: usize,
    /// Bytes of memory that it holds: whole blocks.
    held: usize,
    stay: Stay,
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
    /// The part of the budget that may be spent now.
    limit: Cell<usize>,
    cached: Cell<usize>,
    /// The part of it that is on probation.
    probation: Cell<usize>,
    unwritten: Cell<usize>,
    evicted: Cell<u64>,
    carried: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Slot>>>,
    on_probation: RefCell<VecDeque<Rc<Slot>>>,
}

/// One shard's tail cache. A clone is the same cache.
#[derive(Clone, Debug)]
pub struct TailCache(Rc<Shared>);

impl TailCache {
    /// A cache of at most this many bytes.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        TailCache(Rc::new(Shared { budget, limit: Cell::new(budget), ..Shared::default() }))
    }

    /// Limits the cache to its part of the memory that is ready: the rest is for what isn't written yet.
    pub fn keep_to(&self, ready_bytes: usize) {
        self.0.limit.set((ready_bytes / 7 * 6).max(LIMIT_BYTES_MIN).min(self.0.budget));
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
    pub(super) fn insert(&self, position: u64, bytes: Bytes, held: usize, stay: Stay) -> Rc<Slot> {
        let slot = Rc::new(Slot { position, len: bytes.len(), held, stay, data: RefCell::new(Some(bytes)) });
        let Shared { limit, cached, probation, .. } = &*self.0;
        let limit = limit.get();
        let (mut queue, mut on_probation) = (self.0.queue.borrow_mut(), self.0.on_probation.borrow_mut());
        cached.set(cached.get() + held);
        match stay {
            Stay::Full => queue.push_back(slot.clone()),
            Stay::Probation => {
                probation.set(probation.get() + held);
                on_probation.push_back(slot.clone());
            }
        }
        let most = (limit / PROBATION_SHARE).max(PROBATION_READS_MIN * READ_BYTES_MAX);
        while probation.get() > most || cached.get() > limit {
            let oldest = if probation.get() > most { None } else { queue.pop_front() };
            let Some(oldest) = oldest.or_else(|| on_probation.pop_front()) else { break };
            self.forget(&oldest);
        }
        slot
    }

    /// Lets a range go before its time: its segment is deleted.
    pub(super) fn forget(&self, slot: &Slot) {
        if slot.data.take().is_some() {
            self.0.cached.set(self.0.cached.get() - slot.held);
            if slot.stay == Stay::Probation {
                self.0.probation.set(self.0.probation.get() - slot.held);
            }
            self.0.evicted.set(self.0.evicted.get() + 1);
        }
    }
}

/// What is cached of one segment.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Appended chunks, by position. They follow each other; the next begins in the block where the last ended.
    tail: VecDeque<Rc<Slot>>,
    /// What was read from the file, by position; also what was on probation and had to go.
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

    /// Adds what was read. What was known before is read again: unless only its end was missing, it had to go.
    pub(super) fn keep_window(&mut self, position: u64, bytes: Bytes, cache: &TailCache) {
        let before = self.windows.get(&position).filter(|slot| slot.data.borrow().is_none());
        let stay = if before.is_some() { Stay::Full } else { Stay::Probation };
        let held = bytes.len();
        let slot = cache.insert(position, bytes, held, stay);
        if let Some(before) = self.windows.insert(position, slot) {
            cache.forget(&before);
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

    fn bytes(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[test]
    fn the_oldest_go_when_the_budget_is_spent() {
        let cache = TailCache::new(100);
        let slots: Vec<_> = (0..5).map(|i| cache.insert(i * 40, bytes(30), 40, Stay::Full)).collect();
        assert_eq!(cache.cached_bytes(), 80);
        let here: Vec<_> = slots.iter().map(|slot| slot.bytes().is_some()).collect();
        assert_eq!(here, [false, false, false, true, true]);
        cache.forget(&slots[3]);
        assert_eq!((cache.cached_bytes(), cache.evictions()), (40, 4));
    }

    #[test]
    fn memory_that_is_not_ready_is_not_used() {
        const PIECE: usize = LIMIT_BYTES_MIN / 8;
        let cache = TailCache::new(100 * PIECE);
        let fill = || (0..100).for_each(|i| drop(cache.insert(i, bytes(1), PIECE, Stay::Full)));
        for (ready, kept) in [(0, 8), (35 * PIECE, 30), (usize::MAX, 100)] {
            cache.keep_to(ready);
            fill();
            assert_eq!(cache.cached_bytes(), kept * PIECE, "with {ready} bytes");
        }
    }

    #[test]
    fn one_reader_of_old_records_drives_nothing_out_and_the_second_finds_them() {
        let cache = TailCache::new(100 * READ_BYTES_MAX);
        let tail: Vec<_> = (0..80).map(|i| cache.insert(i, bytes(8), READ_BYTES_MAX, Stay::Full)).collect();
        let mut old = Slots::default();
        let positions = || (0..60).map(|i| i * READ_BYTES_MAX as u64);
        let read = |old: &mut Slots| {
            let missing: Vec<u64> = positions().filter(|at| old.at(*at).is_none()).collect();
            missing.iter().for_each(|at| old.keep_window(*at, bytes(READ_BYTES_MAX), &cache));
            missing.len()
        };
        assert_eq!(read(&mut old), 60);
        assert!(tail.iter().all(|slot| slot.bytes().is_some()), "the tail is where it was");
        assert_eq!(cache.cached_bytes(), (80 + PROBATION_READS_MIN) * READ_BYTES_MAX);
        assert_eq!(read(&mut old), 60 - PROBATION_READS_MIN);
        assert_eq!(positions().filter(|at| old.at(*at).is_some()).count(), 60, "who reads again keeps it");
        assert!(cache.cached_bytes() <= 100 * READ_BYTES_MAX);
    }
}
