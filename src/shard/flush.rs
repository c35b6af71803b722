//! Group commit: one flush per turn and device for all partitions of this shard.
//!
//! While a flush is under way appends go on; they make up the next one. So the slower the device, the larger the
//! groups.

use super::journey::FlushTimes;
use super::owner::Outbox;
use super::partition::PartitionState;
use super::storage::{Begun, FlushJob, StorageError, flush_all};
use super::{Broker, FilesOf, Shard};
use crate::base::TopicPartition;
use crate::base::mutant::{Mutant, planted};
use crate::replica::Event;
use crate::seam::World;
use std::cell::Cell;
use std::time::Duration;

/// What one flush does, by partition.
pub(super) type Jobs<B> = (Vec<TopicPartition>, Vec<FlushJob<FilesOf<B>>>);

impl<B: Broker> Shard<B> {
    /// Flushes dirty partitions until the shard ends.
    pub(super) async fn flush_task(self) {
        loop {
            self.flush_due().notified().await;
            // Appends of requests that are ready in this turn join the group.
            self.world().yield_now().await;
            while self.flush_once().await {}
        }
    }

    /// Flushes what is dirty now; false if nothing was. Called by `flush_task` alone: a second flush at the same time
    /// could write the same block.
    async fn flush_once(&self) -> bool {
        let (keys, mut jobs) = self.take_dirty();
        self.0.flushing.set(!jobs.is_empty());
        if jobs.is_empty() {
            self.produce_done().notify();
            return false;
        }
        let begun = self.world().mono();
        let written = Cell::new(begun);
        let outcome = flush_all(self.world().files(), &mut jobs, || written.set(self.world().mono())).await;
        self.0.flushes.set(self.0.flushes.get() + 1);
        let times = FlushTimes { begun, written: written.get(), durable: self.world().mono() };
        let took = times.durable.saturating_sub(begun);
        self.metrics().flushed(jobs.len(), self.0.cache.take_carried(), took);
        let jobs = keys.into_iter().zip(jobs);
        let (short, done): (Vec<_>, Vec<_>) = jobs.partition(|(_, job)| job.shortage().is_some());
        match outcome {
            Err(error) if !planted(Mutant::IgnoreFlushError) => self.fail_log_dir(&error),
            _ => {
                self.settle(done.into_iter().unzip(), times);
                if !short.is_empty() {
                    self.put_back(short.into_iter().unzip());
                }
            }
        }
        self.produce_done().notify();
        true
    }

    /// Waits until everything that was appended is flushed, at most so long; false if it isn't.
    pub(super) async fn flush_all_appended(&self, patience: Duration) -> bool {
        self.flush_due().notify();
        let clean = || {
            let owner = self.owner().borrow();
            !self.0.flushing.get() && owner.dirty.is_empty() && owner.short.is_empty()
        };
        self.within(patience, self.produce_done().until(clean)).await
    }

    fn take_dirty(&self) -> Jobs<B> {
        let mut owner = self.owner().borrow_mut();
        let dirty = std::mem::take(&mut owner.dirty);
        let (mut keys, mut jobs) = (Vec::with_capacity(dirty.len()), Vec::with_capacity(dirty.len()));
        let mut later = Vec::new();
        for key in dirty {
            let Some(partition) = owner.partitions.get_mut(&key) else { continue };
            if partition.state == PartitionState::Offline {
                continue;
            }
            match partition.log.begin_flush() {
                Begun::Nothing => {}
                Begun::Later => later.push(key),
                Begun::Job(job) => {
                    keys.push(key);
                    jobs.push(job);
                }
            }
        }
        // The end of the preparation that they wait for makes a flush due.
        if !planted(Mutant::ForgetDeferredFlush) {
            owner.dirty.extend(later);
        }
        (keys, jobs)
    }

    fn settle(&self, (keys, jobs): Jobs<B>, times: FlushTimes) {
        let mut outbox = Outbox::of_flush(times);
        {
            let mut owner = self.owner().borrow_mut();
            owner.growing.extend(&keys);
            for (&key, job) in keys.iter().zip(jobs) {
                let upto = job.upto();
                if let Some(partition) = owner.partitions.get_mut(&key) {
                    partition.log.written(job);
                    self.end_shortage(partition);
                }
                owner.step(key, Event::Written { upto }, &mut outbox);
                owner.step(key, Event::Durable { upto }, &mut outbox);
            }
        }
        self.prepare_due().notify();
        self.want_checkpoints_of_long(&keys);
        self.produce_done().notify();
        self.deliver(outbox);
        self.groups_durable(&keys);
        self.txns_durable(&keys);
    }

    /// A failed write or flush is final: after EIO the kernel reports the next flush as good though bytes are lost,
    /// so nothing of this log directory may be acknowledged again in this process's life.
    pub(super) fn fail_log_dir(&self, error: &StorageError) {
        tracing::error!(%error, "the log directory failed; its partitions are offline until the broker restarts");
        let mut outbox = Outbox::default();
        {
            let mut owner = self.owner().borrow_mut();
            let keys: Vec<TopicPartition> = owner.partitions.keys().copied().collect();
            for key in keys {
                owner.take_offline(key, &mut outbox);
            }
        }
        self.deliver(outbox);
        self.resign_groups(|_| true);
        self.resign_txns(|_| true);
    }
}
