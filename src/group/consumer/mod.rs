//! A group of the consumer protocol (KIP-848): members say what they read, the coordinator shares the partitions out,
//! and each member moves from its share to the next by itself: it gives up what it must, then takes what others have
//! given up.
//!
//! Source: `ConsumerGroup`, `CurrentAssignmentBuilder` and the consumer half of `GroupMetadataManager` of Apache
//! Kafka 4; protocol row 115.

mod assign;
mod heartbeat;
mod reconcile;
mod stored;
mod told;

use super::coordinator::Turn;
use super::timers::Timer;
use crate::base::{ErrorCode, TopicId};
use crate::wire::Str;
pub(super) use heartbeat::Beat;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
pub(super) use stored::{Kept, read, tombstones};

/// Partitions by topic.
pub(super) type Share = BTreeMap<TopicId, BTreeSet<i32>>;

/// The topics of the cluster, as far as sharing out needs them: id and number of partitions by name.
pub type Topics = Arc<BTreeMap<Str, (TopicId, i32)>>;

/// Why a request is refused: the code, and what to tell a person.
pub(super) type Refusal = (ErrorCode, &'static str);

/// Epochs with which a member leaves: for good, or (a static one) to come back.
pub(super) const LEAVES: i32 = -1;
pub(super) const LEAVES_FOR_NOW: i32 = -2;

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
struct Member {
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
    epoch: i32,
    previous_epoch: i32,
    state: State,
    assigned: Share,
    revoking: Share,
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
            epoch: 0,
            previous_epoch: 0,
            state: State::Stable,
            assigned: Share::new(),
            revoking: Share::new(),
        }
    }

    fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == State::Stable && self.epoch == epoch
    }

    fn has(&self, topic: TopicId, partition: i32) -> bool {
        let holds = |share: &Share| share.get(&topic).is_some_and(|own| own.contains(&partition));
        holds(&self.assigned) || holds(&self.revoking)
    }

    fn bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|name| name.len() + 48).sum();
        let shares: usize =
            self.assigned.values().chain(self.revoking.values()).map(|own| 48 + 16 * own.len()).sum();
        512 + names + shares + self.regex.as_ref().map_or(0, |regex| regex.len())
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
}

impl ConsumerGroup {
    pub(super) fn new(id: Str) -> Self {
        // Kafka's first epoch, before the first member's bump.
        ConsumerGroup { id, epoch: 1, ..ConsumerGroup::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let targets: usize =
            self.targets.values().flat_map(BTreeMap::values).map(|own| 48 + 16 * own.len()).sum();
        let matches: usize = self.matches.values().flatten().map(|name| name.len() + 48).sum();
        256 + self.members.values().map(Member::bytes).sum::<usize>() + targets + matches
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

    fn revocation(&self, member: &Str) -> Timer {
        Timer::Revocation(self.id.clone(), member.clone())
    }

    fn renew_session(&self, member: &Str, turn: &mut Turn<'_>) {
        turn.timers.set(self.session(member), turn.now.mono_ms + turn.settings.consumer_session_ms);
    }

    /// Checks who asks for or commits offsets.
    pub(super) fn check_offsets(&self, member: &str, epoch: i32) -> Result<(), ErrorCode> {
        match self.members.get(member) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(member) if member.epoch != epoch => Err(ErrorCode::StaleMemberEpoch),
            Some(_) => Ok(()),
        }
    }

    /// A member's session ended, or it didn't give up its partitions in time.
    pub(super) fn fence(&mut self, member: &str, turn: &mut Turn<'_>) {
        let Some(member) = self.members.remove(member) else { return };
        turn.timers.cancel(&self.session(&member.id));
        turn.timers.cancel(&self.revocation(&member.id));
        self.targets.remove(&member.id);
        if let Some(instance) = &member.instance
            && self.instances.get(instance) == Some(&member.id)
        {
            self.instances.remove(instance);
        }
        self.matches
            .retain(|regex, _| self.members.values().any(|other| other.regex.as_ref() == Some(regex)));
        turn.out.records.extend(tombstones(&self.id, &member.id));
        self.epoch += 1;
        turn.out.records.push(self.epoch_record());
    }

    /// The time to give partitions up is over.
    pub(super) fn revocation_timed_out(&mut self, member: &str, turn: &mut Turn<'_>) {
        if self.members.get(member).is_some_and(|member| member.state == State::Unrevoked) {
            self.fence(member, turn);
        }
    }

    /// The log is read: members have a session's time to show up.
    pub(super) fn begin(&self, turn: &mut Turn<'_>) {
        for member in self.members.values() {
            self.renew_session(&member.id, turn);
            if member.state == State::Unrevoked {
                self.await_revocation(member, turn);
            }
        }
    }

    fn await_revocation(&self, member: &Member, turn: &mut Turn<'_>) {
        let wait = u64::try_from(member.rebalance_timeout_ms).unwrap_or(0);
        turn.timers.set(self.revocation(&member.id), turn.now.mono_ms + wait);
    }
}
