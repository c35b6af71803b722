//! What is compacted, and when.

use crate::base::Offset;

/// The settings in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_dirty_millionths: u32,
    /// `min.compaction.lag.ms`.
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_lag_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
}

/// What is known of a segment that takes no more appends and is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record.
    pub next_offset: Offset,
    /// Bytes of its batches.
    pub bytes: u64,
    /// Its largest timestamp.
    pub largest_timestamp: i64,
    /// When it was made, in ms.
    pub created_ms: i64,
}

/// What a round would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The dirty point.
    pub from: Offset,
    /// Segments below are rewritten.
    pub upto: Offset,
    /// Bytes of segments that are clean.
    pub clean_bytes: u64,
    /// Bytes of segments that aren't.
    pub dirty_bytes: u64,
    /// The oldest dirty segment is older than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl Work {
    /// The share of dirty bytes, in millionths.
    #[must_use]
    pub fn dirty_millionths(&self) -> u32 {
        let all = u128::from(self.clean_bytes + self.dirty_bytes).max(1);
        u32::try_from(u128::from(self.dirty_bytes) * 1_000_000 / all).unwrap_or(u32::MAX)
    }

    /// Whether it is time for it.
    #[must_use]
    pub fn is_due(&self, policy: &Policy) -> bool {
        self.dirty_bytes > 0 && (self.overdue || self.dirty_millionths() > policy.min_dirty_millionths)
    }
}

/// What there is to do in a log. `sealed` are its segments in order, without the active one. Nothing at or beyond
/// `stable` is touched: there are transactions whose end isn't known, and records that consumers can't see yet.
#[must_use]
pub fn look(sealed: &[Extent], dirty_from: Offset, stable: Offset, policy: &Policy, now_ms: i64) -> Work {
    let is_dirty = |segment: &&Extent| segment.next_offset > dirty_from;
    let cleanable = |segment: &&Extent| {
        let old = policy.min_lag_ms == 0
            || segment.largest_timestamp <= now_ms.saturating_sub(policy.min_lag_ms)
            || !is_dirty(segment);
        segment.next_offset <= stable && old
    };
    let segments: Vec<&Extent> = sealed.iter().take_while(cleanable).collect();
    let bytes = |dirty: bool| {
        segments.iter().filter(|segment| is_dirty(segment) == dirty).map(|segment| segment.bytes).sum()
    };
    let oldest = segments.iter().find(|segment| is_dirty(segment));
    Work {
        from: dirty_from,
        upto: segments.last().map_or(dirty_from, |last| last.next_offset),
        clean_bytes: bytes(false),
        dirty_bytes: bytes(true),
        overdue: oldest.is_some_and(|segment| now_ms.saturating_sub(segment.created_ms) > policy.max_lag_ms),
    }
}

/// Whether the segment that is being written ends before the next source: so that a compacted log doesn't come to
/// consist of tiny segments, sources are joined as long as what is left of them surely fits.
#[must_use]
pub fn group_end(written_bytes: u64, next_bytes: u64, segment_bytes: u64) -> bool {
    written_bytes + next_bytes > segment_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { min_dirty_millionths: 500_000, min_lag_ms: 0, max_lag_ms: i64::MAX, delete_retention_ms: 0 };

    fn segments() -> Vec<Extent> {
        let segment = |nth: i64| Extent {
            base_offset: nth * 10,
            next_offset: nth * 10 + 10,
            bytes: 100,
            largest_timestamp: nth * 1000,
            created_ms: nth * 1000 - 500,
        };
        (0..4).map(segment).collect()
    }

    #[test]
    fn a_log_is_due_when_enough_of_it_is_dirty() {
        let work = look(&segments(), 10, 100, &POLICY, 9000);
        assert_eq!((work.upto, work.clean_bytes, work.dirty_bytes), (40, 100, 300));
        assert_eq!(work.dirty_millionths(), 750_000);
        assert!(work.is_due(&POLICY));
        assert!(!look(&segments(), 20, 100, &POLICY, 9000).is_due(&POLICY), "half isn't more than half");
        let none = look(&segments(), 40, 100, &POLICY, 9000);
        assert!(!none.is_due(&Policy { min_dirty_millionths: 0, ..POLICY }), "nothing is dirty");
        assert_eq!(look(&segments(), 15, 100, &POLICY, 0).dirty_bytes, 300, "a segment in part is dirty");
        assert!(!look(&[], 0, 100, &POLICY, 0).is_due(&POLICY));
    }

    #[test]
    fn what_isnt_stable_or_is_too_young_stays() {
        assert_eq!(look(&segments(), 0, 29, &POLICY, 9000).upto, 20);
        let young = Policy { min_lag_ms: 7000, ..POLICY };
        assert_eq!(look(&segments(), 0, 100, &young, 9000).upto, 30);
        assert_eq!(look(&segments(), 30, 100, &young, 7000).upto, 30, "what is clean has been old enough");
    }

    #[test]
    fn what_waits_too_long_is_due_whatever_its_share() {
        let policy = Policy { max_lag_ms: 1000, min_dirty_millionths: 1_000_000, ..POLICY };
        assert!(look(&segments(), 30, 100, &policy, 3501).is_due(&policy));
        assert!(!look(&segments(), 30, 100, &policy, 3500).is_due(&policy));
    }
}
