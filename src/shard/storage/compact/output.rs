//! Writing the segment that takes the place of others.

use super::Source;
use crate::base::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX, SEGMENT_HEADER_BYTES};
use crate::base::mutant::{Mutant, planted};
use crate::base::{Offset, TopicPartition};
use crate::log::index::Index;
use crate::log::segment::{Compacted, SegmentHeader, UNFINISHED};
use crate::seam::{File, Files, WriteBuf};
use crate::shard::storage::StorageError;
use crate::shard::storage::segment::Segment;
use crate::wire::batch::BatchMeta;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes of one write: small, since others' writes wait for it.
const WRITE_BYTES: usize = 256 * 1024;

const _: () = assert!(WRITE_BYTES <= CHUNK_BYTES_MAX && WRITE_BYTES.is_multiple_of(BLOCK_BYTES));

/// A segment being written.
pub struct Output<F: Files> {
    files: F,
    dir: PathBuf,
    key: TopicPartition,
    base: Offset,
    created_ms: i64,
    file: Option<F::File>,
    buf: F::Buf,
    filled: usize,
    /// Where `buf` goes.
    position: u64,
    index: Index,
    read_end: Offset,
}

/// A segment that is written and flushed and has no name yet.
pub struct Finished<F: Files> {
    files: F,
    dir: PathBuf,
    segment: Segment<F>,
}

impl<F: Files> Output<F> {
    pub(super) fn new(files: &F, (dir, key): (&Path, TopicPartition), first: &Source<F>) -> Self {
        let start = SEGMENT_HEADER_BYTES as u64;
        Output {
            files: files.clone(),
            dir: dir.to_owned(),
            key,
            base: first.base,
            created_ms: first.created_ms,
            file: None,
            buf: files.alloc(WRITE_BYTES),
            filled: 0,
            position: start,
            index: Index::new((first.base, start)),
            read_end: first.base,
        }
    }

    /// Bytes of the batches that were put in.
    #[must_use]
    pub fn batch_bytes(&self) -> u64 {
        self.end() - SEGMENT_HEADER_BYTES as u64
    }

    fn end(&self) -> u64 {
        self.position + self.filled as u64
    }

    /// Puts in a whole batch. Answers how many bytes it wrote to the file.
    ///
    /// # Errors
    /// The file can't be written.
    pub async fn put(&mut self, batch: &[u8]) -> Result<usize, StorageError> {
        let meta = BatchMeta::read(batch).expect("compaction writes whole batches");
        self.index.push(&meta, self.end());
        self.read_end = meta.last_offset() + 1;
        let (mut rest, mut written) = (batch, 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(WRITE_BYTES - self.filled));
            self.buf.bytes_mut()[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = later;
            if self.filled == WRITE_BYTES {
                self.write(WRITE_BYTES).await?;
                written += WRITE_BYTES;
            }
        }
        Ok(written)
    }

    async fn write(&mut self, len: usize) -> Result<(), StorageError> {
        let fresh = self.files.alloc(WRITE_BYTES);
        let sealed = std::mem::replace(&mut self.buf, fresh).seal(len);
        self.file().await?.write(self.position, &sealed).await?;
        self.position += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    async fn file(&mut self) -> Result<F::File, StorageError> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = self.files.create(&self.dir.join(UNFINISHED)).await?;
        Ok(self.file.insert(file).clone())
    }

    /// Writes what is left, and the header, and makes it all durable. The segment stands for all records below
    /// `next_offset`.
    ///
    /// # Errors
    /// The file can't be written.
    pub async fn finish(mut self, next_offset: Offset) -> Result<Finished<F>, StorageError> {
        let end = self.end();
        if self.filled > 0 {
            let len = self.filled.next_multiple_of(BLOCK_BYTES);
            let filled = self.filled;
            self.buf.bytes_mut()[filled..len].fill(0);
            self.write(len).await?;
        }
        let compacted = Compacted {
            next_offset,
            read_end: self.read_end,
            end,
            largest_timestamp: self.index.largest_timestamp(),
        };
        let header = SegmentHeader {
            partition: self.key,
            base_offset: self.base,
            created_ms: self.created_ms,
            holes: false,
            compacted: Some(compacted),
        };
        let mut block = self.files.alloc(SEGMENT_HEADER_BYTES);
        block.bytes_mut().copy_from_slice(&header.encode());
        let file = self.file().await?;
        file.write(0, &block.seal(SEGMENT_HEADER_BYTES)).await?;
        if !planted(Mutant::SwapBeforeFlush) {
            file.sync().await?;
        }
        let segment = Segment {
            index: Rc::new(RefCell::new(self.index)),
            file: Rc::new(RefCell::new(Some(file))),
            ..Segment::compacted(&self.dir, &header, &compacted)
        };
        Ok(Finished { files: self.files, dir: self.dir, segment })
    }
}

impl<F: Files> Finished<F> {
    pub(super) fn segment(&self) -> &Segment<F> {
        &self.segment
    }

    pub(super) fn into_segment(self) -> Segment<F> {
        self.segment
    }

    /// Gives it the name by which it supersedes what it stands for, for good.
    ///
    /// # Errors
    /// The name can't be changed.
    pub async fn name(&self) -> Result<(), StorageError> {
        self.files.rename(&self.dir.join(UNFINISHED), &self.segment.path).await?;
        self.files.sync_dir(&self.dir).await?;
        Ok(())
    }
}

/// Removes what a round that ended early has written, if it had got so far.
pub(in crate::shard) async fn remove_unfinished<F: Files>(files: &F, dir: &Path) {
    // Recovery removes it too; and a folder may be gone with its partition.
    let _ = files.remove(&dir.join(UNFINISHED)).await;
}
