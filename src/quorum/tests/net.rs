//! A little network: voters with a disk each, that loses what wasn't flushed; messages that come late, twice, in
//! another order or never; crashes, partitions, damaged files. One seed replays it.
//!
//! What it checks all the time: one leader in a term; whoever acts has what was committed before; what is committed
//! anywhere never changes; everyone applies the same entries in the same order, whether one by one or by a snapshot.

use super::*;
use crate::base::limits::BLOCK_BYTES;
use crate::quorum::disk::{HEAD_BYTES, frame_at};
use std::collections::{BTreeMap, BTreeSet};

/// Rounds that the network is given to agree once all is well.
const HEALING_ROUNDS: u64 = 400;
/// Entries after which a voter takes a snapshot.
const COMPACT_AFTER: u64 = 12;

/// Ticks that a node has to catch up.
pub(super) const JOIN_TICKS: usize = 60;

/// What may go wrong, in percent of rounds or messages.
pub(super) struct Plan {
    rounds: u64,
    lose: u64,
    twice: u64,
    late_rounds: u64,
    crash: u64,
    revive: u64,
    damage: u64,
    part: u64,
    flush_rounds: u64,
    change: u64,
}

impl Plan {
    /// What a seed stands for.
    pub(super) fn faults(seed: u64) -> Self {
        let mut random = Random::stream(seed, 99);
        Plan {
            rounds: 300,
            lose: random.below(20),
            twice: random.below(10),
            late_rounds: 1 + random.below(6),
            crash: random.below(6),
            revive: 10,
            damage: random.below(60),
            part: random.below(4),
            flush_rounds: 1 + random.below(4),
            change: 0,
        }
    }

    /// The same with other members now and then. No damage: of two voters one couldn't mend.
    pub(super) fn changes(seed: u64) -> Self {
        Plan { rounds: 600, damage: 0, change: 10, ..Plan::faults(seed) }
    }

    fn quiet(rounds: u64) -> Self {
        Plan {
            rounds,
            lose: 0,
            twice: 0,
            late_rounds: 1,
            crash: 0,
            revive: 0,
            damage: 0,
            part: 0,
            flush_rounds: 1,
            change: 0,
        }
    }
}

struct Node {
    quorum: Option<Quorum>,
    /// Its file, as a crash leaves it.
    file: Vec<u8>,
    /// Where the next frame goes.
    end: usize,
    flight: Option<(u64, Write)>,
    applied: u64,
    state: u64,
    compacted: u64,
    role: Role,
    mending: bool,
}

/// The network.
pub(super) struct Net {
    /// All nodes.
    ids: Vec<NodeId>,
    /// Those that vote first.
    first: Members,
    seed: u64,
    random: Random,
    nodes: BTreeMap<NodeId, Node>,
    round: u64,
    count: u64,
    /// Messages by when they arrive.
    wires: BTreeMap<(u64, u64), (NodeId, NodeId, Bytes)>,
    /// Who can't reach whom.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Whether that lasts.
    stays_cut: bool,
    leaders: BTreeMap<u64, NodeId>,
    /// What is committed, and the state after it.
    history: BTreeMap<u64, (Committed, u64)>,
    proposals: u64,
    changed: Option<Changed>,
    trace: u64,
}

/// Nodes that vote from the beginning.
pub(super) fn voters_of(ids: std::ops::Range<i32>) -> Members {
    Members::first(ids.map(|id| (NodeId(id), format!("node:{id}").into())))
}

pub(super) fn add(id: NodeId) -> Change {
    Change::Add { id, address: format!("node:{id}").into(), directory: [7; 16] }
}

pub(super) fn remove(id: NodeId) -> Change {
    Change::Remove { id, directory: [0; 16] }
}

/// The state after one more entry.
fn after(state: u64, entry: &Committed) -> u64 {
    mix(mix(state, entry.index), u64::from(crc32c::crc32c(&entry.data)))
}

fn mix(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17)
}

impl Net {
    pub(super) fn new(seed: u64, voters: i32) -> Self {
        Net::with_spares(seed, voters, 0)
    }

