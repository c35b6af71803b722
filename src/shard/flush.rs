//! Group commit: one flush per turn and device for all partitions of this shard.
//!
//! While a flush is under way appends go on; they make up the next group. So the slower the device, the larger the
//! groups. A group that has grown large by then is written meanwhile, so that the device isn't idle while it flushes
//! nor the shard while the device writes; a small one waits, since many small writes cost more than they win.

use super::journey::FlushTimes;
use super::message::Message;
use super::notify::Notify;
use super::origin::COORDINATOR;
use super::owner::Outbox;
use super::partition::PartitionState;
use super::storage::{Begun, FlushJob, StorageError, flush_jobs, write_jobs};
use super::{Broker, FilesOf, Shard};
use crate::base::TopicPartition;
use crate::base::mutant::{Mutant, planted};
use crate::replica::Event;
use crate::seam::World;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// What one flush does, by partition.
pub(super) type Jobs<B> = (Vec<TopicPartition>, Vec<FlushJob<FilesOf<B>>>);

/// Appends that are made durable together.
struct Group<B: Broker> {
    jobs: Jobs<B>,
    begun: Duration,
    /// When its writes were complete.
    written: Duration,
}

/// Groups on their way to the device.
pub(super) struct Commits<B: Broker> {
    /// Groups that were begun, and those of them that have ended.
    begun: Cell<u64>,
    ended: Cell<u64>,
    /// Bytes of the batches of groups that haven't ended.
    bytes: Cell<usize>,
    /// Written groups that the next flush takes, oldest first.
    written: RefCell<Vec<Group<B>>>,
    written_due: Notify,
    /// A flush is under way.
    flushing: Cell<bool>,
}

impl<B: Broker> Default for Commits<B> {
    fn default() -> Self {
        Commits {
            begun: Cell::default(),
            ended: Cell::default(),
            bytes: Cell::default(),
            written: RefCell::default(),
            written_due: Notify::default(),
            flushing: Cell::default(),
        }
    }
}

impl<B: Broker> Commits<B> {
    /// Groups that were begun so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// How many of them have ended, in the order in which they began.
    pub(super) fn ended(&self) -> u64 {
        self.ended.get()
    }

    /// Nothing is being flushed, nor waits for it.
    fn is_idle(&self) -> bool {
        !self.flushing.get() && self.written.borrow().is_empty()
    }

    fn begin(&self, bytes: usize) {
        self.begun.set(self.begun.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
    }

    fn end(&self, groups: usize, bytes: usize) {
        self.ended.set(self.ended.get() + groups as u64);
        self.bytes.set(self.bytes.get() - bytes);
    }
}

fn bytes_of<B: Broker>(jobs: &[FlushJob<FilesOf<B>>]) -> usize {
    jobs.iter().map(FlushJob::bytes).sum()
}

impl<B: Broker> Shard<B> {
    /// Writes what is dirty until the shard ends.
    pub(super) async fn write_task(self) {
        loop {
            self.flush_due().notified().await;
            // Appends of requests that are ready in this turn join the group.
            self.world().yield_now().await;
            while self.write_group().await {}
        }
    }

    /// Writes what is dirty now; false if nothing was, or it is to wait for the flush under way. Called by `write_task`
    /// alone: a second write at the same time could be of the same block.
    async fn write_group(&self) -> bool {
        let commits = &self.0.commits;
        let waiting = self.0.cache.unwritten_bytes().saturating_sub(commits.bytes.get());
        if !commits.is_idle() && waiting < self.conf().flush_overlap_bytes {
            return false;
        }
        let (keys, mut jobs) = self.take_dirty();
        if jobs.is_empty() {
            return false;
        }
        commits.begin(bytes_of::<B>(&jobs));
        let begun = self.world().mono();
        match self.write_jobs(&mut jobs).await {
            Err(error) if !planted(Mutant::IgnoreFlushError) => self.end_failed(vec![(keys, jobs)], &error),
            Ok(true) => {
                let group = Group { jobs: (keys, jobs), begun, written: begun };
                self.end_flush(vec![group]);
            }
            _ => self.pass_on(keys, jobs, begun),
        }
        true
    }

    /// Writes jobs; true if that made them durable.
    async fn write_jobs(&self, jobs: &mut [FlushJob<FilesOf<B>>]) -> Result<bool, StorageError> {
        if let [job] = &mut *jobs
            && self.0.commits.is_idle()
            && job.write_durable().await?
        {
            return Ok(job.shortage().is_none());
        }
        write_jobs(self.world().files(), jobs).await.map(|()| false)
    }

