//! Compaction: one log of this shard at a time, at a measured pace, whichever has most to gain.
//!
//! What is compacted and what becomes of a batch is decided in `log::compact`; here it is read, walked in small steps
//! and written. A round that ends early, by a crash or because its partition goes, has done no harm: segments that were
//! replaced hold what they should, and the next round begins where the last whole one ended.

use super::partition::PartitionState;
use super::storage::{Finished, Output, Source, StorageError, remove_unfinished};
use super::{Broker, FilesOf, Shard};
use crate::base::digest::DigestKey;
use crate::base::mutant::{Mutant, planted};
use crate::base::{Offset, TopicPartition};
use crate::log::compact::{Fate, Look, Mapped, Mapping, Policy, Sieve, Sifted, Work, group_end};
use crate::seam::{IoError, World};
use crate::wire::batch::{BatchMeta, EndMarker, KeyWalk, Keyed, Rewrite, emptied};
use bytes::Bytes;
use futures_lite::future::or;
use std::time::Duration;

/// Work that is owed a rest adds up to this before the rest is taken.
const REST_MIN: Duration = Duration::from_millis(2);
/// A round waits so long for the checkpoint that has to come before it.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(30);

/// Why a round ended early.
enum Halt {
    /// The partition went, isn't compacted any more, or the broker stops.
    Stopped,
    /// A file operation failed, or what was read isn't what was written.
    Failed(StorageError),
    /// What was to be written couldn't be.
    Unwritten(StorageError),
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        Halt::Failed(error)
    }
}

/// One round.
struct Round<B: Broker> {
    shard: Shard<B>,
    key: TopicPartition,
    work: Work,
    policy: Policy,
    digest: DigestKey,
    /// Bytes that this shard's compaction may move in a second.
    rate: u64,
    /// Rest that work done is owed.
    owed: Duration,
    /// When the step under way began.
    begun: Duration,
}

impl<B: Broker> Shard<B> {
    /// Compacts logs that are due until the shard ends.
    pub(super) async fn compaction_task(self) {
        let pause = self.conf().log.cleaner_backoff;
        loop {
            or(self.world().sleep(pause), self.0.compaction_due.notified()).await;
            while let Some((key, work, policy)) = self.dirtiest() {
                self.0.compacting.set(Some(key));
                let whole = self.compact_log(key, work, policy).await;
                self.0.compacting.set(None);
                self.0.compaction_done.notify();
                if !whole {
                    break;
                }
            }
        }
    }

    /// The log with the largest dirty share of those that are due.
    fn dirtiest(&self) -> Option<(TopicPartition, Work, Policy)> {
        let now_ms = self.world().wall_ms();
        let owner = self.owner().borrow();
        let (mut most, mut found) = (0, None);
        for (key, partition) in &owner.partitions {
            if partition.state != PartitionState::Online || partition.uncompactable {
                continue;
            }
            let stable = partition.replica.last_stable_offset().min(partition.replica.high_watermark());
            let Some((work, policy)) = partition.log.compaction(stable, now_ms) else { continue };
            most = most.max(work.dirty_millionths());
            let dirtier = |(_, other, _): &(_, Work, _)| work.dirty_millionths() > other.dirty_millionths();
            if work.is_due(&policy) && found.as_ref().is_none_or(dirtier) {
                found = Some((*key, work, policy));
            }
        }
        let uncompactable = owner.partitions.values().filter(|partition| partition.uncompactable).count();
        self.metrics().compaction_seen(most, uncompactable);
        found.filter(|_| !self.is_draining())
    }

    /// Runs one round; false if it ended early.
    async fn compact_log(&self, key: TopicPartition, work: Work, policy: Policy) -> bool {
        let begun = self.world().mono();
        let shards = u64::from(self.shards());
        let mut round = Round {
            shard: self.clone(),
            key,
            work,
            policy,
            digest: DigestKey::new([self.world().random(), self.world().random()]),
            rate: (self.conf().log.cleaner_bytes_per_second / shards).max(1),
            owed: Duration::ZERO,
            begun,
        };
        let outcome = round.run().await;
        let took = self.world().mono().saturating_sub(begun);
        match outcome {
            Ok(()) => {
                self.metrics().compacted(took, self.world().wall_ms());
                tracing::debug!(partition = %key, ?work, ?took, "compacted");
                return true;
            }
            Err(Halt::Stopped) => {}
            Err(Halt::Unwritten(error @ StorageError::Io(IoError::Failed { .. }))) => {
                self.fail_log_dir(&error)
            }
            Err(Halt::Failed(error) | Halt::Unwritten(error)) if error.is_shortage() => {
                if let Some(left_out) = self.spare() {
                    tracing::warn!(partition = %key, %error, left_out, "compaction waits for room");
                }
            }
            Err(Halt::Failed(error) | Halt::Unwritten(error)) => {
                tracing::error!(partition = %key, %error, "the log can't be compacted until the broker restarts");
                if let Some(partition) = self.owner().borrow_mut().partitions.get_mut(&key) {
                    partition.uncompactable = true;
                }
            }
        }
        remove_unfinished(self.world().files(), &self.partition_dir(key)).await;
        false
    }

