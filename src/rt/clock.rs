//! The machine's clocks and its randomness.
#![expect(clippy::disallowed_methods, reason = "the one place that reads the clocks that the seam hands out")]
#![expect(
    unsafe_code,
    reason = "getrandom and clock_gettime of the thread's CPU time have no safe wrapper in std"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The process's clock: all shards count from the same start.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    /// Nanoseconds since 1970-01-01 UTC at the start.
    start_epoch_ns: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_epoch_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        Clock { start: Instant::now(), start_epoch_ns }
    }

    /// Nanoseconds since 1970-01-01 UTC when `mono` was zero.
    pub(super) fn start_epoch_ns(self) -> u64 {
        self.start_epoch_ns
    }

    /// Time since the start.
    pub(super) fn mono(self) -> Duration {
        self.start.elapsed()
    }

    /// Milliseconds since 1970-01-01 UTC; negative before.
    pub(super) fn wall_ms() -> i64 {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => ms(after),
            Err(before) => -ms(before.duration()),
        }
    }
}

/// CPU time of the calling thread.
pub(super) fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux and the call fills the structure it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Lets sleeps of the calling thread end at their time: the kernel rounds them up to 50 µs otherwise.
pub(super) fn sharpen_timers() {
    // SAFETY: a plain call that changes the calling thread's timer slack; it can't fail for a value above zero.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0, 0, 0) };
}

/// A seed that differs from start to start and shard to shard.
pub(super) fn seed() -> u64 {
    let mut seed = [0_u8; 8];
    // SAFETY: the call writes at most the eight bytes of the array. Early in a boot it may fail; then the
    // clock is the seed.
    let got = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
    if got == 8 { u64::from_ne_bytes(seed) } else { Clock::wall_ms().unsigned_abs() }
}
