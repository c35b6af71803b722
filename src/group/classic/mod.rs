//! A group of the classic protocol: members join, a leader among them shares out the work, the coordinator hands out
//! the shares. What is shared is opaque: consumers, Connect workers and schema registries are all the same here.
//!
//! Source: Apache Kafka 4's `ClassicGroup` and the classic half of `GroupMetadataManager`; protocol rows 100 to 108.

mod join;
mod leave;
mod members;
mod migrate;
mod phase;
mod stored;
mod subscription;
mod sync;

use super::chronicle::{Owners, Why};
use super::coordinator::Turn;
use super::migration::{self, CONSUMER};
use super::timers::Timer;
use crate::base::ErrorCode;
use crate::base::mutant::{Mutant, planted};
use crate::wire::Str;
use crate::wire::generated::describe_groups_response::{DescribedGroup, DescribedGroupMember};
pub(super) use join::{Join, KNOWN_MEMBER_ID_FROM, refused as join_refused};
use members::{Member, Members};
use std::collections::{BTreeMap, BTreeSet};
pub(super) use sync::refused as sync_refused;

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No members; maybe offsets.
    Empty,
    /// Members are (re)joining.
    PreparingRebalance,
    /// The leader is sharing out the work.
    CompletingRebalance,
    /// Every member has its share.
    Stable,
}

impl State {
    /// Kafka's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// The group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassicGroup {
    pub(super) id: Str,
    state: State,
    /// The state before this one.
    previous: State,
    /// Wall clock when the state was entered.
    since_ms: Option<i64>,
    /// `consumer`, `connect`, …; none for a group that only keeps offsets.
    protocol_type: Option<Str>,
    protocol: Option<Str>,
    generation: i32,
    leader: Option<Str>,
    members: Members,
    /// Ids that were handed out and haven't come back, with the memory of it bounded like members.
    pending_join: BTreeSet<Str>,
    /// Members of this generation that haven't asked for their share.
    pending_sync: BTreeSet<Str>,
    /// Topics of this generation's consumers, where known.
    subscribed: Option<BTreeSet<Str>>,
    /// Someone joined during the initial delay: it may grow.
    new_member_added: bool,
    /// What is left of the initial delay after the running one: (length of the running one, rest).
    initial_delay: Option<(u64, u64)>,
}

