//! Flushing: the writes of all partitions, then one flush for all that stayed within written extents.
//!
//! The two are apart, so that a group of appends can be written while the flush of an earlier one is under way. No two
//! groups are written at the same time: the second may begin with the block that the first ends in.

use super::segment::SealedChunk;
use super::{PartitionLog, StorageError};
use crate::base::Offset;
use crate::base::limits::SEGMENT_HEADER_BYTES;
use crate::base::mutant::{Mutant, planted};
use crate::log::segment::{SegmentHeader, block_ceil};
use crate::seam::{File, Files, FlushScope, WriteBuf};
use futures_lite::future::zip;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The writes to one segment.
struct SegmentWrites<F: Files> {
    base: Offset,
    path: PathBuf,
    file: Option<F::File>,
    /// The file's name is durable.
    named: bool,
    header: SegmentHeader,
    chunks: Vec<SealedChunk<F>>,
    extent: u64,
    /// Where the last batch ends, the offset there, and the largest timestamp before it.
    batches_end: u64,
    settled: (Offset, i64),
    /// Where the last write ends.
    end: u64,
    /// No more appends come: cut the file here.
    cut: Option<u64>,
}

impl<F: Files> SegmentWrites<F> {
    /// Whether the file has to be flushed itself: it is new, grows or is cut.
    fn needs_own_sync(&self) -> bool {
        (self.end > self.extent || self.cut.is_some()) && !planted(Mutant::SharedFlushOfGrownFile)
    }

    async fn write(&mut self, files: &F) -> Result<(), StorageError> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                let file = files.create(&self.path).await?;
                let mut block = files.alloc(SEGMENT_HEADER_BYTES);
                block.bytes_mut().copy_from_slice(&self.header.encode());
                file.write(0, &block.seal(SEGMENT_HEADER_BYTES)).await?;
                self.file.insert(file).clone()
            }
        };
        for chunk in &self.chunks {
            file.write(chunk.position, &chunk.sealed).await?;
        }
        if let Some(cut) = self.cut {
            file.truncate(cut).await?;
        }
        Ok(())
    }
}

/// Whether a partition takes part in a flush.
pub enum Begun<F: Files> {
    /// Everything is written.
    Nothing,
    /// It must wait until zeros are written where its appends have got to; `prepared` says when.
    Later,
    /// It has this to write.
    Job(FlushJob<F>),
}

/// What one flush does for one partition.
pub struct FlushJob<F: Files> {
    dir: PathBuf,
    segments: Vec<SegmentWrites<F>>,
    upto: Offset,
    bytes: usize,
    /// Bytes that become durable: those, and what earlier jobs were short of room for.
    covers: u64,
    /// Why it couldn't be written now.
    shortage: Option<StorageError>,
}

impl<F: Files> FlushJob<F> {
    /// Bytes of batches that are in no earlier job.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All below is durable once the flush is done.
    #[must_use]
    pub fn upto(&self) -> Offset {
        self.upto
    }

    /// Why nothing of it was flushed, though it may be later: `PartitionLog::put_back` takes it.
    #[must_use]
    pub fn shortage(&self) -> Option<&StorageError> {
        self.shortage.as_ref()
    }

