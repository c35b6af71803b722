//! Which leader epoch began at which offset (KIP-101).

use crate::base::{LeaderEpoch, Offset};

/// Epochs with the offset of their first record, both rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl EpochCache {
    /// An epoch began (or a batch of it was found). Ignored if it isn't newer than the newest.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if epoch.0 < 0 || self.starts.last().is_some_and(|(newest, _)| epoch <= *newest) {
            return;
        }
        // Epochs that began where this one does have no record.
        self.starts.retain(|(_, other)| *other < start);
        self.starts.push((epoch, start));
    }

    /// Where an epoch ends: the largest epoch not above it, and where the next one begins; the current epoch ends at
    /// the log's end. (-1, -1) for a larger one and for -1, which means none (row 98).
    #[must_use]
    pub fn end_for(
        &self,
        epoch: LeaderEpoch,
        current: LeaderEpoch,
        log_end: Offset,
    ) -> (LeaderEpoch, Offset) {
        const UNKNOWN: (LeaderEpoch, Offset) = (LeaderEpoch(-1), -1);
        if epoch.0 == -1 || epoch > current {
            return UNKNOWN;
        }
        if epoch == current {
            return (epoch, log_end);
        }
        match self.starts.partition_point(|(other, _)| *other <= epoch) {
            // Older than anything that is still here: it ends where the oldest begins.
            0 => self.starts.first().map_or(UNKNOWN, |(_, start)| (epoch, *start)),
            next => {
                let end = self.starts.get(next).map_or(log_end, |(_, start)| *start);
                (self.starts[next - 1].0, end)
            }
        }
    }

    /// The epoch of the record at an offset.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let next = self.starts.partition_point(|(_, start)| *start <= offset);
        next.checked_sub(1).map(|index| self.starts[index].0)
    }

    /// Records below an offset are gone: epochs that lie wholly below it go, the first one left begins there.
    pub fn truncate_start(&mut self, log_start: Offset) {
        let covering = self.starts.partition_point(|(_, start)| *start <= log_start);
        if covering > 0 {
            self.starts.drain(..covering - 1);
            self.starts[0].1 = log_start;
        }
    }

    /// Records from an offset on are gone, and epochs that began there.
    pub fn truncate_end(&mut self, log_end: Offset) {
        self.starts.retain(|(_, start)| *start < log_end);
    }

    /// Epochs and their starts.
    #[must_use]
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, Offset)]) -> EpochCache {
        let mut cache = EpochCache::default();
        entries.iter().for_each(|(epoch, start)| cache.assign(LeaderEpoch(*epoch), *start));
        cache
    }

    #[test]
    fn epochs_end_where_the_next_begins() {
        let cache = cache(&[(1, 0), (3, 10), (4, 20)]);
        let end = |epoch| {
            let (LeaderEpoch(epoch), end) = cache.end_for(LeaderEpoch(epoch), LeaderEpoch(4), 25);
            (epoch, end)
        };
        assert_eq!(
            [end(0), end(1), end(2), end(3), end(4), end(5), end(-1), end(-2)],
            [(0, 0), (1, 10), (1, 10), (3, 20), (4, 25), (-1, -1), (-1, -1), (-2, 0)]
        );
    }

    #[test]
    fn an_epoch_without_records_leaves_no_trace() {
        assert_eq!(cache(&[(1, 0), (2, 10), (3, 10)]).entries(), cache(&[(1, 0), (3, 10)]).entries());
        assert_eq!(cache(&[(2, 0), (1, 5), (2, 7)]).entries(), cache(&[(2, 0)]).entries());
    }

    #[test]
    fn truncating_the_end_forgets_epochs_that_began_there() {
        let mut cache = cache(&[(1, 0), (3, 10), (4, 20)]);
        cache.truncate_end(20);
        assert_eq!(cache.entries(), [(LeaderEpoch(1), 0), (LeaderEpoch(3), 10)]);
        cache.truncate_end(0);
        assert!(cache.entries().is_empty());
    }

    #[test]
    fn truncating_the_start_keeps_the_covering_epoch() {
        let mut cache = cache(&[(1, 0), (3, 10), (4, 20)]);
        cache.truncate_start(15);
        assert_eq!(cache.entries(), [(LeaderEpoch(3), 15), (LeaderEpoch(4), 20)]);
        assert_eq!(cache.epoch_at(15), Some(LeaderEpoch(3)));
        assert_eq!(cache.epoch_at(14), None);
    }
}
