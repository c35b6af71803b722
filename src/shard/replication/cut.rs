//! Cutting a follower's log, for good, before anything else is asked for or copied.

use crate::base::{NodeId, Offset, TopicPartition};
use crate::replica::{Effects, Event};
use crate::seam::{IoError, World};
use crate::shard::owner::Owner;
use crate::shard::partition::PartitionState;
use crate::shard::storage::StorageError;
use crate::shard::{Broker, Shard};

/// Where a log is to be cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Where {
    /// Here.
    At(Offset),
    /// All of it goes, and a new one begins here.
    Anew(Offset),
}

impl<B: Broker> Owner<B> {
    /// Steps a follower with what its leader said of its log; where that is to be cut.
    pub(super) fn cut(&mut self, key: TopicPartition, event: Event) -> Option<Where> {
        let mut effects = Effects::default();
        self.partitions.get_mut(&key)?.replica.step(event, &mut effects);
        effects.truncate.map(Where::At).or(effects.restart_at.map(Where::Anew))
    }
}

impl<B: Broker> Shard<B> {
    /// Cuts a log in a task of its own; its partition isn't asked for meanwhile.
    pub(super) fn begin_cut(&self, key: TopicPartition, leader: NodeId, cut: Option<Where>) {
        let Some(cut) = cut else { return };
        self.0.replication.cutting.borrow_mut().insert(key);
        let shard = self.clone();
        self.world().spawn(async move {
            shard.perform_cut(key, cut).await;
            shard.0.replication.cutting.borrow_mut().remove(&key);
            shard.0.replication.cut_done.notify();
            shard.fetch_from(leader, key);
        });
    }

    async fn perform_cut(&self, key: TopicPartition, cut: Where) {
        tracing::info!(partition = %key, ?cut, "this replica's log parts from its leader's and is cut");
        loop {
            match self.try_cut(key, cut).await {
                Ok(()) => return,
                Err(error @ StorageError::Io(IoError::Failed { .. })) => return self.fail_log_dir(&error),
                Err(error) if self.wait_for_room("a cut", &error).await => {}
                Err(error) => {
                    tracing::error!(partition = %key, %error, "the log can't be cut: offline");
                    let mut outbox = crate::shard::owner::Outbox::default();
                    self.owner().borrow_mut().take_offline(key, &mut outbox);
                    return self.deliver(outbox);
                }
            }
        }
    }

    async fn try_cut(&self, key: TopicPartition, cut: Where) -> Result<(), StorageError> {
        // What was appended is flushed first, so that what is cut lies on the device.
        self.flush_due().notify();
        let flushed = || {
            let owner = self.owner().borrow();
            owner.partitions.get(&key).is_none_or(|partition| {
                partition.state == PartitionState::Offline || partition.log.is_flushed()
            })
        };
        self.produce_done().until(flushed).await;
        let Some(()) = self.with_log(key, |partition| partition.log.begin_cutting()) else { return Ok(()) };
        self.at_rest(key).await;
        let now_ms = self.world().wall_ms();
        match cut {
            Where::At(to) => {
                let Some(plan) = self.with_log(key, |partition| partition.log.plan_cut(to)) else {
                    return Ok(());
                };
                let place = plan.run().await?;
                let job = self.with_log(key, |partition| {
                    let (producers, epochs) = partition.replica.as_of(place.offset());
                    partition.log.begin_cut(place, producers, epochs)
                });
                let Some(job) = job else { return Ok(()) };
                let made = job.run().await?;
                self.with_log(key, |partition| {
                    partition.log.end_cut(place, made, now_ms);
                    let to = place.offset();
                    partition.replica.step(Event::Truncated { to }, &mut Effects::default());
                });
            }
            Where::Anew(at) => {
                let Some(job) = self.with_log(key, |partition| partition.log.begin_anew(at)) else {
                    return Ok(());
                };
                job.run().await?;
                self.with_log(key, |partition| {
                    partition.log.end_anew(at, now_ms);
                    partition.replica.step(Event::Restarted { at }, &mut Effects::default());
                });
            }
        }
        Ok(())
    }

    fn with_log<T>(
        &self,
        key: TopicPartition,
        act: impl FnOnce(&mut crate::shard::partition::Partition<crate::shard::FilesOf<B>>) -> T,
    ) -> Option<T> {
        let mut owner = self.owner().borrow_mut();
        let partition = owner.partitions.get_mut(&key)?;
        (partition.state != PartitionState::Offline).then(|| act(partition))
    }

    /// Waits until no log is being cut.
    pub(in crate::shard) async fn cuts_ended(&self) {
        self.0.replication.cut_done.until(|| self.0.replication.cutting.borrow().is_empty()).await;
    }

    /// Waits until a log isn't being cut.
    pub(in crate::shard) async fn cut_at_rest(&self, key: TopicPartition) {
        let is_done = || !self.0.replication.cutting.borrow().contains(&key);
        self.0.replication.cut_done.until(is_done).await;
    }
}
