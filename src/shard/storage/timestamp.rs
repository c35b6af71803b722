//! Looking up the first record at or after a time (rows 95 and 96).

use super::read::Loader;
use super::rope::Rope;
use super::segment::Segment;
use super::{PartitionLog, StorageError};
use crate::base::{LeaderEpoch, Offset};
use crate::seam::{Files, World};
use crate::wire::batch::{RecordError, Searched, TimestampSearch};
use bytes::Bytes;

/// Bytes looked at before more are read.
const STRIDE: u64 = 64 * 1024;

/// Where to look for a timestamp: the segments that may have it, oldest first.
pub struct TimestampPlan<F: Files> {
    segments: Vec<Loader<F>>,
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
        let may_have = |segment: &&Segment<F>| {
            segment.next > from && segment.index.borrow().largest_timestamp() >= timestamp
        };
        let segments = self.segments.iter().filter(may_have).map(|segment| Loader::of(segment, self));
        TimestampPlan { segments: segments.collect(), timestamp, from, upto }
    }

    /// Plans the look-up of the first record with the largest timestamp, below `upto`. As in Kafka, it is the largest
    /// of all that the files still have.
    #[must_use]
    pub fn plan_max_timestamp(&self, upto: Offset) -> TimestampPlan<F> {
        let largest = self.segments.iter().map(|segment| segment.index.borrow().largest_timestamp()).max();
        match largest {
            Some(timestamp) if timestamp != i64::MIN => self.plan_timestamp(timestamp, 0, upto),
            _ => TimestampPlan { segments: Vec::new(), timestamp: i64::MAX, from: 0, upto },
        }
    }
}

impl<F: Files> TimestampPlan<F> {
    /// The record; `None` if there is none. Produce takes no batch that can't be looked into; where an earlier build
    /// took one, its first offset is the answer: whoever reads from there on misses nothing.
    ///
    /// # Errors
    /// The file can't be read, or a batch isn't what was written.
    pub async fn run(self, world: &impl World) -> Result<Option<Found>, StorageError> {
        for loader in self.segments {
            loader.index_until(|index| index.position_for_timestamp(self.timestamp).is_some()).await?;
            let by_time = loader.index.borrow().position_for_timestamp(self.timestamp);
            let Some(by_time) = by_time else { continue };
            let start = by_time.max(loader.index.borrow().position_for(self.from));
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
                    let batch = joined(rope.slices(position, end));
                    let found = look_into(world, batch, self.timestamp, self.from).await;
                    let found = found.unwrap_or_else(|error| {
                        let path = loader.path.display();
                        tracing::debug!(%error, position, "a batch in {path} can't be looked into");
                        Some((meta.base_offset.max(self.from), meta.max_timestamp))
                    });
                    if let Some((offset, timestamp)) = found {
                        return Ok(Some(Found { offset, timestamp, leader_epoch: meta.leader_epoch }));
                    }
                }
                if end / STRIDE > position / STRIDE {
                    world.yield_now().await;
                }
                position = end;
                rope.release(position);
            }
        }
        Ok(None)
    }
}

/// One batch in one piece.
fn joined(mut slices: Vec<Bytes>) -> Bytes {
    if slices.len() == 1 { slices.swap_remove(0) } else { slices.concat().into() }
}

/// Looks into one batch, and lets others run between its pieces.
async fn look_into(
    world: &impl World,
    batch: Bytes,
    timestamp: i64,
    from: Offset,
) -> Result<Option<(Offset, i64)>, RecordError> {
    let mut search = TimestampSearch::new(batch, timestamp, from)?;
    loop {
        match search.step()? {
            Searched::Found(offset, timestamp) => return Ok(Some((offset, timestamp))),
            Searched::Nothing => return Ok(None),
            Searched::More => world.yield_now().await,
        }
    }
}
