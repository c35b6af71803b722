//! Reading: whole batches from the batch that holds an offset on. From the cache without a copy; what isn't there is
//! read from the file in large windows, which stay in the cache for the next reader.

use super::cache::{Slots, TailCache};
use super::rope::Rope;
use super::segment::{FileSlot, Segment};
use super::{PartitionLog, StorageError};
use crate::base::limits::{BATCH_HEADER_BYTES, READ_BYTES_MAX, READS_AT_ONCE_MAX};
use crate::base::mutant::{Mutant, planted};
use crate::base::{Offset, join_all};
use crate::log::index::Index;
use crate::seam::{File, Files};
use crate::wire::batch::BatchMeta;
use bytes::Bytes;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes taken beyond what was asked for, to find where batches end.
const SLACK: u64 = 8192;

/// What is read from a file at once begins at a multiple of this.
const WINDOW: u64 = READ_BYTES_MAX as u64;

/// What is wanted of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// First offset.
    pub(super) from: Offset,
    /// First offset that may not be seen.
    pub(super) upto: Offset,
    /// Bytes at most.
    pub(super) max_bytes: usize,
    /// The first batch may be larger.
    pub(super) first_whole: bool,
}

/// As many of these batches, from the first on, as fit.
#[must_use]
pub fn batches_within(pieces: Vec<Bytes>, max_bytes: usize) -> Vec<Bytes> {
    let mut rope = Rope::at(0);
    for piece in pieces {
        rope.push(rope.end(), &piece);
    }
    let mut end = 0;
    while let Some(meta) = rope.header(end) {
        let next = end + meta.bytes as u64;
        if next > rope.end() || next > max_bytes as u64 {
            break;
        }
        end = next;
    }
    rope.slices(0, end)
}

/// What a rope holds of what is wanted.
#[derive(Debug)]
pub(super) enum Cut {
    /// From one position to another; the offset after it.
    Found(u64, u64, Offset),
    /// The rope must reach this position to say.
    Needs(u64),
}

/// Finds the batches wanted in a rope that starts at a batch.
pub(super) fn cut(rope: &Rope, wanted: Wanted, segment_end: u64) -> Cut {
    let mut position = rope.start();
    let mut first = None;
    let mut next = wanted.from;
    while position < segment_end {
        let Some(meta) = rope.header(position) else {
            return Cut::Needs(position + BATCH_HEADER_BYTES as u64);
        };
        let end = position + meta.bytes as u64;
        if meta.base_offset >= wanted.upto {
            break;
        }
        if meta.last_offset() >= wanted.from {
            let start = *first.get_or_insert(position);
            let fits = usize::try_from(end - start).is_ok_and(|bytes| bytes <= wanted.max_bytes);
            if !(fits || wanted.first_whole && start == position) {
                break;
            }
            if end > rope.end() {
                return Cut::Needs(end);
            }
            next = meta.last_offset() + 1;
        }
        position = end;
    }
    let start = first.unwrap_or(position);
    Cut::Found(start, position.max(start), next)
}

/// Reads pieces of one segment, from the cache or its file.
pub(super) struct Loader<F: Files> {
    pub(super) files: F,
    pub(super) file: FileSlot<F>,
    pub(super) path: PathBuf,
    pub(super) index: Rc<RefCell<Index>>,
    pub(super) slots: Rc<RefCell<Slots>>,
    pub(super) cache: TailCache,
    /// Where the batches end that a flush has written. Beyond, the file holds zeros or half a write.
    pub(super) end: u64,
    /// Compaction may have left holes between batches.
    pub(super) holes: bool,
}

impl<F: Files> Loader<F> {
    pub(super) fn of(segment: &Segment<F>, log: &PartitionLog<F>) -> Self {
        Loader {
            files: log.files.clone(),
            file: segment.file.clone(),
            path: segment.path.clone(),
            index: segment.index.clone(),
            slots: segment.slots.clone(),
            cache: log.cache.clone(),
            end: if planted(Mutant::ReadUnwritten) { segment.end } else { segment.written },
            holes: segment.has_holes(),
        }
    }

    /// Extends a rope from the cache as far as `to`, or until a gap.
    pub(super) fn extend_cached(&self, rope: &mut Rope, to: u64) {
        let slots = self.slots.borrow();
        while rope.end() < to {
            match slots.at(rope.end()) {
                Some((position, bytes)) => rope.push(position, &bytes),
                None => break,
            }
        }
    }

    fn corrupt(&self, position: u64) -> StorageError {
        StorageError::Corrupt { path: self.path.clone(), position }
    }

    async fn file(&self) -> Result<F::File, StorageError> {
        opened(&self.files, &self.file, &self.path).await
    }

