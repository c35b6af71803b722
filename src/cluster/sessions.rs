//! Which brokers live, as the acting coordinator hears it: heartbeats come in, commands go out. A pure machine, and not
//! replicated: a new acting coordinator has heard nobody yet and gives every broker a whole session from then on.

use super::command::Command;
use super::decide::imbalanced;
use super::entry::BrokerEntry;
use super::state::ClusterState;
use crate::base::limits::LEADERS_MOVED_AT_ONCE_MAX;
use crate::base::{BrokerEpoch, ErrorCode, NodeId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two steps of one balancing, so that clients find the leaders that have moved before the next ones do.
const BALANCE_PAUSE: Duration = Duration::from_secs(1);

/// How long sessions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// A broker that isn't heard for so long is fenced (`broker.session.timeout.ms`).
    pub timeout: Duration,
    /// How often leaders are moved to where they are preferred (`leader.imbalance.check.interval.seconds`); `None` for
    /// never (`auto.leader.rebalance.enable`).
    pub balance_every: Option<Duration>,
}

/// What a broker says now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who.
    pub broker: NodeId,
    /// Under which registration.
    pub epoch: BrokerEpoch,
    /// Records of the metadata that all its shards follow (`ClusterState::applied`).
    pub applied: u64,
    /// It can't be relied on: its logs are being recovered, or its disk is broken.
    pub wants_fence: bool,
    /// It wants to stop, once others lead what it leads.
    pub wants_shutdown: bool,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// None if it is heard; else it has to register.
    pub error: ErrorCode,
    /// Whether it is fenced.
    pub fenced: bool,
    /// It leads nothing any more, and everybody knows.
    pub may_shut_down: bool,
    /// It follows the metadata at least to its own registration.
    pub caught_up: bool,
}

/// What is known of one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    epoch: BrokerEpoch,
    heard: Duration,
    applied: u64,
    /// Whether it was heard at all. Who wasn't yet keeps its standing until it has been silent for too long.
    spoken: bool,
    wants_fence: bool,
    wants_shutdown: bool,
    /// Records of the metadata when its leaders had moved.
    left_at: Option<u64>,
    /// What it was last asked to become, and until when that is waited for.
    asked: Option<(Standing, Duration)>,
    /// Whether it was fenced when last looked at: then silence changes nothing.
    fenced: bool,
}

/// Whether a broker is fenced and whether it is about to stop.
type Standing = (bool, bool);

fn standing(entry: &BrokerEntry) -> Standing {
    (entry.fenced, entry.shutting_down)
}

/// The sessions of all brokers. Whoever drives them calls `beat` for each heartbeat, and `tick` after that and when the
/// deadline has come; the commands are to be decided, in order, upon a state that the ones before have been applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    rules: SessionRules,
    sessions: BTreeMap<NodeId, Session>,
    next_balance: Option<Duration>,
    /// A heartbeat has changed what is to be done.
    due: bool,
}

impl Sessions {
    /// Sessions that all begin now.
    #[must_use]
    pub fn new(state: &ClusterState, now: Duration, rules: SessionRules) -> Self {
        let next_balance = rules.balance_every.map(|every| now + every);
        let mut sessions = Sessions { rules, sessions: BTreeMap::new(), next_balance, due: false };
        sessions.follow(now, state);
        sessions
    }

    /// Takes a heartbeat.
    pub fn beat(&mut self, now: Duration, state: &ClusterState, beat: Heartbeat) -> HeartbeatReply {
        self.follow(now, state);
        let silent = HeartbeatReply {
            error: ErrorCode::BrokerIdNotRegistered,
            fenced: true,
            may_shut_down: false,
            caught_up: false,
        };
        let Some(entry) = state.broker(beat.broker) else { return silent };
        let Some(session) = self.sessions.get_mut(&beat.broker).filter(|_| entry.epoch == beat.epoch) else {
            return HeartbeatReply { error: ErrorCode::StaleBrokerEpoch, ..silent };
        };
        (session.heard, session.spoken) = (now, true);
        session.applied = session.applied.max(beat.applied);
        (session.wants_fence, session.wants_shutdown) = (beat.wants_fence, beat.wants_shutdown);
        let caught_up = has_caught_up(session);
        self.due |= self.wanted(now, state, beat.broker, entry) != standing(entry);
        HeartbeatReply {
            error: ErrorCode::None,
            fenced: entry.fenced,
            may_shut_down: beat.wants_shutdown && self.may_leave(state, beat.broker, entry),
            caught_up,
        }
    }

