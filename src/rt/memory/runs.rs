//! Which blocks of an arena are free: runs of consecutive blocks, joined with their neighbours when they come back.
//!
//! Best fit: the smallest run that suffices. What a shard keeps goes in about the order in which it came, so runs join
//! soon, and a run that an early end of a chunk left over is filled by a smaller one. (Measured against the buddy
//! system, whose rounding left half of the arena in pieces too small for the next chunk.)

use std::collections::{BTreeMap, BTreeSet};

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
