//! When space or descriptors run out: nothing that was acknowledged is at stake, and what is short may come back.
//!
//! A partition whose appends can't be written takes no more of them: whoever waits is told, its records may still
//! become durable, and what was appended is written when there is space again. Reads go on, and so does all that frees
//! space: DeleteTopics writes into a journal that has zeros ahead, and for the checkpoint that DeleteRecords and
//! retention need there is a file that is kept for nothing else.

use super::flush::Jobs;
use super::origin::COORDINATOR;
use super::owner::Outbox;
use super::partition::PartitionState;
use super::storage::StorageError;
use super::{Broker, Shard};
use crate::seam::{File, Files, IoError, World};
use std::time::Duration;

/// The file that is removed when space is short.
const RESERVE: &str = "reserve";
/// Its size: room for some hundred checkpoints.
const RESERVE_BYTES: u64 = 1 << 20;
/// Space that must be there before it is made anew.
const RESERVE_SPACE: u64 = 64 << 20;
/// Time between two looks at whether it has to be.
const RESERVE_PAUSE: Duration = Duration::from_secs(10);
/// Time between two tries of what was short.
pub(super) const RETRY_MS: u64 = 100;
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(RETRY_MS);

impl<B: Broker> Shard<B> {
    /// Takes back what a flush couldn't write. Everybody who waits for it is told.
    pub(super) fn put_back(&self, (keys, jobs): Jobs<B>) {
        let mut outbox = Outbox::default();
        let stalled = keys.clone();
        {
            let mut owner = self.owner().borrow_mut();
            for (key, job) in keys.into_iter().zip(jobs) {
                let Some(partition) = owner.partitions.get_mut(&key) else { continue };
                let shortage = job.shortage().cloned();
                partition.log.put_back(job);
                if partition.state == PartitionState::Online {
                    partition.state = PartitionState::Short;
                    if let (Some(error), Some(left_out)) = (shortage, self.spare()) {
                        let topic = &partition.topic;
                        let what = "appends are refused until there is room";
                        tracing::error!(partition = %key, %topic, %error, left_out, "{what}");
                    }
                }
                owner.short.insert(key);
                owner.step(key, crate::replica::Event::Short, &mut outbox);
            }
        }
        self.produce_done().notify();
        self.deliver(outbox);
        self.groups_stalled(&stalled);
        self.txns_stalled(&stalled);
    }

    /// A partition's flush succeeded: it takes appends again.
    pub(super) fn end_shortage(&self, partition: &mut super::partition::Partition<super::FilesOf<B>>) {
        if partition.state == PartitionState::Short {
            partition.state = PartitionState::Online;
            if let Some(left_out) = self.spare() {
                tracing::info!(topic = %partition.topic, left_out, "there is room: appends are taken again");
            }
        }
    }

    /// Makes flushes of what was short due, now and then.
    pub(super) async fn shortage_task(self) {
        loop {
            self.world().sleep(RETRY_PAUSE).await;
            let mut owner = self.owner().borrow_mut();
            if !owner.short.is_empty() {
                let short = std::mem::take(&mut owner.short);
                owner.dirty.extend(short);
                drop(owner);
                self.flush_due().notify();
            }
        }
    }

    /// Waits a little after something was short, and frees the space that is kept for such a moment. False if the error
    /// is another one.
    pub(super) async fn wait_for_room(&self, what: &str, error: &StorageError) -> bool {
        if !error.is_shortage() {
            return false;
        }
        if let Some(left_out) = self.spare() {
            tracing::error!(%error, left_out, "{what} waits for room");
        }
        if !self.free_reserve().await {
            self.world().sleep(RETRY_PAUSE).await;
        }
        true
    }

    /// Removes the file that is kept for when space is short; false if it is gone already.
    pub(super) async fn free_reserve(&self) -> bool {
        self.world().files().remove(&self.0.data_dir.join(RESERVE)).await.is_ok()
    }

    /// Keeps the reserve: makes it where it is missing and there is plenty of space.
    pub(super) async fn reserve_task(self) {
        assert_eq!(self.this(), COORDINATOR, "one shard keeps it for all");
        loop {
            if let Err(error) = self.make_reserve().await {
                tracing::debug!(%error, "no space is kept back");
            }
            self.world().sleep(RESERVE_PAUSE).await;
        }
    }

    async fn make_reserve(&self) -> Result<(), IoError> {
        let (files, path) = (self.world().files(), self.0.data_dir.join(RESERVE));
        let whole = match files.open(&path).await {
            Ok(file) => file.size().await? >= RESERVE_BYTES,
            Err(IoError::NotFound(_)) => false,
            Err(error) => return Err(error),
        };
        let (_, usable) = files.space().await?;
        if whole || usable < RESERVE_SPACE {
            return Ok(());
        }
        let file = files.create(&path).await?;
        file.write_zeros(0..RESERVE_BYTES).await?;
        file.sync().await
    }
}
