//! An allocator that counts what each thread holds, so that a test can say how much a call took.
#![expect(unsafe_code, reason = "a global allocator is unsafe to implement; this one only forwards")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Forwards to the system's allocator and counts.
pub(crate) struct Counting;

#[derive(Clone, Copy)]
struct Counts {
    /// Bytes held now. Below zero where a thread frees what another one made.
    held: isize,
    /// The most that were held since the last `measure` began.
    peak: isize,
    /// Allocations ever made.
    made: usize,
}

std::thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { held: 0, peak: 0, made: 0 }) };
}

fn count(bytes: isize, made: usize) {
    let mut counts = COUNTS.get();
    counts.held += bytes;
    counts.peak = counts.peak.max(counts.held);
    counts.made += made;
    COUNTS.set(counts);
}

// SAFETY: every call is forwarded to `System` as it came; counting neither allocates nor unwinds, and the counters are
// plain thread-local cells without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed(), 1);
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed(), 0);
        // SAFETY: the caller keeps `dealloc`'s contract, which is the same.
        unsafe { System.dealloc(pointer, layout) };
    }
}

/// What a call took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The most bytes that were held at once, beyond what was held before.
    pub(crate) peak_bytes: usize,
    /// How often something was allocated.
    pub(crate) allocations: usize,
}

/// Runs the call on this thread and counts.
pub(crate) fn measure<T>(call: impl FnOnce() -> T) -> (T, Taken) {
    let before = COUNTS.get();
    COUNTS.set(Counts { peak: before.held, ..before });
    let out = call();
    let after = COUNTS.get();
    let peak_bytes = usize::try_from(after.peak - before.held).expect("the peak began at what was held");
    (out, Taken { peak_bytes, allocations: after.made - before.made })
}
