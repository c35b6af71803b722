//! Zeros ahead of the appends: a write within them needs a flush of the device only, one that grows the file pays for
//! its metadata as well (measured 2 to 3 times as long).

use super::segment::Segment;
use super::{PartitionLog, StorageError};
use crate::base::limits::SEGMENT_HEADER_BYTES;
use crate::base::mutant::{Mutant, planted};
use crate::base::{Offset, TopicPartition};
use crate::log::segment::block_ceil;
use crate::seam::{File, Files};

/// Zeros kept ahead at first; three times what is there, up to the largest. Small at first, for partitions are many.
const AHEAD_FIRST: u64 = 64 << 10;
const AHEAD_MAX: u64 = 64 << 20;
/// Zeros of one job: a flush that meets a job under way waits for it.
const JOB_MAX: u64 = 16 << 20;

/// Where zeros are being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preparing {
    base: Offset,
    from: u64,
}

impl<F: Files> PartitionLog<F> {
    /// Zeros to write ahead of the appends, if it is time.
    pub fn prepare_next(&mut self) -> Option<PrepareJob<F>> {
        let segment_bytes = self.conf.segment_bytes + SEGMENT_HEADER_BYTES as u64;
        let segment = self.segments.back().filter(|_| self.preparing.is_none() && !self.cutting)?;
        let file = segment.file.borrow().clone()?;
        // What was appended is left to its flush, which may be under way: zeros over it would be the end of it.
        let mut from = segment.prepared_to().max(block_ceil(segment.end));
        if planted(Mutant::ZerosOverFlush) {
            from = segment.extent;
        }
        let ahead = (segment.end * 3).next_power_of_two().clamp(AHEAD_FIRST, AHEAD_MAX);
        let to = block_ceil((from + ahead.min(JOB_MAX)).min(segment_bytes));
        if segment.is_empty() || from.saturating_sub(segment.end) >= ahead / 2 || to <= from {
            return None;
        }
        self.preparing = Some(Preparing { base: segment.base, from });
        Some(PrepareJob { key: self.key, base: segment.base, file, from, to })
    }

    /// Takes back zeros that were written; a flush that waited for them may go on.
    pub fn prepared(&mut self, done: Prepared) {
        self.preparing = None;
        let takes_zeros =
            |segment: &&mut Segment<F>| segment.base == done.base && segment.compacted.is_none();
        if let Some(segment) = self.segments.iter_mut().find(takes_zeros) {
            segment.zeroed = Some((done.from, done.to));
            segment.join_zeros();
        }
    }

    /// Zeros could not be written. Appends go on; each flush that grows the file is then one of its own.
    pub fn preparation_failed(&mut self) {
        self.preparing = None;
    }

    /// Whether a flush would write where zeros are being written, or cut a file that they make grow.
    pub(super) fn waits_for_zeros(&self) -> bool {
        let Some(Preparing { base, from }) = self.preparing else { return false };
        self.segments.back().is_some_and(|active| active.base != base || block_ceil(active.end) > from)
    }
}

/// Zeros to write ahead.
pub struct PrepareJob<F: Files> {
    key: TopicPartition,
    base: Offset,
    file: F::File,
    from: u64,
    to: u64,
}

/// Zeros that were written ahead and are durable.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    base: Offset,
    from: u64,
    to: u64,
}

impl<F: Files> PrepareJob<F> {
    /// Whose.
    #[must_use]
    pub fn key(&self) -> TopicPartition {
        self.key
    }

    /// Writes them and makes the file's new length durable.
    ///
    /// # Errors
    /// The file can't be written; nothing that was acknowledged is touched.
    pub async fn run(self) -> Result<Prepared, StorageError> {
        self.file.write_zeros(self.from..self.to).await?;
        self.file.sync().await?;
        Ok(Prepared { base: self.base, from: self.from, to: self.to })
    }
}
