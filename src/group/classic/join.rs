//! JoinGroup.

use super::members::Member;
use super::{ClassicGroup, State, ms};
use crate::base::ErrorCode;
use crate::base::limits::{GROUP_BYTES_MAX, GROUP_MEMBERS_MAX};
use crate::group::call::{Asker, Client, GroupReply};
use crate::group::chronicle::Why;
use crate::group::coordinator::Turn;
use crate::group::timers::Timer;
use crate::wire::Str;
use crate::wire::generated::join_group_response::JoinGroupResponseMember;
use crate::wire::generated::{JoinGroupRequest, JoinGroupResponse};
use bytes::Bytes;

/// How long a new member's JoinGroup may wait before its client counts as gone (Kafka's number).
const NEW_MEMBER_JOIN_MS: u64 = 300_000;

/// First version in which a member asks twice, the second time with the id that it got (KIP-394).
pub(in crate::group) const KNOWN_MEMBER_ID_FROM: i16 = 4;

/// First version in which a leader can be told to leave the shares as they are (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;

/// A JoinGroup with what goes with it.
pub(in crate::group) struct Join<'a> {
    pub(in crate::group) asker: Asker,
    pub(in crate::group) request: &'a JoinGroupRequest,
    pub(in crate::group) version: i16,
    pub(in crate::group) client: &'a Client,
    pub(in crate::group) uuid: &'a str,
}

impl Join<'_> {
    pub(in crate::group) fn instance(&self) -> Option<&str> {
        self.request.group_instance_id.as_deref()
    }

    /// Version 0 has no rebalance timeout; the session's is it.
    pub(in crate::group) fn rebalance_timeout_ms(&self) -> i32 {
        if self.version == 0 { self.request.session_timeout_ms } else { self.request.rebalance_timeout_ms }
    }

    /// The protocols, each once, in memory of their own.
    pub(in crate::group) fn protocols(&self) -> Vec<(Str, Bytes)> {
        let mut list: Vec<(Str, Bytes)> = Vec::with_capacity(self.request.protocols.len());
        for protocol in &self.request.protocols {
            if !list.iter().any(|(name, _)| *name == protocol.name) {
                list.push((protocol.name.detached(), Bytes::copy_from_slice(&protocol.metadata)));
            }
        }
        list
    }

    fn bytes(&self) -> usize {
        self.request.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum()
    }
}

/// A refusal.
pub(in crate::group) fn refused(member_id: Str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { error_code: error.code(), member_id, protocol_name: None, ..Default::default() }
}

impl ClassicGroup {
    /// Takes a JoinGroup. Its answer comes now or when the members are together.
    pub(in crate::group) fn join(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) {
        let request = join.request;
        let id = &request.member_id;
        if !self.has_room(join, turn) {
            self.remove(id);
            turn.reply(join.asker, GroupReply::Join(refused(Str::EMPTY, ErrorCode::GroupMaxSizeReached)));
        } else if !self.can_speak(&request.protocol_type, request) {
            let answer = refused(id.clone(), ErrorCode::InconsistentGroupProtocol);
            turn.reply(join.asker, GroupReply::Join(answer));
        } else if id.is_empty() {
            self.join_new(join, turn);
        } else if self.pending_join.contains(id) && request.group_instance_id.is_none() {
            self.add_and_rebalance(join, id.detached(), turn);
        } else {
            match self.check_member(id, join.instance()) {
                Err(error) => turn.reply(join.asker, GroupReply::Join(refused(id.clone(), error))),
                Ok(()) => self.join_again(join, turn),
            }
        }
    }

    /// Whether a member that joins finds room. While members rejoin, those who did count, so that the last ones to
    /// come are the ones that a lowered bound keeps out.
    fn has_room(&self, join: &Join<'_>, turn: &Turn<'_>) -> bool {
        let bound = turn.settings.members_max.min(GROUP_MEMBERS_MAX);
        let id = join.request.member_id.as_str();
        let counted = match self.state {
            State::Empty => 0,
            State::PreparingRebalance if self.members.get(id).is_some_and(|m| m.joining.is_some()) => 0,
            State::PreparingRebalance => self.members.joining(),
            _ if self.members.get(id).is_some() => 0,
            _ => self.members.len(),
        };
        let handed_out = if self.pending_join.contains(id) { 0 } else { self.pending_join.len() };
        counted < bound && handed_out < GROUP_MEMBERS_MAX && self.bytes() + join.bytes() <= GROUP_BYTES_MAX
    }

