//! Checkpoints: one at a time per shard, so that two of a partition never overtake each other.
//!
//! A partition is due when so much was appended to it that a recovery would be slow, when its log start moved, and when
//! the shard closes.

use super::partition::Partition;
use super::storage::StorageError;
use super::{Broker, Shard};
use crate::base::{Offset, TopicPartition};
use crate::seam::{IoError, World};
use futures_lite::future::or;
use std::time::Duration;

/// Bytes that all partitions of a shard may leave to be scanned by a recovery.
const SCAN_BYTES: u64 = 1 << 30;
/// A partition isn't due for less, however many there are.
const SCAN_BYTES_MIN: u64 = 1 << 20;

impl<B: Broker> Shard<B> {
    /// Writes checkpoints until the shard ends.
    pub(super) async fn checkpoint_task(self) {
        loop {
            self.0.checkpoint_due.notified().await;
            loop {
                let next = self.owner().borrow_mut().checkpoints_due.pop_first();
                let Some(key) = next else { break };
                self.0.checkpointing.set(Some(key));
                self.write_checkpoint(key).await;
                self.0.checkpointing.set(None);
                self.0.checkpoint_done.notify();
            }
        }
    }

    async fn write_checkpoint(&self, key: TopicPartition) {
        let mut job = {
            let mut owner = self.owner().borrow_mut();
            let Some(partition) = owner.partitions.get_mut(&key) else { return };
            if partition.log.is_cutting() {
                // The cut writes one.
                return;
            }
            let Partition { replica, log, .. } = partition;
            log.begin_checkpoint(replica.producers(), replica.epochs(), replica.high_watermark())
        };
        let outcome = job.run(self.world().files()).await;
        {
            let mut owner = self.owner().borrow_mut();
            // A partition that is gone took its folder with it.
            let Some(partition) = owner.partitions.get_mut(&key) else { return };
            match &outcome {
                Ok(()) => partition.log.checkpointed(&job),
                Err(_) => partition.log.checkpoint_failed(job),
            }
        }
        match outcome {
            Ok(()) => {}
            Err(error @ StorageError::Io(IoError::Failed { .. })) => self.fail_log_dir(&error),
            // The next turn tries again, so that whoever deletes the partition needn't wait until there is room.
            Err(error) if !self.is_draining() && self.wait_for_room("a checkpoint", &error).await => {
                self.owner().borrow_mut().checkpoints_due.insert(key);
            }
            Err(error) => {
                tracing::warn!(partition = %key, %error, "could not write a checkpoint; trying again later")
            }
        }
    }

    /// Has a partition's checkpoint written.
    pub(super) fn want_checkpoint(&self, key: TopicPartition) {
        self.owner().borrow_mut().checkpoints_due.insert(key);
        self.0.checkpoint_due.notify();
    }

    /// Wants checkpoints of those partitions of which a recovery would have to scan much.
    pub(super) fn want_checkpoints_of_long(&self, keys: &[TopicPartition]) {
        let any = {
            let mut owner = self.owner().borrow_mut();
            let bound = (SCAN_BYTES / owner.partitions.len().max(1) as u64).max(SCAN_BYTES_MIN);
            let is_long = |key: &&TopicPartition| {
                owner
                    .partitions
                    .get(key)
                    .is_some_and(|partition| partition.log.bytes_since_checkpoint() >= bound)
            };
            let long: Vec<TopicPartition> = keys.iter().filter(is_long).copied().collect();
            owner.checkpoints_due.extend(&long);
            !long.is_empty()
        };
        if any {
            self.0.checkpoint_due.notify();
        }
    }

    /// Waits until a restart would keep records from `start` on only; false if that doesn't happen in time.
    pub(super) async fn start_is_durable(
        &self,
        key: TopicPartition,
        start: Offset,
        patience: Duration,
    ) -> bool {
        self.want_checkpoint(key);
        let there = || {
            let owner = self.owner().borrow();
            owner.partitions.get(&key).is_none_or(|partition| partition.log.checkpointed_start() >= start)
        };
        self.within(patience, self.0.checkpoint_done.until(there)).await
    }

    /// Writes the checkpoints of all partitions; false if that doesn't succeed in time.
    pub(super) async fn checkpoint_all(&self, patience: Duration) -> bool {
        {
            let mut owner = self.owner().borrow_mut();
            let untold = owner.partitions.iter().filter(|(_, partition)| !partition.log.is_told());
            let keys: Vec<TopicPartition> = untold.map(|(key, _)| *key).collect();
            owner.checkpoints_due.extend(keys);
            if owner.checkpoints_due.is_empty() && self.0.checkpointing.get().is_none() {
                return true;
            }
        }
        self.0.checkpoint_due.notify();
        let idle =
            || self.0.checkpointing.get().is_none() && self.owner().borrow().checkpoints_due.is_empty();
        let done = self.within(patience, self.0.checkpoint_done.until(idle)).await;
        done && self.owner().borrow().partitions.values().all(|partition| partition.log.is_told())
    }

    /// Waits until no checkpoint of this partition is being written.
    pub(super) async fn checkpoint_at_rest(&self, key: TopicPartition) {
        self.0.checkpoint_done.until(|| self.0.checkpointing.get() != Some(key)).await;
    }

    /// Waits for something, at most so long; whether it happened.
    pub(super) async fn within(&self, patience: Duration, event: impl Future<Output = ()>) -> bool {
        let happened = async {
            event.await;
            true
        };
        let late = async {
            self.world().sleep(patience).await;
            false
        };
        or(happened, late).await
    }
}
