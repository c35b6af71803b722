//! Reads of partitions that this shard owns: from the tail cache at once, from the disk in a task of their own.

use super::message::{Message, ReadBudget};
use super::owner::Outbox;
use super::partition::{Partition, PartitionState};
use super::storage::{ReadPlan, StorageError};
use super::{Broker, FilesOf, Shard};
use crate::base::limits::READS_AT_ONCE_MAX;
use crate::base::{ErrorCode, Offset, TopicPartition, join_all};
use crate::replica::call::{FollowerRead, ReadOp, ReadReply};
use crate::replica::{Awaited, Effects, Event, Watcher};
use crate::seam::{Files, World};

/// One read that was decided: the answer without its records, and where they are.
struct Read<B: Broker> {
    index: u32,
    key: TopicPartition,
    reply: ReadReply,
    plan: Option<ReadPlan<FilesOf<B>>>,
}

/// Where a read ended, and for what it waits there.
type Watch = (TopicPartition, Offset, Awaited);

/// The part of a fetch that this shard answers.
struct Round {
    watcher: Watcher,
    round: u32,
    budget: ReadBudget,
}

impl<B: Broker> Shard<B> {
    /// Answers the reads of one fetch, in order, within one budget.
    pub(super) fn answer_reads(
        &self,
        watcher: Watcher,
        round: u32,
        budget: ReadBudget,
        reads: Vec<(u32, TopicPartition, ReadOp)>,
    ) {
        let round = Round { watcher, round, budget };
        let (reads, watched) = self.plan_reads(&round, reads);
        if reads.iter().any(|read| read.plan.as_ref().is_some_and(ReadPlan::is_cold)) {
            let shard = self.clone();
            self.world().spawn(async move {
                let replies = shard.perform_reads(reads).await;
                shard.end_reads(&round, replies, &watched);
            });
        } else {
            let replies = reads.into_iter().map(|mut read| {
                if let Some(plan) = read.plan {
                    read.reply.records = plan.into_cached();
                }
                (read.index, read.reply)
            });
            let replies = replies.collect();
            self.end_reads(&round, replies, &watched);
        }
    }

    /// Decides every read and where its records are; also where each one ended, for watches.
    fn plan_reads(
        &self,
        round: &Round,
        reads: Vec<(u32, TopicPartition, ReadOp)>,
    ) -> (Vec<Read<B>>, Vec<Watch>) {
        let now_ms = self.world().wall_ms();
        let mut outbox = Outbox::default();
        let mut effects = Effects::default();
        let mut owner = self.owner().borrow_mut();
        let mut room = round.budget.max_bytes;
        let mut first = true;
        let mut watched = Vec::new();
        let mut planned = Vec::with_capacity(reads.len());
        for (index, key, mut op) in reads {
            op.first_whole = first;
            op.max_bytes = op.max_bytes.min(room);
            let Planned { reply, plan, bytes, beyond } = match owner.partitions.get_mut(&key) {
                Some(partition) => plan_read(partition, &op, now_ms, &mut effects),
                None => Planned::failed(self.absence(key)),
            };
            outbox.take(key, &mut effects);
            first &= bytes == 0;
            room = room.saturating_sub(bytes);
            if reply.error.is_ok() {
                let awaited = if op.follower.is_some() { Awaited::Appended } else { Awaited::Committed };
                watched.push((key, beyond.max(op.offset), awaited));
            }
            planned.push(Read { index, key, reply, plan });
        }
        drop(owner);
        // What followers say they have may be what producers wait for.
        self.deliver(outbox);
        (planned, watched)
    }

    /// Reads from the disk what the cache lacks, of several partitions at a time.
    async fn perform_reads(&self, reads: Vec<Read<B>>) -> Vec<(u32, ReadReply)> {
        let mut replies = Vec::with_capacity(reads.len());
        let mut reads = reads.into_iter();
        while reads.len() > 0 {
            let some = reads.by_ref().take(READS_AT_ONCE_MAX);
            replies.extend(join_all(some.map(|read| self.perform_read(read))).await);
        }
        replies
    }

    async fn perform_read(&self, read: Read<B>) -> (u32, ReadReply) {
        let Read { index, key, mut reply, plan } = read;
        if let Some(plan) = plan {
            match plan.run().await {
                Ok(records) => reply.records = records,
                Err(error) => reply = self.failed_read(key, &error),
            }
        }
        (index, reply)
    }

