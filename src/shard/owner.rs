//! Calls to partitions that this shard owns: step the machine, perform its effects.

use super::journey::FlushTimes;
use super::message::{Calls, Message};
use super::origin::failed_reply;
use super::partition::{Partition, PartitionState};
use super::txns::parked::{Parked, Question};
use super::{Broker, FilesOf, Shard};
use crate::base::{ErrorCode, LeaderEpoch, Offset, ShardId, TopicPartition};
use crate::replica::call::{MarkOp, PartitionCall, PartitionOp, PartitionReply, ProduceOp};
use crate::replica::{Effects, Event, IsrProposal, Source, Waiter, Watcher};
use crate::seam::World;
use crate::wire::batch::BatchMeta;
use std::collections::{BTreeMap, BTreeSet};

/// The partitions of this shard and what is due to happen to them.
pub(super) struct Owner<B: Broker> {
    /// Every partition of this shard of which the node has a replica.
    pub(super) partitions: BTreeMap<TopicPartition, Partition<FilesOf<B>>>,
    /// Those with appended bytes that no flush has taken yet.
    pub(super) dirty: BTreeSet<TopicPartition>,
    /// Those with appended bytes that couldn't be written for now.
    pub(super) short: BTreeSet<TopicPartition>,
    /// Those whose checkpoints are to be written.
    pub(super) checkpoints_due: BTreeSet<TopicPartition>,
    /// Those whose segments may need zeros written ahead.
    pub(super) growing: BTreeSet<TopicPartition>,
    /// Batches that wait for the word of their transaction's coordinator.
    pub(super) parked: Parked,
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
            parked: Parked::default(),
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
    /// Questions to coordinators of transactions.
    pub(super) questions: Vec<Question>,
    /// Markers that were appended, for coordinators of groups: where, what, and where the log ends then.
    marked: Vec<(TopicPartition, MarkOp, Offset)>,
    /// Partitions whose high watermark moved.
    committed: Vec<TopicPartition>,
    /// What leaders ask of the coordinator.
    proposals: Vec<(TopicPartition, IsrProposal)>,
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

    /// Takes what a step of a partition asked for.
    pub(super) fn take(&mut self, key: TopicPartition, effects: &mut Effects) {
        for (waiter, produced) in effects.replies.drain(..) {
            self.reply(waiter, PartitionReply::Produced(produced));
        }
        self.wakes.extend(effects.wakes.drain(..));
        if std::mem::take(&mut effects.committed) {
            self.committed.push(key);
        }
        self.proposals.extend(effects.alter.take().map(|proposal| (key, proposal)));
    }
}

