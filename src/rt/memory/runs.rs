//! Which blocks of an arena are free: runs of consecutive blocks, joined with their neighbours when they come back.
//!
//! Best fit: the smallest run that suffices. What a shard keeps goes in about the order in which it came, so runs join
//! soon, and a run that an early end of a chunk left over is filled by a smaller one. (Measured against the buddy
//! system, whose rounding left half of the arena in pieces too small for the next chunk.)

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Free runs. Pure: knows numbers, not memory.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Length by first block.
    runs: BTreeMap<usize, usize>,
    /// (length, first block).
    by_length: BTreeSet<(usize, usize)>,
    free: usize,
    all: usize,
}

impl Runs {
    /// Blocks `0..blocks`, all free.
    pub(super) fn new(blocks: usize) -> Self {
        let mut runs = Runs { all: blocks, ..Runs::default() };
        runs.insert(0, blocks);
        runs.free = blocks;
        runs
    }

    /// Blocks in use.
    pub(super) fn used(&self) -> usize {
        self.all - self.free
    }

    /// Takes consecutive blocks; `None` if there is no such run.
    pub(super) fn take(&mut self, blocks: usize) -> Option<usize> {
        assert!(blocks > 0, "nobody needs nothing");
        let &(length, first) = self.by_length.range((blocks, 0)..).next()?;
        self.remove(first, length);
        if length > blocks {
            self.insert(first + blocks, length - blocks);
        }
        self.free -= blocks;
        Some(first)
    }

    /// Gives back consecutive blocks: what was taken, or any part of it.
    pub(super) fn give(&mut self, mut first: usize, mut blocks: usize) {
        if blocks == 0 {
            return;
        }
        assert!(first + blocks <= self.all && blocks <= self.used(), "only what was taken comes back");
        self.free += blocks;
        if let Some((&before, &length)) = self.runs.range(..=first).next_back() {
            assert!(before + length <= first, "block {first} is given back twice");
            if before + length == first {
                self.remove(before, length);
                (first, blocks) = (before, blocks + length);
            }
        }
        if let Some(&length) = self.runs.get(&(first + blocks)) {
            self.remove(first + blocks, length);
            blocks += length;
        }
        self.insert(first, blocks);
    }

    /// Takes all that is free within a range, which may be nothing.
    pub(super) fn take_within(&mut self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut taken = Vec::new();
        while let Some((&first, &length)) = self.runs.range(..range.end).next_back() {
            let (end, from) = (first + length, first.max(range.start));
            let to = end.min(range.end);
            if from >= to {
                break;
            }
            self.remove(first, length);
            for rest in [first..from, to..end].into_iter().filter(|rest| !rest.is_empty()) {
                self.insert(rest.start, rest.len());
            }
            self.free -= to - from;
            taken.push(from..to);
        }
        taken
    }

    fn insert(&mut self, first: usize, length: usize) {
        self.runs.insert(first, length);
        self.by_length.insert((length, first));
    }

    fn remove(&mut self, first: usize, length: usize) {
        self.runs.remove(&first);
        self.by_length.remove(&(length, first));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn runs_are_split_filled_and_joined_again() {
        let mut runs = Runs::new(100);
        assert_eq!((runs.take(40), runs.take(40)), (Some(0), Some(40)));
        runs.give(30, 10);
        assert_eq!((runs.take(10), runs.take(25), runs.used()), (Some(30), None, 80));
        runs.give(0, 40);
        runs.give(40, 40);
        assert_eq!((runs.used(), runs.take(100), runs.take(1)), (0, Some(0), None));
    }

    #[test]
    fn what_is_free_within_a_range_is_taken_and_no_more() {
        let mut runs = Runs::new(100);
        assert_eq!(runs.take(100), Some(0));
        for (first, blocks) in [(0, 12), (15, 2), (18, 10), (40, 5)] {
            runs.give(first, blocks);
        }
        assert_eq!(runs.take_within(10..20), [18..20, 15..17, 10..12]);
        assert_eq!((runs.take_within(10..20), runs.used()), (vec![], 100 - 10 - 8 - 5));
        assert_eq!((runs.take(10), runs.take(8), runs.take(5)), (Some(0), Some(20), Some(40)));
    }

    /// A model: each block has at most one owner, and after everything is back all is one run again.
    #[test]
    fn no_block_has_two_owners() {
        const ALL: usize = 1000;
        for seed in 0..50 {
            let (mut random, mut free) = (Random::new(seed), Runs::new(ALL));
            let mut owned = vec![false; ALL];
            let mut taken: Vec<(usize, usize)> = Vec::new();
            for _ in 0..2000 {
                let draw = usize::try_from(random.next_u64() >> 32).unwrap();
                if random.chance(55) {
                    let blocks = 1 + draw % if random.chance(10) { ALL / 3 } else { 40 };
                    let Some(first) = free.take(blocks) else { continue };
                    for block in &mut owned[first..first + blocks] {
                        assert!(!std::mem::replace(block, true), "seed {seed}");
                    }
                    taken.push((first, blocks));
                } else if !taken.is_empty() {
                    let (first, blocks) = taken.swap_remove(draw % taken.len());
                    let kept = draw / 7 % (blocks + 1);
                    owned[first + kept..first + blocks].fill(false);
                    free.give(first + kept, blocks - kept);
                    if kept > 0 {
                        taken.push((first, kept));
                    }
                }
                assert_eq!(free.used(), owned.iter().filter(|owned| **owned).count());
            }
            taken.drain(..).for_each(|(first, blocks)| free.give(first, blocks));
            assert_eq!(free.take(ALL), Some(0), "seed {seed}");
        }
    }
}
