//! The acting coordinator: takes commands one after the other, has their records committed, and only then answers.

use super::changes::Waiting;
use super::publish::Answer;
use super::{Asker, Coordinator, Proposal, encode_records};
use crate::base::ErrorCode;
use crate::base::limits::RECORDS_PER_PROPOSAL_MAX;
use crate::cluster::{Command, Outcome, QuorumFacts, Record, SessionRules, Sessions, decide};
use crate::peer::NotActing;
use crate::quorum::{Input, Proposed, Role};
use crate::seam::{Files, World};
use crate::shard::message::{Message, Origin};
use crate::shard::{Broker, Shard};
use futures_lite::future::or;
use std::collections::VecDeque;

/// What is decided and not yet committed: one entry at a time.
struct Pending {
    index: u64,
    term: u64,
    answers: Vec<Answer>,
}

/// What only the acting coordinator has.
#[derive(Default)]
pub(super) struct Acting {
    pub(super) proposals: VecDeque<Proposal>,
    pending: Option<Pending>,
    /// Who waits for other voters.
    pub(super) changes: Vec<Waiting>,
    pub(super) sessions: Option<Sessions>,
}

impl Acting {
    /// Whether the state is ahead of what is committed.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The answers to give now that an entry is committed, if it is the one that waits.
    pub(super) fn take_pending(&mut self, index: u64, term: u64) -> Option<Vec<Answer>> {
        let ours = self.pending.take_if(|pending| pending.index == index && pending.term == term)?;
        Some(ours.answers)
    }
}

impl Proposal {
    fn asks_for_facts(&self) -> bool {
        self.commands.contains(&Command::DescribeQuorum)
    }
}

/// A turn's records, and what to answer once they are committed.
type Turn = (Vec<Record>, Vec<Answer>);

impl<B: Broker> Shard<B> {
    /// Queues commands of a shard of this node.
    pub(in crate::shard) fn take_proposal(&self, from: Origin, commands: Vec<Command>) {
        self.queue_proposal(Asker::Shard(from), commands);
    }

    pub(super) fn queue_proposal(&self, from: Asker, commands: Vec<Command>) {
        self.coordinator(|it| it.acting.proposals.push_back(Proposal { from, commands }));
        self.bells().proposals.notify();
    }

    /// Decides, or has whoever acts decide.
    pub(super) async fn acting_task(self) {
        loop {
            self.bells().proposals.notified().await;
            self.begin_changes();
            while self.decide_turn() {}
            self.hand_on();
        }
    }

    /// Decides everything that waits: one entry of the log carries it all. False if there is nothing to decide, or the
    /// entry before isn't committed.
    fn decide_turn(&self) -> bool {
        let asked =
            self.coordinator(|it| it.acting.proposals.iter().any(Proposal::asks_for_facts)) == Some(true);
        let facts = asked.then(|| self.quorum_facts());
        let turn = self.coordinator(|it| it.decide_turn(facts.as_ref())).flatten();
        let Some((records, answers)) = turn else { return false };
        if records.is_empty() {
            self.answer_at_commit(answers);
            return true;
        }
        match self.step_quorum(Input::Propose(encode_records(&records))).proposed {
            Some(Proposed::At { index, term }) => {
                let outcomes = answers.iter().flat_map(|(_, outcomes)| outcomes);
                self.metrics().unclean_elections(outcomes.map(unclean).sum());
                self.coordinator(|it| it.acting.pending = Some(Pending { index, term, answers }));
            }
            _ => {
                self.forget_proposed();
                self.turn_away(answers);
            }
        }
        true
    }

    /// Hands proposals to whoever acts, for this node doesn't.
    fn hand_on(&self) {
        let waiting = self.coordinator(|it| {
            if it.role.acting { VecDeque::new() } else { std::mem::take(&mut it.acting.proposals) }
        });
        for Proposal { from, commands } in waiting.unwrap_or_default() {
            match from {
                Asker::Shard(origin) => self.world().spawn(self.clone().forward(origin, commands)),
                Asker::Peer(slot) => slot.give(Err(self.not_acting())),
                Asker::Nobody => {}
            }
        }
    }

    /// What this node says that doesn't act.
    pub(super) fn not_acting(&self) -> NotActing {
        NotActing {
            leader: self.coordinator(|it| it.hint).flatten().filter(|hint| *hint != self.this_node()),
        }
    }

    /// Whether this node acts as the coordinator.
    pub(super) fn is_acting(&self) -> bool {
        self.coordinator(|it| it.role.acting) == Some(true)
    }