    /// Notes batches that the index doesn't know, from the segment's start on, until `enough`.
    pub(super) async fn index_until(&self, enough: impl Fn(&Index) -> bool) -> Result<(), StorageError> {
        loop {
            let (next, at) = match self.index.borrow().unknown_from() {
                Some(from) if !enough(&self.index.borrow()) => from,
                _ => return Ok(()),
            };
            let len = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
            let bytes = self.file().await?.read(at, len).await?;
            let (mut skip, mut next) = (0, next);
            while let Some(meta) = bytes.get(skip..).and_then(BatchMeta::read) {
                let follows = meta.base_offset == next || self.holes && meta.base_offset > next;
                if !follows || at + (skip + meta.bytes) as u64 > self.end {
                    return Err(self.corrupt(at + skip as u64));
                }
                self.index.borrow_mut().push(&meta, at + skip as u64);
                (skip, next) = (skip + meta.bytes, meta.last_offset() + 1);
            }
            if skip == 0 {
                return Err(self.corrupt(at));
            }
        }
    }

    /// Extends a rope as far as `to`, from the file where the cache has gaps.
    pub(super) async fn extend(&self, rope: &mut Rope, to: u64) -> Result<(), StorageError> {
        let to = to.min(self.end);
        self.extend_cached(rope, to);
        while rope.end() < to {
            let (from, file) = (rope.end(), self.file().await?);
            let windows = self.missing(from, to).into_iter();
            for window in join_all(windows.map(|window| self.read_window(&file, window))).await {
                let (window, bytes) = window?;
                if window <= rope.end() {
                    rope.push(window, &bytes);
                }
                // What follows may have been in the cache all along.
                self.extend_cached(rope, to);
            }
            if rope.end() == from {
                return Err(self.corrupt(from));
            }
        }
        Ok(())
    }

    /// Where the next windows begin that the cache lacks between two positions, of which it lacks the first.
    fn missing(&self, from: u64, to: u64) -> Vec<u64> {
        let slots = self.slots.borrow();
        let windows = (from - from % WINDOW..to).step_by(READ_BYTES_MAX);
        let lacks = |window: &u64| slots.at(from.max(*window)).is_none();
        windows.filter(lacks).take(READS_AT_ONCE_MAX).collect()
    }

    /// Reads a window, or what there is of it, and keeps it for others.
    async fn read_window(&self, file: &F::File, window: u64) -> Result<(u64, Bytes), StorageError> {
        let len = usize::try_from(self.end - window).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        let bytes = file.read(window, len).await?;
        self.slots.borrow_mut().keep_window(window, bytes.clone(), &self.cache);
        Ok((window, bytes))
    }
}

/// A segment's file, opened if nobody has done so.
pub(super) async fn opened<F: Files>(
    files: &F,
    slot: &FileSlot<F>,
    path: &Path,
) -> Result<F::File, StorageError> {
    let open = slot.borrow().clone();
    if let Some(file) = open {
        return Ok(file);
    }
    let file = files.open(path).await?;
    Ok(slot.borrow_mut().get_or_insert(file).clone())
}

/// Where a read's batches are.
pub struct ReadPlan<F: Files>(Place<F>);

enum Place<F: Files> {
    Cached { slices: Vec<Bytes>, next: Offset },
    Cold { loader: Loader<F>, wanted: Wanted },
}

impl<F: Files> ReadPlan<F> {
    /// Whether it takes a read from the file.
    #[must_use]
    pub fn is_cold(&self) -> bool {
        matches!(self.0, Place::Cold { .. })
    }

    /// Bytes it will return; an upper bound for a cold one.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Place::Cached { slices, .. } => slices.iter().map(Bytes::len).sum(),
            Place::Cold { loader, wanted } => {
                usize::try_from(loader.end).unwrap_or(usize::MAX).min(wanted.max_bytes)
            }
        }
    }

    /// The offset after what it returns; a guess for a cold one.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        match &self.0 {
            Place::Cached { next, .. } => *next,
            Place::Cold { wanted, .. } => wanted.upto,
        }
    }

    /// The batches of a plan that isn't cold.
    #[must_use]
    pub fn into_cached(self) -> Vec<Bytes> {
        match self.0 {
            Place::Cached { slices, .. } => slices,
            Place::Cold { .. } => Vec::new(),
        }
    }

    /// The batches. Those read from the file are checked against their CRC.
    ///
    /// # Errors
    /// The file can't be read, or isn't what was written.
    pub async fn run(self) -> Result<Vec<Bytes>, StorageError> {
        let (loader, wanted) = match self.0 {
            Place::Cached { slices, .. } => return Ok(slices),
            Place::Cold { loader, wanted } => (loader, wanted),
        };
        // Who reads on where the last one ended needs no look ahead: what it reads is noted.
        loader.index_until(|index| index.reaches(wanted.from)).await?;
        let start = loader.index.borrow().position_for(wanted.from);
        let mut rope = Rope::at(start);
        let mut to = start + wanted.max_bytes as u64 + SLACK;
        loop {
            loader.extend(&mut rope, to).await?;
            match cut(&rope, wanted, loader.end) {
                Cut::Needs(more) if more > rope.end() && more <= loader.end => to = more + SLACK,
                Cut::Needs(position) => return Err(loader.corrupt(position)),
                Cut::Found(from, end, _) => {
                    verify(&rope, &loader, from, end)?;
                    return Ok(rope.slices(from, end));
                }
            }
        }
    }
}

