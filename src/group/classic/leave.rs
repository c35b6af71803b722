//! LeaveGroup: members go, or are sent away by a tool.

use super::{ClassicGroup, State};
use crate::base::ErrorCode;
use crate::group::chronicle::Why;
use crate::group::coordinator::Turn;
use crate::group::timers::Timer;
use crate::wire::Str;
use crate::wire::generated::leave_group_request::MemberIdentity;
use crate::wire::generated::leave_group_response::MemberResponse;

impl ClassicGroup {
    /// Lets members go, each with an answer of its own.
    pub(in crate::group) fn leave(
        &mut self,
        members: &[MemberIdentity],
        turn: &mut Turn<'_>,
    ) -> Vec<MemberResponse> {
        let mut any = false;
        let answers = members.iter().map(|member| {
            let error = self.leave_one(&member.member_id, member.group_instance_id.as_deref(), turn);
            any |= error.is_ok();
            MemberResponse {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: error.code(),
            }
        });
        let answers = answers.collect();
        match self.state {
            State::Stable | State::CompletingRebalance if any => self.prepare_rebalance(turn),
            State::PreparingRebalance if any => self.complete_join_if_all_are_here(turn),
            _ => {}
        }
        answers
    }

    fn leave_one(&mut self, id: &Str, instance: Option<&str>, turn: &mut Turn<'_>) -> ErrorCode {
        if id.is_empty() {
            // A tool knows a static member by its name.
            let Some(id) = instance.and_then(|name| self.members.instance(name)).cloned() else {
                return ErrorCode::UnknownMemberId;
            };
            self.dismiss(&id, Why::Left, turn);
            return ErrorCode::None;
        }
        if self.pending_join.remove(id) {
            turn.timers.cancel(&Timer::Session(self.id.clone(), id.clone()));
            return ErrorCode::None;
        }
        match self.check_member(id, instance) {
            Err(error) => error,
            Ok(()) => {
                self.dismiss(id, Why::Left, turn);
                ErrorCode::None
            }
        }
    }
}
