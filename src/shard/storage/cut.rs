//! Cutting the end of a log off, or all of it, for good (`replication-and-durability` 2.2, 9, and 4.3).
//!
//! What is cut off consists of valid batches: if they were still there when something else had been appended before
//! them, a restart could take them for a part of the log. So when a cut is done no trace of them is left on the device.
//! Until then a crash leaves a log that ends somewhere between the old end and the new one: first the checkpoint
//! forgets them, then whole segments go, the newest first, then the last one that stays is cut, and the rest of its
//! last block becomes zeros.

use super::read::Loader;
use super::rope::Rope;
use super::segment::Segment;
use super::{PartitionLog, StorageError};
use crate::base::Offset;
use crate::base::limits::{BLOCK_BYTES, SEGMENT_HEADER_BYTES};
use crate::base::mutant::{Mutant, planted};
use crate::log::checkpoint::{Checkpoint, SegmentFacts};
use crate::log::epochs::EpochCache;
use crate::log::index::Index;
use crate::log::producers::ProducerStates;
use crate::log::segment::{block_ceil, block_floor};
use crate::seam::{File, Files, IoError, WriteBuf};
use crate::shard::storage::checkpoint::CheckpointJob;
use bytes::Bytes;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes looked at before more are read.
const STRIDE: u64 = 64 * 1024;

/// Where to cut, once it is found: at a batch's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment that the cut goes through; it stays unless nothing of it is left.
    base: Offset,
    /// Where in it.
    position: u64,
    /// The log's new end.
    offset: Offset,
}

impl Cut {
    /// The log's new end: what was asked for, or the start of the batch that has that offset.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    fn leaves_nothing(&self) -> bool {
        self.position <= SEGMENT_HEADER_BYTES as u64
    }
}

/// How to find out where to cut.
pub struct CutPlan<F: Files> {
    at: Cut,
    /// The segment to look into, where that isn't known.
    loader: Option<Loader<F>>,
}

/// A cut to make.
pub struct CutJob<F: Files> {
    files: F,
    dir: PathBuf,
    checkpoint: CheckpointJob,
    /// Files that go, the newest first.
    gone: Vec<PathBuf>,
    /// The file that stays and is cut, and where.
    tail: Option<(PathBuf, u64)>,
    /// What the checkpoint says in the end, where a new log begins elsewhere.
    anew: Option<CheckpointJob>,
}

/// A cut that was made.
pub struct Made {
    /// The last bytes that don't fill a block.
    carry: Bytes,
}

impl<F: Files> PartitionLog<F> {
    /// Nothing is written from now on but by the cut that follows. All that was appended must be flushed.
    pub fn begin_cutting(&mut self) {
        assert_eq!((self.unflushed, self.undurable), (0, 0), "all of it is flushed");
        self.cutting = true;
    }

