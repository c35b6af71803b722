//! One shard's memory for direct I/O: aligned blocks out of one mapping, made once and never given back, so that a
//! busy shard touches the same pages again and again. (A page that the kernel has to clear first costs more than all
//! else that happens to its bytes.)
#![expect(unsafe_code, reason = "maps memory and hands out its parts; see `Block` for who may touch them")]

use super::marks::Marks;
use super::renewal::Renewal;
use super::runs::Runs;
use super::toucher::Toucher;
use crate::base::limits::BLOCK_BYTES;
use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of a huge page, to which the mapping is aligned.
pub(super) const REGION_BYTES: usize = 2 * 1024 * 1024;

/// The part of an arena that is touched beyond what was ever in use.
const AHEAD_SHARE: usize = 4;

/// The part of an arena that may wait for the rest of its regions to come back.
const WAITING_SHARE: usize = 32;

/// The memory of one shard, as a source of blocks.
pub(in crate::rt) struct Arena {
    start: NonNull<u8>,
    bytes: usize,
    free: RefCell<Runs>,
    marks: Arc<Marks>,
    renewal: RefCell<Renewal>,
    /// Bytes of pages that were replaced because they had been spliced, since that was last asked.
    renewed: Cell<u64>,
    /// Bytes of blocks that the arena had no room for.
    beyond: Cell<usize>,
    toucher: Option<Toucher>,
}

impl Arena {
    /// An arena of at least `bytes`. The kernel commits pages as they are touched.
    pub(in crate::rt) fn new(bytes: usize) -> Rc<Self> {
        let bytes = bytes.max(1).next_multiple_of(REGION_BYTES);
        let regions = bytes / REGION_BYTES;
        Rc::new(Arena {
            start: map(bytes),
            bytes,
            free: RefCell::new(Runs::new(bytes / BLOCK_BYTES)),
            marks: Arc::new(Marks::new(regions)),
            renewal: RefCell::new(Renewal::new(regions, bytes / BLOCK_BYTES / WAITING_SHARE)),
            renewed: Cell::new(0),
            beyond: Cell::new(0),
            toucher: None,
        })
    }

    /// The same, with a thread that touches its pages before they are needed.
    pub(in crate::rt) fn touched_ahead(bytes: usize) -> Rc<Self> {
        let mut arena = Arena::new(bytes);
        if let Some(it) = Rc::get_mut(&mut arena) {
            it.toucher = Some(Toucher::begin(it.range(), it.bytes / AHEAD_SHARE));
        }
        arena
    }

    /// Bytes that cost no first touch.
    pub(in crate::rt) fn touched(&self) -> usize {
        self.toucher.as_ref().map_or(self.bytes, Toucher::touched)
    }

    /// Where its mapping lies.
    pub(in crate::rt) fn range(&self) -> Range<usize> {
        let start = self.start.as_ptr() as usize;
        start..start + self.bytes
    }

    /// What to mark before its memory is spliced.
    pub(in crate::rt) fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// Bytes of pages that were replaced because they had been spliced, since this was last asked.
    pub(in crate::rt) fn take_renewed(&self) -> u64 {
        self.renewed.take()
    }

    /// Bytes in use.
    pub(in crate::rt) fn used(&self) -> usize {
        (self.free.borrow().used() - self.renewal.borrow().waiting()) * BLOCK_BYTES + self.beyond.get()
    }

