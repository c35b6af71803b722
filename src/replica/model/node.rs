//! A node of the model: a replica, its log in memory, and what of it the disk has.

use crate::base::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, ShardId};
use crate::log::epochs::EpochCache;
use crate::replica::call::{FollowerRead, ReadOp};
use crate::replica::{
    Assignment, Durability, Effects, Event, FetchPosition, IsrProposal, Member, Recovered, Replica, Rules,
    Source, Waiter,
};
use crate::wire::batch::{BatchBuilder, BatchMeta, Codec, Contents};
use std::collections::BTreeMap;

/// A record: under which leader it was written, and what it says.
pub(super) type Entry = (LeaderEpoch, u64);

/// What a leader answers a follower.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) asked: FetchPosition,
    pub(super) error: ErrorCode,
    pub(super) diverging: Option<(LeaderEpoch, Offset)>,
    pub(super) high_watermark: Offset,
    pub(super) log_start: Offset,
    pub(super) entries: Vec<Entry>,
}

/// What came of an event.
#[derive(Default)]
pub(super) struct Outcome {
    /// Values whose producers were told that they are committed.
    pub(super) acknowledged: Vec<u64>,
    pub(super) proposals: Vec<IsrProposal>,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    rules: Rules,
    pub(super) broker_epoch: BrokerEpoch,
    /// `None`: the process doesn't run.
    pub(super) replica: Option<Replica>,
    pub(super) log: Vec<Entry>,
    /// How much of the log a power cut leaves at least.
    pub(super) durable: Offset,
    /// The high watermark that was last written down.
    checkpoint: Offset,
    /// Where the log is to be cut.
    pub(super) cut: Option<Offset>,
    /// How many versions of the metadata it has heard of.
    pub(super) heard: usize,
    /// So much of the log is what is committed: looked at, and not changed since.
    pub(super) verified: usize,
    /// Values whose producers wait.
    waiting: BTreeMap<u64, u64>,
    waiters: u64,
}

fn at(offset: Offset) -> usize {
    usize::try_from(offset).expect("offsets aren't negative")
}

fn meta_of(epoch: LeaderEpoch, offset: Offset) -> BatchMeta {
    thread_local! {
        static ONE: BatchMeta = BatchMeta::read(
            &BatchBuilder::new(Codec::None, 1).record(1, None, None).build()
        ).expect("a batch");
    }
    BatchMeta { base_offset: offset, leader_epoch: epoch, ..ONE.with(|meta| *meta) }
}

impl Node {
    pub(super) fn new(id: NodeId, min_isr: usize) -> Self {
        let rules = Rules {
            max_message_bytes: 1 << 20,
            segment_bytes: 1 << 20,
            append_time: false,
            before_max_ms: i64::MAX,
            after_max_ms: i64::MAX,
            compacted: false,
            compact_only: false,
            min_insync_replicas: min_isr,
            durability: Durability::Durable,
            producer_expiry_ms: i64::MAX,
            replica_lag_max_ms: 2_000,
        };
        let mut node = Node {
            id,
            rules,
            broker_epoch: BrokerEpoch(1),
            replica: None,
            log: Vec::new(),
            durable: 0,
            checkpoint: 0,
            cut: None,
            heard: 0,
            verified: 0,
            waiting: BTreeMap::new(),
            waiters: 0,
        };
        node.start(BrokerEpoch(1), 0);
        node
    }

    /// The process starts with what the disk has.
    pub(super) fn start(&mut self, broker_epoch: BrokerEpoch, heard: usize) {
        let end = Offset::try_from(self.log.len()).unwrap();
        let mut epochs = EpochCache::default();
        for (offset, (epoch, _)) in (0..).zip(&self.log) {
            epochs.assign(*epoch, offset);
        }
        let recovered = Recovered {
            log_start: 0,
            log_end: end,
            high_watermark: self.checkpoint.min(end),
            epochs,
            ..Recovered::default()
        };
        self.durable = end;
        (self.broker_epoch, self.heard, self.cut) = (broker_epoch, heard, None);
        self.replica = Some(Replica::new(self.id, self.rules, recovered));
    }

    /// The process ends; of what isn't flushed so much stays.
    pub(super) fn end(&mut self, keep: Offset) {
        self.replica = None;
        self.truncate(keep.max(self.durable));
        self.waiting.clear();
    }

    /// The log is lost too.
    pub(super) fn wipe(&mut self) {
        self.truncate(0);
        (self.durable, self.checkpoint) = (0, 0);
    }

    fn truncate(&mut self, end: Offset) {
        self.log.truncate(at(end));
        self.verified = self.verified.min(self.log.len());
    }

    pub(super) fn log_end(&self) -> Offset {
        Offset::try_from(self.log.len()).unwrap()
    }

