//! Writing a partition's checkpoint: a new file, flushed, then renamed over the old one.

use super::StorageError;
use crate::base::Offset;
use crate::log::checkpoint::{Checkpoint, FILE_NAME};
use crate::log::epochs::EpochCache;
use crate::log::producers::ProducerStates;
use crate::seam::{File, Files, WriteBuf};
use std::path::{Path, PathBuf};

/// A checkpoint to write.
pub struct CheckpointJob {
    dir: PathBuf,
    content: Vec<u8>,
}

impl CheckpointJob {
    pub(super) fn new(
        dir: &Path,
        log_start: Offset,
        durable: Offset,
        producers: &ProducerStates,
        epochs: &EpochCache,
    ) -> Self {
        let checkpoint =
            Checkpoint { log_start, durable, producers: producers.clone(), epochs: epochs.clone() };
        CheckpointJob { dir: dir.to_owned(), content: checkpoint.encode() }
    }

    /// Writes it; when this returns it survives a power cut.
    ///
    /// # Errors
    /// A file operation failed; the old checkpoint is still there.
    pub async fn run<F: Files>(self, files: &F) -> Result<(), StorageError> {
        let fresh = self.dir.join("checkpoint.new");
        let file = files.create(&fresh).await?;
        let mut buf = files.alloc(self.content.len());
        buf.bytes_mut().copy_from_slice(&self.content);
        file.write(0, &buf.seal(self.content.len())).await?;
        file.sync().await?;
        files.rename(&fresh, &self.dir.join(FILE_NAME)).await?;
        files.sync_dir(&self.dir).await?;
        Ok(())
    }
}
