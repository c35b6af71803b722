//! Calls to partitions that this shard owns: step the machine, perform its effects.

use super::journey::FlushTimes;
use super::message::{Calls, Message};
use super::origin::failed_reply;
use super::partition::{Partition, PartitionState};
use super::{Broker, FilesOf, Shard};
use crate::base::{ErrorCode, LeaderEpoch, ShardId, TopicPartition};
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply, ProduceOp};
use crate::replica::{Effects, Event, Waiter, Watcher};
use crate::seam::World;
use std::collections::{BTreeMap, BTreeSet};

/// The partitions of this shard and what is due to happen to them.
pub(super) struct Owner<B: Broker> {
    /// Every partition that this shard leads.
    pub(super) partitions: BTreeMap<TopicPartition, Partition<FilesOf<B>>>,
    /// Those with appended bytes that no flush has taken yet.
    pub(super) dirty: BTreeSet<TopicPartition>,
    /// Those with appended bytes that couldn't be written for now.
    pub(super) short: BTreeSet<TopicPartition>,
    /// Those whose checkpoints are to be written.
    pub(super) checkpoints_due: BTreeSet<TopicPartition>,
    /// Those whose segments may need zeros written ahead.
    pub(super) growing: BTreeSet<TopicPartition>,
    /// Calls that came before their partitions.
    early: Vec<Calls<PartitionCall>>,
    effects: Effects,
}

impl<B: Broker> Default for Owner<B> {
    fn default() -> Self {
        Owner {
            partitions: BTreeMap::new(),
            dirty: BTreeSet::new(),
            short: BTreeSet::new(),
            growing: BTreeSet::new(),
            checkpoints_due: BTreeSet::new(),
            early: Vec::new(),
            effects: Effects::default(),
        }
    }
}

/// What steps of machines ask the shard to send, collected over a batch of events.
#[derive(Default)]
pub(super) struct Outbox {
    replies: BTreeMap<ShardId, Vec<(Waiter, PartitionReply)>>,
    wakes: BTreeSet<Watcher>,
    /// The flush that brought this about.
    flush: Option<FlushTimes>,
}

impl Outbox {
    /// What a flush brings about.
    pub(super) fn of_flush(times: FlushTimes) -> Self {
        Outbox { flush: Some(times), ..Outbox::default() }
    }

    pub(super) fn reply(&mut self, waiter: Waiter, reply: PartitionReply) {
        self.replies.entry(waiter.shard).or_default().push((waiter, reply));
    }

    /// Takes what a step asked for.
    pub(super) fn take(&mut self, effects: &mut Effects) {
        for (waiter, produced) in effects.replies.drain(..) {
            self.reply(waiter, PartitionReply::Produced(produced));
        }
        self.wakes.extend(effects.wakes.drain(..));
    }
}

impl<B: Broker> Owner<B> {
    /// Steps one partition's machine.
    pub(super) fn step(&mut self, key: TopicPartition, event: Event, outbox: &mut Outbox) {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.leader.step(event, &mut self.effects);
            outbox.take(&mut self.effects);
        }
    }

    /// Takes a batch; answers how many bytes were copied to append it, if it was.
    fn produce(
        &mut self,
        key: TopicPartition,
        waiter: Waiter,
        op: &ProduceOp,
        now_ms: i64,
        outbox: &mut Outbox,
    ) -> Option<usize> {
        let partition = self.partitions.get_mut(&key)?;
        let mut copied = None;
        let event = Event::Produce {
            waiter,
            acks: op.acks,
            meta: op.meta,
            bytes: op.batch.len(),
            contents: op.contents,
            now_ms,
            deadline_ms: now_ms.saturating_add(i64::from(op.timeout_ms.max(0))),
        };
        partition.leader.step(event, &mut self.effects);
        if let Some(append) = self.effects.append.take() {
            copied = Some(partition.log.append(&op.batch, &op.meta, append, now_ms));
            self.dirty.insert(key);
        }
        for (_, produced) in &mut self.effects.replies {
            if let Some(unmet) = &mut produced.unmet {
                unmet.look_at(&op.batch, &op.meta);
            }
        }
        outbox.take(&mut self.effects);
        copied
    }
}

