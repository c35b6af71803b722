//! Where the arenas of all shards lie, so that each can tell shared bytes of the log from copies of them.

use super::marks::Marks;
use crate::base::ShardId;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// One shard's arena.
struct Ground {
    range: Range<usize>,
    marks: Arc<Marks>,
}

/// The arenas of all shards. A clone has the same ones.
#[derive(Clone)]
pub(in crate::rt) struct Grounds(Arc<[OnceLock<Ground>]>);

impl Grounds {
    /// Of so many shards, none of which has its arena yet.
    pub(in crate::rt) fn new(shards: u16) -> Self {
        Grounds((0..shards).map(|_| OnceLock::new()).collect())
    }

    /// Notes a shard's arena, once.
    pub(in crate::rt) fn note(&self, shard: ShardId, range: Range<usize>, marks: Arc<Marks>) {
        let first = self.0[usize::from(shard.0)].set(Ground { range, marks });
        assert!(first.is_ok(), "a shard has one arena");
    }

    /// The arena that bytes lie in. A shard that just begins may not be known yet; it has lent nothing.
    fn find(&self, bytes: &[u8]) -> Option<&Ground> {
        let at = bytes.as_ptr() as usize;
        let ground = self.0.iter().filter_map(OnceLock::get).find(|ground| ground.range.contains(&at));
        ground.filter(|_| !bytes.is_empty())
    }

    /// Whether bytes lie in one of the arenas.
    pub(in crate::rt) fn hold(&self, bytes: &[u8]) -> bool {
        self.find(bytes).is_some()
    }

    /// Marks bytes of an arena that are about to be spliced (see `marks`), for as long as the caller holds their loan;
    /// how many regions weren't marked yet.
    pub(in crate::rt) fn mark(&self, bytes: &[u8]) -> usize {
        let ground = self.find(bytes).expect("only an arena's bytes are spliced");
        let from = bytes.as_ptr() as usize - ground.range.start;
        ground.marks.mark(from..from + bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::arena::REGION_BYTES;
    use super::*;

    #[test]
    fn bytes_are_known_by_where_they_lie() {
        let grounds = Grounds::new(2);
        let (lent, copied) = (vec![1; 100], vec![1; 100]);
        assert!(!grounds.hold(&lent));
        let start = lent.as_ptr() as usize;
        grounds.note(ShardId(1), start..start + lent.len(), Arc::new(Marks::new(1)));
        assert!(grounds.hold(&lent) && grounds.hold(&lent[99..]));
        assert!(!grounds.hold(&copied) && !grounds.hold(&lent[100..]));
    }

    #[test]
    fn each_region_that_bytes_lie_in_is_marked_once() {
        let (grounds, marks) = (Grounds::new(1), Arc::new(Marks::new(3)));
        let memory = vec![0u8; 3 * REGION_BYTES];
        let start = memory.as_ptr() as usize;
        grounds.note(ShardId(0), start..start + memory.len(), Arc::clone(&marks));
        assert_eq!(grounds.mark(&memory[REGION_BYTES - 1..REGION_BYTES]), 1);
        assert_eq!(grounds.mark(&memory[..=REGION_BYTES]), 1, "the first is marked already");
        assert_eq!([0, 1, 2].map(|region| marks.has(region)), [true, true, false]);
        marks.clear(0);
        assert_eq!(grounds.mark(&memory[..1]), 1);
    }
}
