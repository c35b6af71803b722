//! One replica of a partition: appends, acknowledgements, the high watermark.
//!
//! Rules: protocol rows 38 to 58; `replication-and-durability` 2.2. Whether it leads or follows says the metadata; what
//! only a leader does is in `leading`, what only a follower does in `following`.

use super::call::{Produced, Unmet};
use super::event::{Append, Assignment, Awaited, Effects, Event, Recovered, Waiter, Watcher};
use super::rules::{Refusal, Rules};
use super::waiting::Queue;
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use crate::log::epochs::EpochCache;
use crate::log::producers::{ProducerStates, Verdict};
use crate::wire::batch::{BatchMeta, Contents, Stamp};
use following::Following;
use leading::Leading;

mod following;
mod leading;
mod transactions;

pub use leading::FollowerFacts;
pub use transactions::Source;

/// What a replica is now.
#[derive(Debug)]
pub(super) enum Role {
    /// It takes appends of clients and decides what is committed.
    Leading(Leading),
    /// It copies what another one has, if there is a leader.
    Following(Following),
}

/// One replica of one partition. Lives on the shard that owns the partition.
#[derive(Debug)]
pub struct Replica {
    pub(super) me: NodeId,
    pub(super) role: Role,
    pub(super) epoch: LeaderEpoch,
    pub(super) partition_epoch: PartitionEpoch,
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    /// Followers may have all below.
    pub(super) sealed: Offset,
    pub(super) written: Offset,
    pub(super) durable: Offset,
    pub(super) high_watermark: Offset,
    pub(super) rules: Rules,
    pub(super) producers: ProducerStates,
    pub(super) epochs: EpochCache,
    /// Producers that wait for the leader alone.
    waiting: Queue,
    /// Producers that wait for all that are in sync.
    waiting_all: Queue,
    watchers: Vec<(Watcher, Offset)>,
    /// Followers' fetches.
    readers: Vec<(Watcher, Offset)>,
}

