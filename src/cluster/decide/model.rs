//! Every short history of three brokers that share one partition: they are fenced and unfenced, die, come back with and
//! without what they had, learn of the metadata late, copy from whoever they take for the leader; leaders append,
//! acknowledge, and propose who is in sync, and proposals come late. After each step the invariants hold that are named
//! I1, I2, I3, I7, I9 and I10 in Vanlightly's specification of KIP-966. What brokers do is as simple as can be; what is
//! decided about them is the real thing.

use super::*;
use crate::base::mutant::{Mutant, plant};
use crate::base::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, TopicId, TopicPartition};
use crate::cluster::{BrokerEntry, IsrChange, NO_LEADER, PartitionEntry, Registration};
use crate::wire::Str;
use std::collections::BTreeSet;

mod key;

const BROKERS: usize = 3;
const TOPIC: TopicId = TopicId([1; 16]);
/// Records that are appended at most.
const RECORDS_MAX: usize = 2;
/// Brokers that come back without what they had.
const LOSSES_MAX: usize = 2;

/// A record: the term that it was appended in, and its number.
type Entry = (LeaderEpoch, usize);

/// The metadata as a broker knows it.
#[derive(Clone, Debug)]
struct View {
    entry: PartitionEntry,
    epochs: [BrokerEpoch; BROKERS],
    active: [bool; BROKERS],
}

#[derive(Clone, Debug)]
struct Node {
    up: bool,
    /// As the process was registered.
    epoch: BrokerEpoch,
    log: Vec<Entry>,
    view: View,
    /// As leader: where the term began, what followers have said, and who would be in sync as well.
    term_start: usize,
    followers: [Option<(BrokerEpoch, usize)>; BROKERS],
    proposed: Vec<NodeId>,
}

#[derive(Clone, Debug)]
struct World {
    min_isr: usize,
    applied: u64,
    truth: View,
    nodes: Vec<Node>,
    /// A proposal on its way to the coordinator.
    wire: Option<(NodeId, BrokerEpoch, IsrChange)>,
    acked: Vec<Entry>,
    produced: usize,
    losses: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Fence(usize),
    Unfence(usize),
    Die(usize),
    Restart(usize, bool),
    Learn(usize),
    Append(usize),
    Fetch { follower: usize, leader: usize },
    Shrink { leader: usize, member: usize },
    Expand { leader: usize, member: usize },
    Decide,
    Reassign,
}

fn id(index: usize) -> NodeId {
    NodeId(i32::try_from(index).unwrap())
}

fn index(id: NodeId) -> usize {
    usize::try_from(id.0).unwrap()
}

fn is_prefix(short: &[Entry], long: &[Entry]) -> bool {
    long.starts_with(short)
}

impl World {
    /// One record is acknowledged; these are in sync, and all have it who are.
    fn new(min_isr: usize, replicas: &[usize], isr: &[usize], elr: &[usize]) -> World {
        let ids = |list: &[usize]| list.iter().copied().map(id).collect::<Vec<_>>();
        let entry = PartitionEntry { elr: ids(elr), ..PartitionEntry::new(ids(replicas), ids(isr)) };
        let epochs = [0, 1, 2].map(BrokerEpoch);
        let truth = View { entry, epochs, active: [true; BROKERS] };
        let first = vec![(LeaderEpoch(0), 0)];
        let node = |number: usize| Node {
            up: true,
            epoch: epochs[number],
            log: if isr.contains(&number) || elr.contains(&number) { first.clone() } else { Vec::new() },
            view: truth.clone(),
            term_start: 0,
            followers: [None; BROKERS],
            proposed: Vec::new(),
        };
        let nodes = (0..BROKERS).map(node).collect();
        World { min_isr, applied: 100, truth, nodes, wire: None, acked: first, produced: 1, losses: 0 }
    }

    fn state(&self) -> ClusterState {
        let mut state = ClusterState::new("m");
        for number in 0..BROKERS {
            let epoch = self.truth.epochs[number];
            let entry = BrokerEntry {
                epoch,
                incarnation: i128::from(epoch.0).to_be_bytes(),
                host: Str::EMPTY,
                port: 1,
                peer: Str::from_static("peer"),
                rack: None,
                shards: 1,
                fenced: !self.truth.active[number],
                shutting_down: false,
                resumed: None,
            };
            state.apply(&Record::Broker { id: id(number), entry });
        }
        let configs = BTreeMap::from([(MIN_ISR.to_owned(), self.min_isr.to_string())]);
        state.apply(&Record::Topic { id: TOPIC, name: Str::from_static("t"), configs });
        state.apply(&Record::Partition { topic: TOPIC, entry: self.truth.entry.clone() });
        state.applied = self.applied;
        state
    }

