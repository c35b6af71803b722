//! Three to five replicas of one partition, a coordinator that never fails, and everything in between that does:
//! messages are late, doubled and lost, nodes hear of the metadata late, processes end and lose what they haven't
//! flushed, brokers are fenced though they live, one loses its disk. One number replays a run.
//!
//! Checked all the time, by the names of `replication-and-durability` section 3: I1 (who is elected has all
//! acknowledged records), I2 (so has everybody who may be elected, for good), I4 (logs agree below the high
//! watermark), I6 (what a consumer saw stays), I8 (no acknowledged record is lost), I15 (no high watermark beyond a
//! log's end). In the end faults stop, and I17: all logs become equal, and everybody is in sync.

mod coordinator;
mod node;

use super::{Event, FetchPosition, IsrProposal};
use crate::base::mutant::{Mutant, all_noticed, first_noticing};
use crate::base::random::Random;
use crate::base::{BrokerEpoch, ErrorCode, NodeId, Offset, PartitionEpoch};
use coordinator::Coordinator;
use node::{Answer, Entry, Node, Outcome};

const STEPS: u32 = 2000;
const SEEDS: u64 = 1500;
const MUTANT_SEEDS: u64 = 20_000;
/// Messages under way at most.
const UNDER_WAY: usize = 40;

enum Message {
    Fetch {
        from: NodeId,
        broker_epoch: BrokerEpoch,
        asked: FetchPosition,
    },
    Fetched {
        to: NodeId,
        broker_epoch: BrokerEpoch,
        answer: Answer,
    },
    Alter {
        from: NodeId,
        broker_epoch: BrokerEpoch,
        proposal: IsrProposal,
    },
    Altered {
        to: NodeId,
        broker_epoch: BrokerEpoch,
        base: PartitionEpoch,
        result: Result<PartitionEpoch, ErrorCode>,
    },
}

