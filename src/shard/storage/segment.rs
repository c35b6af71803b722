//! One segment in memory: its file, its extents, its index and what of it is cached.

use super::cache::{Slot, TailCache};
use crate::base::Offset;
use crate::base::limits::SEGMENT_HEADER_BYTES;
use crate::log::index::Index;
use crate::log::segment::block_floor;
use crate::seam::{Files, WriteBuf};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// Cached ranges of a segment by position. Shared with reads under way, which add what they read.
pub(super) type Slots = Rc<RefCell<BTreeMap<u64, Rc<Slot>>>>;

/// A buffer that takes appended batches.
pub(super) struct OpenChunk<F: Files> {
    /// Where in the file it begins: a block's start.
    pub(super) position: u64,
    /// The memory.
    pub(super) buf: F::Buf,
    /// Its size.
    pub(super) capacity: usize,
    /// Bytes filled, with those copied over from the block before.
    pub(super) filled: usize,
}

/// A full or flushed chunk on its way to the file.
pub(super) struct SealedChunk<F: Files> {
    pub(super) position: u64,
    pub(super) sealed: <F::Buf as WriteBuf>::Sealed,
}

/// One segment.
pub(super) struct Segment<F: Files> {
    pub(super) base: Offset,
    pub(super) path: PathBuf,
    /// `None` until the first flush makes it.
    pub(super) file: Option<F::File>,
    pub(super) created_ms: i64,
    /// Offset after the last record.
    pub(super) next: Offset,
    /// Position after the last batch.
    pub(super) end: u64,
    /// Length of the file that is written and durable: within it a flush of the device is enough.
    pub(super) extent: u64,
    pub(super) index: Index,
    pub(super) slots: Slots,
    pub(super) open: Option<OpenChunk<F>>,
    /// Sealed, not yet taken by a flush.
    pub(super) pending: Vec<SealedChunk<F>>,
    /// The last bytes before `end` that don't fill a block: the next chunk begins with them.
    pub(super) carry: Bytes,
}

impl<F: Files> Segment<F> {
    /// A segment without a file.
    pub(super) fn new(dir: &std::path::Path, base: Offset, created_ms: i64) -> Self {
        Segment {
            base,
            path: dir.join(crate::log::segment::file_name(base)),
            file: None,
            created_ms,
            next: base,
            end: SEGMENT_HEADER_BYTES as u64,
            extent: 0,
            index: Index::default(),
            slots: Slots::default(),
            open: None,
            pending: Vec::new(),
            carry: Bytes::new(),
        }
    }

    /// Bytes of its batches.
    pub(super) fn batch_bytes(&self) -> u64 {
        self.end - SEGMENT_HEADER_BYTES as u64
    }

    /// Whether it has no batch.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.base
    }

    /// Makes the open chunk ready for the file: whole blocks, zeros after the last batch.
    pub(super) fn seal_open(&mut self, cache: &TailCache) {
        let Some(OpenChunk { position, mut buf, filled, .. }) = self.open.take() else { return };
        let len = usize::try_from(crate::log::segment::block_ceil(filled as u64)).expect("a chunk is small");
        buf.bytes_mut()[filled..len].fill(0);
        let sealed = buf.seal(len);
        let bytes = crate::seam::SealedBuf::share(&sealed, 0..filled);
        let whole = usize::try_from(block_floor(filled as u64)).expect("a chunk is small");
        // Copied, so that a chunk's memory isn't held for the sake of its last block.
        self.carry = Bytes::copy_from_slice(&bytes[whole..]);
        self.slots.borrow_mut().insert(position, cache.insert(position, bytes));
        self.pending.push(SealedChunk { position, sealed });
    }

    /// Lets everything cached go.
    pub(super) fn forget(&self, cache: &TailCache) {
        for slot in self.slots.borrow().values() {
            cache.forget(slot);
        }
    }
}