    /// Takes who leads now.
    pub(super) fn take_role(&self, role: Role) {
        let now = self.world().mono();
        let cluster = &self.conf().cluster;
        let rules = SessionRules {
            timeout: cluster.session,
            balance_every: cluster.balance_leaders.then_some(cluster.balance_interval),
        };
        let changed = self.coordinator(|it| {
            let was = std::mem::replace(&mut it.role, role);
            it.hint = role.leader.or(it.hint.filter(|_| !was.acting));
            if role.acting && !was.acting {
                it.acting.sessions = cluster.has_peers().then(|| Sessions::new(&it.state, now, rules));
            } else if !role.acting {
                it.acting.sessions = None;
            }
            (was.acting, role.acting)
        });
        self.metrics().quorum_led(role.leader.map(|leader| leader.0), role.term, role.acting);
        match changed {
            Some((false, true)) => tracing::info!(term = role.term, "this node acts as the coordinator"),
            Some((true, false)) => {
                tracing::info!(term = role.term, "this node acts as the coordinator no more");
                self.stop_acting();
            }
            _ => {}
        }
        self.tell_who_acts();
        self.bells().role.notify();
        self.bells().proposals.notify();
        self.bells().sessions.notify();
        self.bells().committed.notify();
    }

    /// Tells all shards who acts, if that is news.
    pub(super) fn tell_who_acts(&self) {
        let acts = self.coordinator(|it| it.hint).flatten();
        if self.0.acting.replace(acts) != acts {
            let others = self.every_shard().into_iter().filter(|shard| *shard != self.this());
            others.for_each(|shard| self.send(shard, Message::Acting(acts)));
        }
    }

    /// Whether what was proposed gets committed is for others to say now.
    fn stop_acting(&self) {
        let answers =
            self.coordinator(|it| it.acting.pending.take().map(|pending| pending.answers)).flatten();
        if let Some(answers) = answers {
            self.forget_proposed();
            self.turn_away(answers);
        }
        self.leave_changes();
    }

    /// Has the state be what is committed.
    fn forget_proposed(&self) {
        let rebuilt = self.coordinator(|it| it.rebuilt().map(|state| it.state = state)).flatten();
        if rebuilt.is_none() && self.coordinator(|it| it.voter.is_some()) == Some(true) {
            self.abandon_vote("the metadata's log doesn't give its state again".to_owned());
        }
    }

    pub(super) fn turn_away(&self, answers: Vec<Answer>) {
        for (from, outcomes) in answers {
            match from {
                Asker::Shard(origin) => {
                    self.refuse_proposal(origin, outcomes.len(), ErrorCode::NotController)
                }
                Asker::Peer(slot) => slot.give(Err(self.not_acting())),
                Asker::Nobody => {}
            }
        }
    }

    /// Fences brokers that fall silent, and unfences those that speak again, as long as this node acts.
    pub(super) async fn sessions_task(self) {
        loop {
            let now = self.world().mono();
            let deadline = self.coordinator(|it| it.acting.sessions.as_ref()?.deadline()).flatten();
            let rung = self.bells().sessions.notified();
            match deadline {
                Some(at) if at > now => or(self.world().sleep(at - now), rung).await,
                Some(_) => self.world().yield_now().await,
                None => rung.await,
            }
            let now = self.world().mono();
            let commands = self.coordinator(|it| Some(it.acting.sessions.as_mut()?.tick(now, &it.state)));
            let commands = commands.flatten().unwrap_or_default();
            if !commands.is_empty() {
                self.queue_proposal(Asker::Nobody, commands);
            }
        }
    }
}

/// Of how many partitions a replica came to lead that may lack acknowledged records.
fn unclean(outcome: &Outcome) -> u64 {
    let Outcome::Elected(all) = outcome else { return 0 };
    all.iter().filter(|elected| elected.result == Ok(true)).count() as u64
}

impl<F: Files> Coordinator<F> {
    fn decide_turn(&mut self, facts: Option<&QuorumFacts>) -> Option<Turn> {
        if !self.role.acting || self.acting.has_pending() || self.acting.proposals.is_empty() {
            return None;
        }
        let (mut all, mut answers) = (Vec::new(), Vec::new());
        for Proposal { from, commands } in std::mem::take(&mut self.acting.proposals) {
            let mut outcomes = Vec::with_capacity(commands.len());
            let mut room = RECORDS_PER_PROPOSAL_MAX;
            for command in commands {
                if let (Command::DescribeQuorum, Some(facts)) = (&command, facts) {
                    outcomes.push(Outcome::Quorum(facts.clone()));
                    continue;
                }
                let unbounded = command.is_unbounded();
                let (records, outcome) = decide(&self.state, command);
                if !unbounded && records.len() > room {
                    outcomes.push(Outcome::excessive());
                    continue;
                }
                room = room.saturating_sub(records.len());
                records.iter().for_each(|record| self.state.apply(record));
                all.extend(records);
                outcomes.push(outcome);
            }
            answers.push((from, outcomes));
        }
        Some((all, answers))
    }
}