    /// A network with nodes that don't vote at first.
    pub(super) fn with_spares(seed: u64, voters: i32, spares: i32) -> Self {
        let ids: Vec<NodeId> = (0..voters + spares).map(NodeId).collect();
        let fresh = |_| Node {
            quorum: None,
            file: Vec::new(),
            end: 0,
            flight: None,
            applied: 0,
            state: 0,
            compacted: 0,
            role: Role::default(),
            mending: false,
        };
        let nodes = ids.iter().map(|id| (*id, fresh(*id))).collect();
        let mut net = Net {
            ids,
            first: voters_of(0..voters),
            seed,
            random: Random::stream(seed, 1),
            nodes,
            round: 0,
            count: 0,
            wires: BTreeMap::new(),
            cut: BTreeSet::new(),
            stays_cut: false,
            leaders: BTreeMap::new(),
            history: BTreeMap::new(),
            proposals: 0,
            changed: None,
            trace: 0,
        };
        for id in net.ids.clone() {
            net.start(id).expect("nothing has happened yet");
        }
        net
    }

    pub(super) fn digest(&self) -> u64 {
        self.trace
    }

    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// Who acts, as far as the newest term is concerned.
    pub(super) fn acting(&self) -> Option<NodeId> {
        let acting = self.nodes.iter().filter(|(_, node)| node.quorum.is_some() && node.role.acting);
        acting.max_by_key(|(_, node)| node.role.term).map(|(id, _)| *id)
    }

    /// The newest term that anybody is in.
    pub(super) fn term(&self) -> u64 {
        self.nodes.values().map(|node| node.role.term).max().unwrap_or(0)
    }

    fn start(&mut self, id: NodeId) -> Result<(), String> {
        let seed = self.seed ^ self.round;
        let conf = QuorumConf {
            id,
            members: self.first.clone(),
            election_ticks: 10,
            heartbeat_ticks: 1,
            join_ticks: JOIN_TICKS,
            seed,
        };
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        let recovered =
            read(&Bytes::from(node.file.clone()), id).map_err(|error| format!("{id}: {error}"))?;
        node.end = recovered.end;
        (node.applied, node.state, node.compacted, node.role) = (0, 0, 0, Role::default());
        node.quorum = Some(Quorum::new(conf, recovered));
        self.step(id, Input::Start)
    }

    fn step(&mut self, id: NodeId, input: Input) -> Result<(), String> {
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        let Some(quorum) = node.quorum.as_mut() else { return Ok(()) };
        let mut out = Effects::default();
        quorum.step(input, &mut out);
        node.mending = quorum.standing().mending;
        self.take(id, out)
    }

    fn take(&mut self, id: NodeId, out: Effects) -> Result<(), String> {
        self.changed = out.changed.or(self.changed);
        if let Some(snapshot) = out.installed {
            self.install(id, &snapshot)?;
        }
        for entry in out.committed {
            self.commit(id, entry)?;
        }
        if let Some(role) = out.role {
            self.lead(id, role)?;
        }
        for (to, bytes) in out.send {
            self.trace = mix(self.trace, u64::from(crc32c::crc32c(&bytes)));
            self.count += 1;
            self.wires.insert((self.round + 1, self.count), (id, to, bytes));
        }
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        if let Some(write) = out.write {
            if node.flight.is_some() {
                return Err(format!("{id} has two writes under way"));
            }
            node.flight = Some((self.round + 1, write));
        }
        match out.trouble.filter(|why| why.contains("stands down")) {
            Some(why) => Err(format!("{id}: {why}")),
            None => Ok(()),
        }
    }

    fn install(&mut self, id: NodeId, snapshot: &Snapshot) -> Result<(), String> {
        let state = match snapshot.index {
            0 => 0,
            index => self.history.get(&index).map(|(_, state)| *state).ok_or("a snapshot of nothing")?,
        };
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        if snapshot.index > 0 && snapshot.data != state.to_be_bytes().as_slice() {
            return Err(format!("{id} installed another state at {}", snapshot.index));
        }
        (node.applied, node.state, node.compacted) = (snapshot.index, state, snapshot.index);
        Ok(())
    }

    fn commit(&mut self, id: NodeId, entry: Committed) -> Result<(), String> {
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        if entry.index != node.applied + 1 {
            return Err(format!("{id} applied {} after {}", entry.index, node.applied));
        }
        node.applied = entry.index;
        node.state = after(node.state, &entry);
        let known = self.history.entry(entry.index).or_insert_with(|| (entry.clone(), node.state));
        if known.0 != entry || known.1 != node.state {
            return Err(format!("{id} committed another entry at {}", entry.index));
        }
        Ok(())
    }

