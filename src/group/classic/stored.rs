//! A classic group as a record, and back.

use super::members::{Member, Members};
use super::{ClassicGroup, State};
use crate::group::chronicle::{Cause, Why};
use crate::group::coordinator::Turn;
use crate::group::record::{self, GroupRecord};
use crate::wire::Str;
use crate::wire::generated::GroupMetadataValue;
use crate::wire::generated::group_metadata_value::MemberMetadata;
use bytes::Bytes;

impl ClassicGroup {
    /// The group as it is kept.
    pub(in crate::group) fn record(&self) -> GroupRecord {
        let protocol = self.protocol.clone().unwrap_or_default();
        let member = |member: &Member| MemberMetadata {
            member_id: member.id.clone(),
            group_instance_id: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(&protocol),
            assignment: member.assignment.clone(),
        };
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.since_ms.unwrap_or(-1),
            members: self.members.iter().map(member).collect(),
        };
        record::group(&self.id, &value)
    }

    /// The group of a record.
    pub(in crate::group) fn replayed(id: Str, value: GroupMetadataValue) -> Self {
        let protocol = value.protocol.as_ref().map(Str::detached);
        let mut members = Members::default();
        for stored in value.members {
            let unset = stored.rebalance_timeout == -1;
            if members.get(&stored.member_id).is_some() {
                continue;
            }
            members.add(Member {
                id: stored.member_id.detached(),
                instance: stored.group_instance_id.as_ref().map(Str::detached),
                client_id: stored.client_id.detached(),
                client_host: stored.client_host.detached(),
                rebalance_timeout_ms: if unset { stored.session_timeout } else { stored.rebalance_timeout },
                session_timeout_ms: stored.session_timeout,
                protocols: protocol
                    .iter()
                    .map(|name| (name.clone(), Bytes::copy_from_slice(&stored.subscription)))
                    .collect(),
                assignment: Bytes::copy_from_slice(&stored.assignment),
                joining: None,
                syncing: None,
                is_new: false,
            });
        }
        let state = if members.is_empty() { State::Empty } else { State::Stable };
        let mut group = ClassicGroup {
            state,
            previous: state,
            since_ms: (value.current_state_timestamp != -1).then_some(value.current_state_timestamp),
            protocol_type: Some(value.protocol_type.detached()).filter(|name| !name.is_empty()),
            protocol,
            generation: value.generation,
            leader: value.leader.as_ref().map(Str::detached),
            members,
            ..ClassicGroup::new(id, 0)
        };
        group.subscribed = group.subscription();
        group
    }

    /// The log is read: members have a session's time to show up.
    pub(in crate::group) fn begin(&mut self, turn: &mut Turn<'_>) {
        self.renew_sessions(turn);
        if self.members.len() > turn.settings.members_max {
            turn.out.causes.push(Cause::of(Why::Oversized));
            // The bound was lowered: a rebalance lets members commit before the last ones to join are refused.
            self.prepare_rebalance(turn);
        }
    }

    /// Gives every member a session's time from now.
    pub(in crate::group) fn renew_sessions(&self, turn: &mut Turn<'_>) {
        for id in self.members.ids() {
            self.renew_session(&id, turn);
        }
    }
}
