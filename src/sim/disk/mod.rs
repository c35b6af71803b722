//! A disk in memory, as `seam::files` promises it and no better: volatile until flushed, torn at sectors, slow, and on
//! request failing.

mod crash;
mod state;

use super::exec::Exec;
use crate::base::TopicPartition;
use crate::base::limits::BLOCK_BYTES;
use crate::seam::{File, Files, FlushScope, IoError, SealedBuf, WriteBuf};
use bytes::Bytes;
use state::{InFlight, Inode, InodeId, NameChange, State, index};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The folder that is there from the start.
pub const ROOT: &str = ".";

/// `EIO`.
const EIO: i32 = 5;

struct Shared {
    exec: Exec,
    state: RefCell<State>,
    scope: FlushScope,
    /// What happens after how many more operations.
    trouble: Cell<Option<(u64, Trouble)>>,
}

/// What befalls operations from some moment on, until the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// They fail with EIO.
    Fails,
    /// They never end.
    Hangs,
    /// So many that take space find none; then there is some again.
    Full(u64),
}

/// The disk. Outlives the processes that use it; a clone is the same disk.
#[derive(Clone)]
pub struct Disk(Rc<Shared>);

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(exec: Exec, scope: FlushScope) -> Self {
        let mut state = State::default();
        state.change(NameChange::Dir(PathBuf::from(ROOT)));
        state.settle_names(u64::MAX);
        Disk(Rc::new(Shared { exec, state: RefCell::new(state), scope, trouble: Cell::new(None) }))
    }

    /// The process that used it ends.
    pub fn end_process(&self) {
        self.0.state.borrow_mut().end_process(&self.0.exec);
        self.0.trouble.set(None);
    }

    /// The machine loses its power.
    pub fn cut_power(&self) {
        self.0.state.borrow_mut().cut_power(&self.0.exec);
        self.0.trouble.set(None);
    }

    /// After this many more writes, flushes and changes of names the disk gets into trouble.
    pub fn trouble_after(&self, operations: u64, trouble: Trouble) {
        self.0.trouble.set(Some((operations, trouble)));
    }

    /// Damages one of the files of this name; none if there is none.
    pub fn damage(&self, name: &str) -> Option<PathBuf> {
        let mut state = self.0.state.borrow_mut();
        let files = state.names.files.iter();
        let named: Vec<_> =
            files.filter(|(path, _)| path.file_name().is_some_and(|it| *it == *name)).collect();
        let (path, inode) = named.get(index(self.0.exec.below(named.len().max(1) as u64)))?;
        let (path, inode) = ((*path).clone(), **inode);
        state.inodes.get_mut(&inode)?.damage();
        Some(path)
    }

    /// Folders of partitions, wherever they are.
    pub fn partitions(&self) -> BTreeSet<TopicPartition> {
        let state = self.0.state.borrow();
        let names = state.names.dirs.iter().filter_map(|dir| dir.file_name()?.to_str());
        names.filter_map(|name| name.parse().ok()).collect()
    }

    /// What there was of trouble ends.
    pub fn relieve(&self) {
        self.0.trouble.set(None);
    }

    async fn work(&self, operation: &'static str, path: &Path, bytes: usize) -> Result<(), IoError> {
        let exec = &self.0.exec;
        exec.note(bytes as u64);
        exec.sleep(exec.micros(5, 40 + bytes as u64 / 500)).await;
        if exec.chance(2) {
            // What was begun later may well be done by now.
            exec.sleep(exec.micros(200, 6_000)).await;
        }
        match self.0.trouble.get() {
            None => Ok(()),
            Some((0, Trouble::Fails)) => Err(IoError::Failed { operation, path: path.to_owned(), code: EIO }),
            Some((0, Trouble::Hangs)) => std::future::pending().await,
            Some((0, Trouble::Full(0))) => Ok(()),
            Some((0, Trouble::Full(left))) if ["write", "create", "mkdir"].contains(&operation) => {
                self.0.trouble.set(Some((0, Trouble::Full(left - 1))));
                Err(IoError::NoSpace(path.to_owned()))
            }
            Some((0, Trouble::Full(_))) => Ok(()),
            Some((left, trouble)) => {
                self.0.trouble.set(Some((left - 1, trouble)));
                Ok(())
            }
        }
    }

    fn inode(&self, path: &Path) -> Result<InodeId, IoError> {
        let state = self.0.state.borrow();
        state.names.files.get(path).copied().ok_or_else(|| IoError::NotFound(path.to_owned()))
    }

    fn open_file(&self, path: &Path) -> Result<DiskFile, IoError> {
        let inode = self.inode(path)?;
        Ok(DiskFile { disk: self.clone(), inode, path: path.into() })
    }

    fn change(&self, change: NameChange) {
        self.0.state.borrow_mut().change(change);
    }
}

