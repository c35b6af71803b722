//! The journal of this node's vote: frames at its end, zeros ahead of them, and now and then all of it anew.

use crate::base::limits::BLOCK_BYTES;
use crate::base::mutant::{Mutant, planted};
use crate::quorum::{Input, Recovered, Write, read};
use crate::seam::{File, Files, IoError, World, WriteBuf};
use crate::shard::storage::{StorageError, read_whole};
use crate::shard::{Broker, FilesOf, Shard};
use bytes::Bytes;

/// The journal's file within the data directory.
const JOURNAL: &str = "metadata.journal";
/// The file that takes its place.
const FRESH: &str = "metadata.journal.new";
/// A journal that has grown by this much is written anew.
const COMPACT_BYTES: u64 = 8 << 20;
/// Zeros that are written ahead of the journal's end: on a full disk there is room for the deletion of topics, and
/// frames that don't make the file grow are flushed faster.
const AHEAD_BYTES: u64 = 256 << 10;

/// A journal to append to.
pub(super) struct JournalEnd<F: Files> {
    file: F::File,
    /// Where its next frame goes.
    end: u64,
    /// Where the zeros end.
    ahead: u64,
    /// Its length when it was last written anew.
    whole: u64,
}

impl<F: Files> JournalEnd<F> {
    /// Whether it has grown so long that it should be written anew.
    pub(super) fn is_long(&self) -> bool {
        self.end - self.whole > COMPACT_BYTES
    }
}

impl<B: Broker> Shard<B> {
    /// Opens the journal, or begins one.
    pub(super) async fn open_journal(&self) -> Result<(JournalEnd<FilesOf<B>>, Recovered), String> {
        let path = self.0.data_dir.join(JOURNAL);
        let files = self.world().files();
        let failed = |error: IoError| format!("the metadata journal can't be used: {error}");
        let (file, log) = match files.open(&path).await {
            Ok(file) => {
                let bytes = read_whole(&file).await.map_err(failed)?;
                let log = read(&bytes, self.this_node()).map_err(|e| format!("{}: {e}", path.display()))?;
                (file, log)
            }
            Err(IoError::NotFound(_)) => {
                let file = files.create(&path).await.map_err(failed)?;
                file.sync().await.map_err(failed)?;
                files.sync_dir(&self.0.data_dir).await.map_err(failed)?;
                (file, Recovered::default())
            }
            Err(error) => return Err(failed(error)),
        };
        let block = BLOCK_BYTES as u64;
        let (end, ahead) = (log.end as u64, file.size().await.map_err(failed)? / block * block);
        // What lies before the last state isn't known any more: as if it had just been written.
        let whole = if log.snapshot.is_some() { end } else { 0 };
        Ok((JournalEnd { file, end, ahead, whole }, log))
    }

    /// Makes durable what the machine wants to be, one write after the other.
    pub(super) async fn journal_task(self) {
        loop {
            self.bells().journal.notified().await;
            while let Some(write) = self.coordinator(|it| it.voter.as_mut()?.write.take()).flatten() {
                let number = write.number;
                match self.make_durable(write).await {
                    Ok(anew) => drop(self.step_quorum(Input::Persisted { number, anew })),
                    Err(error) => return self.abandon_vote(format!("the metadata journal: {error}")),
                }
                self.compact();
            }
        }
    }

    /// Waits as long as there is no room for a write: others may wait for it. True if the whole file was written.
    async fn make_durable(&self, write: Write) -> Result<bool, IoError> {
        loop {
            let error = match &write.anew {
                Some(whole) => match self.write_anew(whole).await {
                    Ok(()) => return Ok(true),
                    Err(error) => error,
                },
                None => IoError::NoSpace(JOURNAL.into()),
            };
            if !error.is_shortage() {
                return Err(error);
            }
            // The old file is still there and takes more frames.
            let error = match &write.append {
                Some(frame) => match self.append(frame).await {
                    Ok(()) => return Ok(false),
                    Err(error) => error,
                },
                None => error,
            };
            if !self.wait_for_room("the metadata journal", &StorageError::Io(error.clone())).await {
                return Err(error);
            }
        }
    }

    async fn append(&self, frame: &Bytes) -> Result<(), IoError> {
        let journal = self.coordinator(|it| {
            let journal = &it.voter.as_ref()?.journal;
            Some((journal.file.clone(), journal.end, journal.ahead))
        });
        let Some((file, at, mut ahead)) = journal.flatten() else { return Ok(()) };
        let end = at + frame.len() as u64;
        if end > ahead {
            match file.write_zeros(ahead.max(at)..end + AHEAD_BYTES).await {
                Ok(()) => ahead = end + AHEAD_BYTES,
                // Without zeros ahead it does as well.
                Err(error) if error.is_shortage() => {}
                Err(error) => return Err(error),
            }
        }
        self.write_frame(&file, at, frame).await?;
        self.coordinator(|it| {
            if let Some(voter) = &mut it.voter {
                (voter.journal.end, voter.journal.ahead) = (end, ahead);
                voter.compacting = false;
            }
        });
        Ok(())
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

    /// Writes the journal anew beside the old one, and puts it in its place.
    async fn write_anew(&self, whole: &Bytes) -> Result<(), IoError> {
        let (files, dir) = (self.world().files(), &self.0.data_dir);
        let fresh = dir.join(FRESH);
        let file = files.create(&fresh).await?;
        let end = whole.len() as u64;
        let ahead = match file.write_zeros(end..end + AHEAD_BYTES).await {
            Ok(()) => end + AHEAD_BYTES,
            Err(error) if error.is_shortage() => end,
            Err(error) => return Err(error),
        };
        self.write_frame(&file, 0, whole).await?;
        files.rename(&fresh, &dir.join(JOURNAL)).await?;
        files.sync_dir(dir).await?;
        self.coordinator(|it| {
            if let Some(voter) = &mut it.voter {
                voter.journal = JournalEnd { file, end, ahead, whole: end };
                voter.compacting = false;
            }
        });
        Ok(())
    }

    /// Has a long journal begin anew with the state.
    fn compact(&self) {
        let due = self.coordinator(|it| {
            let settled = !it.acting.has_pending();
            let voter =
                it.voter.as_mut().filter(|voter| settled && !voter.compacting && voter.journal.is_long())?;
            // One that is to become a voter may have more from others than its own log holds.
            if voter.quorum.applied() < it.index {
                return None;
            }
            voter.compacting = true;
            Some((it.index, it.state.encode()))
        });
        if let Some((upto, data)) = due.flatten() {
            self.step_quorum(Input::Compact { upto, data });
        }
    }
}
