//! Opening a partition's log: new, or after a restart of any kind.
//!
//! What the checkpoint tells of is taken as it says, and checked when it is read; everything after it is scanned:
//! producers, epochs and indexes come from the batches themselves. A bad batch at the log's end is a torn write and is
//! cut off; below what was durable it is damage, and the partition stays offline.

use super::cache::TailCache;
use super::segment::Segment;
use super::{LogConf, PartitionLog, StorageError};
use crate::base::limits::{READ_BYTES_MAX, SEGMENT_HEADER_BYTES};
use crate::base::mutant::{Mutant, planted};
use crate::base::{LeaderEpoch, Offset, TopicPartition};
use crate::log::checkpoint::{Checkpoint, FILE_NAME};
use crate::log::scan::{Scan, Stop};
use crate::log::segment::{
    Compacted, SegmentHeader, SegmentName, UNFINISHED, block_ceil, block_floor, in_force,
};
use crate::replica;
use crate::seam::{File, Files, IoError, WriteBuf};
use crate::wire::batch::{BatchMeta, EndMarker};
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::Path;

/// A log and what its machine starts from.
pub struct Recovered<F: Files> {
    /// The log.
    pub log: PartitionLog<F>,
    /// Where it starts and ends, producers, epochs.
    pub state: replica::Recovered,
}

/// A recovery under way.
struct Recovery<'a, F: Files> {
    files: &'a F,
    dir: &'a Path,
    key: TopicPartition,
    checkpoint: Checkpoint,
    scan: Scan,
    state: replica::Recovered,
    /// Wall clock.
    now_ms: i64,
}

impl<F: Files> PartitionLog<F> {
    /// Makes a partition's folder. Its first segment comes with its first flush.
    ///
    /// # Errors
    /// The folder can't be made.
    pub async fn create(
        files: &F,
        (dir, key): (&Path, TopicPartition),
        conf: LogConf,
        cache: &TailCache,
        now_ms: i64,
    ) -> Result<Recovered<F>, StorageError> {
        files.create_dir(dir).await?;
        if let Some(parent) = dir.parent() {
            files.sync_dir(parent).await?;
        }
        Self::recover(files, (dir, key), conf, cache, now_ms).await
    }

