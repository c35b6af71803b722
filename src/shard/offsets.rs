//! ListOffsets and DeleteRecords on partitions of this shard.
//!
//! Rules: protocol rows 94 to 99.

use super::origin::failed_reply;
use super::owner::{Outbox, Owner};
use super::partition::Partition;
use super::storage::{Found, TimestampPlan};
use super::{Broker, FilesOf, Shard};
use crate::base::{ErrorCode, LeaderEpoch, Offset, TopicPartition};
use crate::replica::call::{PartitionOp, PartitionReply};
use crate::replica::{Event, Waiter};
use crate::seam::World;
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
        let leader = &partition.leader;
        if let Err(error) = leader.check_epoch(ask.current_leader_epoch) {
            return outbox.reply(waiter, failed(error));
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

    fn look_up(&self, key: TopicPartition, waiter: Waiter, plan: TimestampPlan<FilesOf<B>>) {
        let shard = self.clone();
        self.world().spawn(async move {
            let reply = match plan.run().await {
                Ok(None) => found(-1, -1, LeaderEpoch(-1)),
                Ok(Some(Found { offset, timestamp, leader_epoch })) => found(timestamp, offset, leader_epoch),
                Err(error) => {
                    tracing::error!(partition = %key, %error, "a timestamp look-up failed");
                    failed(ErrorCode::KafkaStorageError)
                }
            };
            let mut outbox = Outbox::default();
            outbox.reply(waiter, reply);
            shard.deliver(outbox);
        });
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
        let high_watermark = partition.leader.high_watermark();
        let target = if before == -1 { high_watermark } else { before };
        if partition.leader.rules().compact_only {
            return outbox.reply(waiter, failed_reply(&op, ErrorCode::PolicyViolation));
        }
        if target < 0 || target > high_watermark {
            return outbox.reply(waiter, failed_reply(&op, ErrorCode::OffsetOutOfRange));
        }
        if target <= partition.leader.log_start() {
            let low_watermark = partition.leader.log_start();
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