impl<B: Broker> Owner<B> {
    /// Steps one partition's machine.
    pub(super) fn step(&mut self, key: TopicPartition, event: Event, outbox: &mut Outbox) {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.replica.step(event, &mut self.effects);
            outbox.take(key, &mut self.effects);
        }
    }

    /// Takes a batch; answers how many bytes were copied to append it, if it was.
    fn produce(
        &mut self,
        key: TopicPartition,
        waiter: Waiter,
        (op, source): (&ProduceOp, Source),
        now_ms: i64,
        outbox: &mut Outbox,
    ) -> Option<usize> {
        let partition = self.partitions.get_mut(&key)?;
        let mut copied = None;
        let event = Event::Produce {
            waiter,
            source,
            acks: op.acks,
            meta: op.meta,
            bytes: op.batch.len(),
            contents: op.contents,
            now_ms,
            deadline_ms: now_ms.saturating_add(i64::from(op.timeout_ms.max(0))),
        };
        partition.replica.step(event, &mut self.effects);
        if let Some(append) = self.effects.append.take() {
            copied = Some(partition.log.append(&op.batch, &op.meta, append, now_ms));
            self.dirty.insert(key);
        }
        for (_, produced) in &mut self.effects.replies {
            if let Some(unmet) = &mut produced.unmet {
                unmet.look_at(&op.batch, &op.meta);
            }
        }
        outbox.take(key, &mut self.effects);
        copied
    }

    /// Takes a marker; answers how many bytes were written and copied to append it, if it was.
    fn mark(
        &mut self,
        key: TopicPartition,
        waiter: Waiter,
        op: MarkOp,
        now_ms: i64,
        outbox: &mut Outbox,
    ) -> Option<(usize, usize)> {
        let partition = self.partitions.get_mut(&key)?;
        let MarkOp { producer_id, producer_epoch, marker, raised } = op;
        let batch = marker.build(producer_id, producer_epoch, now_ms);
        let meta = BatchMeta::read(&batch)?;
        partition.replica.step(Event::Mark { waiter, meta, marker, raised, now_ms }, &mut self.effects);
        let mut copied = None;
        if let Some(append) = self.effects.append.take() {
            copied = Some((batch.len(), partition.log.append(&batch, &meta, append, now_ms)));
            outbox.marked.push((key, op, append.base_offset + 1));
            self.dirty.insert(key);
        }
        outbox.take(key, &mut self.effects);
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
                // What came before it, and waits for the partition, goes first though that be there by now.
                let waits = || owner.early.iter().any(|calls| calls.concern(call.partition));
                if behind && (!owner.partitions.contains_key(&call.partition) || waits()) {
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
        let elsewhere = view.partition(key).is_some_and(|entry| !entry.replicas.contains(&self.me()));
        if elsewhere {
            return ErrorCode::NotLeaderOrFollower;
        }
        let opened = self.0.followed.get() == view.applied();
        if known && opened { ErrorCode::KafkaStorageError } else { ErrorCode::UnknownTopicOrPartition }
    }

    /// Why a partition can't be asked now, if it can't.
    fn refusal(&self, owner: &Owner<B>, key: TopicPartition, appends: bool) -> ErrorCode {
        let partition = owner.partitions.get(&key);
        let led = partition.is_some_and(|partition| partition.replica.is_leading());
        match partition.map(|partition| partition.state) {
            None => self.absence(key),
            Some(PartitionState::Offline) => ErrorCode::KafkaStorageError,
            Some(_) if !led => ErrorCode::NotLeaderOrFollower,
            Some(PartitionState::Short) if appends => ErrorCode::KafkaStorageError,
            Some(PartitionState::Short | PartitionState::Online) => ErrorCode::None,
        }
    }

    fn answer_call(
        &self,
        owner: &mut Owner<B>,
        waiter: Waiter,
        PartitionCall { partition: key, op }: PartitionCall,
        now_ms: i64,
        outbox: &mut Outbox,
    ) {
        let error = match self.refusal(owner, key, matches!(op, PartitionOp::Mark(_))) {
            // A follower has a size too; and who is turned away as a producer is remembered.
            ErrorCode::NotLeaderOrFollower
                if matches!(op, PartitionOp::Describe | PartitionOp::Produce(_)) =>
            {
                ErrorCode::None
            }
            error => error,
        };
        if !error.is_ok() {
            return outbox.reply(waiter, failed_reply(&op, error));
        }
        let Some(partition) = owner.partitions.get(&key) else { return };
        match op {
            PartitionOp::Produce(op) => {
                let source = Source::Client;
                self.answer_produce(owner, (key, waiter), (op, source), now_ms, outbox);
            }
            PartitionOp::Mark(op) => {
                if let Some(error) = self.groups_not_ready(key, &partition.topic) {
                    return outbox.reply(waiter, failed_reply(&PartitionOp::Mark(op), error));
                }
                if let Some((bytes, copied)) = owner.mark(key, waiter, op, now_ms, outbox) {
                    self.metrics().appended(bytes, copied);
                }
            }
            PartitionOp::Guard { producer_id, producer_epoch } => {
                let guard = partition.replica.guard(producer_id, producer_epoch);
                outbox.reply(waiter, PartitionReply::Guarded { error: ErrorCode::None, guard });
            }
            PartitionOp::Producers => {
                let producers = partition.replica.producers().facts().collect();
                outbox.reply(waiter, PartitionReply::Producers { error: ErrorCode::None, producers });
            }
            PartitionOp::EpochEnd { current_leader_epoch, epoch } => {
                outbox.reply(waiter, epoch_end(partition, current_leader_epoch, epoch));
            }
            PartitionOp::Describe => {
                let size_bytes = partition.log.size_bytes();
                let log_start_offset = partition.replica.log_start();
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

    /// Takes a batch, or lets it wait for the word of its transaction's coordinator.
    pub(super) fn answer_produce(
        &self,
        owner: &mut Owner<B>,
        (key, waiter): (TopicPartition, Waiter),
        (op, source): (ProduceOp, Source),
        now_ms: i64,
        outbox: &mut Outbox,
    ) {
        let turns_away =
            |partition: &mut Partition<FilesOf<B>>| partition.turns_away(&op.meta, op.acks == -1, now_ms);
        let error = match self.refusal(owner, key, false) {
            error @ (ErrorCode::None | ErrorCode::NotLeaderOrFollower) => {
                owner.partitions.get_mut(&key).and_then(turns_away).unwrap_or(error)
            }
            error => error,
        };
        let Some(partition) = owner.partitions.get(&key).filter(|_| error.is_ok()) else {
            return outbox.reply(waiter, failed_reply(&PartitionOp::Produce(op), error));
        };
        let mut ready = Some((waiter, op));
        if let Some((waiter, op)) =
            ready.take_if(|(_, op)| op.membership.is_some() && source == Source::Client)
        {
            let guard = partition.replica.needs_voucher(&op.meta);
            ready = owner.parked.park((key, op.meta.producer_id), guard, (waiter, op), outbox);
        }
        let Some((waiter, op)) = ready else { return };
        if let Some(copied) = owner.produce(key, waiter, (&op, source), now_ms, outbox) {
            self.metrics().appended(op.batch.len(), copied);
        }
    }

    /// Sends what steps asked for: to this shard's own requests directly, to others in one message each.
    pub(super) fn deliver(&self, outbox: Outbox) {
        if !outbox.marked.is_empty() {
            self.groups_marked(&outbox.marked);
        }
        if !outbox.questions.is_empty() {
            self.ask_vouchers(outbox.questions);
        }
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
        if !outbox.committed.is_empty() {
            self.0.replication.moved.notify();
            self.groups_durable(&outbox.committed);
            self.txns_durable(&outbox.committed);
        }
        if !outbox.proposals.is_empty() {
            self.propose_isr(outbox.proposals);
        }
    }
}

fn epoch_end<F: crate::seam::Files>(
    partition: &Partition<F>,
    current: LeaderEpoch,
    epoch: LeaderEpoch,
) -> PartitionReply {
    match partition.replica.check_epoch(current) {
        Err(error) => PartitionReply::EpochEnd { error, epoch: LeaderEpoch(-1), end_offset: -1 },
        Ok(()) => {
            let (epoch, end_offset) = partition.replica.epoch_end(epoch);
            PartitionReply::EpochEnd { error: ErrorCode::None, epoch, end_offset }
        }
    }
}