    fn decide(&mut self, command: Command) -> Outcome {
        let mut state = self.state();
        let (records, outcome) = decide(&state, command);
        records.iter().for_each(|record| state.apply(record));
        self.applied = state.applied();
        self.truth.entry = state.topic("t").unwrap().partitions[0].clone();
        for number in 0..BROKERS {
            let broker = state.broker(id(number)).unwrap();
            (self.truth.epochs[number], self.truth.active[number]) = (broker.epoch, broker.is_active());
        }
        outcome
    }

    fn fence(&mut self, number: usize, fenced: bool) {
        let (broker, epoch) = (id(number), self.truth.epochs[number]);
        self.decide(Command::SetBrokerState { broker, epoch, fenced, shutting_down: false });
    }

    fn leads(&self, number: usize) -> bool {
        self.nodes[number].up && self.nodes[number].view.entry.leader == id(number)
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for number in 0..BROKERS {
            let node = &self.nodes[number];
            if self.truth.active[number] {
                steps.extend([Step::Fence(number), Step::Die(number)]);
            } else if node.up {
                steps.push(Step::Unfence(number));
            } else {
                steps.push(Step::Restart(number, false));
                steps.extend((self.losses < LOSSES_MAX).then_some(Step::Restart(number, true)));
            }
            if node.up && (&node.view.entry, node.view.active) != (&self.truth.entry, self.truth.active) {
                steps.push(Step::Learn(number));
            }
            if self.leads(number) {
                self.steps_of_leader(number, &mut steps);
            }
        }
        steps.extend(self.wire.as_ref().map(|_| Step::Decide));
        let elsewhere = self.truth.entry.replicas.len() < BROKERS && !self.truth.entry.is_reassigning();
        steps.extend((elsewhere && self.wire.is_none()).then_some(Step::Reassign));
        steps
    }

    fn steps_of_leader(&self, leader: usize, steps: &mut Vec<Step>) {
        let node = &self.nodes[leader];
        if self.produced < RECORDS_MAX && node.view.entry.isr.len() >= self.enough(&node.view.entry) {
            steps.push(Step::Append(leader));
        }
        for other in (0..BROKERS).filter(|other| *other != leader) {
            let follower = &self.nodes[other];
            let follows = follower.view.entry.leader == id(leader)
                && follower.view.entry.leader_epoch == node.view.entry.leader_epoch
                && follower.view.entry.replicas.contains(&id(other));
            if follower.up && follows {
                steps.push(Step::Fetch { follower: other, leader });
            }
            if !node.proposed.is_empty() || self.wire.is_some() {
                continue;
            }
            let in_sync = node.view.entry.isr.contains(&id(other));
            let Some((epoch, end)) = node.followers[other] else {
                steps.extend(in_sync.then_some(Step::Shrink { leader, member: other }));
                continue;
            };
            if in_sync {
                steps.push(Step::Shrink { leader, member: other });
            } else if end >= self.high_watermark(leader).max(node.term_start)
                && node.view.active[other]
                && node.view.epochs[other] == epoch
                && node.view.entry.replicas.contains(&id(other))
            {
                steps.push(Step::Expand { leader, member: other });
            }
        }
    }

    fn enough(&self, entry: &PartitionEntry) -> usize {
        self.min_isr.min(entry.replicas.len())
    }

    /// Everybody without whom a leader acknowledges nothing: those in sync, and those who may be already.
    fn maximal_isr(&self, leader: usize) -> BTreeSet<NodeId> {
        let node = &self.nodes[leader];
        node.view.entry.isr.iter().chain(&node.proposed).copied().collect()
    }

    /// How far everybody has come whom the leader has to wait for.
    fn high_watermark(&self, leader: usize) -> usize {
        let node = &self.nodes[leader];
        let end = |member: &NodeId| match node.followers[index(*member)] {
            _ if *member == id(leader) => node.log.len(),
            Some((_, end)) => end,
            None => 0,
        };
        self.maximal_isr(leader).iter().map(end).min().unwrap_or(0)
    }

