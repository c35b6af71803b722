//! The machine.

use super::change::{Joining, adopt, change, propose_members};
use super::disk::{Recovered, Stand};
use super::effects::{Changed, Committed, Effects, Input, Proposed, Refusal, Role, Snapshot};
use super::engine::{hand_over, post, propose, take_batch, voter, whole};
use super::guard::{Verdict, judge};
use super::members::Members;
use super::mend::Mending;
use super::message::Message;
use super::standing::{Standing, VoterStanding};
use super::store::Store;
use super::writes::Writes;
use super::{node_id, raft_id};
use crate::base::NodeId;
use crate::base::mutant::{Mutant, planted};
use crate::base::random::Random;
use crate::wire::Str;
use bytes::Bytes;
use raft::eraftpb::{self, MessageType};
use raft::{ProgressState, RawNode, SnapshotStatus, StateRole};
use std::collections::{BTreeSet, VecDeque};

/// Ticks over which followers that saw the leader's connection break spread their campaigns.
const IMPATIENT_TICKS: u64 = 3;

/// Who votes, and how patiently.
#[derive(Clone, Debug)]
pub struct QuorumConf {
    /// This node.
    pub id: NodeId,
    /// The voters that a log begins with which isn't there yet. This node needn't be one: then it waits to be added.
    pub members: Members,
    /// Ticks without a word of the leader before a voter campaigns; drawn from there to twice that.
    pub election_ticks: usize,
    /// Ticks between two of the leader's heartbeats.
    pub heartbeat_ticks: usize,
    /// Ticks that a node has to catch up before it may vote.
    pub join_ticks: usize,
    /// For those draws.
    pub seed: u64,
}

enum Mind {
    /// Takes part.
    Voting(Box<RawNode<Store>>),
    /// Has lost entries and waits for the leader's.
    Mending(Box<Mending>),
    /// Has seen what can't be, and does nothing more.
    Down,
}

/// One node's part in the coordinators' quorum, as a voter, or as one that may become a voter. Lives on shard 0 of a
/// node with the coordinator's role.
pub struct Quorum {
    conf: QuorumConf,
    mind: Mind,
    /// The members when it last took part.
    known: Members,
    joining: Joining,
    writes: Writes,
    /// Messages that wait for the write that they rest on, by the crate's batch.
    held: VecDeque<(u64, Vec<eraftpb::Message>)>,
    /// States of the leader that are being written, likewise.
    installing: VecDeque<(u64, Snapshot)>,
    /// The state to begin with, until it is handed out.
    begin: Option<Snapshot>,
    role: Role,
    random: Random,
    /// Ticks without a word of the leader until this voter campaigns, and the term and state that it was drawn for.
    patience: usize,
    drawn_for: Option<(u64, StateRole)>,
}

impl Quorum {
    /// A voter with what its file holds.
    #[must_use]
    pub fn new(conf: QuorumConf, mut recovered: Recovered) -> Self {
        if let Some(snapshot) = &mut recovered.snapshot {
            // Where to reach those who were never changed says the configuration; who they are, the log.
            let of = if planted(Mutant::ForgetMembers) { &recovered.members } else { &snapshot.members };
            if of.index == 0 {
                snapshot.members = of.clone().told_by(&conf.members);
            }
        }
        if planted(Mutant::ForgetVote) {
            recovered.vote = None;
        }
        let writes = Writes::new(recovered.chain);
        let begin = recovered.snapshot.clone();
        let mind = match recovered.damage.filter(|_| !planted(Mutant::CutDamage)) {
            Some(damage) => {
                let mending = Mending::new(recovered.term, recovered.vote, damage.last);
                Mind::Mending(Box::new(mending))
            }
            None => Mind::Voting(Box::new(voter(&conf, &recovered))),
        };
        let known = Some(recovered.newest_members()).filter(|known| !known.all.is_empty());
        let known = known.unwrap_or(&conf.members).clone();
        let random = Random::stream(conf.seed, raft_id(conf.id));
        Quorum {
            conf,
            mind,
            known,
            joining: Joining::default(),
            writes,
            held: VecDeque::new(),
            installing: VecDeque::new(),
            begin,
            role: Role::default(),
            random,
            patience: 0,
            drawn_for: None,
        }
    }

