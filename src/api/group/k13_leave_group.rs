//! LeaveGroup (key 13), versions 0 to 5: members leave, or a tool removes them. Rules: row 107. No deviations.

use super::{Api, Context, Plan, ask_one, failure};
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::leave_group_request::MemberIdentity;
use crate::wire::generated::{LeaveGroupRequest, LeaveGroupResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api = Api { key: 13, name: "LeaveGroup", min: 0, served_min: 0, max: 5, plan };

/// First version with a list of members.
const LIST_FROM: i16 = 3;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let mut request = LeaveGroupRequest::decode(&mut body, version)?;
    if version < LIST_FROM {
        let member_id = std::mem::take(&mut request.member_id);
        request.members = vec![MemberIdentity { member_id, ..Default::default() }];
    }
    let group = request.group_id.clone();
    Ok(ask_one(context, &group, GroupOp::Leave(request), move |context, reply| {
        let mut response = match reply {
            GroupReply::Leave(response) => response,
            other => LeaveGroupResponse { error_code: failure(&other).code(), ..Default::default() },
        };
        if version < LIST_FROM {
            let member = response.members.pop().map_or(0, |member| member.error_code);
            response.members.clear();
            if response.error_code == 0 {
                response.error_code = member;
            }
        }
        context.respond(&response)
    }))
}
