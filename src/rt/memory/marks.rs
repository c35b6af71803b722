//! Which regions of an arena have pages that were spliced.
//!
//! A spliced page isn't copied: the kernel refers to it for as long as some queue has it, a receiver's on this machine
//! for instance, and doesn't tell when it no longer does. It must never be written again; `renewal` sees to that.
//! Any shard marks what it is about to splice, while it holds a loan of it; the owner looks when the memory comes home.
//! A region is marked as a whole: that is what can be renewed at a bearable cost.

use super::arena::REGION_BYTES;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// A mark for each region of one arena.
pub(in crate::rt) struct Marks(Box<[AtomicBool]>);

impl Marks {
    /// None is marked.
    pub(super) fn new(regions: usize) -> Self {
        Marks((0..regions).map(|_| AtomicBool::new(false)).collect())
    }

    /// Marks the regions in which a part of the arena lies, in bytes from its start; how many weren't yet.
    pub(super) fn mark(&self, part: Range<usize>) -> usize {
        let regions = part.start / REGION_BYTES..part.end.div_ceil(REGION_BYTES);
        // A look first: a region is marked once and spliced from often.
        let unmarked =
            |mark: &&AtomicBool| !mark.load(Ordering::Relaxed) && !mark.swap(true, Ordering::Release);
        self.0[regions].iter().filter(unmarked).count()
    }

    /// Whether a region is marked.
    pub(super) fn has(&self, region: usize) -> bool {
        self.0[region].load(Ordering::Acquire)
    }

    /// Its pages are new. Nobody has a loan of any of them.
    pub(super) fn clear(&self, region: usize) {
        self.0[region].store(false, Ordering::Relaxed);
    }
}
