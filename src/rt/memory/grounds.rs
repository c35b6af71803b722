//! Where the arenas of all shards lie, so that each can tell shared bytes of the log from copies of them.

use crate::base::ShardId;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The ranges of all shards' arenas. A clone has the same ones.
#[derive(Clone)]
pub(in crate::rt) struct Grounds(Arc<[(AtomicUsize, AtomicUsize)]>);

impl Grounds {
    /// Of so many shards, none of which has its arena yet.
    pub(in crate::rt) fn new(shards: u16) -> Self {
        Grounds((0..shards).map(|_| <(AtomicUsize, AtomicUsize)>::default()).collect())
    }

    /// Notes a shard's arena.
    pub(in crate::rt) fn note(&self, shard: ShardId, range: Range<usize>) {
        let (start, end) = &self.0[usize::from(shard.0)];
        start.store(range.start, Ordering::Relaxed);
        end.store(range.end, Ordering::Relaxed);
    }

    /// Whether bytes lie in one of the arenas. A shard that just begins may not be known yet; it has lent nothing.
    pub(in crate::rt) fn hold(&self, bytes: &[u8]) -> bool {
        let at = bytes.as_ptr() as usize;
        let within = |(start, end): &(AtomicUsize, AtomicUsize)| {
            at >= start.load(Ordering::Relaxed) && at < end.load(Ordering::Relaxed)
        };
        !bytes.is_empty() && self.0.iter().any(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_known_by_where_they_lie() {
        let grounds = Grounds::new(2);
        let (lent, copied) = (vec![1; 100], vec![1; 100]);
        assert!(!grounds.hold(&lent));
        let start = lent.as_ptr() as usize;
        grounds.note(ShardId(1), start..start + lent.len());
        assert!(grounds.hold(&lent) && grounds.hold(&lent[99..]));
        assert!(!grounds.hold(&copied) && !grounds.hold(&lent[100..]));
    }
}
