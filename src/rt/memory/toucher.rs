//! Memory that is touched before it is needed.
//!
//! The kernel clears a page when it is touched for the first time, and where free pages go back to a hypervisor's host
//! that has to find one first: 2 CPU seconds per GB were measured, three times what else a produced byte costs. A
//! thread beside the shard does it ahead, a step at a time, and runs only when its processor has nothing else to do.
//! A step can't be interrupted, so beyond what is wanted from the start it also rests between steps: a shard that is
//! busy but not all the time shall hardly notice.
#![expect(unsafe_code, reason = "asks the kernel to populate a mapping, and for the idle scheduling class")]
#![expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which may sleep, and whose steps take real time"
)]

use super::arena::REGION_BYTES;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// What is touched at a time.
const STEP_BYTES: usize = REGION_BYTES;
/// Rests between steps, in times of what a step took.
const REST: u32 = 4;

#[derive(Default)]
struct Shared {
    /// Bytes from the start of the range that were touched.
    touched: AtomicUsize,
    /// Bytes that shall be.
    wanted: AtomicUsize,
    stop: AtomicBool,
}

/// Touches a range of memory from its start on, as far as is wanted.
pub(super) struct Toucher {
    shared: Arc<Shared>,
    /// None if there can be no thread: then nothing waits for it.
    thread: Option<JoinHandle<()>>,
}

impl Toucher {
    /// Starts the thread, on the processors of the calling one, with the first bytes of the range. It is mapped until
    /// the toucher is dropped.
    pub(super) fn begin(range: Range<usize>, first: usize) -> Self {
        let shared = Arc::new(Shared { wanted: AtomicUsize::new(first), ..Shared::default() });
        let (of_thread, bytes) = (Arc::clone(&shared), range.len());
        let builder = std::thread::Builder::new().name("memory".to_owned());
        let thread = builder.spawn(move || of_thread.touch(range, first)).ok();
        if thread.is_none() {
            shared.touched.store(bytes, Ordering::Relaxed);
        }
        Toucher { shared, thread }
    }

    /// Bytes that were touched. All, if the kernel can't do it ahead.
    pub(super) fn touched(&self) -> usize {
        self.shared.touched.load(Ordering::Relaxed)
    }

    /// Has at least so many bytes touched, when there is time.
    pub(super) fn want(&self, bytes: usize) {
        if bytes.saturating_sub(self.shared.wanted.load(Ordering::Relaxed)) >= STEP_BYTES {
            self.shared.wanted.store(bytes, Ordering::Release);
            self.wake();
        }
    }

    fn wake(&self) {
        self.thread.iter().for_each(|thread| thread.thread().unpark());
    }
}

impl Drop for Toucher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn touch(&self, range: Range<usize>, first: usize) {
        run_when_idle();
        let bytes = range.len();
        let mut touched = 0;
        while touched < bytes && !self.stop.load(Ordering::Acquire) {
            if touched >= self.wanted.load(Ordering::Acquire) {
                std::thread::park();
                continue;
            }
            let (began, step) = (Instant::now(), STEP_BYTES.min(bytes - touched));
            touched = if populate(range.start + touched, step) { touched + step } else { bytes };
            self.touched.store(touched, Ordering::Relaxed);
            if touched > first {
                std::thread::sleep(began.elapsed() * REST);
            }
        }
    }
}

/// Makes the calling thread run only when nobody else wants its processor.
fn run_when_idle() {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one structure. Where it is refused the thread competes with others, for a while.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const param) };
}

/// Has the kernel back a part of a mapping with memory, which changes no content; false if it can't.
fn populate(start: usize, len: usize) -> bool {
    // SAFETY: the range lies within a mapping that is kept until the thread has ended, and what others read from it or
    // write to it meanwhile stays as it is (madvise(2), MADV_POPULATE_WRITE).
    unsafe { libc::madvise(start as *mut libc::c_void, len, libc::MADV_POPULATE_WRITE) == 0 }
}

#[cfg(test)]
mod tests {
    use super::super::arena::Arena;
    use super::*;

    #[test]
    fn memory_is_touched_as_far_as_it_is_wanted_and_keeps_its_content() {
        let arena = Arena::touched_ahead(64 * REGION_BYTES);
        let mut block = arena.take(4 * REGION_BYTES);
        block.bytes_mut().fill(7);
        while arena.touched() < 20 * REGION_BYTES {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(arena.touched() < 24 * REGION_BYTES, "a quarter of it beyond what is used");
        assert!(block.bytes().iter().all(|byte| *byte == 7));
    }
}