    /// Writes everything, or notes what it is short of.
    async fn write(&mut self, files: &F) -> Result<(), StorageError> {
        for segment in &mut self.segments {
            match segment.write(files).await {
                Err(error) if error.is_shortage() => {
                    self.shortage = Some(error);
                    return Ok(());
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Writes what is a single chunk of a file that is there, and makes it durable by that write alone: one operation
    /// instead of a write and then a flush. False if there is more to do; nothing was done then. No earlier job of the
    /// partition may wait for its flush: this write doesn't cover it.
    ///
    /// # Errors
    /// The write failed. Final for the log directory.
    pub async fn write_durable(&mut self) -> Result<bool, StorageError> {
        let [SegmentWrites { file: Some(file), named: true, chunks, cut: None, .. }] = &self.segments[..]
        else {
            return Ok(false);
        };
        let [chunk] = &chunks[..] else { return Ok(false) };
        match file.write_durable(chunk.position, &chunk.sealed).await.map_err(StorageError::from) {
            Err(error) if error.is_shortage() => self.shortage = Some(error),
            outcome => outcome?,
        }
        Ok(true)
    }

    fn is_unnamed(&self) -> bool {
        self.segments.iter().any(|segment| !segment.named)
    }
}

impl<F: Files> PartitionLog<F> {
    /// What there is to write: seals what was appended so far.
    pub fn begin_flush(&mut self) -> Begun<F> {
        if self.cutting {
            // Everything was flushed before.
            return Begun::Nothing;
        }
        if self.waits_for_zeros() {
            return Begun::Later;
        }
        let dir = self.dir.clone();
        let mut job = FlushJob { dir, segments: Vec::new(), upto: 0, bytes: 0, covers: 0, shortage: None };
        job.bytes = std::mem::take(&mut self.unflushed);
        job.covers = job.bytes as u64 + std::mem::take(&mut self.put_back);
        let (key, cache, last) = (self.key, self.cache.clone(), self.segments.len() - 1);
        for (index, segment) in self.segments.iter_mut().enumerate() {
            segment.seal_for_flush(&cache);
            if segment.pending.is_empty() {
                continue;
            }
            let chunks = std::mem::take(&mut segment.pending);
            job.upto = segment.next;
            let plain = SegmentHeader::plain(key, segment.base, segment.created_ms);
            let header = SegmentHeader { holes: segment.holes, ..plain };
            job.segments.push(SegmentWrites {
                base: segment.base,
                path: segment.path.clone(),
                file: segment.file.borrow().clone(),
                named: segment.named,
                header,
                chunks,
                extent: segment.extent,
                batches_end: segment.end,
                settled: (segment.next, segment.index.borrow().largest_timestamp()),
                end: block_ceil(segment.end),
                cut: (index < last).then(|| block_ceil(segment.end)),
            });
        }
        if job.segments.is_empty() { Begun::Nothing } else { Begun::Job(job) }
    }

    /// Learns which files a job's writes have made, as soon as they are complete: the next job goes on in them.
    pub fn written(&mut self, job: &FlushJob<F>) {
        for done in &job.segments {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == done.base) {
                segment.file.borrow_mut().clone_from(&done.file);
            }
        }
    }

    /// Takes back a job that is flushed. Jobs come back in the order in which they began.
    pub fn flushed(&mut self, job: FlushJob<F>) {
        self.cache.written(job.bytes);
        self.undurable -= job.covers;
        self.durable = job.upto;
        for done in job.segments {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == done.base) {
                segment.written = done.batches_end;
                segment.settled = done.settled;
                segment.extent = done.cut.unwrap_or(segment.extent.max(done.end));
                segment.join_zeros();
                segment.named = true;
            }
        }
    }

    /// Takes back a job that was short of something: the next one writes all of it again. Its bytes no longer count as
    /// waiting for a flush; what takes no appends meanwhile must not stand in the way of what does.
    pub fn put_back(&mut self, job: FlushJob<F>) {
        self.cache.written(job.bytes);
        self.put_back += job.covers;
        for undone in job.segments {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == undone.base) {
                let newer = std::mem::replace(&mut segment.pending, undone.chunks);
                segment.pending.extend(newer);
                *segment.file.borrow_mut() = undone.file;
            }
        }
    }
}

/// Flushes jobs whose writes are complete: once for all that stayed within written extents, where the file system lets
/// one flush cover them; each file that grew on its own. When it returns, everything up to each job's `upto` is
/// durable.
///
/// # Errors
/// The first flush that failed. Final for the log directory.
pub async fn flush_jobs<F: Files>(files: &F, jobs: &[&FlushJob<F>]) -> Result<(), StorageError> {
    let per_file = files.flush_scope() == FlushScope::File;
    let mut shared = None;
    let mut own: BTreeMap<&Path, &F::File> = BTreeMap::new();
    for segment in jobs.iter().flat_map(|job| &job.segments) {
        let file = segment.file.as_ref().expect("a written segment has a file");
        if per_file || segment.needs_own_sync() {
            own.insert(&segment.path, file);
        } else {
            shared = Some(file);
        }
    }
    // An own flush of any file covers the others as well, since all writes had completed before it began.
    for file in own.values().copied().chain(shared.filter(|_| own.is_empty())) {
        file.sync().await?;
    }
    let unnamed = jobs.iter().filter(|job| job.is_unnamed() && !planted(Mutant::NamelessSegment));
    for dir in unnamed.map(|job| &job.dir).collect::<BTreeSet<_>>() {
        files.sync_dir(dir).await?;
    }
    Ok(())
}

/// Writes all jobs, at the same time. What one is short of it notes itself.
///
/// # Errors
/// The first write that failed. Final for the log directory.
pub async fn write_jobs<F: Files>(files: &F, jobs: &mut [FlushJob<F>]) -> Result<(), StorageError> {
    match jobs {
        [] => Ok(()),
        [job] => job.write(files).await,
        _ => {
            let (left, right) = jobs.split_at_mut(jobs.len() / 2);
            let (left, right) = Box::pin(zip(write_jobs(files, left), write_jobs(files, right))).await;
            left.and(right)
        }
    }
}