    fn lead(&mut self, id: NodeId, role: Role) -> Result<(), String> {
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        node.role = role;
        if role.leader != Some(id) {
            return Ok(());
        }
        let leader = *self.leaders.entry(role.term).or_insert(id);
        if leader != id {
            return Err(format!("term {} has two leaders, {leader} and {id}", role.term));
        }
        let missing = self.history.range(node.applied + 1..).find(|(_, (entry, _))| entry.term < role.term);
        match missing.filter(|_| role.acting) {
            Some((index, _)) => Err(format!("{id} acts in term {} without entry {index}", role.term)),
            None => Ok(()),
        }
    }

    /// Runs a plan.
    pub(super) fn run(&mut self, plan: &Plan) -> Result<(), String> {
        for _ in 0..plan.rounds {
            self.one_round(plan)?;
        }
        Ok(())
    }

    /// Rounds in which nothing goes wrong.
    pub(super) fn quiet(&mut self, rounds: u64) {
        self.run(&Plan::quiet(rounds)).expect("nothing goes wrong");
    }

    fn one_round(&mut self, plan: &Plan) -> Result<(), String> {
        self.round += 1;
        for id in self.ids.clone() {
            self.step(id, Input::Tick)?;
        }
        self.deliver(plan)?;
        self.flush(plan)?;
        self.propose()?;
        self.compact()?;
        self.change_something(plan)?;
        self.disturb(plan)
    }

