//! A group of the consumer protocol (KIP-848): members say what they read, the coordinator shares the partitions out,
//! and each member moves from its share to the next by itself: it gives up what it must, then takes what others have
//! given up. Members of the classic protocol may be among them, and take the same steps by rejoining.
//!
//! Source: `ConsumerGroup`, `CurrentAssignmentBuilder` and the consumer half of `GroupMetadataManager` of Apache
//! Kafka 4; protocol rows 115 and 116.

mod assign;
mod classic;
mod heartbeat;
mod migrate;
mod offsets;
mod reconcile;
mod share_out;
mod stored;
mod told;

use super::chronicle::{Cause, Why};
use super::coordinator::Turn;
use super::migration::ClassicSide;
use super::timers::Timer;
use crate::base::{ErrorCode, TopicId};
use crate::wire::Str;
pub(super) use heartbeat::Beat;
use share_out::Seen;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
pub(super) use stored::{Kept, read, tombstones};

/// Partitions by topic.
pub(super) type Share = BTreeMap<TopicId, BTreeSet<i32>>;

/// Partitions that a member has, each with the epoch in which it got it.
pub(super) type Held = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// The topics of the cluster, as far as groups need them: id and number of partitions by name, and names by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicTable {
    by_name: BTreeMap<Str, (TopicId, i32)>,
    names: BTreeMap<TopicId, Str>,
}

/// One table for all groups of a shard.
pub type Topics = Arc<TopicTable>;

impl std::ops::Deref for TopicTable {
    type Target = BTreeMap<Str, (TopicId, i32)>;

    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

impl FromIterator<(Str, (TopicId, i32))> for TopicTable {
    fn from_iter<T: IntoIterator<Item = (Str, (TopicId, i32))>>(topics: T) -> Self {
        let by_name: BTreeMap<Str, (TopicId, i32)> = topics.into_iter().collect();
        let names = by_name.iter().map(|(name, (id, _))| (*id, name.clone())).collect();
        TopicTable { by_name, names }
    }
}

impl TopicTable {
    /// A topic's name.
    pub(super) fn name(&self, id: TopicId) -> Option<&Str> {
        self.names.get(&id)
    }
}

/// Why a request is refused: the code, and what to tell a person.
pub(super) type Refusal = (ErrorCode, &'static str);

/// Epochs with which a member leaves: for good, or (a static one) to come back.
pub(super) const LEAVES: i32 = -1;
pub(super) const LEAVES_FOR_NOW: i32 = -2;

const UNKNOWN_MEMBER: Refusal = (ErrorCode::UnknownMemberId, "The member is not a member of the group.");
const FENCED_INSTANCE: Refusal =
    (ErrorCode::FencedInstanceId, "The static member was fenced by another member.");
const FULL: Refusal =
    (ErrorCode::GroupMaxSizeReached, "The consumer group has reached its maximum capacity.");

/// Where a member is between its share and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has all that it shall have.
    Stable,
    /// It still has what it must give up.
    Unrevoked,
    /// Others still have what it shall get.
    Unreleased,
}

impl State {
    /// Kafka's number.
    const fn number(self) -> i8 {
        match self {
            State::Stable => 0,
            State::Unrevoked => 1,
            State::Unreleased => 2,
        }
    }

    /// The state with this number; an unknown one is worked out anew.
    const fn of(number: i8) -> State {
        match number {
            1 => State::Unrevoked,
            2 => State::Unreleased,
            _ => State::Stable,
        }
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    id: Str,
    instance: Option<Str>,
    rack: Option<Str>,
    client_id: Str,
    client_host: Str,
    /// Topics that it names.
    names: BTreeSet<Str>,
    /// Topics that it describes.
    regex: Option<Str>,
    rebalance_timeout_ms: i32,
    assignor: Option<Str>,
    /// It speaks the classic protocol.
    classic: Option<ClassicSide>,
    epoch: i32,
    previous_epoch: i32,
    state: State,
    assigned: Held,
    revoking: Held,
}

impl Member {
    fn new(id: Str) -> Self {
        Member {
            id,
            instance: None,
            rack: None,
            client_id: Str::EMPTY,
            client_host: Str::EMPTY,
            names: BTreeSet::new(),
            regex: None,
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
            epoch: 0,
            previous_epoch: 0,
            state: State::Stable,
            assigned: Held::new(),
            revoking: Held::new(),
        }
    }

    fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == State::Stable && self.epoch == epoch
    }

    fn has(&self, topic: TopicId, partition: i32) -> bool {
        self.epoch_of(topic, partition).is_some()
    }

    /// The epoch in which it got a partition that it has.
    fn epoch_of(&self, topic: TopicId, partition: i32) -> Option<i32> {
        let held = |held: &Held| held.get(&topic)?.get(&partition).copied();
        held(&self.assigned).or_else(|| held(&self.revoking))
    }

    fn cause(&self, why: Why) -> Cause {
        Cause {
            why,
            member: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
        }
    }

    fn bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|name| name.len() + 48).sum();
        let shares: usize =
            self.assigned.values().chain(self.revoking.values()).map(|own| 48 + 16 * own.len()).sum();
        let protocols = self.classic.iter().flat_map(|side| &side.protocols);
        let classic: usize = protocols.map(|(name, data)| name.len() + data.len() + 64).sum();
        512 + names + shares + classic + self.regex.as_ref().map_or(0, |regex| regex.len())
    }
}

