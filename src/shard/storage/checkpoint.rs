//! Writing a partition's checkpoint: a new file, flushed, then renamed over the old one. One at a time per partition;
//! whatever rests on it (a new log start, the removal of files) comes after it.

use super::segment::Segment;
use super::{PartitionLog, StorageError};
use crate::base::Offset;
use crate::base::mutant::{Mutant, planted};
use crate::log::checkpoint::{Checkpoint, FILE_NAME};
use crate::log::epochs::EpochCache;
use crate::log::producers::ProducerStates;
use crate::seam::{File, Files, WriteBuf};
use std::path::{Path, PathBuf};

/// A checkpoint to write.
pub struct CheckpointJob {
    dir: PathBuf,
    content: Vec<u8>,
    log_start: Offset,
    durable: Offset,
    clean: Offset,
    /// Bytes that it tells of and the one before didn't.
    told: u64,
    /// Files of segments that the log has let go of.
    doomed: Vec<PathBuf>,
}

impl<F: Files> PartitionLog<F> {
    /// What to write down now.
    pub fn begin_checkpoint(
        &mut self,
        producers: &ProducerStates,
        epochs: &EpochCache,
        high_watermark: Offset,
    ) -> CheckpointJob {
        let mut segments: Vec<_> = self.segments.iter().map_while(Segment::facts).collect();
        // What is told reaches from segment to segment up to where producers and epochs are told.
        let gap = segments.windows(2).position(|pair| pair[0].next_offset != pair[1].base_offset);
        segments.truncate(gap.map_or(segments.len(), |gap| gap + 1));
        let durable = segments.last().map_or(self.log_start, |last| last.next_offset);
        // What lies beyond may be lost, and other leaders may write there.
        let mut epochs = epochs.clone();
        epochs.truncate_end(durable.max(self.log_start));
        let checkpoint = Checkpoint {
            log_start: self.log_start,
            durable: durable.max(self.log_start),
            producers: if planted(Mutant::SnapshotAhead) {
                producers.clone()
            } else {
                producers.as_of(durable)
            },
            epochs,
            segments,
            clean: self.clean,
            high_watermark: high_watermark.min(durable),
        };
        CheckpointJob {
            dir: self.dir.clone(),
            content: checkpoint.encode(),
            log_start: self.log_start,
            durable: checkpoint.durable,
            clean: self.clean,
            told: self.since_checkpoint.saturating_sub(self.undurable),
            doomed: std::mem::take(&mut self.doomed),
        }
    }

    /// Takes back a job: its checkpoint survives a power cut.
    pub fn checkpointed(&mut self, job: &CheckpointJob) {
        self.checkpointed_start = self.checkpointed_start.max(job.log_start);
        self.checkpointed_durable = job.durable;
        self.checkpointed_clean = job.clean;
        self.since_checkpoint -= job.told;
    }

    /// Takes back a job that failed.
    pub fn checkpoint_failed(&mut self, job: CheckpointJob) {
        self.doomed.extend(job.doomed);
    }

    /// Whether the last checkpoint tells everything.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.since_checkpoint == 0
            && self.doomed.is_empty()
            && self.checkpointed_start == self.log_start
            && self.checkpointed_clean == self.clean
    }

    /// Bytes that a recovery now would have to scan.
    #[must_use]
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.since_checkpoint
    }

    /// A restart would know all below without reading it.
    #[must_use]
    pub fn checkpointed_durable(&self) -> Offset {
        self.checkpointed_durable
    }

    /// The first offset that a restart would keep.
    #[must_use]
    pub fn checkpointed_start(&self) -> Offset {
        self.checkpointed_start
    }
}

impl CheckpointJob {
    /// A checkpoint that goes with a cut: it tells everything.
    pub(super) fn of_cut(dir: &Path, checkpoint: &Checkpoint, doomed: Vec<PathBuf>) -> Self {
        CheckpointJob {
            dir: dir.to_owned(),
            content: checkpoint.encode(),
            log_start: checkpoint.log_start,
            durable: checkpoint.durable,
            clean: checkpoint.clean,
            told: 0,
            doomed,
        }
    }

    /// Writes it, then removes the files that nobody needs any more.
    ///
    /// # Errors
    /// A file operation failed; the old checkpoint is still there.
    pub async fn run<F: Files>(&mut self, files: &F) -> Result<(), StorageError> {
        let fresh = self.dir.join("checkpoint.new");
        let file = files.create(&fresh).await?;
        let mut buf = files.alloc(self.content.len());
        buf.bytes_mut().copy_from_slice(&self.content);
        file.write(0, &buf.seal(self.content.len())).await?;
        file.sync().await?;
        files.rename(&fresh, &self.dir.join(FILE_NAME)).await?;
        files.sync_dir(&self.dir).await?;
        // The oldest first: what a crash leaves must follow each other.
        while let Some(path) = self.doomed.first() {
            files.remove(path).await?;
            self.doomed.remove(0);
        }
        Ok(())
    }
}