    /// Steps on one input.
    pub fn step(&mut self, input: Input, out: &mut Effects) {
        let is_start = matches!(input, Input::Start);
        if let Input::Persisted { number, anew } = input {
            self.writes.done(number, anew);
            self.mended(out);
        }
        match &mut self.mind {
            Mind::Voting(_) => self.vote(input, out),
            Mind::Mending(_) => self.mend(input, out),
            Mind::Down => {}
        }
        self.settle(out);
        if is_start {
            self.begin(out);
        }
    }

    /// Who turns out to be the only voter when its log is applied has nobody to ask, and leads at once.
    fn begin(&mut self, out: &mut Effects) {
        let Mind::Voting(node) = &mut self.mind else { return };
        if node.store().members().is_lone(self.conf.id) {
            let _ = node.campaign();
            self.settle(out);
        }
    }

    /// How the voters stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut standing = Standing {
            term: self.role.term,
            leader: self.role.leader,
            committed: 0,
            last: 0,
            members: self
                .members()
                .all
                .iter()
                .cloned()
                .map(|member| VoterStanding { member, last: None })
                .collect(),
            mending: matches!(self.mind, Mind::Mending(_)),
        };
        let Mind::Voting(node) = &self.mind else { return standing };
        let raft = &node.raft;
        (standing.committed, standing.last) = (raft.raft_log.committed, raft.raft_log.last_index());
        if raft.state == StateRole::Leader {
            for it in &mut standing.members {
                it.last = raft.prs().get(raft_id(it.member.id)).map(|progress| progress.matched);
            }
        }
        standing
    }

    /// Who belongs to the quorum, as of what this node has applied.
    #[must_use]
    pub fn members(&self) -> &Members {
        match &self.mind {
            Mind::Voting(node) => node.store().members(),
            Mind::Mending(_) | Mind::Down => &self.known,
        }
    }

    /// The last entry that this node has applied; 0 for none, or where it doesn't take part.
    #[must_use]
    pub fn applied(&self) -> u64 {
        match &self.mind {
            Mind::Voting(node) => node.raft.raft_log.applied,
            Mind::Mending(_) | Mind::Down => 0,
        }
    }

    /// Where the log says that a node is reached, even if that isn't committed.
    #[must_use]
    pub fn address_of(&self, id: NodeId) -> Option<Str> {
        let told = |members: &Members| members.get(id).map(|member| member.address.clone());
        match &self.mind {
            Mind::Voting(node) => node.store().all_members().find_map(told),
            Mind::Mending(_) | Mind::Down => told(&self.known),
        }
    }

    /// The log up to an entry that was handed out: the state that it begins with, and the entries after that.
    #[must_use]
    pub fn log(&self, upto: u64) -> Option<(Option<Snapshot>, Vec<Committed>)> {
        let Mind::Voting(node) = &self.mind else { return None };
        let snapshot = node.store().snapshot().cloned();
        let from = snapshot.as_ref().map_or(1, |snapshot| snapshot.index + 1);
        Some((snapshot, self.entries(from, upto, usize::MAX)?))
    }

    /// Entries from one on, up to one that was handed out, of about so many bytes; `None` if they aren't kept.
    #[must_use]
    pub fn entries(&self, from: u64, upto: u64, bytes_max: usize) -> Option<Vec<Committed>> {
        let Mind::Voting(node) = &self.mind else { return None };
        let store = node.store();
        let mut room = bytes_max;
        let fits = |entry: &&Committed| {
            let fits = room > 0 && entry.index <= upto;
            room = room.saturating_sub(entry.data.len().max(1));
            fits
        };
        (from >= store.first()).then(|| store.from(from).iter().take_while(fits).cloned().collect())
    }

    fn vote(&mut self, input: Input, out: &mut Effects) {
        let Mind::Voting(node) = &mut self.mind else { return };
        match input {
            Input::Start => out.installed = self.begin.take(),
            Input::Tick => {
                if !is_hasty(node, self.conf.id) && self.installing.is_empty() {
                    node.tick();
                }
                if self.role.acting
                    && let Some(members) = self.joining.tick(node, self.conf.join_ticks)
                {
                    propose_members(node, &members);
                }
            }
            Input::Message { from, bytes } => self.receive(from, &bytes, out),
            Input::Propose(data) => out.proposed = Some(propose(node, self.role.acting, &data)),
            Input::Persisted { .. } => {}
            Input::Compact { upto, data } => {
                node.mut_store().compact(upto, data);
                self.writes.begin_anew();
            }
            Input::Unreachable(voter) => self.unreachable(voter),
            Input::HandOver => hand_over(node, self.conf.id),
            Input::Change(wish) => out.changed = Some(change(node, self.role.acting, &wish)),
        }
    }

    fn receive(&mut self, from: NodeId, bytes: &Bytes, out: &mut Effects) {
        let Mind::Voting(node) = &mut self.mind else { return };
        // A voter that lags behind doesn't know all who may speak to it: what they say is judged, not who they are.
        if from == self.conf.id {
            return;
        }
        let mut message = match Message::decode(bytes) {
            Ok(Message::Raft(message)) => message,
            Ok(Message::Ask) => {
                // Who doesn't act tells whom to ask.
                let members = || Message::Members(node.store().members().clone());
                let answer = if self.role.acting { Message::Whole(whole(node)) } else { members() };
                out.send.extend(answer.encode().map(|bytes| (from, bytes)));
                return;
            }
            Ok(Message::Members(members)) => return self.learn(members),
            _ => return,
        };
        (message.from, message.to) = (raft_id(from), raft_id(self.conf.id));
        let members = node.store().members();
        if is_campaign(&message) && members.get(from).is_none() && !members.all.is_empty() {
            out.send.extend(Message::Members(members.clone()).encode().map(|bytes| (from, bytes)));
        }
        // Who has nothing and isn't to vote may be an old voter with a new disk: it doesn't know whom it voted for.
        if is_campaign(&message) && node.raft.raft_log.last_index() == 0 && !members.votes(self.conf.id) {
            return;
        }
        let waits = is_hasty(node, self.conf.id) || !self.installing.is_empty();
        if waits && leads_on(&message) {
            return;
        }
        if message.has_snapshot() {
            // The crate takes none that doesn't name who takes it. This one may be older than the entry that does.
            let conf = message.mut_snapshot().mut_metadata().mut_conf_state();
            let this = raft_id(self.conf.id);
            if !conf.voters.contains(&this) && !conf.learners.contains(&this) {
                conf.learners.push(this);
            }
        }
        match judge(node, &message) {
            Verdict::Take => {
                // What isn't for this voter's role is an error to the crate, and nothing to us.
                let _ = node.step(*message);
            }
            Verdict::Drop => {}
            Verdict::Forgotten(upto) => {
                let (term, last) = (node.raft.term, upto.max(node.raft.raft_log.last_index()));
                let why = "entries that this voter acknowledged aren't in its log";
                out.trouble =
                    Some(format!("{why}: it doesn't vote until it has the leader's log up to {last}"));
                let vote = node_id(node.raft.vote);
                self.leave(Mind::Mending(Box::new(Mending::new(term, vote, last))));
            }
            Verdict::TwoHistories(index) => {
                let why = "the leader's log differs from what is committed here";
                out.trouble = Some(format!("{why}, at {index}: this voter stands down"));
                self.leave(Mind::Down);
            }
        }
    }

    /// Takes from another node that this one is no voter any more, or never was.
    fn learn(&mut self, members: Members) {
        let Mind::Voting(node) = &mut self.mind else { return };
        let (now, this) = (node.store().members(), self.conf.id);
        let newer = members.index > now.index || node.raft.raft_log.last_index() == 0;
        let out = now.votes(this) && members.get(this).is_none() && !members.all.is_empty();
        if newer && out && node.raft.state != StateRole::Leader {
            adopt(node, members, this);
        }
    }

    /// Stops taking part. Nothing that it would have promised leaves.
    fn leave(&mut self, mind: Mind) {
        self.known = self.members().clone();
        self.mind = mind;
        self.held.clear();
        self.installing.clear();
        self.writes.forget();
    }

    fn unreachable(&mut self, voter: NodeId) {
        let Mind::Voting(node) = &mut self.mind else { return };
        let id = raft_id(voter);
        if node.raft.state == StateRole::Leader {
            let snapshot = node.raft.prs().get(id).is_some_and(|it| it.state == ProgressState::Snapshot);
            if snapshot {
                node.report_snapshot(id, SnapshotStatus::Failure);
            }
            node.report_unreachable(id);
        } else if node.raft.leader_id == id {
            let left = usize::try_from(self.random.below(IMPATIENT_TICKS)).unwrap_or(0);
            let soon = self.patience.saturating_sub(1 + left).max(self.conf.election_ticks);
            node.raft.election_elapsed = node.raft.election_elapsed.max(soon);
        }
    }

    fn mend(&mut self, input: Input, out: &mut Effects) {
        let Mind::Mending(mending) = &mut self.mind else { return };
        match input {
            Input::Start => {
                let why = "the log is damaged before its end";
                let last = mending.last;
                out.trouble =
                    Some(format!("{why}: this voter doesn't vote until it has the leader's up to {last}"));
            }
            Input::Tick if mending.tick(self.conf.heartbeat_ticks) => {
                let all = self.known.all.iter().chain(&self.conf.members.all).map(|member| member.id);
                let others: BTreeSet<NodeId> = all.filter(|id| *id != self.conf.id).collect();
                let ask = |to| Message::Ask.encode().map(|bytes| (to, bytes));
                out.send.extend(others.into_iter().filter_map(ask));
            }
            Input::Message { bytes, .. } if !self.writes.busy() => {
                let whole = match Message::decode(&bytes) {
                    Ok(Message::Whole(whole)) => whole,
                    Ok(Message::Members(members)) if members.index > self.known.index => {
                        self.known = members;
                        return;
                    }
                    _ => return,
                };
                let Some(log) = mending.judge(whole) else { return };
                let stand = Stand {
                    node: self.conf.id,
                    members: log.members.clone(),
                    term: log.term,
                    vote: log.vote,
                    commit: log.commit,
                    last: log.last(),
                };
                out.write = Some(self.writes.whole(&stand, (log.snapshot.as_ref(), &log.entries)));
                mending.taken = Some(log);
            }
            Input::Propose(_) => out.proposed = Some(Proposed::Refused),
            Input::Change(_) => out.changed = Some(Changed::Refused(Refusal::NotLeading)),
            _ => {}
        }
    }

    /// Takes part again, once the leader's log is in this voter's file.
    fn mended(&mut self, out: &mut Effects) {
        let Mind::Mending(mending) = &mut self.mind else { return };
        let Some(log) = mending.taken.take_if(|_| !self.writes.busy()) else { return };
        let members = log.members.clone();
        let nothing = Snapshot { index: 0, term: 0, data: Bytes::new(), members };
        out.installed = Some(log.snapshot.clone().unwrap_or(nothing));
        out.mended = Some(log.last());
        self.writes.forget();
        self.drawn_for = None;
        self.mind = Mind::Voting(Box::new(voter(&self.conf, &log)));
    }

    /// Hands out what has become ready, until nothing more does.
    fn settle(&mut self, out: &mut Effects) {
        let Mind::Voting(node) = &mut self.mind else {
            return self.tell_role(Role { term: self.role.term, ..Role::default() }, out);
        };
        let mut settled = None;
        loop {
            while node.has_ready() {
                let node = (&mut **node, self.conf.id);
                take_batch(node, &mut self.writes, &mut self.held, &mut self.installing, out);
            }
            let durable = self.writes.durable();
            if settled == Some(durable) {
                break;
            }
            settled = Some(durable);
            node.on_persist_ready(durable);
            while let Some((_, snapshot)) = self.installing.pop_front_if(|(batch, _)| *batch <= durable) {
                node.advance_apply_to(snapshot.index);
                out.installed = Some(snapshot);
            }
            while let Some((_, messages)) = self.held.pop_front_if(|(batch, _)| *batch <= durable) {
                post(messages, out);
            }
        }
        self.draw_patience();
        self.write_next(out);
        let role = self.current_role();
        self.tell_role(role, out);
    }

    fn write_next(&mut self, out: &mut Effects) {
        let Mind::Voting(node) = &self.mind else { return };
        let raft = &node.raft;
        let stand = Stand {
            node: self.conf.id,
            members: node.store().first_members().clone(),
            term: raft.term,
            vote: node_id(raft.vote),
            commit: raft.raft_log.committed,
            last: raft.raft_log.last_index(),
        };
        if let Some(write) = self.writes.next(&stand, node.store()) {
            out.write = Some(write);
        }
    }

    fn current_role(&self) -> Role {
        let Mind::Voting(node) = &self.mind else { return Role::default() };
        let raft = &node.raft;
        let leads = raft.state == StateRole::Leader;
        let acting = leads && (raft.apply_to_current_term() || planted(Mutant::ActEarly));
        // Who doesn't vote isn't told when another leads: what it heard last says nothing.
        let leader = node_id(raft.leader_id).filter(|_| node.store().members().votes(self.conf.id));
        Role { term: raft.term, leader, acting }
    }

    fn tell_role(&mut self, role: Role, out: &mut Effects) {
        if role != self.role {
            self.role = role;
            out.role = Some(role);
        }
    }

    /// Draws how long to wait for the leader, anew in every term and state.
    fn draw_patience(&mut self) {
        let Mind::Voting(node) = &mut self.mind else { return };
        let state = (node.raft.term, node.raft.state);
        if self.drawn_for != Some(state) {
            let ticks = self.conf.election_ticks;
            let more = self.random.below(u64::try_from(ticks).unwrap_or(1));
            self.patience = ticks + usize::try_from(more).unwrap_or(0);
            self.drawn_for = Some(state);
        }
        node.raft.set_randomized_election_timeout(self.patience);
    }
}

/// Whether who sends this takes itself for a voter.
fn is_campaign(message: &eraftpb::Message) -> bool {
    matches!(message.get_msg_type(), MessageType::MsgRequestPreVote | MessageType::MsgRequestVote)
}

/// Whether a voter would lead by its own vote alone, before its log is durable. The crate takes that for impossible:
/// with others, who campaigns has sent for their votes, and that waits for the log.
fn is_hasty(node: &RawNode<Store>, this: NodeId) -> bool {
    let log = &node.raft.raft_log;
    let alone = node.store().members().is_lone(this) && node.raft.state != StateRole::Leader;
    alone && log.persisted < log.last_index()
}

/// Whether a message may make its receiver campaign, or win. While a snapshot is being written it must not: what the
/// crate then looks through for changes of members begins before the snapshot, and is gone.
fn leads_on(message: &eraftpb::Message) -> bool {
    matches!(
        message.get_msg_type(),
        MessageType::MsgTimeoutNow
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgRequestVoteResponse
    )
}
