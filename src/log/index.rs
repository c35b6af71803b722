//! A sparse index of one segment: from offsets and timestamps to positions. Rebuilt by recovery, never read from disk.

use crate::base::Offset;
use crate::wire::batch::BatchMeta;

/// Bytes between entries at least. One entry is 24 bytes, so a full 1 GiB segment takes 6 MiB at most.
const INTERVAL_BYTES: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: Offset,
    position: u64,
    /// Largest timestamp of all batches before this one.
    largest_before: i64,
}

/// The index of one segment.
#[derive(Clone, Debug)]
pub struct Index {
    entries: Vec<Entry>,
    largest: i64,
}

impl Default for Index {
    fn default() -> Self {
        Index { entries: Vec::new(), largest: i64::MIN }
    }
}

impl Index {
    /// Notes a batch at the segment's end.
    pub fn push(&mut self, meta: &BatchMeta, position: u64) {
        let due = self.entries.last().is_none_or(|last| position >= last.position + INTERVAL_BYTES);
        if due {
            self.entries.push(Entry { offset: meta.base_offset, position, largest_before: self.largest });
        }
        self.largest = self.largest.max(meta.max_timestamp);
    }

    /// A batch's position at or before the batch that holds `offset`.
    #[must_use]
    pub fn position_for(&self, offset: Offset) -> Option<u64> {
        let next = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries.get(next.saturating_sub(1)).map(|entry| entry.position)
    }

    /// A batch's position at or before the first batch with a timestamp of at least `timestamp`; `None` if there is
    /// none. Timestamps needn't rise, so it is the running maximum that is searched (row 95).
    #[must_use]
    pub fn position_for_timestamp(&self, timestamp: i64) -> Option<u64> {
        if self.largest < timestamp {
            return None;
        }
        let next = self.entries.partition_point(|entry| entry.largest_before < timestamp);
        self.entries.get(next.saturating_sub(1)).map(|entry| entry.position)
    }

    /// Largest timestamp in the segment; `i64::MIN` if it is empty.
    #[must_use]
    pub fn largest_timestamp(&self) -> i64 {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LeaderEpoch;
    use crate::wire::batch::{BatchBuilder, Codec};

    #[test]
    fn positions_are_at_or_before_what_is_sought() {
        let mut index = Index::default();
        let timestamps: Vec<i64> = (0..200).map(|i| (i * 37) % 101).collect();
        let position = |i: usize| 4096 + i as u64 * 1000;
        for (i, timestamp) in timestamps.iter().enumerate() {
            let batch = BatchBuilder::new(Codec::None, *timestamp).record(*timestamp, None, None);
            let batch = batch.build_at(i64::try_from(i).unwrap(), LeaderEpoch(0));
            index.push(&BatchMeta::read(&batch).unwrap(), position(i));
        }
        for (i, _) in timestamps.iter().enumerate() {
            let found = index.position_for(i64::try_from(i).unwrap()).unwrap();
            assert!(found <= position(i) && position(i) - found < 8192);
        }
        for wanted in 0..=101 {
            let first = timestamps.iter().position(|timestamp| *timestamp >= wanted);
            match (first, index.position_for_timestamp(wanted)) {
                (Some(first), Some(found)) => assert!(found <= position(first), "{wanted}"),
                (first, found) => assert_eq!(first.is_none(), found.is_none(), "{wanted}"),
            }
        }
    }
}
