//! What the operating system answered, as the seam's error.

use crate::seam::IoError;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What was tried, for the error's text.
#[derive(Clone, Copy)]
pub(super) enum Doing {
    Create,
    Open,
    Remove,
    Rename,
    CreateDir,
    RemoveDir,
    List,
    SyncDir,
    Space,
    Write,
    Read,
    Sync,
    Truncate,
    Size,
}

impl Doing {
    fn verb(self) -> &'static str {
        match self {
            Doing::Create => "create",
            Doing::Open => "open",
            Doing::Remove => "remove",
            Doing::Rename => "rename",
            Doing::CreateDir => "create folder",
            Doing::RemoveDir => "remove folder",
            Doing::List => "list",
            Doing::SyncDir => "sync folder",
            Doing::Space => "measure the space of",
            Doing::Write => "write",
            Doing::Read => "read",
            Doing::Sync => "sync",
            Doing::Truncate => "truncate",
            Doing::Size => "measure",
        }
    }
}

/// An error number as the seam's error.
pub(super) fn from_code(code: i32, doing: Doing, path: &Path) -> IoError {
    match code {
        libc::ENOENT => IoError::NotFound(path.to_owned()),
        libc::ENOSPC | libc::EDQUOT => IoError::NoSpace(path.to_owned()),
        libc::EMFILE | libc::ENFILE => IoError::NoDescriptors(path.to_owned()),
        code => IoError::Failed { operation: doing.verb(), path: path.to_owned(), code },
    }
}

/// std's error as the seam's.
pub(super) fn std_error(error: &std::io::Error, doing: Doing, path: &Path) -> IoError {
    from_code(error.raw_os_error().unwrap_or(0), doing, path)
}

/// A path with a zero byte is an error like any other.
pub(super) fn check_path(path: &Path, doing: Doing) -> Result<(), IoError> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(from_code(libc::EINVAL, doing, path));
    }
    Ok(())
}
