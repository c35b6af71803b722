//! `seam::Files` on direct I/O (`DmaFile`).
//!
//! Reads, writes and flushes go through the shard's ring. What has no ring operation or may stall for long (names,
//! folders, unlinking a segment, syncing a folder) runs on the shard's one blocking thread, so a shard never waits in
//! the kernel.
//!
//! All files of a data folder are expected on one device: what glommio finds out about a device it finds out once
//! per thread.

mod buf;
mod error;
mod file;
mod names;
mod pool;
#[cfg(test)]
mod tests;

pub use buf::{DirectBuf, SealedDirectBuf};
pub use file::DirectFile;
pub(super) use pool::BufPool;

use super::loan::Ledger;
use crate::base::ShardId;
use crate::base::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use crate::seam::{Files, FlushScope, IoError};
use error::{Doing, check_path, io_error};
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Most bytes of one read that come uncopied. glommio hung on reads above the device's `max_sectors` (its issues 633
/// and 635); half a MiB is within that of every device we know, and the read cost per byte is flat from there on.
pub const READ_BYTES_MAX: usize = 512 * 1024;

/// Free write buffers that one shard keeps.
const POOL_BYTES_MAX: usize = 8 * CHUNK_BYTES_MAX;

const _: () = assert!(READ_BYTES_MAX.is_multiple_of(BLOCK_BYTES));

/// The files of one shard's log directory. Node's view is the directory, the buffers are the shard's.
#[derive(Clone)]
pub struct DirectFiles {
    inner: Rc<Inner>,
}

struct Inner {
    dir: PathBuf,
    scope: FlushScope,
    ledger: Rc<Ledger>,
    zeros: OnceCell<Rc<DmaBuffer>>,
}

impl DirectFiles {
    pub(super) fn new(dir: PathBuf, scope: FlushScope) -> Self {
        let ledger = Ledger::new(BufPool::new(POOL_BYTES_MAX));
        DirectFiles { inner: Rc::new(Inner { dir, scope, ledger, zeros: OnceCell::new() }) }
    }

    pub(super) fn ledger(&self) -> &Rc<Ledger> {
        &self.inner.ledger
    }

    /// Keeps this shard off the polled ring; runs once, before any other file is opened.
    ///
    /// When a thread first meets a device, glommio tries a polled read on the file at hand. On an empty file that
    /// succeeds whatever the device can do, and then every later read fails (EOPNOTSUPP, seen on virtio); where it
    /// does work, each read in flight burns a core. A file that can't be read makes the trial fail, which settles the
    /// matter for the thread.
    pub(super) async fn disable_polling(&self, shard: ShardId) -> Result<(), IoError> {
        let path = self.inner.dir.join(format!(".unpolled-{}-{shard}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let opened = self.open_file(&path, Doing::Create, &options).await;
        self.remove(&path).await?;
        opened.map(drop)
    }

    /// Zeros to write, shared by all files of the shard.
    fn zeros(&self) -> Rc<DmaBuffer> {
        Rc::clone(self.inner.zeros.get_or_init(|| {
            let mut zeros = glommio::allocate_dma_buffer_global(CHUNK_BYTES_MAX);
            zeros.as_bytes_mut().fill(0);
            Rc::new(zeros)
        }))
    }

    async fn open_file(
        &self,
        path: &Path,
        doing: Doing,
        options: &OpenOptions,
    ) -> Result<DirectFile, IoError> {
        check_path(path, doing)?;
        let path = self.inner.dir.join(path);
        let file: DmaFile = options.dma_open(&path).await.map_err(|error| io_error(&error, doing, &path))?;
        Ok(DirectFile::new(self.clone(), file, path))
    }
}

impl Files for DirectFiles {
    type File = DirectFile;
    type Buf = DirectBuf;

    fn alloc(&self, len: usize) -> DirectBuf {
        assert!(
            len > 0 && len.is_multiple_of(BLOCK_BYTES),
            "a direct write takes whole blocks, not {len} bytes"
        );
        DirectBuf::new(self.inner.ledger.pool().take(len), Rc::clone(&self.inner.ledger))
    }

    fn flush_scope(&self) -> FlushScope {
        self.inner.scope
    }

    async fn create(&self, path: &Path) -> Result<DirectFile, IoError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o640);
        self.open_file(path, Doing::Create, &options).await
    }

    async fn open(&self, path: &Path) -> Result<DirectFile, IoError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        self.open_file(path, Doing::Open, &options).await
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

impl DirectFiles {
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
        let result = glommio::executor().spawn_blocking(move || work(&at)).await;
        result.map_err(|error| error::std_error(&error, doing, &path))
    }
}
