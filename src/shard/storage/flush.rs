//! Flushing: the writes of all partitions, then one flush for all that stayed within written extents.

use super::segment::SealedChunk;
use super::{PartitionLog, StorageError};
use crate::base::limits::SEGMENT_HEADER_BYTES;
use crate::base::{Offset, TopicPartition};
use crate::log::segment::{SegmentHeader, block_ceil};
use crate::seam::{File, Files, FlushScope, SealedBuf, WriteBuf};
use futures_lite::future::zip;
use std::path::PathBuf;

/// Zeros written ahead at first; each step is four times the one before, up to the largest.
const STEP_FIRST: u64 = 1 << 20;
const STEP_MAX: u64 = 64 << 20;

/// The writes to one segment.
struct SegmentWrites<F: Files> {
    base: Offset,
    path: PathBuf,
    file: Option<F::File>,
    header: SegmentHeader,
    chunks: Vec<SealedChunk<F>>,
    extent: u64,
    /// Where the last write ends.
    end: u64,
    /// No more appends come: cut the file here.
    cut: Option<u64>,
}

impl<F: Files> SegmentWrites<F> {
    /// Whether the file has to be flushed itself: it is new, grows or is cut.
    fn needs_own_sync(&self) -> bool {
        self.end > self.extent || self.cut.is_some()
    }

    async fn write(&mut self, files: &F) -> Result<bool, StorageError> {
        let mut created = false;
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                let file = files.create(&self.path).await?;
                let mut block = files.alloc(SEGMENT_HEADER_BYTES);
                block.bytes_mut().copy_from_slice(&self.header.encode());
                file.write(0, &block.seal(SEGMENT_HEADER_BYTES)).await?;
                created = true;
                self.file.insert(file).clone()
            }
        };
        for chunk in &self.chunks {
            file.write(chunk.position, &chunk.sealed).await?;
        }
        if let Some(cut) = self.cut {
            file.truncate(cut).await?;
        }
        Ok(created)
    }
}

/// What one flush does for one partition.
pub struct FlushJob<F: Files> {
    dir: PathBuf,
    segments: Vec<SegmentWrites<F>>,
    upto: Offset,
    bytes: usize,
}

impl<F: Files> FlushJob<F> {
    /// All below is durable once the flush is done.
    #[must_use]
    pub fn upto(&self) -> Offset {
        self.upto
    }

    /// Writes everything; true if a file was made.
    async fn write(&mut self, files: &F) -> Result<bool, StorageError> {
        let mut created = false;
        for segment in &mut self.segments {
            created |= segment.write(files).await?;
        }
        Ok(created)
    }
}

impl<F: Files> PartitionLog<F> {
    /// What there is to write, if anything: seals what was appended so far. `None` also while zeros are being
    /// written where the
    /// appends have got to; `prepared` says when to try again.
    pub fn begin_flush(&mut self) -> Option<FlushJob<F>> {
        let active = self.segments.back()?;
        if self.preparing.is_some_and(|from| block_ceil(active.end) > from) {
            return None;
        }
        let mut job = FlushJob { dir: self.dir.clone(), segments: Vec::new(), upto: 0, bytes: 0 };
        let (key, cache, last) = (self.key, self.cache.clone(), self.segments.len() - 1);
        for (index, segment) in self.segments.iter_mut().enumerate() {
            segment.seal_open(&cache);
            if segment.pending.is_empty() {
                continue;
            }
            let chunks = std::mem::take(&mut segment.pending);
            job.bytes += chunks.iter().map(|chunk| chunk.sealed.len()).sum::<usize>();
            job.upto = segment.next;
            let header =
                SegmentHeader { partition: key, base_offset: segment.base, created_ms: segment.created_ms };
            job.segments.push(SegmentWrites {
                base: segment.base,
                path: segment.path.clone(),
                file: segment.file.clone(),
                header,
                chunks,
                extent: segment.extent,
                end: block_ceil(segment.end),
                cut: (index < last).then(|| block_ceil(segment.end)),
            });
        }
        (!job.segments.is_empty()).then_some(job)
    }

