//! One open file.

use super::error::{Doing, from_code, std_error};
use super::{DirectFiles, SealedDirectBuf, names};
use crate::base::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use crate::rt::memory::Block;
use crate::seam::{File, IoError, SealedBuf};
use bytes::Bytes;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// An open file of one shard. Closed on the blocking thread when the last clone goes: the last close of a removed file
/// frees its blocks, which takes long.
#[derive(Clone)]
pub struct DirectFile {
    inner: Rc<Inner>,
}

struct Inner {
    files: DirectFiles,
    /// Operations in flight hold counts of their own.
    file: Option<Rc<OwnedFd>>,
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
    pub(super) fn new(files: DirectFiles, file: OwnedFd, path: PathBuf) -> Self {
        DirectFile { inner: Rc::new(Inner { files, file: Some(Rc::new(file)), path }) }
    }

    fn fd(&self) -> &Rc<OwnedFd> {
        self.inner.file.as_ref().expect("only drop takes the descriptor")
    }

    fn failed(&self, doing: Doing, code: i32) -> IoError {
        from_code(code, doing, &self.inner.path)
    }

    /// What an operation of the ring came to: bytes, or the error.
    fn outcome(&self, result: i32, doing: Doing) -> Result<usize, IoError> {
        usize::try_from(result).map_err(|_| self.failed(doing, -result))
    }

    async fn write_block(&self, position: u64, block: &Rc<Block>, durable: bool) -> Result<(), IoError> {
        assert!(position.is_multiple_of(BLOCK), "a direct write begins at a block, not at {position}");
        let mut done = 0;
        while done < block.len() {
            let (ring, at) = (self.inner.files.ring(), position + done as u64);
            let result = if durable {
                ring.write_durable(self.fd(), at, block, done).await
            } else {
                ring.write(self.fd(), at, block, done).await
            };
            if result == -libc::EINTR || result == -libc::EAGAIN {
                continue;
            }
            // A short write (a full file system, a signal) goes on at the last whole block; one that gets nowhere is a
            // full file system whose error number the next attempt would have told.
            let written = self.outcome(result, Doing::Write)?;
            let whole = written - written % BLOCK_BYTES;
            if whole == 0 {
                return Err(self.failed(Doing::Write, libc::ENOSPC));
            }
            done += whole;
        }
        Ok(())
    }

    /// Fills a block from the file; how much of it there was.
    async fn read_block(&self, position: u64, block: &Rc<Block>) -> Result<usize, IoError> {
        let mut done = 0;
        while done < block.len() {
            let result = self.inner.files.ring().read(self.fd(), position + done as u64, block, done).await;
            if result == -libc::EINTR || result == -libc::EAGAIN {
                continue;
            }
            let got = self.outcome(result, Doing::Read)?;
            done += got;
            // A broken block is only at the end of the file; a read cut short goes on.
            if got == 0 || !done.is_multiple_of(BLOCK_BYTES) {
                break;
            }
        }
        Ok(done)
    }
}

impl File for DirectFile {
    type Sealed = SealedDirectBuf;

    async fn write(&self, position: u64, data: &SealedDirectBuf) -> Result<(), IoError> {
        assert!(!data.is_empty(), "a write carries at least one block");
        self.write_block(position, data.block(), false).await
    }

    async fn write_durable(&self, position: u64, data: &SealedDirectBuf) -> Result<(), IoError> {
        assert!(!data.is_empty(), "a write carries at least one block");
        self.write_block(position, data.block(), true).await
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
            let zeros = self.inner.files.zeros(len);
            self.write_block(at, &zeros, false).await?;
            at += len as u64;
        }
        Ok(())
    }

    async fn read(&self, position: u64, len: usize) -> Result<Bytes, IoError> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let span = Span::around(position, len);
        let block = Rc::new(self.inner.files.take(span.bytes));
        let got = self.read_block(span.first, &block).await?;
        if got <= span.skip {
            return Ok(Bytes::new());
        }
        let loan = self.inner.files.ledger().lend(block);
        Ok(loan.slice(span.skip..got.min(span.skip + len)))
    }

    async fn sync(&self) -> Result<(), IoError> {
        let result = self.inner.files.ring().sync(self.fd()).await;
        self.outcome(result, Doing::Sync).map(drop)
    }

    async fn truncate(&self, len: u64) -> Result<(), IoError> {
        let file =
            self.fd().try_clone().map_err(|error| std_error(&error, Doing::Truncate, &self.inner.path))?;
        let done = self.inner.files.blocking().run(move || names::truncate(file, len)).await;
        done.map_err(|error| std_error(&error, Doing::Truncate, &self.inner.path))
    }

    async fn size(&self) -> Result<u64, IoError> {
        names::size(self.fd()).map_err(|error| std_error(&error, Doing::Size, &self.inner.path))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // An operation in flight keeps it open, and closes it where it ends.
        if let Some(file) = self.file.take().and_then(Rc::into_inner) {
            self.files.blocking().queue(Box::new(move || drop(file)));
        }
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