    fn failed_read(&self, key: TopicPartition, error: &StorageError) -> ReadReply {
        tracing::error!(partition = %key, %error, "a read failed");
        let code = match error {
            StorageError::Corrupt { .. } => ErrorCode::CorruptMessage,
            _ => ErrorCode::KafkaStorageError,
        };
        ReadReply::failed(code)
    }

    fn end_reads(&self, round: &Round, replies: Vec<(u32, ReadReply)>, watched: &[Watch]) {
        let bytes: usize = replies.iter().map(|(_, reply)| reply.bytes()).sum();
        let settled =
            bytes >= round.budget.min_bytes || replies.iter().any(|(_, reply)| !reply.error.is_ok());
        let Watcher { shard, set } = round.watcher;
        // The watch is left before the answer goes: what is appended in between wakes the fetch.
        let watch = round.budget.watch && !settled;
        if shard == self.this() {
            if watch {
                self.watch_quietly(round.watcher, watched);
            }
            self.take_reads(set, round.round, replies);
        } else {
            self.send(shard, Message::ReadDone { set, round: round.round, replies });
            if watch {
                self.watch_quietly(round.watcher, watched);
            }
        }
    }

    fn watch_quietly(&self, watcher: Watcher, watched: &[Watch]) {
        let mut outbox = Outbox::default();
        {
            let mut owner = self.owner().borrow_mut();
            for &(key, beyond, awaited) in watched {
                owner.step(key, Event::Unwatch { watcher }, &mut outbox);
                owner.step(key, Event::Watch { watcher, beyond, awaited }, &mut outbox);
            }
        }
        self.deliver(outbox);
    }

    /// Forgets a fetch that was answered.
    pub(super) fn unwatch(&self, watcher: Watcher, partitions: &[TopicPartition]) {
        let mut outbox = Outbox::default();
        let mut owner = self.owner().borrow_mut();
        for &key in partitions {
            owner.step(key, Event::Unwatch { watcher }, &mut outbox);
        }
    }
}

/// What was decided about one read: the answer without records, the plan for them, about how many bytes they are, and
/// what was there to read.
struct Planned<F: Files> {
    reply: ReadReply,
    plan: Option<ReadPlan<F>>,
    bytes: usize,
    beyond: Offset,
}

impl<F: Files> Planned<F> {
    fn failed(error: ErrorCode) -> Self {
        Planned::nothing(ReadReply::failed(error), -1)
    }

    fn nothing(reply: ReadReply, beyond: Offset) -> Self {
        Planned { reply, plan: None, bytes: 0, beyond }
    }
}

/// Decides one read. What a follower says of itself counts only if its log is a part of this one.
fn plan_read<F: Files>(
    partition: &mut Partition<F>,
    op: &ReadOp,
    now_ms: i64,
    effects: &mut Effects,
) -> Planned<F> {
    if partition.state == PartitionState::Offline {
        return Planned::failed(ErrorCode::KafkaStorageError);
    }
    let bounds = match partition.replica.read_bounds(op) {
        Ok(bounds) => bounds,
        Err(reply) => return Planned::nothing(reply, -1),
    };
    if let Some(FollowerRead { id: follower, broker_epoch, flushed }) = op.follower {
        let offset = op.offset;
        let event = Event::ReplicaFetch { follower, broker_epoch, offset, flushed, now_ms };
        partition.replica.step(event, effects);
    }
    let mut reply = partition.replica.read_reply(op.read_committed);
    // What committed readers may not see yet doesn't wake them.
    let beyond = if op.follower.is_some() { bounds.upto } else { reply.high_watermark };
    // A follower that may have no bytes at all is held back (`replication::throttle`).
    let whole = op.first_whole && op.follower.is_none();
    if bounds.from >= bounds.upto || (op.max_bytes == 0 && !whole) {
        return Planned::nothing(reply, beyond);
    }
    let plan = match op.follower {
        None => Some(partition.log.plan_read(bounds.from, bounds.upto, op.max_bytes, op.first_whole)),
        Some(_) => partition.log.plan_copy(bounds.from, bounds.upto, op.max_bytes, op.first_whole),
    };
    let Some(plan) = plan else { return Planned::nothing(reply, beyond) };
    let bytes = plan.bytes();
    reply.cut = plan.next_offset() < bounds.upto;
    if op.read_committed {
        reply.aborted = Some(partition.replica.aborted(bounds.from, plan.next_offset()));
    }
    Planned { reply, plan: Some(plan), bytes, beyond }
}