    /// Waits until this partition isn't being compacted.
    pub(super) async fn compaction_at_rest(&self, key: TopicPartition) {
        self.0.compaction_done.until(|| self.0.compacting.get() != Some(key)).await;
    }

    /// Waits until nothing is being compacted, at most so long. For a shard that drains: no round begins any more.
    pub(super) async fn compaction_ended(&self, patience: Duration) {
        let idle = || self.0.compacting.get().is_none();
        self.within(patience, self.0.compaction_done.until(idle)).await;
    }
}

impl<B: Broker> Round<B> {
    async fn run(&mut self) -> Result<(), Halt> {
        self.checkpoint_first().await?;
        let (sources, last_of) = {
            let owner = self.shard.owner().borrow();
            let partition = owner.partitions.get(&self.key).ok_or(Halt::Stopped)?;
            (partition.log.sources(), partition.replica.producers().last_batches())
        };
        let mapped = self.map(&sources).await?;
        if mapped.end <= self.work.from {
            // There is nothing that may be touched after all; it is looked at again after a while.
            return Err(Halt::Stopped);
        }
        if planted(Mutant::CleanBeforeRound) {
            self.note_clean(mapped.end);
        }
        let now_ms = self.shard.world().wall_ms();
        let upto = self.work.upto;
        let mut sieve = Sieve::new(mapped, upto, last_of, now_ms, self.policy.delete_retention_ms);
        let below: Vec<&Source<FilesOf<B>>> = sources.iter().filter(|source| source.next <= upto).collect();
        let mut rest = &below[..];
        while !rest.is_empty() {
            let count = self.sift_group(rest, &mut sieve).await?;
            rest = &rest[count..];
        }
        self.note_clean(sieve.end());
        Ok(())
    }

    fn note_clean(&self, clean: Offset) {
        if let Some(partition) = self.shard.owner().borrow_mut().partitions.get_mut(&self.key) {
            partition.log.compacted_to(clean);
        }
        self.shard.want_checkpoint(self.key);
    }

    /// Sees to it that a restart needn't read what is about to be compacted: it would find holes where it expects each
    /// producer's last batches.
    async fn checkpoint_first(&self) -> Result<(), Halt> {
        let told = || {
            let owner = self.shard.owner().borrow();
            let partition = owner.partitions.get(&self.key);
            partition.is_none_or(|partition| partition.log.checkpointed_durable() >= self.work.upto)
        };
        if !told() {
            self.shard.want_checkpoint(self.key);
            let written = self.shard.0.checkpoint_done.until(told);
            if !self.shard.within(CHECKPOINT_PATIENCE, written).await {
                return Err(Halt::Stopped);
            }
        }
        Ok(())
    }

    /// The first half: each key's last offset in the dirty part.
    async fn map(&mut self, sources: &[Source<FilesOf<B>>]) -> Result<Mapped, Halt> {
        let bytes = self.shard.conf().log.cleaner_map_bytes / usize::from(self.shard.shards());
        let Work { from, upto, .. } = self.work;
        let mut mapping = Mapping::new(from, upto, bytes);
        for source in sources.iter().filter(|source| source.next > from) {
            let mut reading = source.read().await?;
            while let Some((meta, batch)) = reading.next().await? {
                self.moved(reading.take_read(), 0).await?;
                match mapping.look(&meta) {
                    Look::Enough => return Ok(mapping.finish()),
                    Look::Past => {}
                    Look::Marker => {
                        if let Some(marker) = EndMarker::read(&batch) {
                            mapping.marker(&meta, marker.committed);
                        }
                    }
                    Look::Records => {
                        let walked = self.walk(&batch, |keyed| mapping.record(&meta, &keyed)).await;
                        walked?.map_err(|()| reading.corrupt())?;
                        mapping.passed(&meta);
                    }
                }
            }
        }
        Ok(mapping.finish())
    }

    /// Shows a batch's records; an inner error if it isn't made of records.
    async fn walk(
        &mut self,
        batch: &Bytes,
        mut each: impl FnMut(Keyed) -> bool,
    ) -> Result<Result<(), ()>, Halt> {
        let Ok(mut walk) = KeyWalk::new(batch, self.digest) else { return Ok(Err(())) };
        loop {
            match walk.step(&mut each) {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => self.moved(0, 0).await?,
                Err(_) => return Ok(Err(())),
            }
        }
    }

