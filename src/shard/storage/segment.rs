//! One segment in memory: its file, its extents, its index and what of it is cached.

use super::cache::{Slots, Stay, TailCache};
use crate::base::Offset;
use crate::base::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX, SEGMENT_HEADER_BYTES};
use crate::base::mutant::{Mutant, planted};
use crate::log::checkpoint::SegmentFacts;
use crate::log::index::Index;
use crate::log::segment::{Compacted, SegmentHeader, SegmentName, block_ceil, block_floor};
use crate::seam::{Files, SealedBuf, WriteBuf};
use bytes::Bytes;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// Smallest chunk: one block, what a lone unbatched producer's turn takes.
const CHUNK_BYTES_MIN: usize = BLOCK_BYTES;

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

/// A segment's file, shared with the reads that are under way: opened when it is first needed.
pub(super) type FileSlot<F> = Rc<RefCell<Option<<F as Files>::File>>>;

/// One segment.
pub(super) struct Segment<F: Files> {
    pub(super) base: Offset,
    /// Of a segment that compaction wrote: offset after its last batch, which may lie before `next`.
    pub(super) compacted: Option<Offset>,
    /// It was copied from a leader whose compaction left gaps between batches.
    pub(super) holes: bool,
    pub(super) path: PathBuf,
    /// Empty until the first flush makes it, and after a restart until somebody reads it.
    pub(super) file: FileSlot<F>,
    /// The file's name is durable.
    pub(super) named: bool,
    pub(super) created_ms: i64,
    /// Offset after the last record.
    pub(super) next: Offset,
    /// Position after the last batch.
    pub(super) end: u64,
    /// Position after the last batch that a flush has written: what is beyond is only in memory.
    pub(super) written: u64,
    /// Position after the last batch that lies in memory that nobody changes any more, or in the file.
    pub(super) sealed: u64,
    /// The offset where the written batches end, and the largest timestamp before it.
    pub(super) settled: (Offset, i64),
    /// Length of the file that is written and durable: within it a flush of the device is enough.
    pub(super) extent: u64,
    /// Zeros beyond the extent, with a gap between that a flush still has to fill: from, to.
    pub(super) zeroed: Option<(u64, u64)>,
    /// Shared with reads under way, which note what they find.
    pub(super) index: Rc<RefCell<Index>>,
    /// What is cached. Shared with reads under way, which add what they read.
    pub(super) slots: Rc<RefCell<Slots>>,
    pub(super) open: Option<OpenChunk<F>>,
    /// Size of the next chunk: what the last flush took, twice the last chunk if that was filled before its flush. A
    /// chunk is a write of its own, and what it isn't filled with goes back when it is sealed: rather too large than
    /// too small.
    pub(super) chunk_bytes: usize,
    /// Bytes appended since the last flush began.
    pub(super) gathered: usize,
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
            compacted: None,
            holes: false,
            path: dir.join(SegmentName::plain(base).file_name()),
            file: Rc::default(),
            named: false,
            created_ms,
            next: base,
            end: SEGMENT_HEADER_BYTES as u64,
            written: SEGMENT_HEADER_BYTES as u64,
            sealed: SEGMENT_HEADER_BYTES as u64,
            settled: (base, i64::MIN),
            extent: 0,
            zeroed: None,
            index: Rc::new(RefCell::new(Index::new((base, SEGMENT_HEADER_BYTES as u64)))),
            slots: Rc::default(),
            open: None,
            chunk_bytes: CHUNK_BYTES_MIN,
            gathered: 0,
            pending: Vec::new(),
            carry: Bytes::new(),
        }
    }

    /// A segment of which a checkpoint tells what lies in it.
    pub(super) fn known(dir: &std::path::Path, facts: &SegmentFacts) -> Self {
        let SegmentFacts { base_offset, next_offset, end, largest_timestamp, created_ms, holes } = *facts;
        let start = (base_offset, SEGMENT_HEADER_BYTES as u64);
        let index = Index::unknown(start, (next_offset, end), largest_timestamp);
        Segment {
            next: next_offset,
            holes,
            end,
            written: end,
            sealed: end,
            named: true,
            settled: (next_offset, largest_timestamp),
            extent: block_ceil(end),
            index: Rc::new(RefCell::new(index)),
            ..Segment::new(dir, base_offset, created_ms)
        }
    }

    /// A segment that compaction wrote, as its header says.
    pub(super) fn compacted(dir: &std::path::Path, header: &SegmentHeader, compacted: &Compacted) -> Self {
        let Compacted { next_offset, read_end, end, largest_timestamp } = *compacted;
        let base_offset = header.base_offset;
        let (created_ms, holes) = (header.created_ms, false);
        let facts = SegmentFacts { base_offset, next_offset, end, largest_timestamp, created_ms, holes };
        let name = SegmentName { base_offset, next_offset: Some(next_offset) };
        let start = (base_offset, SEGMENT_HEADER_BYTES as u64);
        Segment {
            compacted: Some(read_end),
            path: dir.join(name.file_name()),
            index: Rc::new(RefCell::new(Index::unknown(start, (read_end, end), largest_timestamp))),
            ..Segment::known(dir, &facts)
        }
    }

    /// Offset after its last batch: who reads from there on reads the next segment.
    pub(super) fn read_end(&self) -> Offset {
        self.compacted.unwrap_or(self.next)
    }

    /// What a checkpoint tells of its durable part, if it has one.
    pub(super) fn facts(&self) -> Option<SegmentFacts> {
        let (next_offset, largest_timestamp) = self.settled;
        (next_offset > self.base).then_some(SegmentFacts {
            base_offset: self.base,
            next_offset,
            end: self.written,
            largest_timestamp,
            created_ms: self.created_ms,
            holes: self.holes,
        })
    }

    /// Whether there may be gaps between its batches.
    pub(super) fn has_holes(&self) -> bool {
        self.holes || self.compacted.is_some()
    }

    /// Bytes of its batches.
    pub(super) fn batch_bytes(&self) -> u64 {
        self.end - SEGMENT_HEADER_BYTES as u64
    }

    /// Whether it has no batch.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.base
    }

    /// Where the written part of the file ends, gap or not.
    pub(super) fn prepared_to(&self) -> u64 {
        self.zeroed.map_or(self.extent, |(_, to)| to.max(self.extent))
    }

    /// Extends the extent over zeros that it has reached. Before that the gap isn't allocated, and a flush of another
    /// file wouldn't make it durable.
    pub(super) fn join_zeros(&mut self) {
        if let Some((_, to)) = self.zeroed.take_if(|(from, _)| *from <= self.extent) {
            self.extent = self.extent.max(to);
        }
    }

    /// Seals what a flush takes.
    pub(super) fn seal_for_flush(&mut self, cache: &TailCache) {
        self.seal_open(cache);
        self.sealed = self.end;
        let gathered = std::mem::take(&mut self.gathered);
        if gathered > 0 {
            self.chunk_bytes = chunk_size(gathered);
        }
    }

    /// Makes the open chunk ready for the file: whole blocks, zeros after the last batch.
    pub(super) fn seal_open(&mut self, cache: &TailCache) {
        let Some(OpenChunk { position, mut buf, filled, .. }) = self.open.take() else { return };
        let len = usize::try_from(block_ceil(filled as u64)).expect("a chunk is small");
        buf.bytes_mut()[filled..len].fill(0);
        let sealed = buf.seal(len);
        let bytes = SealedBuf::share(&sealed, 0..filled);
        let whole = usize::try_from(block_floor(filled as u64)).expect("a chunk is small");
        // Copied, so that a chunk's memory isn't held for the sake of its last block.
        self.carry = Bytes::copy_from_slice(&bytes[whole..]);
        cache.carried(self.carry.len());
        self.slots.borrow_mut().push(cache.insert(position, bytes, len, Stay::Full), cache);
        self.pending.push(SealedChunk { position, sealed });
    }

    /// Copies bytes to the segment's end, into as many chunks as it takes; so many `more` will follow at once. Answers
    /// how many it copied.
    pub(super) fn copy_in(&mut self, files: &F, cache: &TailCache, mut bytes: &[u8], more: usize) -> usize {
        let mut copied = 0;
        self.gathered += bytes.len();
        while !bytes.is_empty() {
            let open = self.open.take();
            let mut chunk = open.unwrap_or_else(|| self.begin_chunk(files, cache, bytes.len() + more));
            let (now, later) = bytes.split_at(bytes.len().min(chunk.capacity - chunk.filled));
            chunk.buf.bytes_mut()[chunk.filled..chunk.filled + now.len()].copy_from_slice(now);
            chunk.filled += now.len();
            copied += now.len();
            self.end += now.len() as u64;
            bytes = later;
            let full = chunk.filled == chunk.capacity;
            self.open = Some(chunk);
            if full {
                self.seal_open(cache);
                self.chunk_bytes = chunk_size(self.chunk_bytes * 2);
            }
        }
        copied
    }

    fn begin_chunk(&self, files: &F, cache: &TailCache, expected: usize) -> OpenChunk<F> {
        let position = block_floor(self.end);
        let filled = self.carry.len();
        assert_eq!(position + filled as u64, self.end, "the carry ends where the segment does");
        let capacity = self.chunk_bytes.max(chunk_size(filled + expected));
        let mut buf = files.alloc(capacity);
        if !planted(Mutant::LoseCarry) {
            buf.bytes_mut()[..filled].copy_from_slice(&self.carry);
            cache.carried(filled);
        }
        OpenChunk { position, buf, capacity, filled }
    }

    /// Lets everything cached go.
    pub(super) fn forget(&self, cache: &TailCache) {
        self.slots.borrow().forget(cache);
    }
}

/// The size of a chunk for so many bytes, with a block more for those copied over from the block before.
fn chunk_size(bytes: usize) -> usize {
    (bytes.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES).min(CHUNK_BYTES_MAX)
}