    fn can_speak(&self, protocol_type: &str, request: &JoinGroupRequest) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && request.protocols.iter().any(|protocol| self.members.all_know(&protocol.name))
    }

    fn join_new(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) {
        let name = join.instance().unwrap_or(&join.client.id);
        let id: Str = format!("{name}-{}", join.uuid).into();
        if let Some(instance) = join.instance() {
            match self.members.instance(instance).cloned() {
                Some(old) => self.replace_static(join, &old, id, turn),
                None => self.add_and_rebalance(join, id, turn),
            }
        } else if join.version >= KNOWN_MEMBER_ID_FROM {
            self.pending_join.insert(id.clone());
            let timer = Timer::Session(self.id.clone(), id.clone());
            turn.timers.set(timer, turn.now.mono_ms + ms(join.request.session_timeout_ms));
            turn.reply(join.asker, GroupReply::Join(refused(id, ErrorCode::MemberIdRequired)));
        } else {
            self.add_and_rebalance(join, id, turn);
        }
    }

    fn add_and_rebalance(&mut self, join: &Join<'_>, id: Str, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.new_member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.request.protocol_type.detached());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.pending_join.remove(&id);
        self.members.add(Member {
            id: id.clone(),
            instance: join.request.group_instance_id.as_ref().map(Str::detached),
            client_id: join.client.id.detached(),
            client_host: join.client.host.detached(),
            rebalance_timeout_ms: join.rebalance_timeout_ms(),
            session_timeout_ms: join.request.session_timeout_ms,
            protocols: join.protocols(),
            assignment: Bytes::new(),
            joining: Some(join.asker),
            syncing: None,
            is_new: true,
        });
        turn.timers.set(self.session(&id), turn.now.mono_ms + NEW_MEMBER_JOIN_MS);
        self.blame(&id, Why::Joined, turn);
        self.rebalance_or_complete(turn);
    }

    /// A member that the group knows joins again.
    fn join_again(&mut self, join: &Join<'_>, turn: &mut Turn<'_>) {
        let id = &join.request.member_id;
        let Some(member) = self.members.get(id) else { return };
        let same = member.protocols == join.protocols();
        match self.state {
            // It may not have got the first answer, or doesn't change anything: it is told where the group is.
            State::CompletingRebalance if same => {
                let answer = self.joined(id, self.is_leader(id), false);
                turn.reply(join.asker, GroupReply::Join(answer));
            }
            // A leader that joins asks for a new round: the topics may have changed.
            State::Stable if same && !self.is_leader(id) => {
                let answer = self.joined(id, false, false);
                turn.reply(join.asker, GroupReply::Join(answer));
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                // While members rejoin, doing so causes nothing.
                if self.state != State::PreparingRebalance {
                    self.blame(id, Why::Rejoined, turn);
                }
                self.update(id, join, turn);
                self.rebalance_or_complete(turn);
            }
            State::Empty => {
                turn.reply(join.asker, GroupReply::Join(refused(id.clone(), ErrorCode::UnknownMemberId)));
            }
        }
    }

    fn update(&mut self, id: &str, join: &Join<'_>, turn: &mut Turn<'_>) {
        let before = self.members.change(id, |member| {
            member.protocols = join.protocols();
            member.rebalance_timeout_ms = join.rebalance_timeout_ms();
            member.session_timeout_ms = join.request.session_timeout_ms;
            member.joining.replace(join.asker)
        });
        // Its client has given up on the older request, or it wouldn't ask again.
        if let Some(Some(older)) = before {
            let answer = refused(id.into(), ErrorCode::RebalanceInProgress);
            turn.reply(older, GroupReply::Join(answer));
        }
    }

    /// A static member came back without its id: the new id takes the old one's place (KIP-345).
    fn replace_static(&mut self, join: &Join<'_>, old: &str, new: Str, turn: &mut Turn<'_>) {
        let leader_before = self.leader.clone();
        turn.timers.cancel(&self.session(old));
        let Some(mut member) = self.members.remove(old) else { return };
        if let Some(asker) = member.joining.take() {
            turn.reply(asker, GroupReply::Join(refused(old.into(), ErrorCode::FencedInstanceId)));
        }
        if let Some(asker) = member.syncing.take() {
            turn.reply(asker, GroupReply::Sync(super::sync::refused(ErrorCode::FencedInstanceId)));
        }
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(new.clone());
        }
        member.id = new.clone();
        member.is_new = false;
        self.members.add(member);
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        self.update(&new, join, turn);
        self.renew_session(&new, turn);
        match self.state {
            State::Stable if self.vote() == self.protocol => {
                let skips = join.version >= SKIP_ASSIGNMENT_FROM;
                let leads = self.is_leader(&new);
                self.members.change(&new, |member| member.joining = None);
                let mut answer = self.joined(&new, leads && skips, leads && skips);
                if !skips {
                    // The client then takes itself for a follower and asks for its old share.
                    answer.leader = leader_before.unwrap_or_default();
                }
                turn.out.records.push(self.record());
                turn.reply(join.asker, GroupReply::Join(answer));
            }
            // In the other state the leader may be sharing out to the old id.
            State::Stable | State::CompletingRebalance => {
                self.blame(&new, Why::Rejoined, turn);
                self.prepare_rebalance(turn);
            }
            State::PreparingRebalance | State::Empty => self.complete_join_if_all_are_here(turn),
        }
    }

    /// The answer to a member that is in this generation.
    pub(super) fn joined(&self, id: &str, with_members: bool, skip_assignment: bool) -> JoinGroupResponse {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |member: &Member| JoinGroupResponseMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance.clone(),
            metadata: member.metadata(&protocol),
        };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment,
            member_id: id.into(),
            members: if with_members { self.members.iter().map(member).collect() } else { Vec::new() },
            ..Default::default()
        }
    }
}
