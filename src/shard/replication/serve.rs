//! Answering followers: their fetches are reads like consumers', but end where the appended records do, wait for more
//! of those, and tell the leader how far the follower is.
//!
//! A follower's shard has one fetch of a pace that waits: when the next one comes, the one before is answered with what
//! there is.

use super::throttle::Side;
use crate::base::{NodeId, Offset, ShardId, TopicPartition};
use crate::peer::{ReplicaData, ReplicaFetch, ReplicaFetched, ReplicaRead};
use crate::replica::Watcher;
use crate::replica::call::{FollowerRead, ReadOp, ReadReply};
use crate::seam::World;
use crate::shard::message::{Message, ReadBudget};
use crate::shard::notify::Notify;
use crate::shard::{Broker, Shard};
use futures_lite::future::or;
use std::rc::Rc;
use std::time::Duration;

/// A follower's fetch that isn't answered yet.
#[derive(Default)]
pub(super) struct Served {
    replies: Vec<ReadReply>,
    round: u32,
    /// Shards that haven't answered this round.
    missing: usize,
    /// There is more than the last round found.
    woken: bool,
    /// The follower has asked anew.
    superseded: bool,
    changed: Rc<Notify>,
}

/// Who asks: a follower's shard, and its request's pace.
pub(super) type Asker = (NodeId, ShardId, i8);

/// Takes a fetch back when it is answered, or when its connection ends before.
struct Guard<'a, B: Broker> {
    shard: &'a Shard<B>,
    set: u64,
    asker: Asker,
    reads: Vec<(TopicPartition, ReadOp)>,
}

impl<B: Broker> Drop for Guard<'_, B> {
    fn drop(&mut self) {
        let replication = &self.shard.0.replication;
        replication.served.borrow_mut().remove(&self.set);
        replication.asked.borrow_mut().retain(|asker, set| *asker != self.asker || *set != self.set);
        self.shard.forget_watches(self.set, &self.reads);
    }
}

impl<B: Broker> Shard<B> {
    /// Answers a follower as soon as there is something to say, or its wait is over.
    pub(in crate::shard) async fn answer_replica_fetch(&self, fetch: ReplicaFetch) -> ReplicaFetched {
        let deadline = self.world().mono() + millis(fetch.max_wait_ms);
        let (min_bytes, max_bytes) = (size(fetch.min_bytes), size(fetch.max_bytes));
        let throttle = self.throttle(Side::Led, fetch.replica);
        let reads = fetch.partitions.iter().map(|read| {
            let held_back = throttle.as_ref().and_then(|throttle| throttle.wait(read.partition));
            let max_bytes = if held_back.is_some() { 0 } else { size(read.max_bytes) };
            (read.partition, ReadOp { max_bytes, ..op(&fetch, read) })
        });
        let reads = reads.collect();
        let set = self.origin().borrow_mut().number();
        let asker = (fetch.replica, fetch.shard, fetch.pace);
        self.supersede(asker, set);
        let changed = Rc::new(Notify::default());
        let served = Served { changed: changed.clone(), ..Served::default() };
        self.0.replication.served.borrow_mut().insert(set, served);
        let guard = Guard { shard: self, set, asker, reads };
        loop {
            let watch = self.world().mono() < deadline;
            self.begin_served_round(set, &guard.reads, ReadBudget { max_bytes, min_bytes, watch });
            changed.until(|| self.served(set, |served| served.missing == 0) != Some(false)).await;
            let news = |served: &mut Served| {
                let replies = served.replies.iter().zip(&fetch.partitions);
                let mut bytes = 0;
                let told = replies.fold(false, |told, (reply, read)| {
                    bytes += reply.bytes();
                    told || !reply.error.is_ok()
                        || reply.diverging.is_some()
                        || reply.cut && bytes > 0
                        || moves(reply, read)
                });
                told || bytes >= min_bytes.max(1) || served.superseded
            };
            let over = !watch || self.served(set, news) != Some(false);
            if over {
                break;
            }
            let woken =
                changed.until(|| self.served(set, |served| served.woken || served.superseded) != Some(false));
            or(self.world().sleep(deadline.saturating_sub(self.world().mono())), woken).await;
        }
        let replies = self.served(set, |served| std::mem::take(&mut served.replies)).unwrap_or_default();
        let told = fetch.partitions.iter().zip(replies).filter_map(|(read, reply)| data(read, reply));
        let fetched = ReplicaFetched { partitions: told.collect() };
        let mut bytes = 0;
        for data in &fetched.partitions {
            let of_it = data.records.iter().map(bytes::Bytes::len).sum();
            throttle.iter().for_each(|throttle| throttle.spend(data.partition, of_it));
            bytes += of_it;
        }
        self.metrics().replicated(bytes);
        drop(guard);
        fetched
    }