    /// Whether all that was appended is flushed.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.unflushed == 0 && self.undurable == 0
    }

    /// Whether a part of the log is being cut off.
    #[must_use]
    pub fn is_cutting(&self) -> bool {
        self.cutting
    }

    /// Plans the search for the place where the log ends at or before an offset.
    #[must_use]
    pub fn plan_cut(&self, to: Offset) -> CutPlan<F> {
        let after = self.segments.partition_point(|segment| segment.base <= to);
        let segment = &self.segments[after.saturating_sub(1)];
        let start = Cut { base: segment.base, position: SEGMENT_HEADER_BYTES as u64, offset: segment.base };
        if to >= segment.next {
            let end = Cut { position: segment.end, offset: segment.next, ..start };
            return CutPlan { at: end, loader: None };
        }
        // Nothing is ever appended to what compaction wrote: it is copied anew as a whole.
        if segment.compacted.is_some() || to <= segment.base {
            return CutPlan { at: start, loader: None };
        }
        CutPlan { at: Cut { offset: to, ..start }, loader: Some(Loader::of(segment, self)) }
    }

    /// What to do for a cut, given what is known as of its offset.
    pub fn begin_cut(&mut self, cut: Cut, producers: ProducerStates, epochs: EpochCache) -> CutJob<F> {
        let kept = self.segments.iter().filter(|segment| segment.base < cut.base);
        let mut segments: Vec<SegmentFacts> = kept.map_while(Segment::facts).collect();
        let own = self.segments.iter().find(|segment| segment.base == cut.base);
        let own = own.filter(|_| !cut.leaves_nothing());
        segments.extend(own.map(|segment| facts_at(segment, cut)));
        let checkpoint = Checkpoint {
            log_start: self.log_start.min(cut.offset),
            durable: cut.offset,
            producers,
            epochs,
            segments,
            clean: self.clean.min(cut.offset),
            high_watermark: cut.offset,
        };
        let first_gone = if own.is_some() { cut.base + 1 } else { cut.base };
        CutJob {
            files: self.files.clone(),
            dir: self.dir.clone(),
            tail: own.map(|segment| (segment.path.clone(), cut.position)),
            gone: self.files_from(first_gone),
            checkpoint: CheckpointJob::of_cut(&self.dir, &checkpoint, std::mem::take(&mut self.doomed)),
            anew: None,
        }
    }

    /// What to do for a new, empty log that begins at an offset.
    pub fn begin_anew(&mut self, at: Offset) -> CutJob<F> {
        let first = self.segments.front().map_or(at, |segment| segment.base);
        // Until all files are gone a restart may take what is left for the log.
        let nothing = |at| Checkpoint { log_start: at, high_watermark: at, ..Checkpoint::default() };
        CutJob {
            files: self.files.clone(),
            dir: self.dir.clone(),
            tail: None,
            gone: self.files_from(first),
            checkpoint: CheckpointJob::of_cut(&self.dir, &nothing(first), std::mem::take(&mut self.doomed)),
            anew: Some(CheckpointJob::of_cut(&self.dir, &nothing(at), Vec::new())),
        }
    }

    fn files_from(&self, base: Offset) -> Vec<PathBuf> {
        let gone = self.segments.iter().rev().filter(|segment| segment.base >= base);
        gone.map(|segment| segment.path.clone()).collect()
    }

    /// Takes back a cut that was made.
    pub fn end_cut(&mut self, cut: Cut, made: Made, now_ms: i64) {
        let keep = self.segments.partition_point(|segment| segment.base < cut.base);
        let keep = keep + usize::from(!cut.leaves_nothing());
        self.let_go_from(keep);
        match self.segments.back_mut().filter(|segment| segment.base == cut.base) {
            Some(segment) => {
                segment.forget(&self.cache);
                segment.end_at(cut.position, cut.offset, made.carry);
            }
            None => self.segments.push_back(Segment::new(&self.dir, cut.offset, now_ms)),
        }
        self.log_start = self.log_start.min(cut.offset);
        self.ends_at(cut.offset);
    }

    /// Takes back a new beginning.
    pub fn end_anew(&mut self, at: Offset, now_ms: i64) {
        self.let_go_from(0);
        self.segments.push_back(Segment::new(&self.dir, at, now_ms));
        self.log_start = at;
        self.ends_at(at);
    }

    fn let_go_from(&mut self, index: usize) {
        for gone in self.segments.drain(index..) {
            gone.forget(&self.cache);
        }
    }

    fn ends_at(&mut self, end: Offset) {
        (self.durable, self.checkpointed_durable, self.checkpointed_start) = (end, end, self.log_start);
        self.clean = self.clean.min(end);
        self.checkpointed_clean = self.clean;
        (self.since_checkpoint, self.put_back) = (0, 0);
        self.cutting = false;
    }
}

fn facts_at<F: Files>(segment: &Segment<F>, cut: Cut) -> SegmentFacts {
    SegmentFacts {
        base_offset: segment.base,
        next_offset: cut.offset,
        end: cut.position,
        // Of what is cut off, maybe: it is a bound.
        largest_timestamp: segment.index.borrow().largest_timestamp(),
        created_ms: segment.created_ms,
        holes: segment.holes,
    }
}

