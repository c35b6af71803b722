//! A frame in memory whose records can't be read.
#![expect(unsafe_code, reason = "pages are mapped and protected by hand")]

use bytes::Bytes;

const PAGE: usize = 4096;

/// Pages of anonymous memory.
struct Pages {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: the pages belong to this value alone, and after they are filled nobody writes to them.
unsafe impl Send for Pages {}

/// What of the pages is the frame.
struct Frame {
    pages: Pages,
    from: usize,
    to: usize,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(PAGE);
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "memory can be mapped");
        Pages { start: start.cast(), bytes }
    }

    fn fill(&mut self, at: usize, with: &[u8]) {
        assert!(at + with.len() <= self.bytes);
        // SAFETY: the range lies within the mapping, which is writable and can't overlap with a slice from elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(with.as_ptr(), self.start.add(at), with.len()) };
    }

    /// Makes whole pages unreadable.
    fn forbid(&mut self, from: usize, to: usize) {
        assert!(from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE) && from <= to && to <= self.bytes);
        // SAFETY: the range lies within the mapping.
        let done = unsafe { libc::mprotect(self.start.add(from).cast(), to - from, libc::PROT_NONE) };
        assert_eq!(done, 0, "pages can be protected");
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and what borrows from it has ended.
        let done = unsafe { libc::munmap(self.start.cast(), self.bytes) };
        assert_eq!(done, 0, "what was mapped can be unmapped");
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the range lies within the mapping and was written before. That some pages can't be read is the point:
        // a read of them ends the process.
        unsafe { std::slice::from_raw_parts(self.pages.start.add(self.from), self.to - self.from) }
    }
}

/// A frame whose records begin on a page of their own. The first of their pages, with the header, can be read, and so
/// can the last, which may hold what follows them; all between can't.
pub(crate) struct Guarded {
    frame: Bytes,
    records: *const u8,
}

impl Guarded {
    /// The three parts of a frame.
    pub(crate) fn new(before: &[u8], records: &[u8], after: &[u8]) -> Self {
        let at = before.len().next_multiple_of(PAGE);
        let end = at + records.len();
        let mut pages = Pages::new(end + after.len());
        let from = at - before.len();
        pages.fill(from, before);
        pages.fill(at, records);
        pages.fill(end, after);
        let unread = at + PAGE;
        let readable_again = end / PAGE * PAGE;
        if unread < readable_again {
            pages.forbid(unread, readable_again);
        }
        let start = pages.start.wrapping_add(at);
        let frame = Frame { pages, from, to: end + after.len() };
        Guarded { frame: Bytes::from_owner(frame), records: start }
    }

    /// The frame.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Where its records begin.
    pub(crate) fn records(&self) -> *const u8 {
        self.records
    }
}
