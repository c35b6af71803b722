//! Members of the classic protocol in a consumer group (row 116): they learn from a heartbeat that there is something
//! to do, rejoin with what they own, and fetch their share. The coordinator shares out; nobody leads.

use super::{ConsumerGroup, Held, Member, Share, State, Topics};
use crate::base::ErrorCode;
use crate::group::chronicle::Why;
use crate::group::classic::{Join, KNOWN_MEMBER_ID_FROM};
use crate::group::coordinator::Turn;
use crate::group::migration::{self, CONSUMER, ClassicSide, Named};
use crate::wire::Str;
use crate::wire::generated::leave_group_request::MemberIdentity;
use crate::wire::generated::leave_group_response::MemberResponse;
use crate::wire::generated::{HeartbeatRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use bytes::Bytes;
use std::collections::BTreeMap;

impl ConsumerGroup {
    /// Takes a JoinGroup. It is answered at once: nobody waits for others.
    pub(in crate::group) fn join(
        &mut self,
        join: &Join<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<JoinGroupResponse, ErrorCode> {
        let request = join.request;
        let asks_for_id = request.member_id.is_empty();
        let id: Str = if asks_for_id { join.uuid.into() } else { request.member_id.detached() };
        if self.is_full(&id, turn) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        let protocols = join.protocols();
        if !self.supports(&request.protocol_type, &protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // All protocols of a consumer come with the same subscription.
        let Some(subscription) = protocols.first().and_then(|(_, bytes)| migration::subscription(bytes))
        else {
            return Err(ErrorCode::InconsistentGroupProtocol);
        };
        if asks_for_id && join.instance().is_none() && join.version >= KNOWN_MEMBER_ID_FROM {
            return Ok(JoinGroupResponse {
                error_code: ErrorCode::MemberIdRequired.code(),
                member_id: id,
                protocol_name: None,
                ..Default::default()
            });
        }
        let before = self.joining(join.instance(), id, asks_for_id, turn)?;
        let member = Member {
            instance: request
                .group_instance_id
                .as_ref()
                .map(Str::detached)
                .or_else(|| before.instance.clone()),
            rack: subscription.rack_id.as_ref().map(Str::detached).or_else(|| before.rack.clone()),
            names: subscription.topics.iter().map(Str::detached).collect(),
            regex: None,
            rebalance_timeout_ms: join.rebalance_timeout_ms(),
            client_id: join.client.id.detached(),
            client_host: join.client.host.detached(),
            classic: Some(ClassicSide { session_timeout_ms: request.session_timeout_ms, protocols }),
            ..before.clone()
        };
        let mut owned = Named::new();
        for own in subscription.owned_partitions {
            owned.entry(own.topic).or_default().extend(own.partitions);
        }
        let owned = identified(&owned, turn.topics);
        let member = self.take_in(&before, member, Some(&owned), turn);
        // It has this long to ask for its share.
        self.await_step(&member, turn);
        Ok(JoinGroupResponse {
            generation_id: member.epoch,
            protocol_type: Some(Str::from_static(CONSUMER)),
            protocol_name: member.protocol().cloned(),
            member_id: member.id,
            ..Default::default()
        })
    }

    /// Whether all who speak the classic protocol know one of these.
    fn supports(&self, protocol_type: &str, protocols: &[(Str, Bytes)]) -> bool {
        let knows = |side: &ClassicSide, name: &Str| side.protocols.iter().any(|(known, _)| known == name);
        let all_know = |name: &Str| {
            self.members.values().filter_map(|member| member.classic.as_ref()).all(|side| knows(side, name))
        };
        protocol_type == CONSUMER && protocols.iter().any(|(name, _)| all_know(name))
    }

    /// The member that joins, as it was: known, new, or in a static member's place.
    fn joining(
        &mut self,
        instance: Option<&str>,
        id: Str,
        asks_for_id: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Member, ErrorCode> {
        let Some(instance) = instance else {
            return Ok(self.members.get(&id).cloned().unwrap_or_else(|| Member::new(id)));
        };
        match self.static_member(instance).cloned() {
            None if asks_for_id => Ok(Member::new(id)),
            None => Err(ErrorCode::UnknownMemberId),
            Some(old) if asks_for_id => Ok(self.replace(&old, id, turn)),
            Some(member) if member.id != id => Err(ErrorCode::FencedInstanceId),
            Some(member) => Ok(member),
        }
    }

    /// The member of this id, which must be its instance's if one is named.
    fn named_member(&self, id: &str, instance: Option<&str>) -> Result<&Member, ErrorCode> {
        let found = match instance {
            None => self.members.get(id),
            Some(instance) => self.static_member(instance),
        };
        match found {
            None => Err(ErrorCode::UnknownMemberId),
            Some(member) if member.id.as_str() != id => Err(ErrorCode::FencedInstanceId),
            Some(member) => Ok(member),
        }
    }

    /// A member that speaks the classic protocol.
    fn speaker(&self, id: &str, instance: Option<&str>) -> Result<&Member, ErrorCode> {
        let member = self.named_member(id, instance)?;
        if member.classic.is_some() { Ok(member) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Takes a SyncGroup: a member fetches what it has.
    pub(in crate::group) fn sync(
        &mut self,
        request: &SyncGroupRequest,
        turn: &mut Turn<'_>,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let member = self.speaker(&request.member_id, request.group_instance_id.as_deref())?;
        if member.epoch != request.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let strange_type = request.protocol_type.as_ref().is_some_and(|name| name.as_str() != CONSUMER);
        let strange_name =
            request.protocol_name.is_some() && request.protocol_name.as_ref() != member.protocol();
        if strange_type || strange_name {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // One that has to give something up hears of it by its share, whatever has happened since.
        if self.epoch > member.epoch && member.state != State::Unrevoked {
            self.urge(member, turn);
            return Err(ErrorCode::RebalanceInProgress);
        }
        turn.timers.cancel(&self.step(&member.id));
        self.renew_session(member, turn);
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: migration::assignment_bytes(
                &named(&member.assigned, turn.topics),
                &member.metadata(),
            ),
            ..Default::default()
        })
    }

    /// Takes a Heartbeat: whether the member must rejoin to give up or to take partitions.
    pub(in crate::group) fn classic_heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let member = self.speaker(&request.member_id, request.group_instance_id.as_deref())?;
        if member.epoch != request.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.renew_session(member, turn);
        let must_rejoin = member.epoch < self.epoch
            || member.state == State::Unrevoked
            || member.state == State::Unreleased && !self.waits_for_others(member);
        if must_rejoin {
            self.urge(member, turn);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Gives a member that was told to rejoin its time to do so; being told again gives no more of it.
    fn urge(&self, member: &Member, turn: &mut Turn<'_>) {
        if !turn.timers.runs(&self.step(&member.id)) {
            self.await_step(member, turn);
        }
    }

    /// Takes a LeaveGroup, each member with an answer of its own.
    pub(in crate::group) fn classic_leave(
        &mut self,
        members: &[MemberIdentity],
        turn: &mut Turn<'_>,
    ) -> Vec<MemberResponse> {
        let mut gone = Vec::new();
        let answers = members.iter().map(|asked| {
            let found = self.leaver(asked);
            let (member_id, error) = match found {
                Ok(id) => (id, ErrorCode::None),
                Err(error) => (asked.member_id.clone(), error),
            };
            if error.is_ok() {
                gone.push(member_id.clone());
            }
            MemberResponse {
                member_id,
                group_instance_id: asked.group_instance_id.clone(),
                error_code: error.code(),
            }
        });
        let answers = answers.collect();
        self.fence_all(&gone, Why::Left, turn);
        answers
    }

    fn leaver(&self, asked: &MemberIdentity) -> Result<Str, ErrorCode> {
        let instance = asked.group_instance_id.as_deref();
        let member = match instance {
            // A tool knows a static member by its name.
            Some(name) if asked.member_id.is_empty() => {
                self.static_member(name).ok_or(ErrorCode::UnknownMemberId)?
            }
            _ => self.named_member(&asked.member_id, instance)?,
        };
        if member.classic.is_some() { Ok(member.id.clone()) } else { Err(ErrorCode::UnknownMemberId) }
    }
}

impl Member {
    /// The protocol that a member of the classic protocol is told.
    fn protocol(&self) -> Option<&Str> {
        self.classic.as_ref().and_then(|side| side.protocols.first()).map(|(name, _)| name)
    }

    /// What it said about that protocol.
    pub(super) fn metadata(&self) -> Bytes {
        let first = self.classic.as_ref().and_then(|side| side.protocols.first());
        first.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

/// A share in the words of the classic protocol; topics that are gone have none.
fn named(held: &Held, topics: &Topics) -> Named {
    let own =
        held.iter().filter_map(|(id, own)| Some((topics.name(*id)?.clone(), own.keys().copied().collect())));
    own.collect()
}

/// A share as the group knows it; topics that are gone have no id.
pub(super) fn identified(named: &Named, topics: &Topics) -> Share {
    let own = named.iter().filter_map(|(name, own)| Some((topics.get(name)?.0, own.clone())));
    own.collect::<BTreeMap<_, _>>()
}