    /// What is to be decided now.
    pub fn tick(&mut self, now: Duration, state: &ClusterState) -> Vec<Command> {
        self.follow(now, state);
        self.due = false;
        let mut commands = Vec::new();
        for (id, entry) in state.brokers() {
            let wanted = self.wanted(now, state, id, entry);
            let patience = self.rules.timeout / 4;
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if wanted == standing(entry) {
                session.asked = None;
                continue;
            }
            if session.asked.is_some_and(|(asked, until)| asked == wanted && now < until) {
                continue;
            }
            session.asked = Some((wanted, now + patience));
            let (fenced, shutting_down) = wanted;
            commands.push(Command::SetBrokerState { broker: id, epoch: entry.epoch, fenced, shutting_down });
        }
        commands.extend(self.balance(now, state));
        commands
    }

    /// When `tick` has something to do at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.due {
            return Some(Duration::ZERO);
        }
        let silence = self.sessions.values().filter_map(|session| {
            let silent = (!session.fenced).then(|| session.heard + self.rules.timeout);
            // What it was asked to become it may be by now: then its silence counts, though nobody else speaks either.
            silent.max(session.asked.map(|(_, until)| until))
        });
        silence.chain(self.next_balance).min()
    }

    /// Begins a session for every broker that has registered since, and ends those of brokers that are gone. A node
    /// that is alone has none: nobody could take its place.
    fn follow(&mut self, now: Duration, state: &ClusterState) {
        self.sessions.retain(|id, _| state.broker(*id).is_some_and(|entry| !entry.is_alone()));
        for (id, entry) in state.brokers().filter(|(_, entry)| !entry.is_alone()) {
            let fresh = || Session {
                epoch: entry.epoch,
                heard: now,
                applied: 0,
                spoken: false,
                wants_fence: false,
                wants_shutdown: false,
                left_at: None,
                asked: None,
                fenced: true,
            };
            let session = self.sessions.entry(id).or_insert_with(fresh);
            if session.epoch != entry.epoch {
                *session = fresh();
            }
            session.fenced = entry.fenced;
            if !entry.shutting_down {
                session.left_at = None;
            } else if session.left_at.is_none() {
                session.left_at = Some(state.applied());
            }
        }
    }

    /// What a broker is to be, as it says and as it is heard.
    fn wanted(&self, now: Duration, state: &ClusterState, id: NodeId, entry: &BrokerEntry) -> Standing {
        let Some(session) = self.sessions.get(&id) else { return standing(entry) };
        if now >= session.heard + self.rules.timeout {
            return (true, entry.shutting_down);
        }
        if !session.spoken {
            return standing(entry);
        }
        if session.wants_shutdown {
            let gone = entry.fenced || self.may_leave(state, id, entry);
            return (gone, entry.shutting_down || !entry.fenced);
        }
        if session.wants_fence {
            return (true, entry.shutting_down);
        }
        if entry.fenced && has_caught_up(session) { (false, false) } else { standing(entry) }
    }

    /// Whether nothing hangs on a broker that wants to stop: it leads nothing, and every broker that is relied on
    /// knows.
    fn may_leave(&self, state: &ClusterState, id: NodeId, entry: &BrokerEntry) -> bool {
        if entry.fenced {
            return true;
        }
        let Some(left_at) = self.sessions.get(&id).and_then(|session| session.left_at) else { return false };
        let known = self.sessions.iter().filter(|(other, _)| **other != id && state.is_active(**other));
        let everybody = known.map(|(_, session)| session.applied).all(|applied| applied >= left_at);
        entry.shutting_down && everybody
    }

    /// Moves some leaders to where they are preferred, if it is time; and soon more, if there are more.
    fn balance(&mut self, now: Duration, state: &ClusterState) -> Option<Command> {
        let every = self.rules.balance_every?;
        if self.next_balance.is_some_and(|next| now < next) {
            return None;
        }
        let count = imbalanced(state).take(LEADERS_MOVED_AT_ONCE_MAX + 1).count();
        let pause = if count > LEADERS_MOVED_AT_ONCE_MAX { BALANCE_PAUSE.min(every) } else { every };
        self.next_balance = Some(now + pause);
        (count > 0).then_some(Command::BalanceLeaders)
    }
}

/// Whether a broker follows the metadata at least to its own registration.
fn has_caught_up(session: &Session) -> bool {
    i64::try_from(session.applied).is_ok_and(|applied| applied >= session.epoch.0)
}

#[cfg(test)]
mod tests;