impl Replica {
    /// A replica of what the log brought back, that neither leads nor follows until it is told what it is.
    #[must_use]
    pub fn new(me: NodeId, rules: Rules, recovered: Recovered) -> Self {
        let Recovered { log_start, log_end, high_watermark, mut producers, mut epochs } = recovered;
        assert!(log_start <= log_end, "a log starts before it ends");
        let high_watermark = high_watermark.clamp(log_start, log_end);
        // An epoch whose records were lost, or that never had any, is nothing that this log could tell of.
        epochs.truncate_end(log_end);
        if planted(Mutant::ForgetEpochs) {
            epochs = EpochCache::default();
        }
        producers.settle(high_watermark);
        Replica {
            me,
            role: Role::Following(Following::default()),
            epoch: LeaderEpoch(-1),
            partition_epoch: PartitionEpoch(-1),
            log_start,
            log_end,
            sealed: log_end,
            written: log_end,
            durable: log_end,
            high_watermark,
            rules,
            producers,
            epochs,
            waiting: Queue::default(),
            waiting_all: Queue::default(),
            watchers: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// Takes one event and says what to do about it.
    pub fn step(&mut self, event: Event, out: &mut Effects) {
        match event {
            Event::Assigned { assignment, now_ms } => self.assign(*assignment, now_ms, out),
            Event::Produce { waiter, source, acks, meta, bytes, contents, now_ms, deadline_ms } => {
                let wanted = Wanted { waiter, acks, deadline_ms };
                match self.accept((&meta, source, acks), (bytes, &contents), now_ms) {
                    Ok(Accepted { append, base_offset, log_append_time_ms }) => {
                        out.append = append;
                        let upto = base_offset + i64::from(meta.last_offset_delta) + 1;
                        self.answer(wanted, upto, self.produced(base_offset, log_append_time_ms), out);
                    }
                    Err(refusal) => out.replies.push((waiter, self.refused(refusal))),
                }
            }
            Event::Mark { waiter, meta, marker, raised, now_ms } => {
                match self.accept_marker(&meta, marker, raised, now_ms) {
                    Ok(append) => {
                        out.append = Some(append);
                        // Who waits for a marker has nothing else to do, and asks again after a restart.
                        let wanted = Wanted { waiter, acks: -1, deadline_ms: i64::MAX };
                        let produced = self.produced(append.base_offset, -1);
                        self.answer(wanted, self.log_end, produced, out);
                    }
                    Err(refusal) => out.replies.push((waiter, self.refused(refusal))),
                }
            }
            Event::Sealed { upto } => self.seal(upto, out),
            Event::Written { upto } => {
                assert!(self.written <= upto && upto <= self.log_end, "written within the log and forward");
                self.written = upto;
                self.seal(upto, out);
                self.settle(out);
            }
            Event::Durable { upto } => {
                assert!(upto <= self.written, "flushed only what is written");
                self.durable = self.durable.max(upto);
                self.settle(out);
            }
            Event::Watch { watcher, beyond, awaited } => self.watch(watcher, beyond, awaited, out),
            Event::Unwatch { watcher } => {
                self.watchers.retain(|(other, _)| *other != watcher);
                self.readers.retain(|(other, _)| *other != watcher);
            }
            Event::LogStart { offset } => self.start_at(offset),
            Event::Short => {
                let why = "no room on the broker's disk for now; the record may still become durable";
                self.turn_producers_away(Refusal::of(ErrorCode::KafkaStorageError, why), out);
            }
            Event::ReplicaFetch { follower, broker_epoch, offset, flushed, now_ms } => {
                self.note_fetch(follower, broker_epoch, (offset, flushed), now_ms, out);
            }
            Event::AlterAnswered { partition_epoch, result } => self.altered(partition_epoch, result, out),
            Event::Copied { meta, marker, now_ms } => self.copy(&meta, marker, now_ms, out),
            Event::LeaderSaid { high_watermark, log_start } => self.follow(high_watermark, log_start, out),
            Event::Diverged { epoch, end_offset } => self.diverge(epoch, end_offset, out),
            Event::OutOfRange { log_start } => self.fall_out(log_start, out),
            Event::Truncated { to } => self.truncated(to),
            Event::Restarted { at } => self.restarted(at),
            Event::Tick { now_ms } => self.tick(now_ms, out),
        }
    }

    /// New settings; they hold from the next batch on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// The partition is going: everybody who waits is told that it isn't here.
    pub fn abandon(&mut self, out: &mut Effects) {
        self.turn_away(Refusal::of(ErrorCode::UnknownTopicOrPartition, "the partition was deleted"), out);
    }

    /// The log failed: nothing that waits will ever be acknowledged.
    pub fn fail(&mut self, out: &mut Effects) {
        self.turn_away(Refusal::of(ErrorCode::KafkaStorageError, "the log directory failed"), out);
    }

    fn turn_away(&mut self, refusal: Refusal, out: &mut Effects) {
        self.turn_producers_away(refusal, out);
        out.wakes.extend(self.watchers.drain(..).map(|(watcher, _)| watcher));
        out.wakes.extend(self.readers.drain(..).map(|(watcher, _)| watcher));
    }

    fn turn_producers_away(&mut self, refusal: Refusal, out: &mut Effects) {
        if self.waiting.is_empty() && self.waiting_all.is_empty() {
            return;
        }
        let refused = self.refused(refusal);
        self.waiting.turn_away(&refused, &mut out.replies);
        self.waiting_all.turn_away(&refused, &mut out.replies);
    }

    fn assign(&mut self, mut assignment: Assignment, now_ms: i64, out: &mut Effects) {
        if assignment.leader_epoch < self.epoch {
            return;
        }
        if !assignment.registered && !planted(Mutant::LeadFromEarlierLife) {
            assignment.leader = None;
        }
        if assignment.leader == Some(self.me) {
            return self.lead(assignment, now_ms, out);
        }
        if self.is_leading() {
            let why = "another broker leads the partition now";
            self.turn_away(Refusal::of(ErrorCode::NotLeaderOrFollower, why), out);
            // Under its own epoch it may have led without a record.
            self.epochs.truncate_end(self.log_end);
        }
        (self.epoch, self.partition_epoch) = (assignment.leader_epoch, assignment.partition_epoch);
        self.begin_following(assignment.leader, out);
    }

    fn accept(
        &mut self,
        (meta, source, acks): (&BatchMeta, Source, i16),
        (bytes, contents): (usize, &Contents),
        now_ms: i64,
    ) -> Result<Accepted, Refusal> {
        self.may_append(acks == -1)?;
        self.rules.check(contents, bytes, now_ms)?;
        match self.verdict(meta, source) {
            Verdict::Append => {}
            Verdict::Duplicate { base_offset, timestamp } => {
                return Ok(Accepted { append: None, base_offset, log_append_time_ms: timestamp });
            }
            Verdict::Refuse(code) => {
                let why = "the producer's epoch or sequence doesn't follow its last batch";
                return Err(Refusal::of(code, why));
            }
        }
        self.check_transaction(meta, source)?;
        let base_offset = self.log_end;
        let stamp = self.stamp(contents, now_ms);
        let mut placed = *meta;
        placed.base_offset = base_offset;
        placed.max_timestamp = stamp.max_timestamp;
        self.producers.apply(&placed, base_offset, now_ms);
        self.log_end = base_offset + i64::from(meta.last_offset_delta) + 1;
        assert!(self.log_end > base_offset, "a batch has at least one record");
        let same = stamp.append_time == meta.is_append_time() && stamp.max_timestamp == meta.max_timestamp;
        let append = Append { base_offset, leader_epoch: self.epoch, stamp: (!same).then_some(stamp) };
        let log_append_time_ms = if stamp.append_time { now_ms } else { -1 };
        Ok(Accepted { append: Some(append), base_offset, log_append_time_ms })
    }

    /// What a batch must say of its timestamps, whatever the client wrote: retention and look-ups by time rely on it.
    fn stamp(&self, contents: &Contents, now_ms: i64) -> Stamp {
        if self.rules.append_time {
            Stamp { append_time: true, max_timestamp: now_ms }
        } else {
            Stamp { append_time: false, max_timestamp: contents.max_timestamp() }
        }
    }

    /// Answers now or when the log has settled up to `upto`.
    fn answer(&mut self, wanted: Wanted, upto: Offset, produced: Produced, out: &mut Effects) {
        let Wanted { waiter, acks, deadline_ms } = wanted;
        let settled = if acks == -1 { self.settled_on_all() } else { self.settled() };
        if acks == 0 || upto <= settled {
            out.replies.push((waiter, produced));
            return;
        }
        let queue = if acks == -1 { &mut self.waiting_all } else { &mut self.waiting };
        queue.hold(upto, waiter, produced, deadline_ms);
    }

    /// How far this replica keeps its promise.
    pub(super) fn settled(&self) -> Offset {
        self.rules.settled(self.log_end, self.written, self.durable)
    }

    fn seal(&mut self, upto: Offset, out: &mut Effects) {
        assert!(upto <= self.log_end, "sealed within the log");
        if upto <= self.sealed {
            return;
        }
        self.sealed = upto;
        wake_beyond(&mut self.readers, upto, out);
    }

    fn watch(&mut self, watcher: Watcher, beyond: Offset, awaited: Awaited, out: &mut Effects) {
        let (reached, watchers) = match awaited {
            Awaited::Committed => (self.high_watermark, &mut self.watchers),
            Awaited::Appended => (self.sealed, &mut self.readers),
        };
        let in_vain = awaited == Awaited::Appended && !matches!(self.role, Role::Leading(_));
        if reached > beyond || in_vain {
            out.wakes.push(watcher);
        } else {
            watchers.push((watcher, beyond));
        }
    }

    /// Moves the high watermark as far as it may go, and answers who waited for that.
    pub(super) fn settle(&mut self, out: &mut Effects) {
        if self.is_leading() {
            let visible = self.rules.visible(self.written, self.durable);
            self.commit_to(visible.min(self.replicated()), out);
            self.waiting.release(self.settled(), &mut out.replies);
            if !self.waiting_all.is_empty() {
                self.waiting_all.release(self.settled_on_all(), &mut out.replies);
            }
        }
        // What lies beyond the high watermark may yet be cut off.
        self.producers.settle(self.durable.min(self.high_watermark));
    }

    /// The high watermark moves up to here, if it isn't there already.
    pub(super) fn commit_to(&mut self, offset: Offset, out: &mut Effects) {
        if offset > self.high_watermark {
            self.high_watermark = offset;
            out.committed = true;
            wake_beyond(&mut self.watchers, offset, out);
        }
    }

    pub(super) fn start_at(&mut self, offset: Offset) {
        assert!(offset <= self.high_watermark, "only what consumers may see can be deleted");
        self.log_start = self.log_start.max(offset);
        self.epochs.truncate_start(self.log_start);
        self.producers.truncate_start(self.log_start);
    }

    fn tick(&mut self, now_ms: i64, out: &mut Effects) {
        let late = Refusal::of(
            ErrorCode::RequestTimedOut,
            "the flush didn't complete in time; the record may still become durable",
        );
        let refused = self.refused(late);
        self.waiting.expire(now_ms, &refused, &mut out.replies);
        self.waiting_all.expire(now_ms, &refused, &mut out.replies);
        self.producers.expire(now_ms, self.rules.producer_expiry_ms);
        self.look_at_followers(now_ms, out);
    }

    pub(super) fn turn_waiters_for_all_away(&mut self, refusal: Refusal, out: &mut Effects) {
        let refused = self.refused(refusal);
        self.waiting_all.turn_away(&refused, &mut out.replies);
    }

    fn produced(&self, base_offset: Offset, log_append_time_ms: i64) -> Produced {
        let (error, log_start_offset) = (ErrorCode::None, self.log_start);
        let (message, unmet) = (None, None);
        Produced { error, base_offset, log_append_time_ms, log_start_offset, message, unmet }
    }

    fn refused(&self, Refusal { error, message, unmet }: Refusal) -> Produced {
        // Kafka leaves the log start out where the batch is too large to be looked at.
        let unseen = matches!(error, ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge);
        let log_start_offset = if unseen { -1 } else { self.log_start };
        let unmet = unmet.map(|demands| Box::new(Unmet { demands, count: 0, records: Vec::new() }));
        Produced { log_start_offset, unmet, ..Produced::refused(error, Some(message)) }
    }
}

/// Wakes those whose reading ended below an offset.
fn wake_beyond(watchers: &mut Vec<(Watcher, Offset)>, reached: Offset, out: &mut Effects) {
    watchers.retain(|&(watcher, beyond)| {
        if reached > beyond {
            out.wakes.push(watcher);
        }
        reached <= beyond
    });
}

struct Wanted {
    waiter: Waiter,
    acks: i16,
    deadline_ms: i64,
}

struct Accepted {
    append: Option<Append>,
    base_offset: Offset,
    log_append_time_ms: i64,
}

#[cfg(test)]
mod tests;