/// The group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConsumerGroup {
    pub(super) id: Str,
    /// Rises with every change of members, subscriptions or topics.
    epoch: i32,
    /// The epoch for which partitions were shared out last.
    assignment_epoch: i32,
    members: BTreeMap<Str, Member>,
    /// What each member shall have.
    targets: BTreeMap<Str, Share>,
    instances: BTreeMap<Str, Str>,
    /// Topics that match a description.
    matches: BTreeMap<Str, BTreeSet<Str>>,
    /// What was known of the subscribed topics when partitions were shared out last.
    metadata_hash: i64,
    /// The topics for which all of this holds.
    seen: Seen,
    /// About how much memory it takes, as last counted.
    size: usize,
}

impl ConsumerGroup {
    pub(super) fn new(id: Str) -> Self {
        // Kafka's first epoch, before the first member's bump.
        let mut group = ConsumerGroup { id, epoch: 1, ..ConsumerGroup::default() };
        group.recount();
        group
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.size
    }

    /// Counts its memory anew. That takes a look at every member, so it is done after changes only.
    pub(super) fn recount(&mut self) {
        let targets: usize =
            self.targets.values().flat_map(BTreeMap::values).map(|own| 48 + 16 * own.len()).sum();
        let matches: usize = self.matches.values().flatten().map(|name| name.len() + 48).sum();
        self.size = 256 + self.members.values().map(Member::bytes).sum::<usize>() + targets + matches;
    }

    /// Kafka's name of its state.
    pub(super) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().any(|member| !member.is_reconciled_to(self.assignment_epoch)) {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    /// Topics that a member reads.
    fn topics_of<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a Str> {
        let described = member.regex.as_ref().and_then(|regex| self.matches.get(regex));
        member.names.iter().chain(described.into_iter().flatten())
    }

    /// Whether a member reads this topic.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| self.topics_of(member).any(|name| name.as_str() == topic))
    }

    fn session(&self, member: &Str) -> Timer {
        Timer::Session(self.id.clone(), member.clone())
    }

    fn step(&self, member: &Str) -> Timer {
        Timer::Step(self.id.clone(), member.clone())
    }

    fn renew_session(&self, member: &Member, turn: &mut Turn<'_>) {
        let timeout = match &member.classic {
            Some(side) => u64::try_from(side.session_timeout_ms).unwrap_or(0),
            None => turn.settings.consumer_session_ms,
        };
        turn.timers.set(self.session(&member.id), turn.now.mono_ms + timeout);
    }

    /// Gives a member its rebalance timeout for its next step.
    fn await_step(&self, member: &Member, turn: &mut Turn<'_>) {
        let wait = u64::try_from(member.rebalance_timeout_ms).unwrap_or(0);
        turn.timers.set(self.step(&member.id), turn.now.mono_ms + wait);
    }

    /// Takes a member off all lists.
    fn remove(&mut self, id: &str, turn: &mut Turn<'_>) -> Option<Member> {
        let member = self.members.remove(id)?;
        turn.timers.cancel(&self.session(&member.id));
        turn.timers.cancel(&self.step(&member.id));
        self.targets.remove(&member.id);
        if let Some(instance) = &member.instance
            && self.instances.get(instance) == Some(&member.id)
        {
            self.instances.remove(instance);
        }
        turn.out.records.extend(tombstones(&self.id, &member.id));
        Some(member)
    }

    /// Ends members' time in the group; the others share what they had with their next heartbeats.
    fn fence_all(&mut self, ids: &[Str], why: Why, turn: &mut Turn<'_>) {
        let mut any = false;
        for id in ids {
            let Some(member) = self.remove(id, turn) else { continue };
            turn.out.causes.push(member.cause(why));
            any = true;
        }
        if any {
            self.forget_unused_regexes(turn);
            self.metadata_hash = self.hash_of(turn.topics);
            self.bump(turn);
        }
    }

    /// A member's session ended.
    pub(super) fn session_timed_out(&mut self, member: &Str, turn: &mut Turn<'_>) {
        self.fence_all(std::slice::from_ref(member), Why::Silent, turn);
    }

    /// A member didn't take its next step in time: it kept what it was to give up, or didn't rejoin.
    pub(super) fn step_timed_out(&mut self, member: &Str, turn: &mut Turn<'_>) {
        let Some(known) = self.members.get(member) else { return };
        if known.state == State::Unrevoked || known.classic.is_some() {
            self.fence_all(std::slice::from_ref(member), Why::Overdue, turn);
        }
    }

    /// The log is read: members have a session's time to show up.
    pub(super) fn begin(&self, turn: &mut Turn<'_>) {
        for member in self.members.values() {
            self.renew_session(member, turn);
            if member.state == State::Unrevoked {
                self.await_step(member, turn);
            }
        }
    }

    /// Who has which partition now.
    pub(super) fn owners(&self) -> BTreeMap<(TopicId, i32), Str> {
        let mut owners = BTreeMap::new();
        for member in self.members.values() {
            for (topic, own) in &member.assigned {
                owners.extend(own.keys().map(|partition| ((*topic, *partition), member.id.clone())));
            }
        }
        owners
    }
}
