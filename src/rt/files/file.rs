//! One open file.

use super::error::{Doing, from_code, io_error};
use super::{DirectFiles, READ_BYTES_MAX, SealedDirectBuf};
use crate::base::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use crate::rt::loan::Keep;
use crate::seam::{File, IoError, SealedBuf};
use bytes::{Bytes, BytesMut};
use glommio::io::{DmaBuffer, DmaFile, ReadResult};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// An open file of one shard. Closed through the ring when the last clone goes.
#[derive(Clone)]
pub struct DirectFile {
    inner: Rc<Inner>,
}

struct Inner {
    files: DirectFiles,
    file: DmaFile,
    path: PathBuf,
}

/// The blocks around a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// Position of the first block.
    first: u64,
    /// Bytes of all blocks.
    bytes: usize,
    /// Where the wanted range begins in them.
    skip: usize,
}

impl Span {
    fn around(position: u64, len: usize) -> Span {
        let first = position - position % BLOCK;
        let skip = usize::try_from(position - first).expect("less than a block");
        Span { first, bytes: (skip + len).next_multiple_of(BLOCK_BYTES), skip }
    }
}

impl DirectFile {
    pub(super) fn new(files: DirectFiles, file: DmaFile, path: PathBuf) -> Self {
        DirectFile { inner: Rc::new(Inner { files, file, path }) }
    }

    fn failed(&self, doing: Doing, code: i32) -> IoError {
        from_code(code, doing, &self.inner.path)
    }

    async fn write_buffer(&self, mut position: u64, mut buffer: Rc<DmaBuffer>) -> Result<(), IoError> {
        assert!(position.is_multiple_of(BLOCK), "a direct write begins at a block, not at {position}");
        loop {
            let len = buffer.len();
            let written = self.inner.file.write_rc_at(Rc::clone(&buffer), position).await;
            let written = written.map_err(|error| io_error(&error, Doing::Write, &self.inner.path))?;
            if written >= len {
                return Ok(());
            }
            // A short write (a full file system, a signal) goes on at the last whole block; a second one that gets
            // nowhere is a full file system whose error number the next attempt would have told.
            let whole = written - written % BLOCK_BYTES;
            if whole == 0 {
                return Err(self.failed(Doing::Write, libc::ENOSPC));
            }
            let mut rest = self.inner.files.inner.ledger.pool().take(len - whole);
            rest.as_bytes_mut().copy_from_slice(&buffer.as_bytes()[whole..]);
            buffer = Rc::new(rest);
            position += whole as u64;
        }
    }

    async fn read_blocks(&self, first: u64, bytes: usize) -> Result<ReadResult, IoError> {
        let read = self.inner.file.read_at_aligned(first, bytes).await;
        read.map_err(|error| io_error(&error, Doing::Read, &self.inner.path))
    }

    /// A read that one operation can't serve, copied together.
    async fn read_in_parts(&self, position: u64, len: usize) -> Result<Bytes, IoError> {
        let size = self.size().await?;
        let end = size.min(position.saturating_add(len as u64));
        let mut parts = BytesMut::with_capacity(usize::try_from(end.saturating_sub(position)).unwrap_or(0));
        let mut at = position;
        while at < end {
            let wanted = usize::try_from(end - at)
                .map_or(READ_BYTES_MAX, |rest| rest.min(READ_BYTES_MAX - BLOCK_BYTES));
            let span = Span::around(at, wanted);
            let blocks = self.read_blocks(span.first, span.bytes).await?;
            let Some(part) =
                blocks.get(span.skip..blocks.len().min(span.skip + wanted)).filter(|part| !part.is_empty())
            else {
                break;
            };
            parts.extend_from_slice(part);
            at += part.len() as u64;
        }
        Ok(parts.freeze())
    }
}

impl File for DirectFile {
    type Sealed = SealedDirectBuf;

    async fn write(&self, position: u64, data: &SealedDirectBuf) -> Result<(), IoError> {
        assert!(!data.is_empty(), "a write carries at least one block");
        self.write_buffer(position, data.buffer()).await
    }

    async fn write_zeros(&self, range: Range<u64>) -> Result<(), IoError> {
        assert!(
            range.start.is_multiple_of(BLOCK) && range.end.is_multiple_of(BLOCK),
            "zeros cover whole blocks: {range:?}"
        );
        let mut at = range.start;
        while at < range.end {
            let len =
                usize::try_from(range.end - at).map_or(CHUNK_BYTES_MAX, |rest| rest.min(CHUNK_BYTES_MAX));
            let mut zeros = self.inner.files.zeros();
            if len < CHUNK_BYTES_MAX {
                // glommio writes whole buffers only, so the end of the range needs one of its own size.
                let mut rest = glommio::allocate_dma_buffer_global(len);
                rest.as_bytes_mut().fill(0);
                zeros = Rc::new(rest);
            }
            self.write_buffer(at, zeros).await?;
            at += len as u64;
        }
        Ok(())
    }

    /// Up to `READ_BYTES_MAX` bytes (in whole blocks) in one operation and uncopied; a longer read is copied together.
    async fn read(&self, position: u64, len: usize) -> Result<Bytes, IoError> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let span = Span::around(position, len);
        if span.bytes > READ_BYTES_MAX {
            return self.read_in_parts(position, len).await;
        }
        let blocks = self.read_blocks(span.first, span.bytes).await?;
        let got = blocks.len();
        // Short by whole blocks may be the end of the file or a read cut short; a broken block is only at the end.
        if got < span.bytes && got.is_multiple_of(BLOCK_BYTES) && self.size().await? > span.first + got as u64
        {
            return self.read_in_parts(position, len).await;
        }
        if got <= span.skip {
            return Ok(Bytes::new());
        }
        let loan = self.inner.files.inner.ledger.lend(Keep::Read(blocks));
        Ok(loan.slice(span.skip..got.min(span.skip + len)))
    }

    async fn sync(&self) -> Result<(), IoError> {
        self.inner.file.fdatasync().await.map_err(|error| io_error(&error, Doing::Sync, &self.inner.path))
    }

    async fn truncate(&self, len: u64) -> Result<(), IoError> {
        self.inner
            .file
            .truncate(len)
            .await
            .map_err(|error| io_error(&error, Doing::Truncate, &self.inner.path))
    }

    async fn size(&self) -> Result<u64, IoError> {
        self.inner.file.file_size().await.map_err(|error| io_error(&error, Doing::Size, &self.inner.path))
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_span_covers_its_range_in_whole_blocks() {
        assert_eq!(Span::around(0, 1), Span { first: 0, bytes: 4096, skip: 0 });
        assert_eq!(Span::around(4096, 4096), Span { first: 4096, bytes: 4096, skip: 0 });
        assert_eq!(Span::around(4095, 2), Span { first: 0, bytes: 8192, skip: 4095 });
        assert_eq!(Span::around(8191, 4098), Span { first: 4096, bytes: 12288, skip: 4095 });
    }
}
