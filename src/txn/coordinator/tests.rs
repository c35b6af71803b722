//! The machine driven as a shard drives it: every record goes into a log, flushes and markers come when the test says
//! so.

use super::*;
use crate::base::{ProducerEpoch, ProducerId, ShardId};
use crate::txn::call::{Filter, Identity, Protocol};

mod every;
mod rules;

const TIMEOUT_MS: i32 = 60_000;

/// A coordinator with its log and its clock.
struct Bench {
    coordinator: Coordinator,
    log: Vec<TxnRecord>,
    now: Now,
    asked: u64,
    fresh: i64,
    replies: BTreeMap<u64, TxnReply>,
    /// Orders that nobody has carried out.
    orders: Vec<MarkerOrder>,
    /// Whether records are durable at once, and orders carried out at once.
    flushes: bool,
    marks: bool,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Bench {
            coordinator: Coordinator::new(Settings::default(), LeaderEpoch(4)),
            log: Vec::new(),
            now: Now { mono_ms: 1000, wall_ms: 1_700_000_000_000 },
            asked: 0,
            fresh: 100,
            replies: BTreeMap::new(),
            orders: Vec::new(),
            flushes: true,
            marks: true,
        };
        bench.begin();
        bench
    }

    fn begin(&mut self) {
        let mut out = Effects::default();
        self.coordinator.loaded(self.end(), self.now, &mut out);
        self.take(out);
    }

    fn end(&self) -> Offset {
        Offset::try_from(self.log.len()).expect("a short log")
    }

    /// A coordinator of what the log holds.
    fn replayed(&self) -> Coordinator {
        let mut fresh = Coordinator::new(self.coordinator.settings.clone(), LeaderEpoch(5));
        for record in &self.log {
            fresh
                .replay(record.key.clone(), record.value.clone())
                .expect("it was written by the coordinator");
        }
        fresh
    }

    /// Ends the coordinator and makes one of what the log holds.
    fn restart(&mut self) {
        self.coordinator = self.replayed();
        self.orders.clear();
        self.begin();
    }

    fn take(&mut self, mut out: Effects) {
        loop {
            if !out.records.is_empty() {
                self.log.append(&mut out.records);
                self.coordinator.placed(self.end(), &mut out);
                assert!(out.records.is_empty(), "placing appends nothing");
                if self.flushes {
                    let upto = self.end();
                    self.coordinator.step(self.now, Event::Durable { upto }, &mut out);
                }
            }
            for (asker, reply) in out.replies.drain(..) {
                assert!(self.replies.insert(asker.set, reply).is_none(), "a question is answered once");
            }
            self.orders.append(&mut out.orders);
            if !self.marks || self.orders.is_empty() {
                return;
            }
            let order = self.orders.remove(0);
            let outcomes = vec![ErrorCode::None; order.partitions.len()];
            self.coordinator.step(self.now, Event::Marked { order, outcomes }, &mut out);
        }
    }

    fn step(&mut self, event: Event) {
        let mut out = Effects::default();
        self.coordinator.step(self.now, event, &mut out);
        self.take(out);
    }

    fn flush(&mut self) {
        let upto = self.end();
        self.step(Event::Durable { upto });
    }

    /// Carries out the oldest order with this outcome.
    fn mark(&mut self, outcome: ErrorCode) -> MarkerOrder {
        let order = self.orders.remove(0);
        let outcomes = vec![outcome; order.partitions.len()];
        self.step(Event::Marked { order: order.clone(), outcomes });
        order
    }

    /// Asks; the number is the question's.
    fn ask(&mut self, op: TxnOp) -> u64 {
        self.asked += 1;
        let asker = Asker { shard: ShardId(0), set: self.asked, index: 0 };
        self.step(Event::Request { asker, op: Box::new(op) });
        self.asked
    }

    fn answer(&mut self, op: TxnOp) -> TxnReply {
        let question = self.ask(op);
        self.replies.remove(&question).expect("it is answered at once")
    }

    /// Lets time pass, a timer at a time.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while let Some(at) = self.coordinator.deadline_ms().filter(|at| *at <= end) {
            self.forward(at.max(self.now.mono_ms));
            self.step(Event::Tick);
        }
        self.forward(end);
    }

    fn forward(&mut self, to_ms: u64) {
        self.now.wall_ms += i64::try_from(to_ms - self.now.mono_ms).expect("a short time");
        self.now.mono_ms = to_ms;
    }

    fn init(&mut self, expected: Option<Identity>) -> TxnReply {
        self.fresh += 1;
        let op = TxnOp::Init {
            transactional_id: "t".into(),
            timeout_ms: TIMEOUT_MS,
            expected,
            fresh: ProducerId(self.fresh),
        };
        self.answer(op)
    }

    fn init_anew(&mut self) -> Identity {
        match self.init(None) {
            TxnReply::Producer(identity) => identity,
            other => panic!("not a producer: {other:?}"),
        }
    }

    fn add(&mut self, producer: Identity, partitions: &[i32], protocol: Protocol) -> TxnReply {
        self.answer(add(producer, partitions, protocol, false))
    }

    fn end_txn(&mut self, producer: Identity, commit: bool, protocol: Protocol) -> TxnReply {
        self.fresh += 1;
        let fresh = Some(ProducerId(self.fresh));
        self.answer(TxnOp::End { transactional_id: "t".into(), producer, commit, protocol, fresh })
    }

    fn state(&self) -> State {
        self.coordinator.txns["t"].state
    }

    fn listed(&mut self, filter: Filter) -> Vec<Str> {
        match self.answer(TxnOp::List(filter)) {
            TxnReply::Listed(listed) => listed.into_iter().map(|one| one.transactional_id).collect(),
            other => panic!("not a list: {other:?}"),
        }
    }
}

fn add(producer: Identity, partitions: &[i32], protocol: Protocol, patient: bool) -> TxnOp {
    let partitions = partitions.iter().map(|index| (Str::from("topic"), *index)).collect();
    TxnOp::Add { transactional_id: "t".into(), producer, partitions, protocol, patient }
}

fn identity(id: i64, epoch: i16) -> Identity {
    Identity { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

/// Whether partitions were added.
fn is_added(reply: &TxnReply) -> bool {
    matches!(reply, TxnReply::Partitions(errors) if errors.iter().all(|error| error.is_ok()))
}
