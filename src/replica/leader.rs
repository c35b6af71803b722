//! A partition's leader: appends, acknowledgements, the high watermark.
//!
//! Rules: protocol rows 38 to 58; `replication-and-durability` 2.2. One replica for now: the in-sync set is the
//! leader alone.

use super::rules::{Refusal, Rules};
use crate::base::{ErrorCode, LeaderEpoch, Offset, ShardId};
use crate::log::epochs::EpochCache;
use crate::log::producers::{ProducerStates, Verdict};
use crate::replica::call::{Produced, Unmet};
use crate::wire::batch::{BatchMeta, Contents, EndMarker, Stamp};
use std::collections::VecDeque;

mod transactions;

pub use transactions::Source;

/// Who waits for an answer: a slot in a call set of the shard where the request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiter {
    /// The shard that has the connection.
    pub shard: ShardId,
    /// The call set on that shard.
    pub set: u64,
    /// The call within the set.
    pub index: u32,
}

/// Who wants to hear when there is more to read: a waiting fetch of some shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watcher {
    /// The shard that has the connection.
    pub shard: ShardId,
    /// The fetch on that shard.
    pub set: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A client wants a batch appended. It is valid in itself.
    Produce {
        /// Where it comes from.
        source: Source,
        /// Who gets the answer.
        waiter: Waiter,
        /// -1, 0 or 1.
        acks: i16,
        /// The batch's header.
        meta: BatchMeta,
        /// Its size.
        bytes: usize,
        /// What its records are.
        contents: Contents,
        /// Wall clock.
        now_ms: i64,
        /// When an answer of "timed out" is due, wall clock.
        deadline_ms: i64,
    },
    /// A coordinator wants the marker appended that ends a transaction.
    Mark {
        /// Who gets the answer.
        waiter: Waiter,
        /// The header of the marker's batch.
        meta: BatchMeta,
        /// What it says.
        marker: EndMarker,
        /// Its epoch was raised above the transaction's.
        raised: bool,
        /// Wall clock.
        now_ms: i64,
    },
    /// All bytes up to this offset were written.
    Written {
        /// First offset that is not.
        upto: Offset,
    },
    /// All bytes up to this offset survive a power cut.
    Durable {
        /// First offset that may not.
        upto: Offset,
    },
    /// A fetch wants to hear when the high watermark passes an offset.
    Watch {
        /// Who.
        watcher: Watcher,
        /// Where its reading ended.
        beyond: Offset,
    },
    /// That fetch was answered.
    Unwatch {
        /// Who.
        watcher: Watcher,
    },
    /// Records below this offset are gone or going (retention, DeleteRecords).
    LogStart {
        /// The first offset to keep.
        offset: Offset,
    },
    /// What was appended can't be written for now; it will be, or the process ends.
    Short,
    /// Time passed.
    Tick {
        /// Wall clock.
        now_ms: i64,
    },
}

/// How to append a batch that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Epoch to write into it.
    pub leader_epoch: LeaderEpoch,
    /// What to write into it about its timestamps, where that isn't what the client wrote.
    pub stamp: Option<Stamp>,
}

/// What the shard has to do. Reused from step to step; the shard drains it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Copy the batch of this `Produce` event into the log.
    pub append: Option<Append>,
    /// Answers that are due.
    pub replies: Vec<(Waiter, Produced)>,
    /// Fetches that have something to read.
    pub wakes: Vec<Watcher>,
}

/// What a log brought back from disk.
#[derive(Debug, Default)]
pub struct Recovered {
    /// First offset that is there.
    pub log_start: Offset,
    /// Next offset to append. All of it is durable.
    pub log_end: Offset,
    /// Producers and their transactions at `log_end`.
    pub producers: ProducerStates,
    /// Leader epochs.
    pub epochs: EpochCache,
}

#[derive(Debug)]
struct Waiting {
    upto: Offset,
    waiter: Waiter,
    produced: Produced,
    deadline_ms: i64,
}

/// The leader of one partition. Lives on the shard that owns the partition.
#[derive(Debug)]
pub struct Leader {
    pub(super) epoch: LeaderEpoch,
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    pub(super) written: Offset,
    pub(super) durable: Offset,
    pub(super) high_watermark: Offset,
    pub(super) rules: Rules,
    pub(super) producers: ProducerStates,
    pub(super) epochs: EpochCache,
    /// Sorted by `upto`.
    waiting: VecDeque<Waiting>,
    watchers: Vec<(Watcher, Offset)>,
}

