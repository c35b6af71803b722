//! Letting go of segments that retention no longer keeps.

use super::PartitionLog;
use crate::base::Offset;
use crate::log::retention::{Bounds, Sealed, plan};
use crate::seam::Files;

impl<F: Files> PartitionLog<F> {
    /// Takes the segments out of the log that time, size or the log start let go, and returns the log's new start; the
    /// next checkpoint removes their files. `None` if all stay.
    pub fn retain(&mut self, now_ms: i64, high_watermark: Offset) -> Option<Offset> {
        if self.replacing || self.cutting {
            return None;
        }
        let (active, sealed) = self.segments.iter().collect::<Vec<_>>().split_last().map(|(a, s)| {
            let facts = |segment: &&super::segment::Segment<F>| Sealed {
                next_offset: segment.next,
                bytes: segment.batch_bytes(),
                largest_timestamp: segment.index.borrow().largest_timestamp(),
            };
            (a.batch_bytes(), s.iter().map(facts).collect::<Vec<_>>())
        })?;
        let bounds = Bounds {
            retention_ms: self.conf.retention_ms,
            retention_bytes: self.conf.retention_bytes,
            log_start: self.log_start,
            high_watermark: high_watermark.min(self.durable),
        };
        let count = plan(&sealed, active, &bounds, now_ms);
        if count == 0 {
            return None;
        }
        let gone: Vec<_> = self.segments.drain(..count).collect();
        let first_left = self.segments.front().map_or(0, |segment| segment.base);
        self.log_start = self.log_start.max(first_left);
        gone.iter().for_each(|segment| segment.forget(&self.cache));
        self.doomed.extend(gone.into_iter().map(|segment| segment.path));
        Some(self.log_start)
    }
}