    /// The second half for as many sources as fit into one new segment; how many they were.
    async fn sift_group(
        &mut self,
        sources: &[&Source<FilesOf<B>>],
        sieve: &mut Sieve,
    ) -> Result<usize, Halt> {
        let (mut output, segment_bytes) = {
            let owner = self.shard.owner().borrow();
            let partition = owner.partitions.get(&self.key).ok_or(Halt::Stopped)?;
            (partition.log.output(sources[0]), partition.log.segment_bytes())
        };
        let (mut count, mut changed) = (0, false);
        for source in sources {
            if count > 0 && group_end(output.batch_bytes(), source.batch_bytes(), segment_bytes) {
                break;
            }
            changed |= self.sift(source, sieve, &mut output).await?;
            count += 1;
        }
        if changed || count > 1 {
            let finished = output.finish(sources[count - 1].next).await.map_err(Halt::Unwritten)?;
            self.replace(finished).await?;
        }
        Ok(count)
    }

    /// Copies what stays of one source; whether that isn't all.
    async fn sift(
        &mut self,
        source: &Source<FilesOf<B>>,
        sieve: &mut Sieve,
        output: &mut Output<FilesOf<B>>,
    ) -> Result<bool, Halt> {
        let mut changed = false;
        let mut reading = source.read().await?;
        while let Some((meta, batch)) = reading.next().await? {
            let ends = EndMarker::read(&batch).is_some();
            let fate = sieve.fate(&meta, ends);
            let what = match fate {
                Fate::Sift => {
                    let walked = self.walk(&batch, |keyed| {
                        sieve.record(&meta, &keyed);
                        true
                    });
                    walked.await?.map_err(|()| reading.corrupt())?;
                    sieve.sifted(&meta)
                }
                fate => Sifted::Whole(fate),
            };
            changed |= what != Sifted::Whole(Fate::Stay);
            let left = self.remains(&meta, batch, what).await?.ok_or_else(|| reading.corrupt())?;
            let written =
                if left.is_empty() { 0 } else { output.put(&left).await.map_err(Halt::Unwritten)? };
            self.moved(reading.take_read(), written).await?;
        }
        Ok(changed)
    }

    /// What is left of a batch; `None` if it isn't made of records.
    async fn remains(&mut self, meta: &BatchMeta, batch: Bytes, what: Sifted) -> Result<Option<Bytes>, Halt> {
        let (keep, horizon) = match what {
            Sifted::Whole(Fate::Stay | Fate::Sift) => return Ok(Some(batch)),
            Sifted::Whole(Fate::Go) => return Ok(Some(Bytes::new())),
            Sifted::Whole(Fate::Empty) => return Ok(Some(emptied(&batch, meta).into())),
            Sifted::Whole(Fate::Mark { horizon }) => {
                (vec![true; usize::try_from(meta.count).unwrap_or(0)], Some(horizon))
            }
            Sifted::Some { keep, horizon } => (keep, horizon),
        };
        let Ok(mut rewrite) = Rewrite::new(&batch, keep, horizon) else { return Ok(None) };
        loop {
            match rewrite.step() {
                Ok(Some(new)) => return Ok(Some(new.into())),
                Ok(None) => self.moved(0, 0).await?,
                Err(_) => return Ok(None),
            }
        }
    }

    /// Puts a finished segment into the place of those that it stands for.
    async fn replace(&mut self, finished: Finished<FilesOf<B>>) -> Result<(), Halt> {
        {
            let mut owner = self.shard.owner().borrow_mut();
            let partition = owner.partitions.get_mut(&self.key).ok_or(Halt::Stopped)?;
            if !partition.log.begin_replacing(&finished) {
                // Retention was faster.
                return Err(Halt::Stopped);
            }
        }
        let outcome = finished.name().await;
        {
            let mut owner = self.shard.owner().borrow_mut();
            let partition = owner.partitions.get_mut(&self.key).ok_or(Halt::Stopped)?;
            partition.log.end_replacing(outcome.is_ok().then_some(finished));
        }
        outcome.map_err(Halt::Unwritten)?;
        self.shard.want_checkpoint(self.key);
        Ok(())
    }

    /// Bytes were moved, or a step of work was done: lets others run, and rests as long as the work was worth, so that
    /// compaction takes half of the shard at most and no more of the device than it may.
    async fn moved(&mut self, read: usize, written: usize) -> Result<(), Halt> {
        let world = self.shard.world().clone();
        self.shard.metrics().compaction_moved(read, written);
        let bytes = (read + written) as u64;
        let worth = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.rate);
        self.owed += worth.max(world.mono().saturating_sub(self.begun));
        if self.owed >= REST_MIN {
            world.sleep(std::mem::take(&mut self.owed)).await;
        } else {
            world.yield_now().await;
        }
        self.begun = world.mono();
        let owner = self.shard.owner().borrow();
        let goes_on = owner.partitions.get(&self.key).is_some_and(|partition| {
            partition.state != PartitionState::Offline
                && partition.log.is_compacted()
                && !partition.log.is_cutting()
        });
        if goes_on && !self.shard.is_draining() { Ok(()) } else { Err(Halt::Stopped) }
    }
}
