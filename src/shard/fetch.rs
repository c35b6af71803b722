//! Fetches: reads over all shards that own a part, and the wait for more without polling.

use super::connection::Ticket;
use super::message::{Message, ReadBudget};
use super::storage::batches_within;
use super::{Broker, Shard};
use crate::api::{FetchPlan, FetchThen};
use crate::base::{ShardId, TopicPartition};
use crate::cluster::owner_shard;
use crate::metrics::Stage;
use crate::replica::Watcher;
use crate::replica::call::{ReadOp, ReadReply};
use crate::seam::World;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Fetches of this shard's connections that aren't answered yet.
#[derive(Default)]
pub(super) struct Fetches {
    sets: BTreeMap<u64, Fetch>,
    /// When waiting ends, and whose.
    deadlines: BTreeSet<(Duration, u64)>,
}

struct Fetch {
    ticket: Ticket,
    then: FetchThen,
    reads: Vec<(TopicPartition, ReadOp)>,
    replies: Vec<ReadReply>,
    min_bytes: usize,
    max_bytes: usize,
    /// What this round may answer: less than `max_bytes` where memory for answers is short.
    room: usize,
    /// Memory for answers that is set aside for this round.
    set_aside: usize,
    /// The last round's records were let go when the wait began: they are read again at its end.
    partial: bool,
    deadline: Duration,
    /// Answers of an older round are ignored.
    round: u32,
    /// Shards that haven't answered this round.
    missing: usize,
    /// A wake came while a round was under way: read again before waiting.
    woken: bool,
}

impl Fetch {
    fn budget(&self, now: Duration) -> ReadBudget {
        ReadBudget { max_bytes: self.room, min_bytes: self.min_bytes, watch: now < self.deadline }
    }

    /// Rows 80 and 83: an error, a divergence or enough bytes end the wait; so does a partition that can't give more
    /// because of its own limit, since waiting wouldn't change the answer.
    fn is_done(&self) -> bool {
        let final_answer = |reply: &ReadReply| !reply.error.is_ok() || reply.diverging.is_some() || reply.cut;
        let bytes: usize = self.replies.iter().map(ReadReply::bytes).sum();
        bytes >= self.min_bytes || bytes >= self.room || self.replies.iter().any(final_answer)
    }

    /// Lets go of the records while it waits: a client can make a wait long and what it waits for large.
    fn begin_waiting(&mut self) {
        self.partial = self.replies.iter().any(|reply| !reply.records.is_empty());
        self.replies.iter_mut().for_each(|reply| reply.records = Vec::new());
    }

    /// Keeps the answers within the limits where several shards each thought that they had the first one: the first one
    /// with records is as it is (KIP-74), later ones have the batches that fit (row 78).
    fn trim(&mut self) {
        let mut room = self.room;
        let mut first = true;
        for (reply, (_, op)) in self.replies.iter_mut().zip(&self.reads) {
            let fits = room.min(op.max_bytes);
            if !first && reply.bytes() > fits {
                reply.records = batches_within(std::mem::take(&mut reply.records), fits);
            }
            first &= reply.records.is_empty();
            room = room.saturating_sub(reply.bytes());
        }
    }
}

impl<B: Broker> Shard<B> {
    /// Begins a fetch: reads at once, waits if there is too little.
    pub(super) fn start_fetch(&self, ticket: Ticket, plan: FetchPlan) {
        let now = self.world().mono();
        let deadline = now + Duration::from_millis(u64::try_from(plan.max_wait_ms).unwrap_or(0));
        let set = self.origin().borrow_mut().number();
        let fetch = Fetch {
            ticket,
            then: plan.then,
            replies: Vec::new(),
            reads: plan.reads,
            min_bytes: plan.min_bytes,
            max_bytes: plan.max_bytes,
            room: 0,
            set_aside: 0,
            partial: false,
            deadline,
            round: 0,
            missing: 0,
            woken: false,
        };
        self.fetches().borrow_mut().sets.insert(set, fetch);
        self.read_round(set);
    }

    /// Asks every shard that owns a part of the fetch.
    fn read_round(&self, set: u64) {
        let now = self.world().mono();
        let watcher = Watcher { shard: self.this(), set };
        let (round, budget, by_owner) = {
            let mut fetches = self.fetches().borrow_mut();
            let Some(fetch) = fetches.sets.get_mut(&set) else { return };
            let by_owner = self.reads_by_owner(&fetch.reads);
            fetch.round += 1;
            fetch.woken = false;
            fetch.partial = false;
            fetch.room = fetch.max_bytes.min(self.0.answers.share());
            let wanted = fetch.reads.iter().fold(0_usize, |sum, (_, op)| sum.saturating_add(op.max_bytes));
            fetch.set_aside = wanted.min(fetch.room);
            self.0.answers.take(fetch.set_aside);
            fetch.missing = by_owner.len();
            fetch.replies = fetch.reads.iter().map(|_| ReadReply::default()).collect();
            (fetch.round, fetch.budget(now), by_owner)
        };
        if by_owner.is_empty() {
            return self.end_round(set);
        }
        for (shard, reads) in by_owner {
            if shard == self.this() {
                self.answer_reads(watcher, round, budget, reads);
            } else {
                self.send(shard, Message::Read { watcher, round, budget, reads });
            }
        }
    }

