//! Spliced memory, until it may be written again (see `marks`).
//!
//! What comes back of a marked region waits until all of the region is back. Then the kernel is told to forget the
//! region's pages: whoever still refers to them keeps them, unchanged, and the next write finds new ones. A huge page
//! at a time that costs 0.06 CPU seconds per GB; page by page it is 0.4 (measured, `docs/performance.md`), so that is
//! the way out only where too much memory waits for the last piece of its region.

use super::arena::REGION_BYTES;
use super::marks::Marks;
use super::runs::Runs;
use crate::base::limits::BLOCK_BYTES;
use std::collections::BTreeMap;
use std::ops::Range;

const REGION_BLOCKS: usize = REGION_BYTES / BLOCK_BYTES;

/// What is back of one region.
#[derive(Default)]
struct Waiting {
    parts: Vec<Range<usize>>,
    blocks: usize,
    /// Its place in `order`.
    number: u64,
}

/// The marked regions of one arena that are partly or wholly free. Pure: knows numbers of blocks, not memory.
pub(super) struct Renewal {
    waiting: BTreeMap<usize, Waiting>,
    /// The same regions, the longest waiting first.
    order: BTreeMap<u64, usize>,
    next: u64,
    /// Blocks that wait, and how many may.
    blocks: usize,
    blocks_max: usize,
    /// Whether a free region's pages must be forgotten before it is used.
    stale: Vec<bool>,
}

impl Renewal {
    /// For so many regions, of which nothing is marked; at most so many blocks wait.
    pub(super) fn new(regions: usize, blocks_max: usize) -> Self {
        Renewal {
            waiting: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
            blocks: 0,
            blocks_max,
            stale: vec![false; regions],
        }
    }

    /// Takes blocks back. What is returned must be forgotten at once and goes to `runs` then.
    pub(super) fn give(&mut self, blocks: Range<usize>, marks: &Marks, runs: &mut Runs) -> Vec<Range<usize>> {
        let (mut clean, end) = (blocks.start, blocks.end);
        for region in blocks.start / REGION_BLOCKS..end.div_ceil(REGION_BLOCKS) {
            if marks.has(region) {
                let whole = blocks_of(region);
                let part = whole.start.max(blocks.start)..whole.end.min(end);
                runs.give(clean, part.start.saturating_sub(clean));
                clean = part.end;
                self.wait(region, part, runs);
                self.finish(region, marks, runs);
            }
        }
        runs.give(clean, end.saturating_sub(clean));
        self.make_room()
    }

    fn wait(&mut self, region: usize, part: Range<usize>, runs: &mut Runs) {
        let next = &mut self.next;
        let waiting = self.waiting.entry(region).or_insert_with(|| {
            *next += 1;
            self.order.insert(*next, region);
            // Whatever else is free of it must not be used again before it can be whole.
            let parts = runs.take_within(blocks_of(region));
            let blocks = parts.iter().map(Range::len).sum();
            self.blocks += blocks;
            Waiting { parts, blocks, number: *next }
        });
        waiting.blocks += part.len();
        self.blocks += part.len();
        waiting.parts.push(part);
    }

    /// A region that is wholly back is free, and stale.
    fn finish(&mut self, region: usize, marks: &Marks, runs: &mut Runs) {
        if self.waiting.get(&region).is_some_and(|waiting| waiting.blocks == REGION_BLOCKS) {
            self.remove(region);
            marks.clear(region);
            self.stale[region] = true;
            runs.give(blocks_of(region).start, REGION_BLOCKS);
        }
    }

    fn remove(&mut self, region: usize) -> Vec<Range<usize>> {
        let waiting = self.waiting.remove(&region).expect("it waits");
        self.order.remove(&waiting.number);
        self.blocks -= waiting.blocks;
        waiting.parts
    }

    /// What waits of the regions that have waited longest, while it is too much. They stay marked: the rest of them may
    /// have been spliced as well.
    fn make_room(&mut self) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        while self.blocks > self.blocks_max {
            let Some((_, &region)) = self.order.first_key_value() else { break };
            parts.append(&mut self.remove(region));
        }
        parts
    }

    /// Blocks that are free and wait.
    pub(super) fn waiting(&self) -> usize {
        self.blocks
    }

    /// The regions of blocks that are about to be used whose pages must be forgotten first.
    pub(super) fn before_use(&mut self, blocks: Range<usize>) -> Vec<usize> {
        let regions = blocks.start / REGION_BLOCKS..blocks.end.div_ceil(REGION_BLOCKS);
        let stale = |region: &usize| std::mem::take(&mut self.stale[*region]);
        regions.filter(stale).collect()
    }
}

