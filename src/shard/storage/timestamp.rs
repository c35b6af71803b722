//! Looking up the first record at or after a time (row 95).

use super::read::{Loader, Rope};
use super::segment::Segment;
use super::{PartitionLog, StorageError};
use crate::base::Offset;
use crate::seam::Files;
use crate::wire::batch::first_at_or_after;

/// Bytes looked at before more are read.
const STRIDE: u64 = 64 * 1024;

/// Where to look for a timestamp: the segments that may have it, oldest first.
pub struct TimestampPlan<F: Files> {
    segments: Vec<Loader<F>>,
    timestamp: i64,
    upto: Offset,
}

impl<F: Files> PartitionLog<F> {
    /// Plans the look-up of the first record with at least this timestamp, below `upto`.
    #[must_use]
    pub fn plan_timestamp(&self, timestamp: i64, upto: Offset) -> TimestampPlan<F> {
        let may_have = |segment: &&Segment<F>| segment.index.borrow().largest_timestamp() >= timestamp;
        let segments = self.segments.iter().filter(may_have).map(|segment| Loader::of(segment, self));
        TimestampPlan { segments: segments.collect(), timestamp, upto }
    }

    /// Plans the look-up of the record with the largest timestamp, below `upto`.
    #[must_use]
    pub fn plan_max_timestamp(&self, upto: Offset) -> TimestampPlan<F> {
        let largest = self.segments.iter().map(|segment| segment.index.borrow().largest_timestamp()).max();
        match largest {
            Some(timestamp) if timestamp != i64::MIN => self.plan_timestamp(timestamp, upto),
            _ => TimestampPlan { segments: Vec::new(), timestamp: i64::MAX, upto },
        }
    }
}

impl<F: Files> TimestampPlan<F> {
    /// The record's offset and timestamp; `None` if there is none.
    ///
    /// # Errors
    /// The file can't be read, or a batch isn't what was written.
    pub async fn run(self) -> Result<Option<(Offset, i64)>, StorageError> {
        for loader in self.segments {
            loader.index_until(|index| index.position_for_timestamp(self.timestamp).is_some()).await?;
            let Some(start) = loader.index.borrow().position_for_timestamp(self.timestamp) else { continue };
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
                if meta.max_timestamp >= self.timestamp && !meta.is_control() {
                    loader.extend(&mut rope, end).await?;
                    if rope.end() < end {
                        return Err(corrupt);
                    }
                    let batch = rope.slices(position, end).concat();
                    if let Some(found) = first_at_or_after(&batch, self.timestamp).map_err(|_| corrupt)? {
                        return Ok(Some(found));
                    }
                }
                position = end;
            }
        }
        Ok(None)
    }
}
