//! A sparse index of one segment: from offsets and timestamps to positions. Never read from disk: it comes from the
//! batches themselves, as they are appended, scanned, or read for the first time after a restart.

use crate::base::Offset;
use crate::wire::batch::BatchMeta;

/// Bytes between entries at least. One entry is 24 bytes, so a full 1 GiB segment takes 6 MiB at most.
const INTERVAL_BYTES: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: Offset,
    position: u64,
    /// Largest timestamp from here to the next entry.
    largest: i64,
}

/// A place between two batches: the next one's offset, and its position.
pub type Place = (Offset, u64);

/// Consecutive batches of a segment.
#[derive(Clone, Debug)]
struct Run {
    entries: Vec<Entry>,
    end: Place,
}

impl Run {
    fn push(&mut self, meta: &BatchMeta, position: u64) {
        let due = self.entries.last().is_none_or(|last| position >= last.position + INTERVAL_BYTES);
        if due {
            self.entries.push(Entry { offset: meta.base_offset, position, largest: i64::MIN });
        }
        if let Some(last) = self.entries.last_mut().filter(|_| meta.count > 0) {
            last.largest = last.largest.max(meta.max_timestamp);
        }
        self.end = (meta.last_offset() + 1, position + meta.bytes as u64);
    }

    fn position_for(&self, offset: Offset) -> Option<u64> {
        let next = self.entries.partition_point(|entry| entry.offset <= offset);
        // Compaction may have left nothing below the first batch that is here.
        self.entries.get(next.saturating_sub(1)).map(|entry| entry.position)
    }
}

/// The index of one segment. After a restart it knows nothing of the batches that a checkpoint told of; they are noted
/// from the segment's start on when somebody needs them, while new ones are noted at its end.
#[derive(Clone, Debug)]
pub struct Index {
    /// From the segment's start on.
    low: Run,
    /// From where the unknown part ends; empty if there is none.
    high: Option<(Place, Run)>,
    /// Largest timestamp of the segment.
    largest: i64,
}

impl Index {
    /// The index of an empty segment.
    #[must_use]
    pub fn new(start: Place) -> Self {
        Index { low: Run { entries: Vec::new(), end: start }, high: None, largest: i64::MIN }
    }

    /// The index of a segment with batches from `start` to `end`, of which only the largest timestamp is known.
    #[must_use]
    pub fn unknown(start: Place, end: Place, largest: i64) -> Self {
        let high = Some((end, Run { entries: Vec::new(), end })).filter(|_| end.1 > start.1);
        Index { high, largest, ..Index::new(start) }
    }

    /// Where the part that isn't known begins.
    #[must_use]
    pub fn unknown_from(&self) -> Option<Place> {
        self.high.as_ref().map(|_| self.low.end)
    }

    /// Notes the batch at a position. Ignored unless it follows what is known.
    pub fn push(&mut self, meta: &BatchMeta, position: u64) {
        if position == self.low.end.1 {
            self.low.push(meta, position);
            self.join();
        } else if let Some((_, run)) = self.high.as_mut().filter(|(_, run)| run.end.1 == position) {
            run.push(meta, position);
        } else {
            return;
        }
        if meta.count > 0 {
            self.largest = self.largest.max(meta.max_timestamp);
        }
    }

    /// Joins both parts once nothing between them is unknown.
    fn join(&mut self) {
        if let Some((_, run)) = self.high.take_if(|(start, _)| start.1 <= self.low.end.1) {
            self.low.entries.extend(run.entries);
            self.low.end = run.end;
        }
    }

    /// Whether the batch that holds an offset can be found.
    #[must_use]
    pub fn knows(&self, offset: Offset) -> bool {
        self.high.as_ref().is_none_or(|(start, _)| offset < self.low.end.0 || offset >= start.0)
    }

    /// Whether the batch that holds an offset begins no later than where the known part ends: whoever reads on from
    /// `position_for` comes to it without passing what is unknown.
    #[must_use]
    pub fn reaches(&self, offset: Offset) -> bool {
        self.knows(offset) || offset == self.low.end.0
    }

    /// A batch's position at or before the batch that holds `offset`, where that is known; else where to look for it.
    #[must_use]
    pub fn position_for(&self, offset: Offset) -> u64 {
        match &self.high {
            Some((start, run)) if offset >= start.0 => run.position_for(offset).unwrap_or(start.1),
            _ if offset >= self.low.end.0 => self.low.end.1,
            _ => self.low.position_for(offset).unwrap_or(self.low.end.1),
        }
    }

    /// A batch's position at or before the first batch with a timestamp of at least `timestamp`, among those from the
    /// segment's start to the unknown part. Timestamps needn't rise (row 95).
    #[must_use]
    pub fn position_for_timestamp(&self, timestamp: i64) -> Option<u64> {
        self.low.entries.iter().find(|entry| entry.largest >= timestamp).map(|entry| entry.position)
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

    fn batches() -> Vec<(i64, u64, BatchMeta)> {
        let mut position = 4096;
        let batch = |(offset, timestamp): (i64, i64)| {
            let value = [0; 900];
            let batch = BatchBuilder::new(Codec::None, timestamp).record(timestamp, None, Some(&value));
            let meta = BatchMeta::read(&batch.build_at(offset, LeaderEpoch(0))).unwrap();
            position += meta.bytes as u64;
            (timestamp, position - meta.bytes as u64, meta)
        };
        (0..200).map(|i| (i, (i * 37) % 101)).map(batch).collect()
    }

    fn check(index: &Index, batches: &[(i64, u64, BatchMeta)]) {
        for (_, position, meta) in batches {
            assert!(index.knows(meta.base_offset));
            let found = index.position_for(meta.base_offset);
            assert!(found <= *position && position - found < 8192);
        }
        for wanted in 0..=101 {
            let first = batches.iter().find(|(timestamp, ..)| *timestamp >= wanted);
            match (first, index.position_for_timestamp(wanted)) {
                (Some((_, position, _)), Some(found)) => assert!(found <= *position, "{wanted}"),
                (first, found) => assert_eq!(first.is_none(), found.is_none(), "{wanted}"),
            }
        }
    }

    #[test]
    fn positions_are_at_or_before_what_is_sought() {
        let mut index = Index::new((0, 4096));
        batches().iter().for_each(|(_, position, meta)| index.push(meta, *position));
        check(&index, &batches());
        assert_eq!((index.unknown_from(), index.largest_timestamp()), (None, 100));
        assert!(index.position_for(200) > batches()[199].1);
    }

    #[test]
    fn what_a_checkpoint_told_of_is_noted_from_the_start_while_more_is_appended() {
        let all = batches();
        let (_, middle, first) = &all[120];
        let mut index = Index::unknown((0, 4096), (120, *middle), 77);
        assert_eq!((index.knows(119), index.position_for(119)), (false, 4096));
        assert_eq!((index.knows(120), index.position_for(120)), (true, *middle));
        index.push(first, *middle);
        all[..60].iter().for_each(|(_, position, meta)| index.push(meta, *position));
        assert_eq!(index.unknown_from(), Some((60, all[60].1)));
        assert!(index.knows(59) && !index.knows(60));
        assert!(index.reaches(60) && !index.reaches(61));
        assert_eq!(index.position_for(60), all[60].1);
        all[121..150].iter().for_each(|(_, position, meta)| index.push(meta, *position));
        all[60..120].iter().for_each(|(_, position, meta)| index.push(meta, *position));
        all[150..].iter().for_each(|(_, position, meta)| index.push(meta, *position));
        check(&index, &all);
    }
}
