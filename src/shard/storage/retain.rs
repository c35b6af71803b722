//! Deleting segments that retention lets go.

use super::{PartitionLog, StorageError};
use crate::base::Offset;
use crate::log::epochs::EpochCache;
use crate::log::producers::ProducerStates;
use crate::log::retention::{Bounds, Sealed, plan};
use crate::seam::Files;
use std::path::PathBuf;

/// Segments to delete.
pub struct RetentionJob {
    log_start: Offset,
    checkpoint: super::CheckpointJob,
    paths: Vec<PathBuf>,
}

impl<F: Files> PartitionLog<F> {
    /// Takes the segments out of the log that time, size or the log start let go; the job deletes their files.
    pub fn plan_retention(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
        producers: &ProducerStates,
        epochs: &EpochCache,
    ) -> Option<RetentionJob> {
        let (active, sealed) = self.segments.iter().collect::<Vec<_>>().split_last().map(|(a, s)| {
            let facts = |segment: &&super::segment::Segment<F>| Sealed {
                next_offset: segment.next,
                bytes: segment.batch_bytes(),
                largest_timestamp: segment.index.largest_timestamp(),
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
        let paths = gone.into_iter().map(|segment| segment.path).collect();
        Some(RetentionJob {
            log_start: self.log_start,
            checkpoint: self.checkpoint(producers, epochs),
            paths,
        })
    }
}

impl RetentionJob {
    /// The log start once they are gone.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Notes the new log start and what the deleted segments said of producers, then deletes them.
    ///
    /// # Errors
    /// A file operation failed; what is left is deleted at the next start.
    pub async fn run<F: Files>(self, files: &F) -> Result<(), StorageError> {
        self.checkpoint.run(files).await?;
        for path in &self.paths {
            files.remove(path).await?;
        }
        Ok(())
    }
}