    /// `len` initialised bytes of unspecified content, in whole blocks. Where the arena has no such run they come from
    /// the process's allocator: whoever bounds what is kept must see to it that this is rare.
    pub(in crate::rt) fn take(self: &Rc<Self>, len: usize) -> Block {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "direct I/O takes whole blocks, not {len} bytes");
        let first = self.free.borrow_mut().take(len / BLOCK_BYTES);
        if let Some(toucher) = &self.toucher {
            toucher.want((self.used() + self.bytes / AHEAD_SHARE).min(self.bytes));
        }
        let start = match first {
            Some(first) => {
                let stale = self.renewal.borrow_mut().before_use(first..first + len / BLOCK_BYTES);
                stale.into_iter().for_each(|region| self.renew(region * REGION_BYTES, REGION_BYTES));
                // SAFETY: the runs are of blocks within the mapping.
                unsafe { self.start.add(first * BLOCK_BYTES) }
            }
            None => {
                self.beyond.set(self.beyond.get() + len);
                allocate(len)
            }
        };
        Block { start, len, outside: if first.is_some() { 0 } else { len }, arena: Rc::clone(self) }
    }

    /// Takes back blocks that nobody refers to but perhaps the kernel.
    fn give(&self, first: usize, blocks: usize) {
        let (mut free, mut renewal) = (self.free.borrow_mut(), self.renewal.borrow_mut());
        for part in renewal.give(first..first + blocks, &self.marks, &mut free) {
            self.renew(part.start * BLOCK_BYTES, part.len() * BLOCK_BYTES);
            free.give(part.start, part.len());
        }
    }

    /// Replaces the pages of free memory: who still refers to the old ones keeps them as they are.
    fn renew(&self, from: usize, bytes: usize) {
        // SAFETY: the range lies within the mapping, is free, and reads as zeros from now on, which are bytes as good
        // as any.
        let done = unsafe { libc::madvise(self.start.add(from).as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
        // Only locked memory is refused, and then every page that is sent might be written over on its way.
        assert_eq!(done, 0, "the kernel doesn't replace pages: {}", std::io::Error::last_os_error());
        self.renewed.set(self.renewed.get() + bytes as u64);
    }

    fn number(&self, start: NonNull<u8>) -> usize {
        (start.as_ptr() as usize - self.start.as_ptr() as usize) / BLOCK_BYTES
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.toucher = None;
        // SAFETY: the mapping is this arena's own, and every block of it holds a count of the arena.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Aligned memory with one owner. Only the shard that took it frees it; whoever lends it to others keeps it alive until
/// they are done (`loan`).
pub(in crate::rt) struct Block {
    start: NonNull<u8>,
    len: usize,
    /// Bytes, if they came from the process's allocator; 0 for the arena's own.
    outside: usize,
    arena: Rc<Arena>,
}

impl Block {
    pub(in crate::rt) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::rt) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    #[cfg(test)]
    pub(in crate::rt) fn bytes(&self) -> &[u8] {
        // SAFETY: the block is initialised memory of `len` bytes that nobody else writes to while it is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(in crate::rt) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` says that nobody reads it either.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Gives back what lies beyond the first `len` bytes, a multiple of the block size.
    pub(in crate::rt) fn trim(&mut self, len: usize) {
        assert!(len > 0 && len <= self.len && len.is_multiple_of(BLOCK_BYTES), "{len} of {} bytes", self.len);
        if self.outside == 0 && len < self.len {
            let first = self.arena.number(self.start) + len / BLOCK_BYTES;
            self.arena.give(first, (self.len - len) / BLOCK_BYTES);
        }
        self.len = len;
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.outside == 0 {
            self.arena.give(self.arena.number(self.start), self.len / BLOCK_BYTES);
        } else {
            self.arena.beyond.set(self.arena.beyond.get() - self.outside);
            // SAFETY: it was allocated with this very layout.
            unsafe { std::alloc::dealloc(self.start.as_ptr(), layout(self.outside)) };
        }
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, BLOCK_BYTES).expect("a size in whole blocks")
}

fn allocate(len: usize) -> NonNull<u8> {
    let layout = layout(len);
    // SAFETY: the layout isn't empty.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    NonNull::new(start).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
}

/// Fresh zeroed memory, aligned to a region.
fn map(bytes: usize) -> NonNull<u8> {
    let (read_write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let flags = private | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping touches nothing that exists; what is cut off it again lies within it, and the
    // advice changes no content.
    unsafe {
        let whole = libc::mmap(std::ptr::null_mut(), bytes + REGION_BYTES, read_write, flags, -1, 0);
        assert!(whole != libc::MAP_FAILED, "the kernel has no address space for {bytes} bytes");
        let skip = whole.align_offset(REGION_BYTES);
        let start = whole.add(skip);
        if skip > 0 {
            libc::munmap(whole, skip);
        }
        libc::munmap(start.add(bytes), REGION_BYTES - skip);
        // Huge pages where the kernel has them: fewer faults, fewer page walks. Nothing depends on it.
        libc::madvise(start, bytes, libc::MADV_HUGEPAGE);
        NonNull::new(start.cast()).expect("mmap returns no null")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_apart_and_come_back() {
        let arena = Arena::new(REGION_BYTES);
        let mut blocks: Vec<Block> = (1..=20).map(|n| arena.take(n * BLOCK_BYTES)).collect();
        for (fill, block) in (1u8..).zip(&mut blocks) {
            assert!((block.start() as usize).is_multiple_of(BLOCK_BYTES));
            block.bytes_mut().fill(fill);
        }
        assert!((1u8..).zip(&blocks).all(|(fill, block)| block.bytes().iter().all(|byte| *byte == fill)));
        let mut last = blocks.pop().unwrap();
        last.trim(BLOCK_BYTES);
        assert_eq!(arena.used(), (190 + 1) * BLOCK_BYTES);
        drop((blocks, last));
        assert_eq!(arena.used(), 0);
    }

    #[test]
    fn spliced_memory_is_new_when_it_is_used_again() {
        let arena = Arena::new(REGION_BYTES);
        let mut block = arena.take(REGION_BYTES);
        block.bytes_mut().fill(1);
        block.trim(REGION_BYTES - BLOCK_BYTES);
        arena.marks().mark(0..1);
        drop(block);
        assert_eq!(arena.take_renewed(), 0, "when it is needed, not before");
        let block = arena.take(REGION_BYTES);
        assert!(block.bytes().iter().all(|byte| *byte == 0));
        assert_eq!(arena.take_renewed(), REGION_BYTES as u64);
    }

    #[test]
    fn what_doesnt_fit_comes_from_elsewhere() {
        let arena = Arena::new(REGION_BYTES);
        let all = arena.take(REGION_BYTES);
        let (mut more, large) = (arena.take(8 * BLOCK_BYTES), arena.take(3 * REGION_BYTES));
        more.trim(BLOCK_BYTES);
        assert!(more.bytes().iter().chain(large.bytes()).all(|byte| *byte == 0));
        assert_eq!(arena.used(), 4 * REGION_BYTES + 8 * BLOCK_BYTES);
        drop((all, more, large));
        assert_eq!(arena.used(), 0);
    }
}