    /// Hands a written group to the next flush; what couldn't be written goes back.
    fn pass_on(&self, keys: Vec<TopicPartition>, jobs: Vec<FlushJob<FilesOf<B>>>, begun: Duration) {
        let jobs = keys.into_iter().zip(jobs);
        let (short, done): (Vec<_>, Vec<_>) = jobs.partition(|(_, job)| job.shortage().is_some());
        let commits = &self.0.commits;
        if !short.is_empty() {
            let short: Jobs<B> = short.into_iter().unzip();
            commits.end(usize::from(done.is_empty()), bytes_of::<B>(&short.1));
            self.put_back(short);
        }
        if done.is_empty() {
            return;
        }
        let mut owner = self.owner().borrow_mut();
        for (key, job) in &done {
            if let Some(partition) = owner.partitions.get_mut(key) {
                partition.log.written(job);
            }
        }
        let group = Group { jobs: done.into_iter().unzip(), begun, written: self.world().mono() };
        commits.written.borrow_mut().push(group);
        commits.written_due.notify();
    }

    /// Flushes what is written until the shard ends.
    pub(super) async fn flush_task(self) {
        loop {
            self.0.commits.written_due.notified().await;
            while self.flush_written().await {}
        }
    }

    /// One flush for all groups that are written; false if there are none.
    async fn flush_written(&self) -> bool {
        let commits = &self.0.commits;
        let mut groups = commits.written.take();
        if groups.is_empty() {
            return false;
        }
        commits.flushing.set(true);
        let jobs: Vec<_> = groups.iter().flat_map(|group| &group.jobs.1).collect();
        let outcome = flush_jobs(self.world().files(), &jobs).await;
        commits.flushing.set(false);
        if planted(Mutant::FlushCoversLater) {
            groups.append(&mut commits.written.borrow_mut());
        }
        match outcome {
            Err(error) if !planted(Mutant::IgnoreFlushError) => {
                self.end_failed(groups.into_iter().map(|group| group.jobs).collect(), &error);
            }
            _ => self.end_flush(groups),
        }
        // A group that was too small to be written meanwhile.
        self.flush_due().notify();
        true
    }

    /// Takes back groups that are durable.
    fn end_flush(&self, groups: Vec<Group<B>>) {
        let durable = self.world().mono();
        let partitions = groups.iter().map(|group| group.jobs.0.len()).sum();
        let took = durable.saturating_sub(groups[0].begun);
        self.metrics().flushed(partitions, self.0.cache.take_carried(), took);
        for Group { jobs, begun, written } in groups {
            self.0.commits.end(1, bytes_of::<B>(&jobs.1));
            self.settle(jobs, FlushTimes { begun, written, durable });
        }
        self.produce_done().notify();
    }

    fn end_failed(&self, groups: Vec<Jobs<B>>, error: &StorageError) {
        for (_, jobs) in &groups {
            self.0.commits.end(1, bytes_of::<B>(jobs));
        }
        self.fail_log_dir(error);
        self.produce_done().notify();
    }

    /// Waits until everything that was appended is flushed, at most so long; false if it isn't.
    pub(super) async fn flush_all_appended(&self, patience: Duration) -> bool {
        self.flush_due().notify();
        let clean = || {
            let owner = self.owner().borrow();
            self.0.commits.ended() == self.0.commits.begun()
                && owner.dirty.is_empty()
                && owner.short.is_empty()
        };
        self.within(patience, self.produce_done().until(clean)).await
    }

    fn take_dirty(&self) -> Jobs<B> {
        let mut owner = self.owner().borrow_mut();
        let dirty = std::mem::take(&mut owner.dirty);
        let (mut keys, mut jobs) = (Vec::with_capacity(dirty.len()), Vec::with_capacity(dirty.len()));
        let mut later = Vec::new();
        let mut outbox = Outbox::default();
        for key in dirty {
            let Some(partition) = owner.partitions.get_mut(&key) else { continue };
            if partition.state == PartitionState::Offline {
                continue;
            }
            match partition.log.begin_flush() {
                Begun::Nothing => {}
                Begun::Later => later.push(key),
                Begun::Job(job) => {
                    // Followers flush while this node does.
                    owner.step(key, Event::Sealed { upto: job.upto() }, &mut outbox);
                    keys.push(key);
                    jobs.push(job);
                }
            }
        }
        // The end of the preparation that they wait for makes a flush due.
        if !planted(Mutant::ForgetDeferredFlush) {
            owner.dirty.extend(later);
        }
        drop(owner);
        self.deliver(outbox);
        (keys, jobs)
    }

    fn settle(&self, (keys, jobs): Jobs<B>, times: FlushTimes) {
        let mut outbox = Outbox::of_flush(times);
        {
            let mut owner = self.owner().borrow_mut();
            owner.growing.extend(&keys);
            for (&key, job) in keys.iter().zip(jobs) {
                let upto = job.upto();
                let Some(partition) = owner.partitions.get_mut(&key) else {
                    self.0.cache.written(job.bytes());
                    continue;
                };
                if partition.state == PartitionState::Offline {
                    continue;
                }
                partition.log.flushed(job);
                self.end_shortage(partition);
                owner.step(key, Event::Written { upto }, &mut outbox);
                owner.step(key, Event::Durable { upto }, &mut outbox);
            }
        }
        self.prepare_due().notify();
        self.want_checkpoints_of_long(&keys);
        self.deliver(outbox);
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
        if self.this() == COORDINATOR {
            self.note_failed_log_dir();
        } else {
            self.send(COORDINATOR, Message::LogDirFailed);
        }
    }
}
