//! Work that no request waits for: timers, zeros written ahead, retention.

use super::owner::{Outbox, Owner};
use super::{Broker, Shard};
use crate::base::TopicPartition;
use crate::replica::Event;
use crate::seam::{Files, World};
use futures_lite::future::or;
use std::time::Duration;

/// How often answers that time out, producer expiry, the log directory's space and the cache's limit are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Time between two tries to hand the mesh what it had no room for.
const OVERFLOW_PAUSE: Duration = Duration::from_millis(1);
/// Ends of fetches that are closer together than this are one wake-up.
const TIMER_SLACK: Duration = Duration::from_micros(500);

impl<B: Broker> Shard<B> {
    /// Ends the waits of fetches, and retries messages that the mesh had no room for.
    pub(super) async fn timer_task(self) {
        loop {
            let next = self.expire_fetches();
            let wait = match next {
                _ if self.retry_overflow() => Some(OVERFLOW_PAUSE),
                next => next.map(|next| next.saturating_sub(self.world().mono()).max(TIMER_SLACK)),
            };
            // Whoever adds an earlier end, or a message that the mesh refuses, says so.
            match wait {
                Some(wait) => or(self.world().sleep(wait), self.timers_due().notified()).await,
                None => self.timers_due().notified().await,
            }
        }
    }

    /// Ticks machines that have something to expire, looks where partitions end, and how full the log directory is.
    pub(super) async fn tick_task(self) {
        loop {
            self.0.cache.keep_to(self.world().files().ready_bytes());
            self.look_at_space().await;
            self.world().sleep(TICK).await;
            let now_ms = self.world().wall_ms();
            let mut outbox = Outbox::default();
            {
                let mut owner = self.owner().borrow_mut();
                let keys: Vec<TopicPartition> = owner.partitions.keys().copied().collect();
                let mono_ms = u64::try_from(self.world().mono().as_millis()).unwrap_or(u64::MAX);
                for key in keys {
                    owner.step(key, Event::Tick { now_ms }, &mut outbox);
                    if let Some(partition) = owner.partitions.get_mut(&key) {
                        partition.course.look(mono_ms, partition.replica.high_watermark());
                    }
                }
            }
            self.deliver(outbox);
            self.look_at_replicas();
        }
    }

    async fn look_at_space(&self) {
        match self.world().files().space().await {
            Ok((total, usable)) => {
                let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
                self.0.node.space.set((signed(total), signed(usable)));
            }
            Err(error) => tracing::debug!(%error, "the log directory's space is unknown"),
        }
    }

    /// Writes zeros ahead of the appends and prepares the next segments, a partition at a time.
    pub(super) async fn prepare_task(self) {
        loop {
            self.prepare_due().notified().await;
            while let Some((key, job)) = self.next_preparation() {
                self.0.preparing.set(Some(key));
                let outcome = job.run().await;
                self.0.preparing.set(None);
                self.prepare_done().notify();
                match outcome {
                    Ok(done) => {
                        let mut owner = self.owner().borrow_mut();
                        owner.growing.insert(key);
                        if let Some(partition) = owner.partitions.get_mut(&key) {
                            partition.log.prepared(done);
                        }
                    }
                    Err(error) => {
                        // No space for zeros ahead is no failure yet: appends still try, and say so if they fail.
                        if let Some(left_out) = self.spare() {
                            tracing::warn!(partition = %key, %error, left_out, "could not prepare a segment ahead");
                        }
                        if let Some(partition) = self.owner().borrow_mut().partitions.get_mut(&key) {
                            partition.log.preparation_failed();
                        }
                    }
                }
                self.flush_due().notify();
                self.world().yield_now().await;
            }
        }
    }

    fn next_preparation(&self) -> Option<(TopicPartition, super::storage::PrepareJob<super::FilesOf<B>>)> {
        let mut owner = self.owner().borrow_mut();
        while let Some(key) = owner.growing.pop_first() {
            let Some(partition) = owner.partitions.get_mut(&key) else { continue };
            if let Some(job) = partition.log.prepare_next() {
                return Some((key, job));
            }
        }
        None
    }

    /// Deletes segments that time, size or DeleteRecords let go.
    pub(super) async fn retention_task(self) {
        let interval = self.conf().log.retention_check_interval;
        loop {
            or(self.world().sleep(interval), self.retention_due().notified()).await;
            let keys: Vec<TopicPartition> = self.owner().borrow().partitions.keys().copied().collect();
            for key in keys {
                self.retain(key);
            }
        }
    }

    fn retain(&self, key: TopicPartition) {
        let now_ms = self.world().wall_ms();
        {
            let mut owner = self.owner().borrow_mut();
            let Some(partition) = owner.partitions.get_mut(&key) else { return };
            let high_watermark = partition.replica.high_watermark();
            let Some(offset) = partition.log.retain(now_ms, high_watermark) else { return };
            owner.step(key, Event::LogStart { offset }, &mut Outbox::default());
        }
        self.want_checkpoint(key);
    }
}

impl<B: Broker> Owner<B> {
    /// Removes a partition that was deleted: everybody who waits is told.
    pub(super) fn abandon(&mut self, key: TopicPartition, outbox: &mut Outbox) {
        let mut effects = crate::replica::Effects::default();
        if let Some(mut partition) = self.partitions.remove(&key) {
            partition.replica.abandon(&mut effects);
            outbox.take(key, &mut effects);
        }
        self.dirty.remove(&key);
        self.short.remove(&key);
    }

    /// Takes a partition whose log failed out of service: everybody who waits is told.
    pub(super) fn take_offline(&mut self, key: TopicPartition, outbox: &mut Outbox) {
        let mut effects = crate::replica::Effects::default();
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.state = super::partition::PartitionState::Offline;
            partition.replica.fail(&mut effects);
            outbox.take(key, &mut effects);
        }
    }
}
