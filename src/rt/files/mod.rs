//! `seam::Files` on direct I/O.
//!
//! Reads, writes and flushes go through the shard's ring. What has no ring operation or may stall for long (names,
//! folders, opening, closing, cutting, syncing a folder) runs on the shard's one blocking thread, so a shard never
//! waits in the kernel.

mod buf;
mod error;
mod file;
mod names;
#[cfg(test)]
mod tests;

pub use buf::{DirectBuf, SealedDirectBuf};
pub use file::DirectFile;

use super::blocking::Blocking;
use super::memory::{Arena, Block, Ledger};
use super::ring::Ring;
use crate::base::limits::CHUNK_BYTES_MAX;
use crate::seam::{Files, FlushScope, IoError};
use error::{Doing, check_path};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The files of one shard's log directory. Node's view is the directory, the memory is the shard's.
#[derive(Clone)]
pub struct DirectFiles {
    inner: Rc<Inner>,
}

struct Inner {
    dir: PathBuf,
    scope: FlushScope,
    ring: Rc<Ring>,
    blocking: Rc<Blocking>,
    ledger: Rc<Ledger>,
    arena: Rc<Arena>,
    zeros: OnceCell<Rc<Block>>,
}

/// What a shard's files are made of.
pub(super) struct Parts {
    pub(super) dir: PathBuf,
    pub(super) scope: FlushScope,
    pub(super) ring: Rc<Ring>,
    pub(super) blocking: Rc<Blocking>,
    pub(super) arena: Rc<Arena>,
}

impl DirectFiles {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { dir, scope, ring, blocking, arena } = parts;
        let ledger = Ledger::new();
        DirectFiles {
            inner: Rc::new(Inner { dir, scope, ring, blocking, ledger, arena, zeros: OnceCell::new() }),
        }
    }

    pub(super) fn ledger(&self) -> &Rc<Ledger> {
        &self.inner.ledger
    }

    /// Bytes of memory in use for files.
    pub(super) fn memory_used(&self) -> usize {
        self.inner.arena.used()
    }

    /// Bytes of memory that had been spliced and was replaced, since this was last asked.
    pub(super) fn take_renewed(&self) -> u64 {
        self.inner.arena.take_renewed()
    }

    fn ring(&self) -> &Rc<Ring> {
        &self.inner.ring
    }

    fn blocking(&self) -> &Blocking {
        &self.inner.blocking
    }

    fn take(&self, len: usize) -> Block {
        self.inner.arena.take(len)
    }

    /// Zeros to write. The most that one write carries is shared by all files of the shard.
    fn zeros(&self, len: usize) -> Rc<Block> {
        let zeros = |len| {
            let mut block = self.take(len);
            block.bytes_mut().fill(0);
            Rc::new(block)
        };
        if len == CHUNK_BYTES_MAX {
            return Rc::clone(self.inner.zeros.get_or_init(|| zeros(CHUNK_BYTES_MAX)));
        }
        zeros(len)
    }

    /// One operation on names, on the blocking thread.
    async fn names<R: Send + 'static>(
        &self,
        doing: Doing,
        path: &Path,
        work: impl FnOnce(&Path) -> std::io::Result<R> + Send + 'static,
    ) -> Result<R, IoError> {
        check_path(path, doing)?;
        let path = self.inner.dir.join(path);
        let at = path.clone();
        let result = self.blocking().run(move || work(&at)).await;
        result.map_err(|error| error::std_error(&error, doing, &path))
    }

    async fn open_file(&self, path: &Path, doing: Doing, create: bool) -> Result<DirectFile, IoError> {
        let file = self.names(doing, path, move |path| names::open(path, create)).await?;
        Ok(DirectFile::new(self.clone(), file, self.inner.dir.join(path)))
    }
}

impl Files for DirectFiles {
    type File = DirectFile;
    type Buf = DirectBuf;

    fn alloc(&self, len: usize) -> DirectBuf {
        DirectBuf::new(self.take(len), Rc::clone(&self.inner.ledger))
    }

    fn ready_bytes(&self) -> usize {
        self.inner.arena.touched()
    }

    fn flush_scope(&self) -> FlushScope {
        self.inner.scope
    }

    async fn create(&self, path: &Path) -> Result<DirectFile, IoError> {
        self.open_file(path, Doing::Create, true).await
    }

    async fn open(&self, path: &Path) -> Result<DirectFile, IoError> {
        self.open_file(path, Doing::Open, false).await
    }

    async fn remove(&self, path: &Path) -> Result<(), IoError> {
        self.names(Doing::Remove, path, names::remove).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), IoError> {
        check_path(to, Doing::Rename)?;
        let to = self.inner.dir.join(to);
        self.names(Doing::Rename, from, move |from| names::rename(from, &to)).await
    }

    async fn create_dir(&self, path: &Path) -> Result<(), IoError> {
        self.names(Doing::CreateDir, path, names::create_dir).await
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), IoError> {
        self.names(Doing::RemoveDir, path, names::remove_dir).await
    }

    async fn list(&self, path: &Path) -> Result<Vec<String>, IoError> {
        self.names(Doing::List, path, names::list).await
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), IoError> {
        self.names(Doing::SyncDir, path, names::sync_dir).await
    }

    async fn space(&self) -> Result<(u64, u64), IoError> {
        self.names(Doing::Space, Path::new(""), names::space).await
    }
}