struct World {
    random: Random,
    now_ms: i64,
    nodes: Vec<Node>,
    coordinator: Coordinator,
    messages: Vec<Message>,
    values: u64,
    /// What some consumer may have seen.
    committed: Vec<Entry>,
    acknowledged: Vec<u64>,
    wiped: bool,
    /// Faults in a hundred steps.
    trouble: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 3 + i32::try_from(random.below(3)).unwrap();
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let min_isr = 1 + usize::try_from(random.below(2)).unwrap();
        World {
            now_ms: 1_000_000,
            nodes: ids.iter().map(|id| Node::new(*id, min_isr)).collect(),
            coordinator: Coordinator::new(&ids, min_isr),
            random,
            messages: Vec::new(),
            values: 0,
            committed: Vec::new(),
            acknowledged: Vec::new(),
            wiped: false,
            trouble: 0,
        }
    }

    fn draw(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap()
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).expect("one of them")
    }

    fn note(&mut self, from: usize, outcome: Outcome) {
        self.acknowledged.extend(outcome.acknowledged);
        let node = &self.nodes[from];
        let (id, broker_epoch) = (node.id, node.broker_epoch);
        for proposal in outcome.proposals {
            self.messages.push(Message::Alter { from: id, broker_epoch, proposal });
        }
    }

    /// One thing happens. How many of them are faults a run decides for itself.
    fn act(&mut self, faults: bool) {
        let at = self.draw(self.nodes.len());
        let faults = faults && self.random.chance(self.trouble);
        match if faults { 82 + self.random.below(18) } else { self.random.below(82) } {
            0..8 => self.produce(at),
            8..22 => self.flush(at),
            22..36 => self.fetch(at),
            36..70 => self.deliver(self.trouble > 0),
            70..76 => self.hear(at),
            76..78 => self.nodes[at].write_checkpoint(),
            78..80 => self.nodes[at].perform_cut(),
            80..82 => self.tick(at),
            82..85 => self.end(at),
            85..90 => self.start(at, false),
            90..93 => self.coordinator.fence(self.nodes[at].id),
            93..96 => self.unfence(at),
            96..97 => self.lose_disk(at),
            _ => self.lose_message(),
        }
        self.check();
    }

    fn produce(&mut self, at: usize) {
        self.values += 1;
        let acks = if self.random.chance(80) { -1 } else { 1 };
        let outcome = self.nodes[at].produce(self.values, acks, self.now_ms);
        self.note(at, outcome);
    }

    fn flush(&mut self, at: usize) {
        let node = &self.nodes[at];
        if node.replica.is_none() || node.cut.is_some() || node.durable == node.log_end() {
            return;
        }
        let (low, high) = (node.durable + 1, node.log_end());
        let upto = low + Offset::try_from(self.random.below((high - low + 1).unsigned_abs())).unwrap();
        let outcome = self.nodes[at].flush(upto);
        self.note(at, outcome);
    }

    fn fetch(&mut self, at: usize) {
        let node = &self.nodes[at];
        let position = node.replica.as_ref().and_then(super::Replica::fetch_position);
        let Some(asked) = position.filter(|_| self.messages.len() < UNDER_WAY) else { return };
        let (from, broker_epoch) = (node.id, node.broker_epoch);
        self.messages.push(Message::Fetch { from, broker_epoch, asked });
    }

    fn deliver(&mut self, faults: bool) {
        if self.messages.is_empty() {
            return;
        }
        // Mostly the oldest; what is left behind may come very late.
        let at = if faults && self.random.chance(30) { self.draw(self.messages.len()) } else { 0 };
        match self.messages.remove(at) {
            Message::Fetch { from, broker_epoch, asked } => self.serve(from, broker_epoch, asked),
            Message::Fetched { to, broker_epoch, answer } => {
                let now_ms = self.now_ms;
                let node = self.node(to);
                // An answer comes by the connection of a process that ended with it.
                if node.broker_epoch == broker_epoch && node.replica.is_some() && node.cut.is_none() {
                    node.take(&answer, now_ms);
                }
            }
            Message::Alter { from, broker_epoch, proposal } => {
                let result = self.coordinator.alter(from, &proposal);
                let base = proposal.partition_epoch;
                // Sometimes the answer is lost.
                let result = if self.random.chance(10) { Err(ErrorCode::RequestTimedOut) } else { result };
                self.messages.push(Message::Altered { to: from, broker_epoch, base, result });
            }
            Message::Altered { to, broker_epoch, base, result } => {
                self.answer_leader(to, broker_epoch, base, result)
            }
        }
    }

    fn serve(&mut self, from: NodeId, broker_epoch: BrokerEpoch, asked: FetchPosition) {
        let (now_ms, most) = (self.now_ms, 1 + self.draw(4));
        let leader = self.place(asked.leader);
        let Some((answer, outcome)) = self.nodes[leader].answer((from, broker_epoch), asked, most, now_ms)
        else {
            return;
        };
        self.note(leader, outcome);
        self.messages.push(Message::Fetched { to: from, broker_epoch, answer });
    }

    fn answer_leader(
        &mut self,
        to: NodeId,
        broker_epoch: BrokerEpoch,
        partition_epoch: PartitionEpoch,
        result: Result<PartitionEpoch, ErrorCode>,
    ) {
        let at = self.place(to);
        if self.nodes[at].broker_epoch != broker_epoch {
            return;
        }
        if result.is_ok() {
            // Who asks has heard of what it asked for when the answer comes.
            while self.nodes[at].replica.is_some() && self.nodes[at].heard < self.coordinator.history.len() {
                self.hear(at);
            }
        }
        let outcome = self.nodes[at].step(Event::AlterAnswered { partition_epoch, result }).1;
        self.note(at, outcome);
    }

    fn hear(&mut self, at: usize) {
        let node = &self.nodes[at];
        if node.replica.is_none() || node.cut.is_some() {
            return;
        }
        let Some(assignment) = self.coordinator.history.get(node.heard).cloned() else { return };
        let outcome = self.nodes[at].hear(&assignment, self.now_ms);
        self.note(at, outcome);
    }

    fn tick(&mut self, at: usize) {
        self.now_ms += 20 + i64::try_from(self.random.below(200)).unwrap();
        let outcome = self.nodes[at].step(Event::Tick { now_ms: self.now_ms }).1;
        self.note(at, outcome);
    }

    fn end(&mut self, at: usize) {
        let node = &self.nodes[at];
        let unflushed = (node.log_end() - node.durable).unsigned_abs() + 1;
        let keep = node.durable + Offset::try_from(self.random.below(unflushed)).unwrap();
        self.nodes[at].end(keep);
    }

    fn start(&mut self, at: usize, lossy: bool) {
        if self.nodes[at].replica.is_some() {
            return;
        }
        let id = self.nodes[at].id;
        let epoch = self.coordinator.register(id, lossy);
        self.check_election();
        // It begins with some version of the metadata that it had before.
        let heard = self.draw(self.coordinator.history.len());
        let heard = heard.max(self.coordinator.history.len().saturating_sub(4));
        self.nodes[at].start(epoch, heard);
    }

    fn unfence(&mut self, at: usize) {
        let id = self.nodes[at].id;
        let is_fenced = self.coordinator.now().replicas.iter().any(|member| member.id == id && !member.able);
        if is_fenced && self.nodes[at].replica.is_some() {
            self.coordinator.unfence(id);
        }
    }

    /// A node comes back without its log, where others have everything.
    fn lose_disk(&mut self, at: usize) {
        let id = self.nodes[at].id;
        let state = self.coordinator.now();
        let others = state.isr.iter().filter(|other| **other != id).count();
        if self.wiped || others < 2 || self.nodes[at].replica.is_none() {
            return;
        }
        self.wiped = true;
        self.nodes[at].end(0);
        self.nodes[at].wipe();
        self.start(at, true);
    }

    fn lose_message(&mut self) {
        if !self.messages.is_empty() {
            let at = self.draw(self.messages.len());
            if self.random.chance(50) {
                // A connection breaks: what was under way on it is gone.
                self.messages.remove(at);
            } else if let Message::Fetch { from, broker_epoch, asked } = &self.messages[at] {
                let again = Message::Fetch { from: *from, broker_epoch: *broker_epoch, asked: *asked };
                self.messages.push(again);
            }
        }
    }

    fn check(&mut self) {
        self.check_election();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let Some(replica) = &node.replica else { continue };
            let high_watermark = replica.high_watermark();
            assert!(high_watermark <= node.log_end(), "I15: a high watermark beyond the log's end");
            assert_eq!(replica.log_end(), node.log_end(), "the machine knows its log");
            let high_watermark = usize::try_from(high_watermark).unwrap();
            self.verify(at, high_watermark);
            let news = self.nodes[at].log[..high_watermark].iter().skip(self.committed.len());
            self.committed.extend(news);
        }
        let end = self.committed.len();
        let state = self.coordinator.now();
        let electable: Vec<NodeId> = state.isr.iter().chain(&self.coordinator.elr).copied().collect();
        for id in electable {
            let at = self.place(id);
            let durable = usize::try_from(self.nodes[at].durable).unwrap();
            assert!(durable >= end, "I2: {id} may be elected and keeps {durable} of {end}");
            self.verify(at, end);
        }
        for value in self.acknowledged.drain(..) {
            let there = self.committed.iter().any(|(_, other)| *other == value);
            assert!(there, "I8: {value} is acknowledged and not committed");
        }
    }

    fn place(&self, id: NodeId) -> usize {
        self.nodes.iter().position(|node| node.id == id).expect("one of them")
    }

    /// Checks that a node's log is what is committed, up to an offset.
    fn verify(&mut self, at: usize, upto: usize) {
        let node = &mut self.nodes[at];
        let id = node.id;
        let committed = &self.committed[..upto.min(self.committed.len())];
        for (offset, entry) in committed.iter().enumerate().skip(node.verified) {
            let has = node.log.get(offset);
            assert_eq!(has, Some(entry), "I1, I4, I6: {id} hasn't what is committed at {offset}");
        }
        node.verified = node.verified.max(committed.len());
    }

    fn check_election(&mut self) {
        if let Some(id) = self.coordinator.elected.take() {
            let at = self.place(id);
            self.verify(at, self.committed.len());
        }
    }

    /// Everybody leads or follows, has everything, and is in sync.
    fn is_settled(&self) -> bool {
        let state = self.coordinator.now();
        let Some(leader) = state.leader.filter(|_| state.isr.len() == self.nodes.len()) else { return false };
        let log = &self.nodes[self.place(leader)].log;
        self.committed.len() == log.len() && self.nodes.iter().all(|node| node.log == *log)
    }

    /// Faults are over.
    fn settle(&mut self) {
        for at in 0..self.nodes.len() {
            self.start(at, false);
            self.unfence(at);
        }
        self.trouble = 0;
        for _ in 0..500 {
            self.act(false);
        }
        // Nothing more is produced.
        let mut patience = 20_000;
        while !self.is_settled() && patience > 0 {
            patience -= 1;
            let at = self.draw(self.nodes.len());
            match self.random.below(60) {
                0..10 => self.flush(at),
                10..20 => self.fetch(at),
                20..30 => self.hear(at),
                30..33 => self.nodes[at].perform_cut(),
                33..34 => self.tick(at),
                _ => self.deliver(false),
            }
            self.check();
        }
        let state = self.coordinator.now();
        let leader = state.leader.expect("I17: somebody leads");
        assert_eq!(state.isr.len(), self.nodes.len(), "I17: everybody is in sync");
        let log = &self.nodes[self.place(leader)].log;
        assert!(self.nodes.iter().all(|node| node.log == *log), "I17: all logs become equal");
        assert_eq!(self.committed.len(), log.len(), "I17: all is committed");
    }
}

/// Runs one seed; how many records were committed.
fn run(seed: u64) -> usize {
    let mut world = World::new(seed);
    world.trouble = 1 + world.random.below(20);
    for _ in 0..STEPS {
        world.act(true);
    }
    world.settle();
    world.committed.len()
}

#[test]
fn no_seed_breaks_an_invariant() {
    let mut committed = 0;
    for seed in 0..SEEDS {
        println!("seed {seed}");
        committed += run(seed);
    }
    assert!(committed > 10 * 1500, "the runs do something: {committed}");
}

#[test]
fn every_planted_fault_is_caught() {
    all_noticed(Mutant::OF_REPLICATION, |mutant| first_noticing(mutant, 0..MUTANT_SEEDS, run));
}
