//! Writing the metadata journal: frames at its end, zeros ahead of them, and now and then all of it anew.

use super::storage::StorageError;
use super::{Broker, FilesOf, Shard};
use crate::base::limits::BLOCK_BYTES;
use crate::base::mutant::{Mutant, planted};
use crate::cluster::{Record, frame};
use crate::seam::{File, Files, IoError, World, WriteBuf};

/// The journal's file within the data directory.
pub(super) const JOURNAL: &str = "metadata.journal";
/// A journal this much longer than its state would be is written anew.
const COMPACT_BYTES: u64 = 8 << 20;
/// Zeros behind a journal that was written anew: on a full disk there is room for the deletion of topics, and frames
/// that don't make the file grow are flushed faster.
const AHEAD_BYTES: u64 = 256 << 10;

/// A journal to append to: the file, where its next frame goes, the CRC to chain it to.
pub(super) struct JournalEnd<F: Files> {
    pub(super) file: F::File,
    pub(super) end: u64,
    pub(super) chain: u32,
    /// Its length when it was last written anew.
    pub(super) whole: u64,
}

impl<B: Broker> Shard<B> {
    /// Makes records durable. Waits as long as there is no room for them: they are decided already.
    pub(super) async fn commit(&self, records: &[Record]) -> Result<(), IoError> {
        if records.is_empty() || self.compact().await? {
            return Ok(());
        }
        let (file, at, bytes) = {
            let mut slot = self.0.coordinator.borrow_mut();
            let Some(coordinator) = slot.as_mut() else { return Ok(()) };
            let journal = &mut coordinator.journal;
            let (bytes, chain) = frame(records, journal.chain);
            let at = journal.end;
            (journal.end, journal.chain) = (at + bytes.len() as u64, chain);
            (journal.file.clone(), at, bytes)
        };
        loop {
            let Err(error) = self.write_frame(&file, at, &bytes).await else { return Ok(()) };
            if !self.wait_for_room("the metadata journal", &StorageError::Io(error.clone())).await {
                return Err(error);
            }
        }
    }

    /// Writes the journal anew if it has grown long; true if that committed what was decided last as well.
    async fn compact(&self) -> Result<bool, IoError> {
        let all = {
            let slot = self.0.coordinator.borrow();
            let Some(coordinator) =
                slot.as_ref().filter(|it| it.journal.end - it.journal.whole > COMPACT_BYTES)
            else {
                return Ok(false);
            };
            coordinator.state.records()
        };
        match self.rewrite_journal(&all).await {
            Ok(journal) => {
                if let Some(coordinator) = self.0.coordinator.borrow_mut().as_mut() {
                    coordinator.journal = journal;
                }
                Ok(true)
            }
            // The old one is still there and takes more frames.
            Err(error) if error.is_shortage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write_frame(
        &self,
        file: &<FilesOf<B> as Files>::File,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), IoError> {
        assert!(bytes.len().is_multiple_of(BLOCK_BYTES), "frames are whole blocks");
        let mut buf = self.world().files().alloc(bytes.len());
        buf.bytes_mut().copy_from_slice(bytes);
        file.write(at, &buf.seal(bytes.len())).await?;
        if planted(Mutant::UnflushedJournal) {
            return Ok(());
        }
        file.sync().await
    }

    /// Writes the journal anew as one frame with the whole state, and puts it in the old one's place.
    pub(super) async fn rewrite_journal(&self, all: &[Record]) -> Result<JournalEnd<FilesOf<B>>, IoError> {
        let (files, dir) = (self.world().files(), &self.0.data_dir);
        let fresh = dir.join("metadata.journal.new");
        let file = files.create(&fresh).await?;
        let (bytes, chain) = frame(all, 0);
        let end = bytes.len() as u64;
        match file.write_zeros(end..end + AHEAD_BYTES).await {
            // Without zeros ahead it does as well.
            Err(error) if !error.is_shortage() => return Err(error),
            _ => {}
        }
        self.write_frame(&file, 0, &bytes).await?;
        files.rename(&fresh, &dir.join(JOURNAL)).await?;
        files.sync_dir(dir).await?;
        Ok(JournalEnd { file, end, chain, whole: end })
    }
}
