//! SyncGroup (key 14), versions 0 to 5: the leader brings the shares, every member takes its own. Rules: row 105. No
//! deviations.

use super::{Api, Context, Plan, ask_one, failure};
use crate::base::ErrorCode;
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::{SyncGroupRequest, SyncGroupResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api = Api { key: 14, name: "SyncGroup", min: 0, served_min: 0, max: 5, plan };

/// First version in which a member must say what it takes the group for.
const PROTOCOL_FROM: i16 = 5;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = SyncGroupRequest::decode(&mut body, version)?;
    let named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if version >= PROTOCOL_FROM && !named {
        let error_code = ErrorCode::InconsistentGroupProtocol.code();
        return Ok(context.respond(&SyncGroupResponse { error_code, ..Default::default() }));
    }
    let group = request.group_id.clone();
    Ok(ask_one(context, &group, GroupOp::Sync(request), |context, reply| {
        let response = match reply {
            GroupReply::Sync(response) => response,
            other => SyncGroupResponse { error_code: failure(&other).code(), ..Default::default() },
        };
        context.respond(&response)
    }))
}
