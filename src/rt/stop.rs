//! Asking the process to stop: by signal or by call.
#![expect(unsafe_code, reason = "signal masks and sigtimedwait have no safe wrapper in std")]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often the process has been asked to stop. Shared by all shards; each looks at it on its tick.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    requests: Arc<AtomicU32>,
}

impl Stop {
    /// Asks all shards to stop.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests so far: 1 asks to drain, more ask to hurry.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// SIGTERM and SIGINT, blocked for this thread and all that it starts, so that they wait to be taken by `take`
/// instead of interrupting a shard. Dropping it restores the thread's mask.
pub(super) struct Signals {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

impl Signals {
    /// Blocks the signals.
    pub(super) fn block() -> Self {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: `sigemptyset` initialises the set, the other calls get initialised or writable sets of
        // the right type.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            Signals { set: set.assume_init(), before: before.assume_init() }
        }
    }

    /// Waits for a signal, at most `wait`; true if one came.
    pub(super) fn take(&self, wait: Duration) -> bool {
        let wait = libc::timespec {
            tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(i32::try_from(wait.subsec_nanos()).unwrap_or(0)),
        };
        // SAFETY: the set and the time are initialised, and no information about the signal is asked for.
        unsafe { libc::sigtimedwait(&raw const self.set, ptr::null_mut(), &raw const wait) > 0 }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: restores the mask that `block` was given.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}