    /// Opens a partition's log and brings it in order.
    ///
    /// # Errors
    /// A file can't be read or written, or what was durable is damaged.
    pub async fn recover(
        files: &F,
        (dir, key): (&Path, TopicPartition),
        conf: LogConf,
        cache: &TailCache,
        now_ms: i64,
    ) -> Result<Recovered<F>, StorageError> {
        let checkpoint = read_checkpoint(files, dir).await?;
        let names = match files.list(dir).await {
            Ok(names) => names,
            // Its creation was committed, but the folder's name wasn't durable yet; it never had a record.
            Err(IoError::NotFound(_)) => {
                files.create_dir(dir).await?;
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let (segments, superseded) =
            in_force(names.iter().filter_map(|name| SegmentName::read(name)).collect());
        let unfinished = names.iter().any(|name| name == UNFINISHED);
        let state = replica::Recovered {
            log_start: checkpoint.log_start,
            producers: checkpoint.producers.clone(),
            epochs: checkpoint.epochs.clone(),
            ..replica::Recovered::default()
        };
        let scan = Scan { next_offset: 0, epoch: LeaderEpoch(-1), holes: false };
        let mut recovery = Recovery { files, dir, key, checkpoint, scan, state, now_ms };
        recovery.remove_superseded(&superseded, unfinished).await?;
        let segments = recovery.segments(&segments).await?;
        Ok(recovery.finish(segments, conf, cache))
    }
}

async fn read_checkpoint<F: Files>(files: &F, dir: &Path) -> Result<Checkpoint, StorageError> {
    let path = dir.join(FILE_NAME);
    let file = match files.open(&path).await {
        Ok(file) => file,
        Err(IoError::NotFound(_)) => return Ok(Checkpoint::default()),
        Err(error) => return Err(error.into()),
    };
    let bytes = read_whole(&file).await?;
    Checkpoint::decode(bytes).map_err(|_| StorageError::Corrupt { path, position: 0 })
}

/// Reads a small file.
pub(in crate::shard) async fn read_whole(file: &impl File) -> Result<Bytes, IoError> {
    let size = file.size().await?;
    let mut whole = Vec::new();
    while (whole.len() as u64) < size {
        let piece = file.read(whole.len() as u64, READ_BYTES_MAX).await?;
        if piece.is_empty() {
            break;
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

impl<F: Files> Recovery<'_, F> {
    async fn segments(&mut self, names: &[SegmentName]) -> Result<VecDeque<Segment<F>>, StorageError> {
        let mut segments: VecDeque<Segment<F>> = VecDeque::new();
        let names = self.remove_deleted(names).await?;
        let Some(&SegmentName { base_offset: first, .. }) = names.first() else {
            // Nothing was ever flushed, or everything was deleted: go on where the checkpoint says.
            let next = self.checkpoint.durable.max(self.checkpoint.log_start);
            self.scan.next_offset = next;
            segments.push_back(Segment::new(self.dir, next, self.now_ms));
            return Ok(segments);
        };
        self.scan.next_offset = first;
        self.state.log_start = self.state.log_start.max(first);
        for (index, name) in names.iter().enumerate() {
            let base = name.base_offset;
            if base != self.scan.next_offset {
                // A segment is missing, or one that was rolled to before its predecessor was durable is here.
                self.refuse_below(base, Segment::<F>::new(self.dir, base, self.now_ms).path)?;
            }
            let next_base = names.get(index + 1).map(|next| next.base_offset);
            let segment = match self.known_segment(base, next_base) {
                _ if name.next_offset.is_some() => Some(self.compacted_segment(*name).await?),
                Some(segment) => Some(segment),
                None => self.segment(base).await?,
            };
            segments.extend(segment);
        }
        match segments.back_mut().filter(|last| last.compacted.is_none()) {
            // Only now it is known which segment takes the appends: those after it may have had no place in the log.
            Some(active) => self.tidy_tail(active).await?,
            None => segments.push_back(Segment::new(self.dir, self.scan.next_offset, self.now_ms)),
        }
        if self.scan.next_offset > self.checkpoint.durable {
            // Their names may be as new as their bytes.
            self.files.sync_dir(self.dir).await?;
        }
        Ok(segments)
    }

    /// Removes segments that lie below the log start, and returns the bases of the others.
    async fn remove_deleted<'b>(&self, names: &'b [SegmentName]) -> Result<&'b [SegmentName], StorageError> {
        let start = self.checkpoint.log_start;
        let deleted = names.windows(2).take_while(|pair| pair[1].base_offset <= start).count();
        for name in &names[..deleted] {
            self.files.remove(&self.dir.join(name.file_name())).await?;
        }
        Ok(&names[deleted..])
    }

    /// Removes what compaction had read and replaced, or was still writing, when the process ended.
    async fn remove_superseded(
        &self,
        superseded: &[SegmentName],
        unfinished: bool,
    ) -> Result<(), StorageError> {
        if !superseded.is_empty() {
            // What replaced them has its name for good first.
            self.files.sync_dir(self.dir).await?;
        }
        for name in superseded {
            self.files.remove(&self.dir.join(name.file_name())).await?;
        }
        if unfinished {
            self.files.remove(&self.dir.join(UNFINISHED)).await?;
        }
        Ok(())
    }

    /// A segment that compaction wrote. It was whole and durable before it got its name.
    async fn compacted_segment(&mut self, name: SegmentName) -> Result<Segment<F>, StorageError> {
        let path = self.dir.join(name.file_name());
        let file = self.files.open(&path).await?;
        let header = SegmentHeader::decode(&file.read(0, SEGMENT_HEADER_BYTES).await?);
        let size = file.size().await?;
        let told = header.and_then(|header| Some((header, header.compacted?)));
        let fits = |(header, told): &(SegmentHeader, Compacted)| {
            header.base_offset == name.base_offset
                && Some(told.next_offset) == name.next_offset
                && (name.base_offset..=told.next_offset).contains(&told.read_end)
                && (SEGMENT_HEADER_BYTES as u64..=size).contains(&told.end)
        };
        match told.filter(fits) {
            None => Err(StorageError::Corrupt { path, position: 0 }),
            Some((header, _)) if header.partition != self.key => Err(StorageError::Foreign(path)),
            Some((header, told)) => {
                self.scan.next_offset = told.next_offset;
                Ok(Segment::compacted(self.dir, &header, &told))
            }
        }
    }

    /// An error where what follows was durable once.
    fn refuse_below(&self, offset: Offset, path: std::path::PathBuf) -> Result<(), StorageError> {
        if offset < self.checkpoint.durable || self.scan.next_offset < self.checkpoint.durable {
            return Err(StorageError::Corrupt { path, position: 0 });
        }
        Ok(())
    }

    /// A segment that the checkpoint knows to its end. The last one isn't: more may have been appended.
    fn known_segment(&mut self, base: Offset, next_base: Option<Offset>) -> Option<Segment<F>> {
        let facts = self.checkpoint.segment(base).filter(|facts| Some(facts.next_offset) == next_base)?;
        self.scan.next_offset = facts.next_offset;
        Some(Segment::known(self.dir, facts))
    }

    /// Scans one segment, from where the checkpoint's knowledge of it ends; `None` if it has no place in the log and
    /// was removed.
    async fn segment(&mut self, base: Offset) -> Result<Option<Segment<F>>, StorageError> {
        let mut segment = match self.checkpoint.segment(base) {
            Some(facts) => Segment::known(self.dir, facts),
            None => Segment::new(self.dir, base, self.now_ms),
        };
        let file = self.files.open(&segment.path).await?;
        let header = SegmentHeader::decode(&file.read(0, SEGMENT_HEADER_BYTES).await?);
        let fits = header.is_some_and(|header| header.partition == self.key && header.base_offset == base);
        if !fits || base != self.scan.next_offset {
            // Its header never became durable, so none of its records was acknowledged.
            self.refuse_below(base, segment.path.clone())?;
            if header.is_some_and(|header| header.partition != self.key) {
                return Err(StorageError::Foreign(segment.path));
            }
            self.files.remove(&segment.path).await?;
            return Ok(None);
        }
        segment.created_ms = header.map_or(self.now_ms, |header| header.created_ms);
        segment.holes = header.is_some_and(|header| header.holes);
        self.scan.holes = segment.holes;
        let size = file.size().await?;
        if size < segment.end {
            self.refuse_below(base, segment.path.clone())?;
        }
        self.resume_scan(&segment);
        let stop = self.scan_file(&mut segment, &file, size).await?;
        if stop == Stop::Bad {
            self.refuse_below(segment.next, segment.path.clone())?;
        }
        (segment.written, segment.sealed) = (segment.end, segment.end);
        segment.settled = (segment.next, segment.index.borrow().largest_timestamp());
        segment.extent = block_ceil(segment.end);
        segment.named = true;
        *segment.file.borrow_mut() = Some(file.clone());
        if stop == Stop::Bad || size > segment.extent {
            self.tidy_tail(&mut segment).await?;
        } else if segment.next > self.checkpoint.durable && !planted(Mutant::TrustUnflushed) {
            // Written by a process that ended before its flush did: in the file, and not yet durable.
            file.sync().await?;
        }
        Ok(Some(segment))
    }

    /// Goes on after what is known of a segment: its batches are of the newest epoch that was known, or a later one.
    fn resume_scan(&mut self, segment: &Segment<F>) {
        if segment.next > self.scan.next_offset {
            self.scan.next_offset = segment.next;
            let epochs = self.checkpoint.epochs.entries();
            let newest = epochs.iter().rev().find(|(_, start)| *start <= segment.next);
            self.scan.epoch = newest.map_or(LeaderEpoch(-1), |(epoch, _)| *epoch);
        }
    }

    /// Takes batch after batch; says why it stopped.
    async fn scan_file(
        &mut self,
        segment: &mut Segment<F>,
        file: &F::File,
        size: u64,
    ) -> Result<Stop, StorageError> {
        let mut buffer: Vec<u8> = Vec::new();
        let mut read_to = segment.end;
        loop {
            let mut used = 0;
            let at_end = read_to >= size;
            let stop = loop {
                match self.scan.take(&buffer[used..], at_end) {
                    Ok(meta) => {
                        segment.index.borrow_mut().push(&meta, segment.end);
                        segment.end += meta.bytes as u64;
                        segment.next = meta.last_offset() + 1;
                        self.state.epochs.assign(meta.leader_epoch, meta.base_offset);
                        self.note_producer(&meta, &buffer[used..used + meta.bytes]);
                        used += meta.bytes;
                    }
                    Err(stop) => break stop,
                }
            };
            buffer.drain(..used);
            if stop != Stop::More || at_end {
                return Ok(if stop == Stop::More { Stop::Bad } else { stop });
            }
            let piece = file.read(read_to, READ_BYTES_MAX).await?;
            read_to = if piece.is_empty() { size } else { read_to + piece.len() as u64 };
            buffer.extend_from_slice(&piece);
        }
    }

    /// Notes what a batch that no checkpoint told of says of its producer.
    fn note_producer(&mut self, meta: &BatchMeta, batch: &[u8]) {
        if meta.base_offset < self.checkpoint.durable || planted(Mutant::ForgetProducers) {
            return;
        }
        let producers = &mut self.state.producers;
        match EndMarker::read(batch) {
            Some(marker) => producers.apply_marker(meta, marker, meta.base_offset, self.now_ms),
            None => producers.apply(meta, meta.base_offset, self.now_ms),
        }
    }

    /// Cuts off what lies after the last good batch, and writes zeros over the rest of its block: an old batch that
    /// is still valid must not come back to life behind a new one.
    async fn tidy_tail(&self, segment: &mut Segment<F>) -> Result<(), StorageError> {
        let open = segment.file.borrow().clone();
        let file = match open {
            _ if planted(Mutant::KeepTornTail) => return Ok(()),
            Some(file) => file,
            None => self.files.open(&segment.path).await?,
        };
        *segment.file.borrow_mut() = Some(file.clone());
        let block = block_floor(segment.end);
        let kept = usize::try_from(segment.end - block).expect("less than a block");
        file.truncate(block_ceil(segment.end)).await?;
        if kept > 0 {
            let carry = file.read(block, kept).await?;
            let mut buf = self.files.alloc(crate::base::limits::BLOCK_BYTES);
            buf.bytes_mut().fill(0);
            buf.bytes_mut()[..kept].copy_from_slice(&carry);
            file.write(block, &buf.seal(crate::base::limits::BLOCK_BYTES)).await?;
            segment.carry = Bytes::copy_from_slice(&carry);
        }
        file.sync().await?;
        Ok(())
    }

    fn finish(mut self, segments: VecDeque<Segment<F>>, conf: LogConf, cache: &TailCache) -> Recovered<F> {
        let log_end = self.scan.next_offset;
        self.state.log_end = log_end;
        self.state.log_start = self.state.log_start.min(log_end);
        self.state.high_watermark = self.checkpoint.high_watermark.clamp(self.state.log_start, log_end);
        self.state.epochs.truncate_start(self.state.log_start);
        self.state.producers.truncate_start(self.state.log_start);
        let log = PartitionLog {
            files: self.files.clone(),
            dir: self.dir.to_owned(),
            key: self.key,
            conf,
            cache: cache.clone(),
            segments,
            log_start: self.state.log_start,
            durable: log_end,
            unflushed: 0,
            put_back: 0,
            undurable: 0,
            since_checkpoint: 0,
            checkpointed_start: self.checkpoint.log_start,
            checkpointed_durable: self.checkpoint.durable,
            clean: self.checkpoint.clean.min(log_end),
            checkpointed_clean: self.checkpoint.clean.min(log_end),
            replacing: false,
            cutting: false,
            doomed: Vec::new(),
            preparing: None,
        };
        Recovered { log, state: self.state }
    }
}