    /// Takes back a job that succeeded.
    pub fn written(&mut self, job: FlushJob<F>) {
        self.cache.written(job.bytes);
        self.durable = job.upto;
        for done in job.segments {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == done.base) {
                segment.extent = done.cut.unwrap_or(segment.extent.max(done.end));
                segment.file = done.file;
            }
        }
    }

    /// Zeros to write ahead of the appends, if it is time.
    pub fn prepare_next(&mut self) -> Option<PrepareJob<F>> {
        let segment_bytes = self.conf.segment_bytes + SEGMENT_HEADER_BYTES as u64;
        let segment = self.segments.back().filter(|_| self.preparing.is_none())?;
        let file = segment.file.clone()?;
        let step = (segment.end * 3).next_power_of_two().clamp(STEP_FIRST, STEP_MAX);
        let ahead = segment.extent.saturating_sub(segment.end);
        let to = block_ceil(segment.extent.saturating_add(step).min(segment_bytes));
        if segment.is_empty() || ahead >= step / 2 || to <= segment.extent {
            return None;
        }
        let from = segment.extent;
        self.preparing = Some(from);
        Some(PrepareJob { key: self.key, base: segment.base, file, from, to })
    }

    /// Takes back zeros that were written; a flush that waited for them may go on.
    pub fn prepared(&mut self, done: Prepared) {
        self.preparing = None;
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == done.base) {
            segment.extent = segment.extent.max(done.to);
        }
    }

    /// Zeros could not be written. Appends go on; each flush that grows the file is then one of its own.
    pub fn preparation_failed(&mut self) {
        self.preparing = None;
    }
}

/// Zeros to write ahead.
pub struct PrepareJob<F: Files> {
    key: TopicPartition,
    base: Offset,
    file: F::File,
    from: u64,
    to: u64,
}

/// Zeros that were written ahead and are durable.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    base: Offset,
    to: u64,
}

impl<F: Files> PrepareJob<F> {
    /// Whose.
    #[must_use]
    pub fn key(&self) -> TopicPartition {
        self.key
    }

    /// Writes them and makes the file's new length durable.
    ///
    /// # Errors
    /// The file can't be written; nothing that was acknowledged is touched.
    pub async fn run(self) -> Result<Prepared, StorageError> {
        self.file.write_zeros(self.from..self.to).await?;
        self.file.sync().await?;
        Ok(Prepared { base: self.base, to: self.to })
    }
}

/// Writes all jobs, then flushes: once for all that stayed within written extents, where the file system lets one
/// flush cover
/// them; each file that grew on its own. When it returns, everything up to each job's `upto` is durable.
///
/// # Errors
/// The first write or flush that failed. Final for the log directory.
pub async fn flush_all<F: Files>(files: &F, jobs: &mut [FlushJob<F>]) -> Result<(), StorageError> {
    let created = write_all(files, jobs).await?;
    let per_file = files.flush_scope() == FlushScope::File;
    let mut shared = None;
    let mut any_own = false;
    for segment in jobs.iter().flat_map(|job| &job.segments) {
        let file = segment.file.as_ref().expect("a written segment has a file");
        if per_file || segment.needs_own_sync() {
            file.sync().await?;
            any_own = true;
        } else {
            shared = Some(file);
        }
    }
    // An own flush of any file covers the others as well, since all writes had completed before it began.
    if let Some(file) = shared.filter(|_| !any_own) {
        file.sync().await?;
    }
    for dir in created {
        files.sync_dir(&dir).await?;
    }
    Ok(())
}

/// All jobs' writes at the same time; the folders in which a file was made.
async fn write_all<F: Files>(files: &F, jobs: &mut [FlushJob<F>]) -> Result<Vec<PathBuf>, StorageError> {
    match jobs {
        [] => Ok(Vec::new()),
        [job] => Ok(if job.write(files).await? { vec![job.dir.clone()] } else { Vec::new() }),
        _ => {
            let (left, right) = jobs.split_at_mut(jobs.len() / 2);
            let (left, right) = Box::pin(zip(write_all(files, left), write_all(files, right))).await;
            let mut created = left?;
            created.append(&mut right?);
            Ok(created)
        }
    }
}
