//! Operations on names and folders. They block, so they run on the shard's blocking thread only.
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
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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