/// Memory being filled.
pub struct DiskBuf(Vec<u8>);

impl WriteBuf for DiskBuf {
    type Sealed = SealedDiskBuf;

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn seal(mut self, len: usize) -> SealedDiskBuf {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "a write takes whole blocks");
        self.0.truncate(len);
        SealedDiskBuf(self.0.into())
    }
}

/// Memory that is written and read.
#[derive(Clone)]
pub struct SealedDiskBuf(Bytes);

impl SealedBuf for SealedDiskBuf {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn share(&self, range: Range<usize>) -> Bytes {
        self.0.slice(range)
    }
}

/// An open file. Its content outlives its name as long as it is open.
#[derive(Clone)]
pub struct DiskFile {
    disk: Disk,
    inode: InodeId,
    path: Rc<Path>,
}

impl DiskFile {
    /// Makes durable what a flush of this file covers, or only some of its blocks.
    async fn flush(&self, whole_device: bool, only: Option<Range<u64>>) -> Result<(), IoError> {
        let shared = &self.disk.0;
        let mut covered = shared.state.borrow_mut().begin_flush(self.inode, whole_device);
        if let Some(only) = only {
            covered.blocks.retain(|(_, block, ..)| only.contains(block));
        }
        self.disk.work("fdatasync", &self.path, 64 * 1024).await?;
        shared.state.borrow_mut().end_flush(covered);
        Ok(())
    }

    async fn put(&self, position: u64, data: Vec<u8>) -> Result<(), IoError> {
        assert!(position.is_multiple_of(BLOCK_BYTES as u64), "a direct write begins at a block");
        let shared = &self.disk.0;
        let bytes = data.len();
        let number = {
            let mut state = shared.state.borrow_mut();
            let number = state.number();
            state.in_flight.insert(number, InFlight { inode: self.inode, position, data });
            number
        };
        let worked = self.disk.work("write", &self.path, bytes).await;
        let mut state = shared.state.borrow_mut();
        match worked {
            Ok(()) => {
                let write = state.in_flight.remove(&number);
                write.into_iter().for_each(|write| state.land(write));
            }
            // Nothing of it was written; of one that failed otherwise anything may have been.
            Err(IoError::NoSpace(_)) => drop(state.in_flight.remove(&number)),
            Err(_) => {}
        }
        worked
    }
}

impl File for DiskFile {
    type Sealed = SealedDiskBuf;

    async fn write(&self, position: u64, data: &SealedDiskBuf) -> Result<(), IoError> {
        self.put(position, data.0.to_vec()).await
    }

    async fn write_durable(&self, position: u64, data: &SealedDiskBuf) -> Result<(), IoError> {
        self.put(position, data.0.to_vec()).await?;
        let first = position / BLOCK_BYTES as u64;
        self.flush(false, Some(first..first + (data.len() / BLOCK_BYTES) as u64)).await
    }

    async fn write_zeros(&self, range: Range<u64>) -> Result<(), IoError> {
        self.put(range.start, vec![0; index(range.end - range.start)]).await
    }

