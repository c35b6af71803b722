//! Files in aligned blocks, as direct I/O has them.
//!
//! Crash model, which `sim` enforces: a completed write is volatile until a later flush completes. On a range that
//! was written before and flushed ("zero-written"), any flush of the same file system makes it durable where
//! `flush_scope` says `Device`; a range beyond that, which grew the file, becomes durable only by a `sync` of this
//! very file. A new, renamed or removed name is durable after `sync_dir`.

use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A failed file operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IoError {
    /// No such file or directory.
    NotFound(PathBuf),
    /// The file system is full. Nothing that was written before is lost.
    NoSpace(PathBuf),
    /// The process, or the machine, has no descriptors left.
    NoDescriptors(PathBuf),
    /// Anything else: what was tried, on which path, the operating system's error number.
    Failed {
        /// Verb, for the log line.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// `errno`, 0 if there is none.
        code: i32,
    },
}

impl IoError {
    /// Whether something that may come back is short: the operation did nothing, or part of what it can do again.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(self, IoError::NoSpace(_) | IoError::NoDescriptors(_))
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoError::NotFound(path) => write!(f, "{} does not exist", path.display()),
            IoError::NoSpace(path) => write!(f, "no space left on the file system for {}", path.display()),
            IoError::NoDescriptors(path) => {
                write!(f, "no descriptors left for {}; raise `ulimit -n` or LimitNOFILE=", path.display())
            }
            IoError::Failed { operation, path, code } => {
                write!(
                    f,
                    "{operation} {} failed: {}",
                    path.display(),
                    std::io::Error::from_raw_os_error(*code)
                )
            }
        }
    }
}

impl std::error::Error for IoError {}

/// What one `sync` makes durable besides its own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushScope {
    /// All completed writes to zero-written ranges on the same file system (measured for ext4 and XFS).
    Device,
    /// Its own file only.
    File,
}

/// The files under one log directory.
pub trait Files: Clone + 'static {
    /// An open file.
    type File: File<Sealed = <Self::Buf as WriteBuf>::Sealed>;
    /// Memory that a direct write can take.
    type Buf: WriteBuf;

    /// An aligned buffer of `len` bytes, a multiple of `BLOCK_BYTES`; its content is unspecified but initialised.
    fn alloc(&self, len: usize) -> Self::Buf;

    /// Bytes of memory for buffers that cost nothing to take; more costs a page's first touch.
    fn ready_bytes(&self) -> usize;

    /// What a flush covers here.
    fn flush_scope(&self) -> FlushScope;

    /// Creates a file, or empties it, for reading and writing. The name is durable after `sync_dir` of its folder.
    fn create(&self, path: &Path) -> impl Future<Output = Result<Self::File, IoError>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> impl Future<Output = Result<Self::File, IoError>>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> impl Future<Output = Result<(), IoError>>;

    /// Renames a file over another, or a folder to where there is none.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = Result<(), IoError>>;

    /// Creates a folder and its missing parents; succeeds if it is there.
    fn create_dir(&self, path: &Path) -> impl Future<Output = Result<(), IoError>>;

    /// Removes a folder with everything in it.
    fn remove_dir(&self, path: &Path) -> impl Future<Output = Result<(), IoError>>;

    /// Names in a folder, sorted.
    fn list(&self, path: &Path) -> impl Future<Output = Result<Vec<String>, IoError>>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> impl Future<Output = Result<(), IoError>>;

    /// Total and usable bytes of the file system: (total, usable).
    fn space(&self) -> impl Future<Output = Result<(u64, u64), IoError>>;
}

/// Memory being filled for a direct write.
pub trait WriteBuf: 'static {
    /// The same memory once nobody writes to it.
    type Sealed: SealedBuf;

    /// The bytes to fill.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Ends the filling. The first `len` bytes, a multiple of `BLOCK_BYTES`, are what a write will carry.
    fn seal(self, len: usize) -> Self::Sealed;
}

/// Memory that no one changes any more: written to a file and shared with readers at the same time.
pub trait SealedBuf: Clone + 'static {
    /// Bytes that a write carries.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool;

    /// A slice that shares the memory and may go to any shard.
    fn share(&self, range: Range<usize>) -> Bytes;
}

/// An open file. Cheap to clone; closed when the last clone goes.
pub trait File: Clone + 'static {
    /// What it can write.
    type Sealed: SealedBuf;

    /// Writes the whole buffer at `position`, a multiple of `BLOCK_BYTES`.
    fn write(&self, position: u64, data: &Self::Sealed) -> impl Future<Output = Result<(), IoError>>;

    /// Writes the whole buffer at `position` and makes it durable, with what of the file's length and extents it takes
    /// to read it. Nothing else is: earlier writes may still be lost.
    fn write_durable(&self, position: u64, data: &Self::Sealed) -> impl Future<Output = Result<(), IoError>>;

    /// Writes zeros over a range of whole blocks.
    fn write_zeros(&self, range: Range<u64>) -> impl Future<Output = Result<(), IoError>>;

    /// Reads up to `len` bytes at any position; fewer only at the end of the file.
    fn read(&self, position: u64, len: usize) -> impl Future<Output = Result<Bytes, IoError>>;

    /// Makes this file's completed writes and its length durable (`fdatasync`), and what `Files::flush_scope` adds.
    fn sync(&self) -> impl Future<Output = Result<(), IoError>>;

    /// Cuts or grows the file; durable after `sync`.
    fn truncate(&self, len: u64) -> impl Future<Output = Result<(), IoError>>;

    /// Length in bytes.
    fn size(&self) -> impl Future<Output = Result<u64, IoError>>;
}