/// Checks the CRC of every batch in a range, and notes them in the index.
fn verify<F: Files>(rope: &Rope, loader: &Loader<F>, from: u64, end: u64) -> Result<(), StorageError> {
    let mut position = from;
    while position < end {
        let meta = rope.header(position).ok_or_else(|| loader.corrupt(position))?;
        let next = position + meta.bytes as u64;
        if next > end || !meta.crc_fits_slices(&rope.slices(position, next.min(rope.end()))) {
            return Err(loader.corrupt(position));
        }
        loader.index.borrow_mut().push(&meta, position);
        position = next;
    }
    Ok(())
}

impl<F: Files> PartitionLog<F> {
    /// Plans a read of whole batches from the one that holds `from`, below `upto`, which must be written.
    #[must_use]
    pub fn plan_read(&self, from: Offset, upto: Offset, max_bytes: usize, first_whole: bool) -> ReadPlan<F> {
        let wanted = Wanted { from, upto, max_bytes, first_whole };
        plan(Loader::of(self.segment_for(from), self), wanted)
    }

    /// Plans a read for a follower, which may have what is appended and not written yet, as long as that is in memory.
    /// `None` where it is neither there any more nor in the file yet.
    #[must_use]
    pub fn plan_copy(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        first_whole: bool,
    ) -> Option<ReadPlan<F>> {
        let wanted = Wanted { from, upto, max_bytes, first_whole };
        let segment = self.segment_for(from);
        let with_memory = Loader { end: segment.sealed, ..Loader::of(segment, self) };
        match plan(with_memory, wanted) {
            cached @ ReadPlan(Place::Cached { .. }) => Some(cached),
            _ if from >= segment.settled.0 => None,
            _ => Some(plan(Loader::of(segment, self), wanted)),
        }
    }

    /// The segment that has an offset. Where compaction left nothing at the end of one, reading goes on in the next.
    fn segment_for(&self, offset: Offset) -> &Segment<F> {
        let at = self.segments.partition_point(|segment| segment.read_end() <= offset);
        &self.segments[at.min(self.segments.len() - 1)]
    }
}

/// Plans a read of one segment.
fn plan<F: Files>(loader: Loader<F>, wanted: Wanted) -> ReadPlan<F> {
    let Wanted { from, max_bytes, .. } = wanted;
    if !loader.index.borrow().knows(from) {
        return ReadPlan(Place::Cold { loader, wanted });
    }
    let start = loader.index.borrow().position_for(from);
    let mut rope = Rope::at(start);
    let mut to = (start + max_bytes as u64 + SLACK).min(loader.end);
    loop {
        loader.extend_cached(&mut rope, to);
        match cut(&rope, wanted, loader.end) {
            Cut::Found(from, end, next) => {
                return ReadPlan(Place::Cached { slices: rope.slices(from, end), next });
            }
            Cut::Needs(more) if to < more && rope.end() >= to && to < loader.end => to = more.min(loader.end),
            Cut::Needs(_) => return ReadPlan(Place::Cold { loader, wanted }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{BatchBuilder, Codec};

    #[test]
    fn batches_that_fit_are_kept_whole_wherever_pieces_end() {
        let batch = BatchBuilder::new(Codec::None, 0).record(0, None, Some(&[7; 100])).build();
        let all = [&batch[..]; 3].concat();
        for piece in [1, 60, 61, 100, batch.len(), batch.len() + 1, all.len()] {
            let pieces = || all.chunks(piece).map(Bytes::copy_from_slice).collect::<Vec<_>>();
            for fits in 0..=all.len() {
                let kept = batches_within(pieces(), fits).concat();
                assert_eq!(kept, all[..fits / batch.len() * batch.len()], "{piece} {fits}");
            }
        }
    }
}