    async fn read(&self, position: u64, len: usize) -> Result<Bytes, IoError> {
        let exec = &self.disk.0.exec;
        exec.sleep(exec.micros(5, 100)).await;
        let state = self.disk.0.state.borrow();
        let data = state.inodes.get(&self.inode).map_or(&[][..], |inode| &inode.data);
        let from = index(position).min(data.len());
        Ok(Bytes::copy_from_slice(&data[from..(from + len).min(data.len())]))
    }

    async fn sync(&self) -> Result<(), IoError> {
        self.flush(self.disk.0.scope == FlushScope::Device, None).await
    }

    async fn truncate(&self, len: u64) -> Result<(), IoError> {
        self.disk.work("truncate", &self.path, 0).await?;
        self.disk.0.state.borrow_mut().resize(self.inode, len);
        Ok(())
    }

    async fn size(&self) -> Result<u64, IoError> {
        let state = self.disk.0.state.borrow();
        Ok(state.inodes.get(&self.inode).map_or(0, |inode| inode.data.len() as u64))
    }
}

impl Files for Disk {
    type File = DiskFile;
    type Buf = DiskBuf;

    fn alloc(&self, len: usize) -> DiskBuf {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "a direct write takes whole blocks");
        // Whatever was in the memory before: a writer that forgets to fill it is found out.
        DiskBuf(vec![0xa5; len])
    }

    fn ready_bytes(&self) -> usize {
        usize::MAX
    }

    fn flush_scope(&self) -> FlushScope {
        self.0.scope
    }

    async fn create(&self, path: &Path) -> Result<DiskFile, IoError> {
        self.work("create", path, 0).await?;
        let mut state = self.0.state.borrow_mut();
        if !path.parent().is_some_and(|dir| state.names.dirs.contains(dir)) {
            return Err(IoError::NotFound(path.to_owned()));
        }
        if let Some(&inode) = state.names.files.get(path) {
            state.resize(inode, 0);
        } else {
            let inode = state.number();
            state.inodes.insert(inode, Inode::default());
            state.change(NameChange::File(path.to_owned(), inode));
        }
        drop(state);
        self.open_file(path)
    }

    async fn open(&self, path: &Path) -> Result<DiskFile, IoError> {
        self.0.exec.sleep(self.0.exec.micros(1, 20)).await;
        self.open_file(path)
    }

    async fn remove(&self, path: &Path) -> Result<(), IoError> {
        self.work("unlink", path, 0).await?;
        self.inode(path)?;
        self.change(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), IoError> {
        self.work("rename", from, 0).await?;
        if !self.0.state.borrow().names.dirs.contains(from) {
            self.inode(from)?;
        }
        self.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    async fn create_dir(&self, path: &Path) -> Result<(), IoError> {
        self.work("mkdir", path, 0).await?;
        self.change(NameChange::Dir(path.to_owned()));
        Ok(())
    }

    async fn remove_dir(&self, path: &Path) -> Result<(), IoError> {
        self.work("rmdir", path, 0).await?;
        self.change(NameChange::RemoveDir(path.to_owned()));
        Ok(())
    }

    async fn list(&self, path: &Path) -> Result<Vec<String>, IoError> {
        self.0.exec.sleep(self.0.exec.micros(1, 20)).await;
        let state = self.0.state.borrow();
        if !state.names.dirs.contains(path) {
            return Err(IoError::NotFound(path.to_owned()));
        }
        let all = state.names.files.keys().chain(&state.names.dirs);
        let inside = all.filter(|name| name.parent() == Some(path));
        let mut names: Vec<String> =
            inside.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    async fn sync_dir(&self, path: &Path) -> Result<(), IoError> {
        let upto = self.0.state.borrow_mut().number();
        self.work("fsync", path, 64 * 1024).await?;
        self.0.state.borrow_mut().settle_names(upto);
        Ok(())
    }

    async fn space(&self) -> Result<(u64, u64), IoError> {
        Ok((1 << 40, 1 << 39))
    }
}