impl Leader {
    /// Leads from what the log brought back.
    #[must_use]
    pub fn new(epoch: LeaderEpoch, rules: Rules, recovered: Recovered) -> Self {
        let Recovered { log_start, log_end, mut producers, mut epochs } = recovered;
        assert!(log_start <= log_end, "a log starts before it ends");
        epochs.assign(epoch, log_end);
        producers.settle(log_end);
        Leader {
            epoch,
            log_start,
            log_end,
            written: log_end,
            durable: log_end,
            high_watermark: log_end,
            rules,
            producers,
            epochs,
            waiting: VecDeque::new(),
            watchers: Vec::new(),
        }
    }

    /// Takes one event and says what to do about it.
    pub fn step(&mut self, event: Event, out: &mut Effects) {
        match event {
            Event::Produce { waiter, source, acks, meta, bytes, contents, now_ms, deadline_ms } => {
                let wanted = Wanted { waiter, acks, deadline_ms };
                match self.accept(&meta, source, bytes, &contents, now_ms) {
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
            Event::Written { upto } => {
                assert!(self.written <= upto && upto <= self.log_end, "written within the log and forward");
                self.written = upto;
                self.settle(out);
            }
            Event::Durable { upto } => {
                assert!(upto <= self.written, "flushed only what is written");
                self.durable = self.durable.max(upto);
                self.producers.settle(self.durable);
                self.settle(out);
            }
            Event::Watch { watcher, beyond } => {
                if self.high_watermark > beyond {
                    out.wakes.push(watcher);
                } else {
                    self.watchers.push((watcher, beyond));
                }
            }
            Event::Unwatch { watcher } => self.watchers.retain(|(other, _)| *other != watcher),
            Event::LogStart { offset } => {
                assert!(offset <= self.high_watermark, "only what consumers may see can be deleted");
                self.log_start = self.log_start.max(offset);
                self.epochs.truncate_start(self.log_start);
                self.producers.truncate_start(self.log_start);
            }
            Event::Short => {
                let why = "no room on the broker's disk for now; the record may still become durable";
                let refused = self.refused(Refusal::of(ErrorCode::KafkaStorageError, why));
                out.replies.extend(self.waiting.drain(..).map(|waiting| (waiting.waiter, refused.clone())));
            }
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
        let refused = self.refused(refusal);
        out.replies.extend(self.waiting.drain(..).map(|waiting| (waiting.waiter, refused.clone())));
        out.wakes.extend(self.watchers.drain(..).map(|(watcher, _)| watcher));
    }

    fn accept(
        &mut self,
        meta: &BatchMeta,
        source: Source,
        bytes: usize,
        contents: &Contents,
        now_ms: i64,
    ) -> Result<Accepted, Refusal> {
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
        if acks == 0 || upto <= self.settled() {
            out.replies.push((waiter, produced));
            return;
        }
        let at = self.waiting.partition_point(|waiting| waiting.upto <= upto);
        self.waiting.insert(at, Waiting { upto, waiter, produced, deadline_ms });
    }

    fn settled(&self) -> Offset {
        self.rules.settled(self.log_end, self.written, self.durable)
    }

    fn settle(&mut self, out: &mut Effects) {
        let visible = self.rules.visible(self.written, self.durable);
        assert!(visible >= self.high_watermark, "the high watermark never goes back");
        if visible > self.high_watermark {
            self.high_watermark = visible;
            self.watchers.retain(|&(watcher, beyond)| {
                if visible > beyond {
                    out.wakes.push(watcher);
                }
                visible <= beyond
            });
        }
        let settled = self.settled();
        while self.waiting.front().is_some_and(|waiting| waiting.upto <= settled) {
            let waiting = self.waiting.pop_front().expect("it has a front");
            out.replies.push((waiting.waiter, waiting.produced));
        }
    }

    fn tick(&mut self, now_ms: i64, out: &mut Effects) {
        let late = Refusal::of(
            ErrorCode::RequestTimedOut,
            "the flush didn't complete in time; the record may still become durable",
        );
        let refused = self.refused(late);
        self.waiting.retain(|waiting| {
            let due = waiting.deadline_ms <= now_ms;
            if due {
                out.replies.push((waiting.waiter, refused.clone()));
            }
            !due
        });
        self.producers.expire(now_ms, self.rules.producer_expiry_ms);
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