impl<B: Broker> Shard<B> {
    /// Answers calls to partitions of this shard, now or when their time comes. Calls to a partition that the asking
    /// shard knows of and this one not yet wait until it does: to refuse the first of a new partition's batches and
    /// take the next would break the producer's sequence.
    pub(super) fn answer_calls(&self, Calls { from, seen, calls }: Calls<PartitionCall>) {
        let now_ms = self.world().wall_ms();
        let behind = seen > self.0.followed.get();
        let mut outbox = Outbox::default();
        let mut early = Vec::new();
        {
            let mut owner = self.owner().borrow_mut();
            for (index, call) in calls {
                if behind && !owner.partitions.contains_key(&call.partition) {
                    early.push((index, call));
                    continue;
                }
                let waiter = Waiter { shard: from.shard, set: from.set, index };
                self.answer_call(&mut owner, waiter, call, now_ms, &mut outbox);
            }
            if !owner.dirty.is_empty() {
                self.flush_due().notify();
            }
            if !early.is_empty() {
                owner.early.push(Calls { from, seen, calls: early });
            }
        }
        self.deliver(outbox);
    }

    /// Answers calls that came before their partitions.
    pub(super) fn answer_early_calls(&self) {
        let early = std::mem::take(&mut self.owner().borrow_mut().early);
        early.into_iter().for_each(|calls| self.answer_calls(calls));
    }

    /// Why a partition isn't here: nobody knows it, or it couldn't be opened.
    pub(super) fn absence(&self, key: TopicPartition) -> ErrorCode {
        let view = self.0.view.borrow();
        let count = view.topic_by_id(key.topic).map_or(0, |topic| topic.partitions.len());
        let known = usize::try_from(key.partition.0).is_ok_and(|index| index < count);
        let opened = self.0.followed.get() == view.applied();
        if known && opened { ErrorCode::KafkaStorageError } else { ErrorCode::UnknownTopicOrPartition }
    }

    fn answer_call(
        &self,
        owner: &mut Owner<B>,
        waiter: Waiter,
        PartitionCall { partition: key, op }: PartitionCall,
        now_ms: i64,
        outbox: &mut Outbox,
    ) {
        let turned_away = |partition: &mut Partition<FilesOf<B>>| match &op {
            PartitionOp::Produce(op) => partition.turns_away(&op.meta, now_ms),
            _ => false,
        };
        let error = match owner.partitions.get_mut(&key) {
            None => self.absence(key),
            Some(partition) if partition.state == PartitionState::Offline => ErrorCode::KafkaStorageError,
            Some(partition) => match turned_away(partition) {
                true => ErrorCode::KafkaStorageError,
                false => ErrorCode::None,
            },
        };
        if !error.is_ok() {
            return outbox.reply(waiter, failed_reply(&op, error));
        }
        let Some(partition) = owner.partitions.get(&key) else { return };
        match op {
            PartitionOp::Produce(op) => {
                if let Some(copied) = owner.produce(key, waiter, &op, now_ms, outbox) {
                    self.metrics().appended(op.batch.len(), copied);
                }
            }
            PartitionOp::EpochEnd { current_leader_epoch, epoch } => {
                outbox.reply(waiter, epoch_end(partition, current_leader_epoch, epoch));
            }
            PartitionOp::Describe => {
                let size_bytes = partition.log.size_bytes();
                let log_start_offset = partition.leader.log_start();
                let reply =
                    PartitionReply::Described { error: ErrorCode::None, size_bytes, log_start_offset };
                outbox.reply(waiter, reply);
            }
            PartitionOp::ListOffset { current_leader_epoch, timestamp, read_committed } => {
                let ask = super::offsets::Ask { current_leader_epoch, timestamp, read_committed };
                self.list_offset(partition, key, waiter, ask, outbox);
            }
            PartitionOp::DeleteRecords { before } => self.delete_records(owner, key, waiter, before, outbox),
        }
    }

    /// Sends what steps asked for: to this shard's own requests directly, to others in one message each.
    pub(super) fn deliver(&self, outbox: Outbox) {
        for (shard, replies) in outbox.replies {
            if shard == self.this() {
                self.take_replies(replies, outbox.flush);
            } else {
                self.send(shard, Message::Replies { replies, flush: outbox.flush });
            }
        }
        for Watcher { shard, set } in outbox.wakes {
            if shard == self.this() {
                self.wake_fetch(set);
            } else {
                self.send(shard, Message::Wake { set });
            }
        }
    }
}

fn epoch_end<F: crate::seam::Files>(
    partition: &Partition<F>,
    current: LeaderEpoch,
    epoch: LeaderEpoch,
) -> PartitionReply {
    match partition.leader.check_epoch(current) {
        Err(error) => PartitionReply::EpochEnd { error, epoch: LeaderEpoch(-1), end_offset: -1 },
        Ok(()) => {
            let (epoch, end_offset) = partition.leader.epoch_end(epoch);
            PartitionReply::EpochEnd { error: ErrorCode::None, epoch, end_offset }
        }
    }
}