impl ClassicGroup {
    /// An empty group.
    pub(super) fn new(id: Str, wall_ms: i64) -> Self {
        ClassicGroup {
            id,
            state: State::Empty,
            previous: State::Empty,
            since_ms: Some(wall_ms),
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: Members::default(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            subscribed: None,
            new_member_added: false,
            initial_delay: None,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    pub(super) fn protocol_type(&self) -> Str {
        self.protocol_type.clone().unwrap_or_default()
    }

    /// Whether anybody is on the way into the group.
    pub(super) fn awaits_members(&self) -> bool {
        !self.pending_join.is_empty()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let pending: usize = self.pending_join.iter().map(|id| id.len() + 64).sum();
        self.id.len() + self.members.bytes() + pending + 256
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Whether its members are consumers; only their metadata is ever looked into.
    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn enter(&mut self, state: State, wall_ms: i64) {
        (self.previous, self.state) = (self.state, state);
        self.since_ms = Some(wall_ms);
    }

    /// Checks who asks. Fencing comes first: an old incarnation of a static member must learn that it is one.
    fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.members.instance(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current.as_str() != member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.get(member).is_some() { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn session(&self, member: &str) -> Timer {
        // The key holds what the group holds, so that a timer keeps no request's frame alive.
        let member = self.members.get(member).map_or_else(|| member.into(), |member| member.id.clone());
        Timer::Session(self.id.clone(), member)
    }

    /// Starts a member's session anew.
    fn renew_session(&self, member: &str, turn: &mut Turn<'_>) {
        let Some(timeout) = self.members.get(member).map(|member| member.session_timeout_ms) else { return };
        turn.timers.set(self.session(member), turn.now.mono_ms + ms(timeout));
    }

    /// Notes that a member causes what follows.
    fn blame(&self, member: &str, why: Why, turn: &mut Turn<'_>) {
        turn.out.causes.extend(self.members.get(member).map(|member| member.cause(why)));
    }

    /// Who reads what, as far as that can be known: a group of consumers whose members stop until they are together
    /// again reads nothing meanwhile, one that rebalances cooperatively goes on.
    pub(super) fn owners(&self) -> Option<Owners> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.state != State::Stable {
            let goes_on = self.protocol.as_deref().is_some_and(|name| name.starts_with("cooperative"));
            return (!goes_on).then(Owners::new);
        }
        let mut owners = Owners::new();
        for member in self.members.iter() {
            for (topic, own) in migration::assignment(&member.assignment).unwrap_or_default() {
                owners
                    .extend(own.into_iter().map(|partition| ((topic.clone(), partition), member.id.clone())));
            }
        }
        Some(owners)
    }

    /// Whether no rebalance is under way.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Stable | State::Empty)
    }

    /// The longest of its members' rebalance timeouts.
    fn rebalance_timeout_ms(&self) -> u64 {
        self.members.iter().map(|member| ms(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// Answers a heartbeat.
    pub(super) fn heartbeat(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        turn: &mut Turn<'_>,
    ) -> ErrorCode {
        if let Err(error) = self.check_member(member, instance) {
            return error;
        }
        if generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.state {
            State::Empty => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => {
                self.renew_session(member, turn);
                ErrorCode::RebalanceInProgress
            }
            State::CompletingRebalance | State::Stable => {
                self.renew_session(member, turn);
                ErrorCode::None
            }
        }
    }

    /// Whether this member may commit offsets in a transaction now. Old clients don't say who they are (KIP-447), and a
    /// rebalance that is under way is of no matter.
    pub(super) fn check_commit_in_transaction(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        if generation >= 0 || !member.is_empty() || instance.is_some() {
            if generation < 0 && self.state == State::Empty {
                return Ok(());
            }
            self.check_member(member, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
            self.renew_session(member, turn);
        }
        Ok(())
    }

    /// Whether this member may commit offsets now; a commit is a sign of life.
    pub(super) fn check_commit(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        // From a tool, or a consumer that takes its partitions itself.
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member.is_empty() || instance.is_some() {
            self.check_member(member, instance)?;
            if generation != self.generation && !planted(Mutant::StaleGeneration) {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if self.state != State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        match self.state {
            State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::Stable | State::PreparingRebalance => {
                self.renew_session(member, turn);
                Ok(())
            }
            State::Empty => Ok(()),
        }
    }

    /// Whether the group may go.
    pub(super) fn check_delete(&self) -> Result<(), ErrorCode> {
        if self.state == State::Empty { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether single offsets may go.
    pub(super) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.state == State::Empty || self.uses_consumer_protocol() {
            Ok(())
        } else {
            Err(ErrorCode::NonEmptyGroup)
        }
    }

    /// Whether a member reads this topic; an unknown subscription of consumers may have it.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// From when on an offset's retention counts, if it may expire at all; `None` inside: from its commit.
    pub(super) fn expiry_base(&self) -> Option<Option<i64>> {
        match (&self.protocol_type, self.state) {
            (None, _) => Some(None),
            (Some(_), State::Empty) => Some(self.since_ms),
            (Some(_), State::Stable) if self.uses_consumer_protocol() && self.subscribed.is_some() => {
                Some(None)
            }
            (Some(_), _) => None,
        }
    }

    /// What DescribeGroups tells.
    pub(super) fn describe(&self) -> DescribedGroup {
        let stable = self.protocol.clone().filter(|_| self.state == State::Stable);
        let member = |member: &Member| DescribedGroupMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            member_metadata: stable.as_ref().map(|name| member.metadata(name)).unwrap_or_default(),
            member_assignment: if stable.is_some() { member.assignment.clone() } else { Default::default() },
        };
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: Str::from_static(self.state.name()),
            protocol_type: self.protocol_type(),
            protocol_data: stable.clone().unwrap_or_default(),
            members: self.members.iter().map(member).collect(),
            ..Default::default()
        }
    }

    /// The protocol that all members know and most of them would choose; of equals, the first by name.
    fn vote(&self) -> Option<Str> {
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        for member in self.members.iter() {
            let choice = member.protocols.iter().find(|(name, _)| self.members.all_know(name));
            *votes.entry(&choice?.0).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.clone())
    }
}

/// A timeout as clients send it; below 0 counts as none.
fn ms(timeout: i32) -> u64 {
    u64::try_from(timeout).unwrap_or(0)
}
