//! Looking up the first record at or after a time (rows 95 and 96).

use super::read::{Loader, Rope};
use super::{PartitionLog, StorageError};
use crate::base::{LeaderEpoch, Offset};
use crate::seam::Files;
use crate::wire::batch::first_at_or_after;

/// Bytes looked at before more are read.
const STRIDE: u64 = 64 * 1024;

/// Where to look for a timestamp: the segments that may have it, oldest first.
pub struct TimestampPlan<F: Files> {
    places: Vec<(Loader<F>, u64)>,
    timestamp: i64,
    from: Offset,
    upto: Offset,
}

/// A record that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: i64,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
}

impl<F: Files> PartitionLog<F> {
    /// Plans the look-up of the first record with at least this timestamp, from `from` on and below `upto`. What lies
    /// below the log start may still be in the files, so the caller must say where to begin.
    #[must_use]
    pub fn plan_timestamp(&self, timestamp: i64, from: Offset, upto: Offset) -> TimestampPlan<F> {
        let found = |segment: &super::segment::Segment<F>| {
            if segment.next <= from {
                return None;
            }
            let by_time = segment.index.position_for_timestamp(timestamp)?;
            let start = segment.index.position_for(from).map_or(by_time, |by_offset| by_time.max(by_offset));
            Some((Loader::of(segment, &self.cache), start))
        };
        TimestampPlan { places: self.segments.iter().filter_map(found).collect(), timestamp, from, upto }
    }

    /// Plans the look-up of the first record with the largest timestamp, below `upto`. As in Kafka, it is the largest
    /// of all that the files still have.
    #[must_use]
    pub fn plan_max_timestamp(&self, upto: Offset) -> TimestampPlan<F> {
        let largest = self.segments.iter().map(|segment| segment.index.largest_timestamp()).max();
        match largest {
            Some(timestamp) if timestamp != i64::MIN => self.plan_timestamp(timestamp, 0, upto),
            _ => TimestampPlan { places: Vec::new(), timestamp: i64::MAX, from: 0, upto },
        }
    }
}

impl<F: Files> TimestampPlan<F> {
    /// The record; `None` if there is none.
    ///
    /// # Errors
    /// The file can't be read, or a batch isn't what was written.
    pub async fn run(self) -> Result<Option<Found>, StorageError> {
        for (loader, start) in self.places {
            let mut rope = Rope::at(start);
            let mut position = start;
            while position < loader.end {
                loader.extend(&mut rope, position + STRIDE).await?;
                let corrupt = StorageError::Corrupt { path: loader.path.clone(), position };
                let meta = rope.header(position).ok_or_else(|| corrupt.clone())?;
                let end = position + meta.bytes as u64;
                if meta.base_offset >= self.upto {
                    return Ok(None);
                }
                let wanted = meta.max_timestamp >= self.timestamp && meta.last_offset() >= self.from;
                if wanted && !meta.is_control() {
                    loader.extend(&mut rope, end).await?;
                    if rope.end() < end {
                        return Err(corrupt);
                    }
                    let batch = rope.slices(position, end).concat();
                    let found = first_at_or_after(&batch, self.timestamp, self.from);
                    if let Some((offset, timestamp)) = found.map_err(|_| corrupt)? {
                        return Ok(Some(Found { offset, timestamp, leader_epoch: meta.leader_epoch }));
                    }
                }
                position = end;
            }
        }
        Ok(None)
    }
}
