//! Every history of a few steps over a small domain: whatever happens, what was told holds, and what the log says is
//! what the machine knows.

use super::*;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Somebody becomes the producer.
    Init,
    /// The newest producer, or the one before it, writes somewhere.
    Add {
        newest: bool,
        protocol: Protocol,
    },
    /// It ends its transaction.
    End {
        newest: bool,
        protocol: Protocol,
        commit: bool,
    },
    /// The oldest order succeeds, or doesn't.
    Mark {
        succeeds: bool,
    },
    Flush,
    Timeout,
    /// The coordinator ends; the next one has what was flushed.
    Crash,
}

const fn end(newest: bool, protocol: Protocol, commit: bool) -> Step {
    Step::End { newest, protocol, commit }
}

const STEPS: [Step; 13] = [
    Step::Init,
    Step::Add { newest: true, protocol: Protocol::V1 },
    Step::Add { newest: true, protocol: Protocol::V2 },
    Step::Add { newest: false, protocol: Protocol::V1 },
    end(true, Protocol::V1, true),
    end(true, Protocol::V2, true),
    end(true, Protocol::V2, false),
    end(false, Protocol::V2, true),
    Step::Mark { succeeds: true },
    Step::Mark { succeeds: false },
    Step::Flush,
    Step::Timeout,
    Step::Crash,
];

/// A history, and what was seen on the way.
struct History {
    bench: Bench,
    durable: usize,
    producers: Vec<Identity>,
    /// Questions under way: EndTxn by its producer, and what it asked.
    ends: BTreeMap<u64, (Identity, bool)>,
    inits: Vec<u64>,
    /// How the transaction of an epoch ended, as somebody was told or a marker says.
    fates: BTreeMap<(i64, i16), bool>,
}

impl History {
    fn new() -> Self {
        let mut bench = Bench::new();
        let first = bench.init_anew();
        (bench.flushes, bench.marks) = (false, false);
        let durable = bench.log.len();
        let (ends, inits, fates) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        History { bench, durable, producers: vec![first, first], ends, inits, fates }
    }

    fn producer(&self, newest: bool) -> Identity {
        self.producers[self.producers.len() - if newest { 1 } else { 2 }]
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Init => {
                self.bench.fresh += 1;
                let fresh = ProducerId(self.bench.fresh);
                let (transactional_id, timeout_ms) = ("t".into(), TIMEOUT_MS);
                let op = TxnOp::Init { transactional_id, timeout_ms, expected: None, fresh };
                let question = self.bench.ask(op);
                self.inits.push(question);
            }
            Step::Add { newest, protocol } => {
                let producer = self.producer(newest);
                self.bench.ask(add(producer, &[0], protocol, false));
            }
            Step::End { newest, protocol, commit } => {
                let (producer, transactional_id) = (self.producer(newest), "t".into());
                let op = TxnOp::End { transactional_id, producer, commit, protocol, fresh: None };
                let question = self.bench.ask(op);
                self.ends.insert(question, (producer, commit));
            }
            Step::Mark { succeeds } => {
                if let Some(order) = self.bench.orders.first().cloned() {
                    if succeeds {
                        self.ends_as(&order);
                    }
                    let outcome = if succeeds { ErrorCode::None } else { ErrorCode::KafkaStorageError };
                    self.bench.mark(outcome);
                }
            }
            Step::Flush => {
                self.bench.flush();
                self.durable = self.bench.log.len();
            }
            Step::Timeout => self.bench.pass(u64::from(TIMEOUT_MS.unsigned_abs()) + 1),
            Step::Crash => {
                self.bench.log.truncate(self.durable);
                self.bench.restart();
                (self.ends, self.inits) = (BTreeMap::new(), Vec::new());
            }
        }
        self.listen();
        self.check();
    }

    /// A marker is in a partition: so ends what its producer wrote under this epoch, or the one before where the marker
    /// has a raised one. Another marker never says otherwise.
    fn ends_as(&mut self, order: &MarkerOrder) {
        let fate = (order.producer_id.0, order.producer_epoch.0);
        if order.raised {
            let before = self.fates.insert(fate, order.committed);
            assert!(before.is_none_or(|before| before == order.committed), "{order:?} says otherwise");
        }
    }

    fn listen(&mut self) {
        for (question, reply) in std::mem::take(&mut self.bench.replies) {
            if let (Some((_, commit)), TxnReply::Producer(after)) = (self.ends.remove(&question), &reply) {
                let last = self.producers.len() - 1;
                // A raised epoch is its producer's from now on, and tells how the transaction before it ended.
                if after.epoch > self.producers[last].epoch {
                    let before = self.fates.insert((after.id.0, after.epoch.0), commit);
                    assert!(before.is_none_or(|before| before == commit), "{after:?} was told otherwise");
                    self.producers.push(*after);
                }
            } else if let (true, TxnReply::Producer(identity)) = (self.inits.contains(&question), &reply) {
                let newest = self.producers[self.producers.len() - 1];
                assert!(identity.epoch > newest.epoch, "{identity:?} after {newest:?}");
                self.producers.push(*identity);
            }
        }
    }

    /// What the log says is what the machine knows.
    fn check(&self) {
        let replayed = self.bench.replayed();
        let known = |coordinator: &Coordinator| {
            let mut txns = coordinator.txns.clone();
            txns.values_mut().for_each(|txn| txn.last_epoch = ProducerEpoch(-1));
            (txns, coordinator.bytes)
        };
        assert_eq!(known(&replayed), known(&self.bench.coordinator));
        let newest = self.producers.iter().map(|producer| producer.epoch).max();
        assert!(newest <= Some(self.bench.coordinator.txns["t"].epoch), "an epoch that was told is no more");
    }
}

fn run(steps: &[Step]) {
    let mut history = History::new();
    steps.iter().for_each(|step| history.take(*step));
}

#[test]
fn every_short_history_keeps_what_was_told() {
    let count = STEPS.len();
    for number in 0..count.pow(4) {
        let digits = (0..4).map(|place| number / count.pow(place) % count);
        let steps: Vec<Step> = digits.map(|digit| STEPS[digit]).collect();
        run(&steps);
    }
}

#[test]
fn long_histories_keep_what_was_told() {
    let mut random = crate::base::random::Random::new(848);
    for _ in 0..3000 {
        let mut history = History::new();
        for _ in 0..40 {
            let step = STEPS[usize::try_from(random.below(STEPS.len() as u64)).expect("an index")];
            history.take(step);
        }
    }
}
