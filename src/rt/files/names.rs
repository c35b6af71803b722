//! Operations on names, folders and whole files. They block, so they run on the shard's blocking thread only; `size`
//! alone doesn't.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place where the seam's names become std::fs calls, off the shard's thread"
)]
#![expect(clippy::disallowed_types, reason = "a folder is synced through std::fs::File")]
#![expect(unsafe_code, reason = "statvfs has no safe wrapper in std")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for direct reads and writes; made, or emptied, where `create` says so.
pub(super) fn open(path: &Path, create: bool) -> io::Result<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(create).truncate(create).mode(0o640).custom_flags(libc::O_DIRECT);
    options.open(path).map(OwnedFd::from)
}

pub(super) fn truncate(file: OwnedFd, len: u64) -> io::Result<()> {
    fs::File::from(file).set_len(len)
}

pub(super) fn size(file: &OwnedFd) -> io::Result<u64> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the call fills memory of the right type, which is valid as zeroes as well.
    let stat = unsafe {
        if libc::fstat(file.as_raw_fd(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.assume_init()
    };
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// Names in a folder, sorted. A name that isn't UTF-8 can't be one of ours and is left out.
pub(super) fn list(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// (total, usable) bytes of the file system that holds `path`; usable is what an ordinary user may still write.
pub(super) fn space(path: &Path) -> io::Result<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is a terminated string and `stat` is memory of the right type, which the call fills.
    let result = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and filled it; zeroes would be valid as well.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
}