    pub(super) fn reads_by_owner(
        &self,
        reads: &[(TopicPartition, ReadOp)],
    ) -> BTreeMap<ShardId, Vec<(u32, TopicPartition, ReadOp)>> {
        let mut by_owner: BTreeMap<ShardId, Vec<_>> = BTreeMap::new();
        for (index, (key, op)) in (0u32..).zip(reads) {
            by_owner.entry(owner_shard(*key, self.shards())).or_default().push((index, *key, *op));
        }
        by_owner
    }

    /// Takes one shard's answers.
    pub(super) fn take_reads(&self, set: u64, round: u32, replies: Vec<(u32, ReadReply)>) {
        let complete = {
            let mut fetches = self.fetches().borrow_mut();
            let Some(fetch) = fetches.sets.get_mut(&set) else {
                drop(fetches);
                return self.take_served(set, round, replies);
            };
            if fetch.round != round {
                return;
            }
            for (index, reply) in replies {
                fetch.replies[index as usize] = reply;
            }
            fetch.missing -= 1;
            fetch.missing == 0
        };
        if complete {
            self.end_round(set);
        }
    }

    /// All answers of a round are there: answer the client, read again, or wait.
    fn end_round(&self, set: u64) {
        let now = self.world().mono();
        let again = {
            let mut fetches = self.fetches().borrow_mut();
            let Fetches { sets, deadlines } = &mut *fetches;
            let Some(fetch) = sets.get_mut(&set) else { return };
            self.0.answers.give(std::mem::take(&mut fetch.set_aside));
            let over = fetch.is_done() || now >= fetch.deadline;
            if !over && !fetch.woken {
                fetch.begin_waiting();
                let end = (fetch.deadline, set);
                deadlines.insert(end);
                if deadlines.first() == Some(&end) {
                    self.timers_due().notify();
                }
                return;
            }
            !over
        };
        if again { self.read_round(set) } else { self.finish_fetch(set) }
    }

    /// A partition of a waiting fetch has more.
    pub(super) fn wake_fetch(&self, set: u64) {
        let idle = {
            let mut fetches = self.fetches().borrow_mut();
            let Some(fetch) = fetches.sets.get_mut(&set) else {
                drop(fetches);
                return self.wake_served(set);
            };
            fetch.woken = true;
            fetch.missing == 0
        };
        if idle {
            self.read_round(set);
        }
    }

    /// Answers fetches whose wait is over. Returns when the next one's is.
    pub(super) fn expire_fetches(&self) -> Option<Duration> {
        let now = self.world().mono();
        loop {
            let (set, partial) = {
                let mut fetches = self.fetches().borrow_mut();
                let &(deadline, set) = fetches.deadlines.first()?;
                if deadline > now {
                    return Some(deadline);
                }
                fetches.deadlines.pop_first();
                // A round that is under way sees that the time is over when it ends.
                let Some(fetch) = fetches.sets.get(&set).filter(|fetch| fetch.missing == 0) else { continue };
                (set, fetch.partial)
            };
            if partial { self.read_round(set) } else { self.finish_fetch(set) }
        }
    }

    fn finish_fetch(&self, set: u64) {
        let fetch = {
            let mut fetches = self.fetches().borrow_mut();
            let Some(fetch) = fetches.sets.remove(&set) else { return };
            fetches.deadlines.remove(&(fetch.deadline, set));
            fetch
        };
        self.forget_watches(set, &fetch.reads);
        let Fetch { ticket, .. } = &fetch;
        let ticket = ticket.clone();
        let mut fetch = fetch;
        fetch.trim();
        self.pass(&ticket, Stage::Wait);
        self.metrics().fetched(fetch.replies.iter().map(ReadReply::bytes).sum());
        let Fetch { then, replies, .. } = fetch;
        let plan = self.with_context(&ticket.header, |context| then(context, replies));
        self.perform(ticket, plan);
    }

    /// Takes back the watches that rounds may have left.
    pub(super) fn forget_watches(&self, set: u64, reads: &[(TopicPartition, ReadOp)]) {
        let watcher = Watcher { shard: self.this(), set };
        for (shard, reads) in self.reads_by_owner(reads) {
            let partitions: Vec<TopicPartition> = reads.into_iter().map(|(_, key, _)| key).collect();
            if shard == self.this() {
                self.unwatch(watcher, &partitions);
            } else {
                self.send(shard, Message::Unwatch { watcher, partitions });
            }
        }
    }
}
