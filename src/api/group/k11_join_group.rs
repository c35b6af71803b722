//! JoinGroup (key 11), versions 0 to 9: a member (re)joins its group. Rules: rows 100 to 103, 106. No deviations.

use super::{Api, Context, Plan, ask_one, failure};
use crate::group::call::{Client, GroupOp, GroupReply};
use crate::wire::generated::{JoinGroupRequest, JoinGroupResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api = Api { key: 11, name: "JoinGroup", min: 0, served_min: 0, max: 9, plan };

/// First version in which the protocol's name may be null.
const NULL_PROTOCOL_FROM: i16 = 7;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = JoinGroupRequest::decode(&mut body, version)?;
    let client = Client {
        id: context.header.client_id.clone().unwrap_or_default(),
        host: format!("/{}", context.header.client_host).into(),
    };
    let (group, member_id) = (request.group_id.clone(), request.member_id.clone());
    let op = GroupOp::Join { request, version, client, uuid: context.new_uuid().into() };
    Ok(ask_one(context, &group, op, move |context, reply| {
        let mut response = match reply {
            GroupReply::Join(response) => response,
            other => JoinGroupResponse {
                error_code: failure(&other).code(),
                member_id,
                protocol_name: None,
                ..Default::default()
            },
        };
        if version < NULL_PROTOCOL_FROM && response.protocol_name.is_none() {
            response.protocol_name = Some(Str::EMPTY);
        }
        context.respond(&response)
    }))
}