    fn deliver(&mut self, plan: &Plan) -> Result<(), String> {
        let later = self.wires.split_off(&(self.round + 1, 0));
        let due = std::mem::replace(&mut self.wires, later);
        for ((sent, _), (from, to, bytes)) in due {
            let apart = self.cut.contains(&(from, to)) || self.nodes[&to].quorum.is_none();
            if apart || self.random.chance(plan.lose) {
                self.step(from, Input::Unreachable(to))?;
                continue;
            }
            let late = self.random.below(plan.late_rounds);
            let again = self.random.chance(plan.twice);
            if late > 0 || again {
                self.count += 1;
                let at = self.round + late.max(1);
                // A message waits once: what was late is delivered, however late it was.
                if sent == self.round {
                    self.wires.insert((at, self.count), (from, to, bytes.clone()));
                }
            }
            if late == 0 || sent != self.round {
                self.step(to, Input::Message { from, bytes })?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, plan: &Plan) -> Result<(), String> {
        for id in self.ids.clone() {
            let node = self.nodes.get_mut(&id).expect("it is one of ours");
            let due = node.flight.as_ref().is_some_and(|(at, _)| *at <= self.round);
            if !due || self.random.below(plan.flush_rounds) > 0 {
                continue;
            }
            let Some((_, write)) = node.flight.take() else { continue };
            // Now and then there is no room for the whole file.
            let short = write.append.is_some() && self.random.chance(20);
            let anew = write.anew.filter(|_| !short);
            let took_anew = anew.is_some();
            match anew {
                Some(whole) => (node.end, node.file) = (whole.len(), whole.to_vec()),
                None => {
                    let frame = write.append.expect("a write offers one of both");
                    node.file.resize(node.end, 0);
                    node.file.extend_from_slice(&frame);
                    node.end = node.file.len();
                }
            }
            self.step(id, Input::Persisted { number: write.number, anew: took_anew })?;
        }
        Ok(())
    }

    fn propose(&mut self) -> Result<(), String> {
        for id in self.ids.clone() {
            if self.nodes[&id].role.acting && self.random.chance(40) {
                self.proposals += 1;
                let data = Bytes::from(self.proposals.to_be_bytes().to_vec());
                self.step(id, Input::Propose(data))?;
            }
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), String> {
        for id in self.ids.clone() {
            let node = self.nodes.get_mut(&id).expect("it is one of ours");
            if node.quorum.is_some() && node.applied >= node.compacted + COMPACT_AFTER {
                node.compacted = node.applied;
                let data = Bytes::from(node.state.to_be_bytes().to_vec());
                let upto = node.applied;
                self.step(id, Input::Compact { upto, data })?;
            }
        }
        Ok(())
    }

    /// Asks a voter for other members.
    pub(super) fn change(&mut self, of: NodeId, change: Change) -> Changed {
        self.changed = None;
        self.step(of, Input::Change(change)).expect("nothing goes wrong");
        self.changed.expect("there is an answer")
    }

    fn change_something(&mut self, plan: &Plan) -> Result<(), String> {
        if plan.change == 0 || !self.random.chance(plan.change) {
            return Ok(());
        }
        let id = self.ids[usize::try_from(self.random.below(self.ids.len() as u64)).expect("a few")];
        for of in self.ids.clone() {
            if self.nodes[&of].quorum.is_some() && self.nodes[&of].role.acting {
                let change = if self.members(of).votes(id) { remove(id) } else { add(id) };
                self.step(of, Input::Change(change))?;
            }
        }
        Ok(())
    }

    /// The members as a node that lives knows them.
    pub(super) fn members(&self, of: NodeId) -> &Members {
        self.nodes[&of].quorum.as_ref().expect("it lives").members()
    }

    /// Cuts a node off from all others, or lets all reach each other again.
    pub(super) fn cut_off(&mut self, id: Option<NodeId>) {
        self.stays_cut = id.is_some();
        self.cut = match id {
            Some(id) => self.ids.iter().flat_map(|other| [(id, *other), (*other, id)]).collect(),
            None => BTreeSet::new(),
        };
    }

    fn disturb(&mut self, plan: &Plan) -> Result<(), String> {
        for id in self.ids.clone() {
            if self.nodes[&id].quorum.is_none() {
                if self.random.chance(plan.revive) {
                    self.damage(id, plan);
                    self.start(id)?;
                }
            } else if self.random.chance(plan.crash) {
                self.kill(id);
            }
        }
        if self.random.chance(plan.part) {
            let pick = |random: &mut Random, all: &[NodeId]| {
                all[usize::try_from(random.below(all.len() as u64)).expect("a few")]
            };
            let (one, other) = (pick(&mut self.random, &self.ids), pick(&mut self.random, &self.ids));
            self.cut.insert((one, other));
            if self.random.chance(50) {
                self.cut.insert((other, one));
            }
        }
        if self.random.chance(5) && !self.stays_cut {
            self.cut.clear();
        }
        Ok(())
    }

    /// Ends a voter: what it was writing is there, in part, or not.
    pub(super) fn kill(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        node.quorum = None;
        let Some((_, write)) = node.flight.take() else { return };
        let fate = self.random.below(3);
        match (write.anew, write.append) {
            (Some(whole), _) if fate == 0 => node.file = whole.to_vec(),
            (_, Some(frame)) if fate > 0 => {
                let sectors = frame.len() as u64 / 512;
                let kept = if fate == 1 { sectors } else { self.random.below(sectors) };
                node.file.resize(node.end, 0);
                node.file.extend_from_slice(&frame[..usize::try_from(kept * 512).expect("a few")]);
            }
            _ => {}
        }
    }

    /// Flips a bit in a frame of a voter that has good ones behind it. One voter at a time: with more, promises of a
    /// majority are lost.
    fn damage(&mut self, id: NodeId, plan: &Plan) {
        let others_well = self.nodes.iter().all(|(other, node)| *other == id || !node.mending);
        if self.ids.len() == 1 || !others_well || !self.random.chance(plan.damage) {
            return;
        }
        let node = self.nodes.get_mut(&id).expect("it is one of ours");
        let bytes = Bytes::from(node.file.clone());
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Some(frame) = frame_at(&bytes, at) {
            frames.push(at);
            at = (at + HEAD_BYTES + frame.body.len()).next_multiple_of(BLOCK_BYTES);
        }
        if frames.len() < 2 {
            return;
        }
        let nth = usize::try_from(self.random.below(frames.len() as u64 - 1)).expect("a few");
        let byte = usize::try_from(self.random.below(64)).expect("a few");
        node.file[frames[nth] + byte] ^= 1 << self.random.below(8);
        node.mending = true;
    }

    /// Lets all be well again: they agree, and everyone has everything.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.cut.clear();
        for id in self.ids.clone() {
            if self.nodes[&id].quorum.is_none() {
                self.start(id)?;
            }
        }
        let before = self.history.last_key_value().map_or(0, |(index, _)| *index);
        self.run(&Plan::quiet(HEALING_ROUNDS))?;
        let newest = self.history.last_key_value().map_or(0, |(index, _)| *index);
        if newest <= before {
            return Err("nothing was committed once all was well".to_owned());
        }
        let members = self.members(self.acting().ok_or("nobody acts")?).clone();
        if let Some(learner) = members.learner() {
            return Err(format!("{} stays one that is to become a voter", learner.id));
        }
        if let Some(id) = self.ids.iter().find(|id| self.members(**id).votes(**id) != members.votes(**id)) {
            return Err(format!("{id} doesn't know whether it votes"));
        }
        let behind = self.nodes.iter().find(|(id, node)| members.votes(**id) && node.applied + 5 < newest);
        behind.map_or(Ok(()), |(id, node)| Err(format!("{id} stays at {} of {newest}", node.applied)))
    }
}