    fn acknowledge(&mut self, leader: usize) {
        let node = &self.nodes[leader];
        if node.view.entry.isr.len() < self.enough(&node.view.entry) {
            return;
        }
        let end = self.high_watermark(leader);
        if end > self.acked.len() {
            self.acked = self.nodes[leader].log[..end].to_vec();
        }
    }

    fn take(&self, step: Step) -> World {
        let mut it = self.clone();
        match step {
            Step::Fence(number) => it.fence(number, true),
            Step::Unfence(number) => it.fence(number, false),
            Step::Die(number) => {
                it.nodes[number].up = false;
                it.fence(number, true);
            }
            Step::Restart(number, lossy) => it.restart(number, lossy),
            Step::Learn(number) => it.learn(number),
            Step::Append(number) => {
                let node = &mut it.nodes[number];
                node.log.push((node.view.entry.leader_epoch, it.produced));
                it.produced += 1;
                it.acknowledge(number);
            }
            Step::Fetch { follower, leader } => it.fetch(follower, leader),
            Step::Shrink { leader, member } => it.propose(leader, member, false),
            Step::Expand { leader, member } => it.propose(leader, member, true),
            Step::Decide => it.decide_proposal(),
            Step::Reassign => {
                let away = it.truth.entry.replicas[0];
                let replicas = (0..BROKERS).map(id).filter(|node| *node != away).collect();
                let (topic, partition) = (Str::from_static("t"), PartitionIndex(0));
                let moves = vec![crate::cluster::Reassignment { topic, partition, replicas: Some(replicas) }];
                it.decide(Command::Reassign { moves, factor_may_change: false });
            }
        }
        it
    }

    fn restart(&mut self, number: usize, lossy: bool) {
        let registration = Registration {
            id: id(number),
            incarnation: u128::from(self.applied + 1).to_be_bytes(),
            host: Str::EMPTY,
            port: 1,
            peer: Str::from_static("peer"),
            rack: None,
            shards: 1,
            clean_epoch: (!lossy).then_some(self.truth.epochs[number]),
        };
        let Outcome::Registered { epoch } = self.decide(Command::RegisterBroker(registration)) else {
            panic!("a fenced broker may register")
        };
        let node = &mut self.nodes[number];
        (node.up, node.epoch) = (true, epoch);
        if lossy {
            node.log.clear();
            self.losses += 1;
        }
        node.view.entry.leader = NO_LEADER;
        self.learn(number);
    }

    fn learn(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.view.entry.leader_epoch != self.truth.entry.leader_epoch
            || node.view.entry.leader != id(number)
        {
            node.term_start = node.log.len();
            node.followers = [None; BROKERS];
        }
        if node.view.entry.partition_epoch != self.truth.entry.partition_epoch {
            node.proposed.clear();
        }
        node.view = self.truth.clone();
        if self.leads(number) {
            self.acknowledge(number);
        }
    }

    /// A follower cuts off what its leader hasn't got, or copies what it has and says so.
    fn fetch(&mut self, follower: usize, leader: usize) {
        let theirs = self.nodes[leader].log.clone();
        let node = &mut self.nodes[follower];
        let common = node.log.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        node.log.truncate(common);
        node.log.extend(&theirs[common..]);
        let told = Some((node.epoch, theirs.len()));
        self.nodes[leader].followers[follower] = told;
        self.acknowledge(leader);
    }

    fn propose(&mut self, leader: usize, member: usize, joins: bool) {
        let node = &mut self.nodes[leader];
        let mut isr = node.view.entry.isr.clone();
        if joins {
            isr.push(id(member));
            node.proposed.clone_from(&isr);
        } else {
            isr.retain(|other| *other != id(member));
            // Who is to go is waited for until it is gone.
            node.proposed.clone_from(&node.view.entry.isr);
        }
        let epoch = |other: NodeId| match node.followers[index(other)] {
            Some((epoch, _)) if other != id(leader) => epoch,
            _ => node.view.epochs[index(other)],
        };
        let change = IsrChange {
            partition: TopicPartition { topic: TOPIC, partition: PartitionIndex(0) },
            leader_epoch: node.view.entry.leader_epoch,
            partition_epoch: node.view.entry.partition_epoch,
            isr: isr.into_iter().map(|other| (other, epoch(other))).collect(),
        };
        self.wire = Some((id(leader), node.epoch, change));
    }

