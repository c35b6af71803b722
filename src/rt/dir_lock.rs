//! A folder that one process has for itself.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "taken once, before any shard runs")]

use std::fs::{File, OpenOptions};
use std::path::Path;

/// A lock on a folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// What to tell the operator: another process has it, or the folder can't be written.
    pub fn take(dir: &Path) -> Result<DirLock, String> {
        let path = dir.join("lock");
        let failed = |error: std::io::Error| format!("data directory {}: {error}", dir.display());
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(format!("data directory {}: another broker uses it", dir.display()))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
