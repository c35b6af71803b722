//! Reading whole segments, batch by batch. Past the tail cache: what compaction reads nobody else is about to.

use crate::base::Offset;
use crate::base::limits::{BATCH_HEADER_BYTES, READ_BYTES_MAX, SEGMENT_HEADER_BYTES};
use crate::seam::{File, Files};
use crate::shard::storage::StorageError;
use crate::shard::storage::read::opened;
use crate::shard::storage::segment::{FileSlot, Segment};
use crate::wire::batch::BatchMeta;
use bytes::{Bytes, BytesMut};
use std::path::PathBuf;

/// A segment as it was when a round began.
pub struct Source<F: Files> {
    /// Offset of its first record.
    pub base: Offset,
    /// Offset after its last record.
    pub next: Offset,
    pub(super) created_ms: i64,
    files: F,
    file: FileSlot<F>,
    path: PathBuf,
    end: u64,
    holes: bool,
}

impl<F: Files> Source<F> {
    pub(super) fn of(segment: &Segment<F>, files: &F) -> Self {
        Source {
            base: segment.base,
            next: segment.next,
            created_ms: segment.created_ms,
            files: files.clone(),
            file: segment.file.clone(),
            path: segment.path.clone(),
            end: segment.written,
            holes: segment.has_holes(),
        }
    }

    /// Bytes of its batches.
    #[must_use]
    pub fn batch_bytes(&self) -> u64 {
        self.end - SEGMENT_HEADER_BYTES as u64
    }

    /// Begins to read it. From now on its file is open for everybody: it may lose its name.
    ///
    /// # Errors
    /// The file can't be opened.
    pub async fn read(&self) -> Result<Reading<F>, StorageError> {
        let file = opened(&self.files, &self.file, &self.path).await?;
        let start = SEGMENT_HEADER_BYTES as u64;
        Ok(Reading {
            file,
            path: self.path.clone(),
            end: self.end,
            holes: self.holes,
            read_to: start,
            at: start,
            next: self.base,
            buffer: BytesMut::new(),
            read_bytes: 0,
        })
    }
}

/// A segment being read.
pub struct Reading<F: Files> {
    file: F::File,
    path: PathBuf,
    end: u64,
    holes: bool,
    read_to: u64,
    /// Where the next batch begins, and the offset that it must have.
    at: u64,
    next: Offset,
    buffer: BytesMut,
    read_bytes: usize,
}

impl<F: Files> Reading<F> {
    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// The file can't be read, or isn't what was written: damage must not be written anew with a good CRC.
    pub async fn next(&mut self) -> Result<Option<(BatchMeta, Bytes)>, StorageError> {
        if self.at >= self.end {
            return Ok(None);
        }
        self.fill(BATCH_HEADER_BYTES).await?;
        let meta = BatchMeta::read(&self.buffer).ok_or_else(|| self.corrupt())?;
        let follows = meta.base_offset == self.next || self.holes && meta.base_offset > self.next;
        if !follows || meta.last_offset_delta < 0 || self.at + meta.bytes as u64 > self.end {
            return Err(self.corrupt());
        }
        self.fill(meta.bytes).await?;
        let batch = self.buffer.split_to(meta.bytes).freeze();
        if !meta.crc_fits(&batch) {
            return Err(self.corrupt());
        }
        self.at += meta.bytes as u64;
        self.next = meta.last_offset() + 1;
        Ok(Some((meta, batch)))
    }

    /// Bytes read from the file since this was last asked.
    pub fn take_read(&mut self) -> usize {
        std::mem::take(&mut self.read_bytes)
    }

    /// An error that says where reading is.
    #[must_use]
    pub fn corrupt(&self) -> StorageError {
        StorageError::Corrupt { path: self.path.clone(), position: self.at }
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), StorageError> {
        while self.buffer.len() < wanted {
            let left = usize::try_from(self.end.saturating_sub(self.read_to)).unwrap_or(usize::MAX);
            let piece = self.file.read(self.read_to, left.min(READ_BYTES_MAX)).await?;
            if piece.is_empty() {
                return Err(self.corrupt());
            }
            self.read_to += piece.len() as u64;
            self.read_bytes += piece.len();
            self.buffer.extend_from_slice(&piece);
        }
        Ok(())
    }
}
