//! What members ask: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use super::Coordinator;
use crate::base::ErrorCode;
use crate::group::call::{Asker, GroupReply};
use crate::group::classic::{ClassicGroup, Join, join_refused, sync_refused};
use crate::group::settings::Now;
use crate::wire::generated::leave_group_response::MemberResponse;
use crate::wire::generated::{
    HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
};

impl Coordinator {
    pub(super) fn join(&mut self, join: &Join<'_>, now: Now) {
        let Join { asker, request, .. } = *join;
        let id = &request.group_id;
        let refuse = |error| GroupReply::Join(join_refused(request.member_id.clone(), error));
        let bounds = self.settings.session_timeout_min_ms..=self.settings.session_timeout_max_ms;
        if id.is_empty() {
            return self.answer(asker, refuse(ErrorCode::InvalidGroupId));
        }
        if !bounds.contains(&request.session_timeout_ms) {
            return self.answer(asker, refuse(ErrorCode::InvalidSessionTimeout));
        }
        if self.consumers.get(id).is_some_and(|group| !group.is_empty()) {
            return self.join_consumer(join, now);
        }
        let is_new = !self.groups.contains_key(id);
        if is_new && !request.member_id.is_empty() {
            return self.answer(asker, refuse(ErrorCode::UnknownMemberId));
        }
        if !self.has_room(is_new) {
            return self.answer(asker, refuse(ErrorCode::CoordinatorNotAvailable));
        }
        // An empty consumer group of that name gives way.
        let consumer = self.consumers.get(id).map(crate::group::consumer::ConsumerGroup::end_records);
        if is_new {
            self.put(ClassicGroup::new(id.detached(), now.wall_ms));
        }
        let in_use = self.with_group(id, now, |group, turn| {
            if is_new {
                turn.out.records.extend(consumer.into_iter().flatten());
                turn.out.records.push(group.record());
            }
            group.join(join, turn);
            !group.is_empty() || group.awaits_members()
        });
        if is_new && in_use == Some(false) {
            // It was refused: nothing is left behind.
            self.remove_group(id);
            self.output.records.clear();
        } else if is_new {
            self.remove_consumer(id);
        }
    }

    /// A member of the classic protocol joins a consumer group.
    fn join_consumer(&mut self, join: &Join<'_>, now: Now) {
        let Join { asker, request, .. } = *join;
        let id = &request.group_id;
        let outcome = if self.has_room(false) {
            let joined = self.with_consumer(id, now, |group, turn| group.join(join, turn));
            joined.unwrap_or(Err(ErrorCode::UnknownMemberId))
        } else {
            Err(ErrorCode::CoordinatorNotAvailable)
        };
        self.downgrade_if_classic(id, now);
        let response = outcome.unwrap_or_else(|error| join_refused(request.member_id.clone(), error));
        self.answer(asker, GroupReply::Join(response));
    }

    /// Forgets a group.
    pub(super) fn remove_group(&mut self, id: &str) {
        if let Some(gone) = self.groups.remove(id) {
            self.bytes -= gone.bytes();
        }
    }

    pub(super) fn sync(&mut self, asker: Asker, request: &SyncGroupRequest, now: Now) {
        let error = if request.group_id.is_empty() {
            ErrorCode::InvalidGroupId
        } else if self.consumers.contains_key(&request.group_id) {
            let synced = self.with_consumer(&request.group_id, now, |group, turn| group.sync(request, turn));
            match synced.unwrap_or(Err(ErrorCode::UnknownMemberId)) {
                Ok(response) => return self.answer(asker, GroupReply::Sync(response)),
                Err(error) => error,
            }
        } else {
            let known = self.with_group(&request.group_id, now, |group, turn| {
                if group.is_empty() {
                    return false;
                }
                group.sync(asker, request, turn);
                true
            });
            if known == Some(true) {
                return;
            }
            ErrorCode::UnknownMemberId
        };
        self.answer(asker, GroupReply::Sync(sync_refused(error)));
    }

    pub(super) fn heartbeat(&mut self, asker: Asker, request: &HeartbeatRequest, now: Now) {
        let error = if request.group_id.is_empty() {
            ErrorCode::InvalidGroupId
        } else if self.consumers.contains_key(&request.group_id) {
            let beat = self
                .with_consumer(&request.group_id, now, |group, turn| group.classic_heartbeat(request, turn));
            beat.unwrap_or(Ok(())).err().unwrap_or_default()
        } else {
            let instance = request.group_instance_id.as_deref();
            let beat = self.with_group(&request.group_id, now, |group, turn| {
                group.heartbeat(&request.member_id, instance, request.generation_id, turn)
            });
            beat.unwrap_or(ErrorCode::UnknownMemberId)
        };
        let reply = HeartbeatResponse { error_code: error.code(), ..Default::default() };
        self.answer(asker, GroupReply::Heartbeat(reply));
    }

    pub(super) fn leave(&mut self, asker: Asker, request: &LeaveGroupRequest, now: Now) {
        let mut reply = LeaveGroupResponse::default();
        if request.group_id.is_empty() {
            reply.error_code = ErrorCode::InvalidGroupId.code();
        } else {
            let (id, members) = (&request.group_id, &request.members);
            let left = match self.consumers.contains_key(id) {
                true => self.with_consumer(id, now, |group, turn| group.classic_leave(members, turn)),
                false => self.with_group(id, now, |group, turn| group.leave(members, turn)),
            };
            let unknown =
                |member: &crate::wire::generated::leave_group_request::MemberIdentity| MemberResponse {
                    member_id: member.member_id.clone(),
                    group_instance_id: member.group_instance_id.clone(),
                    error_code: ErrorCode::UnknownMemberId.code(),
                };
            reply.members = left.unwrap_or_else(|| request.members.iter().map(unknown).collect());
        }
        self.answer(asker, GroupReply::Leave(reply));
    }
}