    pub(super) fn step(&mut self, event: Event) -> (Effects, Outcome) {
        let mut out = Effects::default();
        let mut outcome = Outcome::default();
        let Some(replica) = &mut self.replica else { return (out, outcome) };
        replica.step(event, &mut out);
        for (waiter, produced) in out.replies.drain(..) {
            if let Some(value) = self.waiting.remove(&waiter.set).filter(|_| produced.error.is_ok()) {
                outcome.acknowledged.push(value);
            }
        }
        outcome.proposals.extend(out.alter.take());
        self.cut = out.truncate.or(out.restart_at).or(self.cut);
        (out, outcome)
    }

    pub(super) fn hear(&mut self, assignment: &Assignment, now_ms: i64) -> Outcome {
        self.heard += 1;
        let mine = |member: &Member| member.id == self.id && member.broker_epoch == self.broker_epoch;
        let registered = assignment.replicas.iter().any(mine);
        let assignment = Box::new(Assignment { registered, ..assignment.clone() });
        self.step(Event::Assigned { assignment, now_ms }).1
    }

    pub(super) fn produce(&mut self, value: u64, acks: i16, now_ms: i64) -> Outcome {
        self.waiters += 1;
        let waiter = Waiter { shard: ShardId(0), set: self.waiters, index: 0 };
        if acks == -1 {
            self.waiting.insert(self.waiters, value);
        }
        let (out, outcome) = self.step(Event::Produce {
            source: Source::Client,
            waiter,
            acks,
            meta: meta_of(LeaderEpoch(-1), 0),
            bytes: 100,
            contents: Contents { keyless: false, timestamps: Some((1, 1)) },
            now_ms,
            deadline_ms: i64::MAX,
        });
        if let Some(append) = out.append {
            assert_eq!(append.base_offset, self.log_end(), "appended at the end");
            self.log.push((append.leader_epoch, value));
        }
        outcome
    }

    /// Flushes up to an offset.
    pub(super) fn flush(&mut self, upto: Offset) -> Outcome {
        let mut all = self.step(Event::Written { upto }).1;
        self.durable = upto;
        let more = self.step(Event::Durable { upto }).1;
        all.acknowledged.extend(more.acknowledged);
        all.proposals.extend(more.proposals);
        all
    }

    /// Writes down what a restart begins with.
    pub(super) fn write_checkpoint(&mut self) {
        if let Some(replica) = &self.replica {
            self.checkpoint = replica.high_watermark().min(self.durable);
        }
    }

    /// Cuts the log where that is due.
    pub(super) fn perform_cut(&mut self) {
        let Some(to) = self.cut.take() else { return };
        self.truncate(to);
        // All was flushed before the cut.
        self.durable = to;
        self.step(Event::Truncated { to });
    }

    /// Answers a follower.
    pub(super) fn answer(
        &mut self,
        (follower, broker_epoch): (NodeId, BrokerEpoch),
        asked: FetchPosition,
        most: usize,
        now_ms: i64,
    ) -> Option<(Answer, Outcome)> {
        let read = FollowerRead { id: follower, broker_epoch, flushed: asked.flushed };
        let op = ReadOp {
            current_leader_epoch: asked.leader_epoch,
            offset: asked.offset,
            last_fetched_epoch: asked.last_epoch,
            max_bytes: 1,
            first_whole: true,
            read_committed: false,
            follower: Some(read),
        };
        let (error, diverging, log_start) = match self.replica.as_ref()?.read_bounds(&op) {
            Err(reply) => (reply.error, reply.diverging, reply.log_start_offset),
            Ok(_) => (ErrorCode::None, None, 0),
        };
        let mut outcome = Outcome::default();
        let mut entries = Vec::new();
        if error.is_ok() && diverging.is_none() {
            let (offset, flushed) = (asked.offset, asked.flushed);
            outcome = self.step(Event::ReplicaFetch { follower, broker_epoch, offset, flushed, now_ms }).1;
            entries.extend(self.log.iter().skip(at(asked.offset)).take(most));
        }
        let high_watermark = self.replica.as_ref()?.high_watermark();
        Some((Answer { asked, error, diverging, high_watermark, log_start, entries }, outcome))
    }

    /// Takes a leader's answer, if it is still to what this follower wants.
    pub(super) fn take(&mut self, answer: &Answer, now_ms: i64) {
        let position = self.replica.as_ref().and_then(Replica::fetch_position);
        let same = position.is_some_and(|now| {
            let asked = &answer.asked;
            (now.leader, now.leader_epoch, now.offset) == (asked.leader, asked.leader_epoch, asked.offset)
        });
        if !same {
            return;
        }
        if let Some((epoch, end_offset)) = answer.diverging {
            self.step(Event::Diverged { epoch, end_offset });
            return;
        }
        if answer.error == ErrorCode::OffsetOutOfRange {
            self.step(Event::OutOfRange { log_start: answer.log_start });
        }
        if !answer.error.is_ok() {
            return;
        }
        for (epoch, value) in &answer.entries {
            let meta = meta_of(*epoch, self.log_end());
            if self.step(Event::Copied { meta, marker: None, now_ms }).0.append.is_some() {
                self.log.push((*epoch, *value));
            }
        }
        let (high_watermark, log_start) = (answer.high_watermark, answer.log_start);
        self.step(Event::LeaderSaid { high_watermark, log_start });
    }
}