fn blocks_of(region: usize) -> Range<usize> {
    region * REGION_BLOCKS..(region + 1) * REGION_BLOCKS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    const REGIONS: usize = 4;

    /// An arena's numbers: all is in use.
    fn arena(blocks_max: usize) -> (Renewal, Marks, Runs) {
        let mut runs = Runs::new(REGIONS * REGION_BLOCKS);
        assert_eq!(runs.take(REGIONS * REGION_BLOCKS), Some(0));
        (Renewal::new(REGIONS, blocks_max), Marks::new(REGIONS), runs)
    }

    fn free(runs: &Runs) -> usize {
        REGIONS * REGION_BLOCKS - runs.used()
    }

    #[test]
    fn an_unmarked_region_is_free_at_once() {
        let (mut renewal, marks, mut runs) = arena(100);
        assert!(renewal.give(500..600, &marks, &mut runs).is_empty());
        assert_eq!((free(&runs), runs.take(100)), (100, Some(500)));
        assert!(renewal.before_use(500..600).is_empty());
    }

    #[test]
    fn a_marked_region_waits_until_it_is_whole_and_is_stale_then() {
        let (mut renewal, marks, mut runs) = arena(1000);
        renewal.give(1000..1010, &marks, &mut runs);
        marks.mark(REGION_BYTES..REGION_BYTES + 1);
        // From before the marked region to behind it: only what isn't in it is free, and what was goes.
        renewal.give(500..1000, &marks, &mut runs);
        assert_eq!(free(&runs), 12);
        renewal.give(1010..1100, &marks, &mut runs);
        assert_eq!(free(&runs), 12 + 512 + 76);
        assert!(!marks.has(1), "its pages will be new");
        assert!(renewal.before_use(400..512).is_empty());
        assert_eq!(renewal.before_use(512..513), [1]);
        assert!(renewal.before_use(512..1024).is_empty(), "once");
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut renewal, marks, mut runs) = arena(20);
        marks.mark(0..4 * REGION_BYTES);
        assert!(renewal.give(0..10, &marks, &mut runs).is_empty());
        assert!(renewal.give(512..522, &marks, &mut runs).is_empty());
        assert_eq!(renewal.give(20..21, &marks, &mut runs), [0..10, 20..21], "of the oldest region");
        assert_eq!(free(&runs), 0, "the caller gives it back, renewed");
        assert!(marks.has(0), "the rest of it may still be referred to");
    }

    /// A model: no block is used again whose pages weren't forgotten since they were spliced, and none is lost.
    #[test]
    fn no_spliced_block_is_written_again() {
        const ALL: usize = REGIONS * REGION_BLOCKS;
        for seed in 0..30 {
            let (mut renewal, marks, mut runs) = arena(if seed % 2 == 0 { 60 } else { ALL });
            let mut random = Random::new(seed);
            let mut spliced = vec![false; ALL];
            let mut owned: Vec<Range<usize>> = (0..ALL / 16).map(|nth| nth * 16..(nth + 1) * 16).collect();
            for _ in 0..5000 {
                let draw = usize::try_from(random.next_u64() >> 32).unwrap();
                match draw % 3 {
                    0 if !owned.is_empty() => {
                        let back = owned.swap_remove(draw / 3 % owned.len());
                        for part in renewal.give(back, &marks, &mut runs) {
                            spliced[part.clone()].fill(false);
                            runs.give(part.start, part.len());
                        }
                    }
                    1 => {
                        let blocks = 1 + draw / 3 % 40;
                        let Some(first) = runs.take(blocks) else { continue };
                        for region in renewal.before_use(first..first + blocks) {
                            spliced[blocks_of(region)].fill(false);
                        }
                        let taken = first..first + blocks;
                        assert!(!spliced[taken.clone()].contains(&true), "seed {seed}: {taken:?}");
                        owned.push(taken);
                    }
                    _ if !owned.is_empty() && random.chance(20) => {
                        let lent = owned[draw / 3 % owned.len()].clone();
                        marks.mark(lent.start * BLOCK_BYTES..lent.end * BLOCK_BYTES);
                        spliced[lent].fill(true);
                    }
                    _ => {}
                }
            }
            for back in owned {
                for part in renewal.give(back, &marks, &mut runs) {
                    runs.give(part.start, part.len());
                }
            }
            assert_eq!(free(&runs) + renewal.blocks, ALL, "seed {seed}");
        }
    }
}