    /// The fetch of the pace of this follower's shard that waits is answered now.
    fn supersede(&self, asker: Asker, set: u64) {
        let before = self.0.replication.asked.borrow_mut().insert(asker, set);
        let changed = before.and_then(|before| {
            self.served(before, |served| {
                served.superseded = true;
                served.changed.clone()
            })
        });
        if let Some(changed) = changed {
            changed.notify();
        }
    }

    fn served<T>(&self, set: u64, look: impl FnOnce(&mut Served) -> T) -> Option<T> {
        self.0.replication.served.borrow_mut().get_mut(&set).map(look)
    }

    fn begin_served_round(&self, set: u64, reads: &[(TopicPartition, ReadOp)], budget: ReadBudget) {
        let by_owner = self.reads_by_owner(reads);
        let round = self.served(set, |served| {
            served.round += 1;
            served.woken = false;
            served.missing = by_owner.len();
            served.replies = reads.iter().map(|_| ReadReply::default()).collect();
            served.round
        });
        let Some(round) = round else { return };
        let watcher = Watcher { shard: self.this(), set };
        for (shard, reads) in by_owner {
            if shard == self.this() {
                self.answer_reads(watcher, round, budget, reads);
            } else {
                self.send(shard, Message::Read { watcher, round, budget, reads });
            }
        }
    }

    /// Takes one shard's answers to a round of a follower's fetch.
    pub(in crate::shard) fn take_served(&self, set: u64, round: u32, replies: Vec<(u32, ReadReply)>) {
        let changed = self.served(set, |served| {
            if served.round != round {
                return None;
            }
            for (index, reply) in replies {
                served.replies[index as usize] = reply;
            }
            served.missing -= 1;
            Some(served.changed.clone())
        });
        if let Some(changed) = changed.flatten() {
            changed.notify();
        }
    }

    /// A partition of a follower's fetch has more.
    pub(in crate::shard) fn wake_served(&self, set: u64) {
        let changed = self.served(set, |served| {
            served.woken = true;
            served.changed.clone()
        });
        if let Some(changed) = changed {
            changed.notify();
        }
    }
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn op(fetch: &ReplicaFetch, read: &ReplicaRead) -> ReadOp {
    let (id, broker_epoch, flushed) = (fetch.replica, fetch.broker_epoch, read.flushed);
    ReadOp {
        current_leader_epoch: read.leader_epoch,
        offset: read.offset,
        last_fetched_epoch: read.last_epoch,
        max_bytes: 0,
        first_whole: false,
        read_committed: false,
        follower: Some(FollowerRead { id, broker_epoch, flushed }),
    }
}

/// Whether a leader's log start has moved beyond the follower's.
fn moves(reply: &ReadReply, read: &ReplicaRead) -> bool {
    reply.log_start_offset > read.log_start && reply.high_watermark > read.log_start
}

/// What the follower is told of a partition; nothing, if it knows it all.
fn data(read: &ReplicaRead, reply: ReadReply) -> Option<ReplicaData> {
    let knows: Offset = read.high_watermark.max(read.log_start);
    let news = reply.high_watermark > knows || reply.log_start_offset > read.log_start;
    let told = news || !reply.error.is_ok() || reply.diverging.is_some() || !reply.records.is_empty();
    told.then_some(ReplicaData {
        partition: read.partition,
        error: reply.error,
        high_watermark: reply.high_watermark,
        log_start: reply.log_start_offset,
        diverging: reply.diverging,
        records: reply.records,
    })
}
