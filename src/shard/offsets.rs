//! ListOffsets and DeleteRecords on partitions of this shard.
//!
//! Rules: protocol rows 94 to 99.

use super::origin::failed_reply;
use super::owner::{Outbox, Owner};
use super::partition::Partition;
use super::storage::{Found, StorageError, TimestampPlan};
use super::{Broker, FilesOf, Shard};
use crate::base::limits::LOOKUPS_AT_ONCE_MAX;
use crate::base::{ErrorCode, LeaderEpoch, Offset, TopicPartition};
use crate::replica::call::{PartitionOp, PartitionReply};
use crate::replica::{Event, Waiter};
use crate::seam::{Files, World};
use std::collections::VecDeque;
use std::time::Duration;

/// How long DeleteRecords waits for the new log start to survive a restart.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A ListOffsets question.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) current_leader_epoch: LeaderEpoch,
    pub(super) timestamp: i64,
    pub(super) read_committed: bool,
}

/// A question for a timestamp that takes a look into batches.
struct Lookup<F: Files> {
    key: TopicPartition,
    waiter: Waiter,
    plan: TimestampPlan<F>,
}

/// Look-ups that wait, and how many tasks do them.
pub(super) struct Lookups<F: Files> {
    queue: VecDeque<Lookup<F>>,
    running: usize,
}

impl<F: Files> Default for Lookups<F> {
    fn default() -> Self {
        Lookups { queue: VecDeque::new(), running: 0 }
    }
}

impl<F: Files> Lookups<F> {
    /// The next one; where there is none, the task that asks ends.
    fn next(&mut self) -> Option<Lookup<F>> {
        let next = self.queue.pop_front();
        self.running -= usize::from(next.is_none());
        next
    }
}

/// ListOffsets' special timestamps (KIP-79, 396, 405, 734, 1005, 1023).
mod special {
    pub(super) const LATEST: i64 = -1;
    pub(super) const EARLIEST: i64 = -2;
    pub(super) const MAX_TIMESTAMP: i64 = -3;
    pub(super) const EARLIEST_LOCAL: i64 = -4;
    pub(super) const LATEST_TIERED: i64 = -5;
    pub(super) const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

fn found(timestamp: i64, offset: Offset, leader_epoch: LeaderEpoch) -> PartitionReply {
    PartitionReply::Offset { error: ErrorCode::None, timestamp, offset, leader_epoch }
}

fn failed(error: ErrorCode) -> PartitionReply {
    PartitionReply::Offset { error, timestamp: -1, offset: -1, leader_epoch: LeaderEpoch(-1) }
}

impl<B: Broker> Shard<B> {
    /// Answers a ListOffsets question, after reading a batch where a timestamp asks for it.
    pub(super) fn list_offset(
        &self,
        partition: &Partition<FilesOf<B>>,
        key: TopicPartition,
        waiter: Waiter,
        ask: Ask,
        outbox: &mut Outbox,
    ) {
        let leader = &partition.replica;
        if let Err(error) = leader.check_epoch(ask.current_leader_epoch) {
            return outbox.reply(waiter, failed(error));
        }
        if ask.timestamp != special::EARLIEST && ask.timestamp != special::EARLIEST_LOCAL {
            // What is committed of its predecessor's records isn't known yet (KIP-207).
            if !leader.is_established() {
                return outbox.reply(waiter, failed(ErrorCode::OffsetNotAvailable));
            }
        }
        let upto = if ask.read_committed { leader.last_stable_offset() } else { leader.high_watermark() };
        let epoch_at = |offset| leader.epochs().epoch_at(offset).unwrap_or(leader.epoch());
        let plan = match ask.timestamp {
            special::LATEST => return outbox.reply(waiter, found(-1, upto, leader.epoch())),
            special::EARLIEST | special::EARLIEST_LOCAL => {
                return outbox.reply(waiter, found(-1, leader.log_start(), epoch_at(leader.log_start())));
            }
            // Without tiered storage nothing is tiered, and nothing waits for its upload.
            special::LATEST_TIERED | special::EARLIEST_PENDING_UPLOAD => {
                return outbox.reply(waiter, found(-1, -1, LeaderEpoch(-1)));
            }
            special::MAX_TIMESTAMP => partition.log.plan_max_timestamp(upto),
            timestamp if timestamp >= 0 => partition.log.plan_timestamp(timestamp, leader.log_start(), upto),
            _ => return outbox.reply(waiter, failed(ErrorCode::UnsupportedVersion)),
        };
        self.look_up(key, waiter, plan);
    }

    /// Queues a look-up: each takes memory and time that its batch's author decides, so few run at once.
    fn look_up(&self, key: TopicPartition, waiter: Waiter, plan: TimestampPlan<FilesOf<B>>) {
        let begin = {
            let mut lookups = self.0.lookups.borrow_mut();
            lookups.queue.push_back(Lookup { key, waiter, plan });
            let begin = lookups.running < LOOKUPS_AT_ONCE_MAX;
            lookups.running += usize::from(begin);
            begin
        };
        if begin {
            self.world().spawn(self.clone().lookup_task());
        }
    }

    /// Does look-ups until none waits.
    async fn lookup_task(self) {
        loop {
            let next = self.0.lookups.borrow_mut().next();
            let Some(Lookup { key, waiter, plan }) = next else { return };
            let outcome = plan.run(self.world()).await;
            let reply = Self::looked_up(key, outcome);
            let mut outbox = Outbox::default();
            outbox.reply(waiter, reply);
            self.deliver(outbox);
        }
    }

    fn looked_up(key: TopicPartition, outcome: Result<Option<Found>, StorageError>) -> PartitionReply {
        match outcome {
            Ok(None) => found(-1, -1, LeaderEpoch(-1)),
            Ok(Some(Found { offset, timestamp, leader_epoch })) => found(timestamp, offset, leader_epoch),
            Err(error) => {
                tracing::error!(partition = %key, %error, "a timestamp look-up failed");
                failed(ErrorCode::KafkaStorageError)
            }
        }
    }

    /// Moves the log start up; answers once the new start survives a restart.
    pub(super) fn delete_records(
        &self,
        owner: &mut Owner<B>,
        key: TopicPartition,
        waiter: Waiter,
        before: Offset,
        outbox: &mut Outbox,
    ) {
        let op = PartitionOp::DeleteRecords { before };
        let Some(partition) = owner.partitions.get_mut(&key) else { return };
        let high_watermark = partition.replica.high_watermark();
        let target = if before == -1 { high_watermark } else { before };
        if partition.replica.rules().compact_only {
            return outbox.reply(waiter, failed_reply(&op, ErrorCode::PolicyViolation));
        }
        if target < 0 || target > high_watermark {
            return outbox.reply(waiter, failed_reply(&op, ErrorCode::OffsetOutOfRange));
        }
        if target <= partition.replica.log_start() {
            let low_watermark = partition.replica.log_start();
            return outbox.reply(waiter, PartitionReply::Deleted { error: ErrorCode::None, low_watermark });
        }
        owner.step(key, Event::LogStart { offset: target }, outbox);
        let Some(partition) = owner.partitions.get_mut(&key) else { return };
        partition.log.set_log_start(target);
        let shard = self.clone();
        self.world().spawn(async move {
            let reply = if shard.start_is_durable(key, target, START_PATIENCE).await {
                PartitionReply::Deleted { error: ErrorCode::None, low_watermark: target }
            } else {
                failed_reply(&op, ErrorCode::RequestTimedOut)
            };
            let mut outbox = Outbox::default();
            outbox.reply(waiter, reply);
            shard.deliver(outbox);
            shard.retention_due().notify();
        });
    }
}