    fn decide_proposal(&mut self) {
        let Some((broker, broker_epoch, change)) = self.wire.take() else { return };
        let outcome = self.decide(Command::AlterIsr { broker, broker_epoch, changes: vec![change.clone()] });
        let refused = match outcome {
            Outcome::Isr(results) => results[0].is_err(),
            _ => true,
        };
        // A leader that is told "no" waits for those only again that it knows to be in sync.
        let node = &mut self.nodes[index(broker)];
        if refused && node.epoch == broker_epoch && node.view.entry.partition_epoch == change.partition_epoch
        {
            node.proposed.clear();
        }
    }

    /// What is wrong, if something is.
    fn broken(&self, before: &PartitionEntry) -> Option<&'static str> {
        let now = &self.truth.entry;
        let has_all = |node: &NodeId| is_prefix(&self.acked, &self.nodes[index(*node)].log);
        let elected = now.leader != before.leader && now.leader != NO_LEADER;
        if elected && !has_all(&now.leader) {
            return Some("I1: a leader lacks what was acknowledged");
        }
        if !now.isr.iter().chain(&now.elr).all(has_all) {
            return Some("I2: who could lead lacks what was acknowledged");
        }
        let leader = usize::try_from(now.leader.0).ok().filter(|leader| self.leads(*leader));
        let current = leader.filter(|leader| self.nodes[*leader].view.entry.leader_epoch == now.leader_epoch);
        let waits = current.map(|leader| self.maximal_isr(leader));
        if waits.is_some_and(|waits| !now.isr.iter().all(|node| waits.contains(node))) {
            return Some("I3: a leader doesn't wait for all that are in sync");
        }
        if now.isr.len() >= self.enough(now) && !now.elr.is_empty() {
            return Some("I3: somebody is eligible whom nobody waits for");
        }
        if self.losses < self.min_isr && now.isr.is_empty() && now.elr.is_empty() {
            return Some("I7: nobody is left after fewer losses than replicas that had it all");
        }
        if now.leader_epoch < before.leader_epoch || elected && now.leader_epoch == before.leader_epoch {
            return Some("I9: two leaders in one term");
        }
        let step = now.partition_epoch.0 - before.partition_epoch.0;
        if now != before && step < 1 || now == before && step != 0 {
            return Some("I9: a change that can't be told from another");
        }
        if !now.isr.iter().all(|node| self.truth.active[index(*node)]) {
            return Some("I10: somebody is in sync who isn't relied on");
        }
        let led = now.leader == NO_LEADER || now.isr.contains(&now.leader);
        (!led).then_some("a leader isn't in sync")
    }
}

/// Looks at every history of so many steps; the first that breaks something, or how many worlds there are.
fn explore(start: &World, depth: usize) -> Result<usize, String> {
    let mut seen = BTreeSet::from([start.key()]);
    let mut edge = vec![(start.clone(), Vec::new())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (world, history) in edge {
            for step in world.steps() {
                let after = world.take(step);
                if let Some(why) = after.broken(&world.truth.entry) {
                    return Err(format!("{why}: {history:?}, then {step:?}: {after:?}"));
                }
                if seen.insert(after.key()) {
                    let mut history: Vec<Step> = history.clone();
                    history.push(step);
                    next.push((after, history));
                }
            }
        }
        edge = next;
    }
    Ok(seen.len())
}

/// Where histories begin: everybody in sync; somebody behind; too few in sync and others eligible; one of two replicas.
fn starts() -> Vec<World> {
    vec![
        World::new(2, &[0, 1, 2], &[0, 1, 2], &[]),
        World::new(1, &[0, 1, 2], &[0, 1], &[]),
        World::new(2, &[0, 1, 2], &[0, 1], &[]),
        World::new(2, &[0, 1, 2], &[0], &[1]),
        World::new(1, &[0, 1], &[0, 1], &[]),
    ]
}

#[test]
fn no_short_history_loses_what_was_acknowledged() {
    let mut worlds = 0;
    for start in starts() {
        worlds += explore(&start, 6).unwrap_or_else(|why| panic!("{why}"));
    }
    assert!(worlds > 50_000, "the model has shrunk: {worlds} worlds");
}

#[test]
fn every_planted_fault_is_noticed() {
    for mutant in Mutant::OF_ELECTIONS {
        plant(Some(*mutant));
        let noticed = starts().iter().any(|start| explore(start, 6).is_err());
        plant(None);
        assert!(noticed, "{mutant:?} goes unnoticed");
    }
}