impl<F: Files> Segment<F> {
    /// Ends the segment at a batch's start; it takes appends from there.
    fn end_at(&mut self, position: u64, next: Offset, carry: Bytes) {
        let largest = self.index.borrow().largest_timestamp();
        let start = (self.base, SEGMENT_HEADER_BYTES as u64);
        // Reads under way go on with what they share.
        self.index = Rc::new(RefCell::new(Index::unknown(start, (next, position), largest)));
        self.slots = Rc::default();
        (self.next, self.end, self.written, self.sealed) = (next, position, position, position);
        self.settled = (next, largest);
        (self.extent, self.zeroed) = (block_ceil(position), None);
        (self.open, self.gathered) = (None, 0);
        self.pending.clear();
        self.carry = carry;
    }
}

impl<F: Files> CutPlan<F> {
    /// Finds the place.
    ///
    /// # Errors
    /// The file can't be read, or isn't what was written.
    pub async fn run(self) -> Result<Cut, StorageError> {
        let Some(loader) = self.loader else { return Ok(self.at) };
        let to = self.at.offset;
        let mut next = self.at.base;
        let mut position = self.at.position;
        if !loader.holes {
            loader.index_until(|index| index.knows(to)).await?;
            position = loader.index.borrow().position_for(to);
        }
        let mut rope = Rope::at(position);
        while position < loader.end {
            loader.extend(&mut rope, position + STRIDE).await?;
            let corrupt = || StorageError::Corrupt { path: loader.path.clone(), position };
            let meta = rope.header(position).ok_or_else(corrupt)?;
            if meta.last_offset() >= to {
                // Before a gap the log ends where the batch before does: nothing else would tell a restart.
                let offset = if loader.holes { next } else { meta.base_offset };
                return Ok(Cut { position, offset, ..self.at });
            }
            next = meta.last_offset() + 1;
            position += meta.bytes as u64;
            rope.release(position);
        }
        Ok(Cut { position, ..self.at })
    }
}

impl<F: Files> CutJob<F> {
    /// Makes the cut. When it returns no trace is left of what was cut off.
    ///
    /// # Errors
    /// A file operation failed: the log may end anywhere between the old end and the new one.
    pub async fn run(mut self) -> Result<Made, StorageError> {
        self.checkpoint.run(&self.files).await?;
        for path in &self.gone {
            match self.files.remove(path).await {
                // It was never flushed.
                Ok(()) | Err(IoError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !self.gone.is_empty() && !planted(Mutant::UndurableCut) {
            self.files.sync_dir(&self.dir).await?;
        }
        let carry = match &self.tail {
            Some((path, position)) => cut_file(&self.files, path, *position).await?,
            None => Bytes::new(),
        };
        if let Some(anew) = &mut self.anew {
            anew.run(&self.files).await?;
        }
        Ok(Made { carry })
    }
}

/// Cuts a file at a position, with zeros behind it to the block's end, durably; the bytes of that block before it.
async fn cut_file<F: Files>(files: &F, path: &Path, position: u64) -> Result<Bytes, StorageError> {
    let file = files.open(path).await?;
    let block = block_floor(position);
    let kept = usize::try_from(position - block).expect("less than a block");
    let carry = if kept > 0 { file.read(block, kept).await? } else { Bytes::new() };
    if planted(Mutant::UndurableCut) {
        return Ok(carry);
    }
    file.truncate(block_ceil(position)).await?;
    if kept > 0 {
        let mut buf = files.alloc(BLOCK_BYTES);
        buf.bytes_mut().fill(0);
        buf.bytes_mut()[..kept].copy_from_slice(&carry);
        file.write(block, &buf.seal(BLOCK_BYTES)).await?;
    }
    file.sync().await?;
    Ok(carry)
}
