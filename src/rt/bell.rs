//! Waking a sleeping shard from another thread.
#![expect(unsafe_code, reason = "eventfd and its read and write")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// A shard's bell. It sounds only while the shard is about to sleep or sleeps, so a busy shard costs its callers no
/// system call.
pub(super) struct Bell {
    event: OwnedFd,
    armed: AtomicBool,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a plain call; the descriptor is new and has no other owner.
        let event = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Bell { event, armed: AtomicBool::new(false) })
    }

    /// Wakes the shard if it sleeps. Whoever calls it has made what the shard shall see visible before.
    pub(super) fn ring(&self) {
        // Pairs with the fence in `arm`: either the shard sees what was made visible, or this sees that it is armed.
        fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::SeqCst) {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: the call reads the eight bytes. It fails only if the counter is full, and then it has rung.
            unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// The shard is about to sleep. It must look once more for what others left before it does.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The shard is awake.
    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// The descriptor that becomes readable when the bell has rung.
    pub(super) fn event(&self) -> &OwnedFd {
        &self.event
    }

    /// Makes it unreadable again.
    pub(super) fn hush(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: the call writes at most eight bytes; without a ring it fails, which is as good.
        unsafe { libc::read(self.event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}
