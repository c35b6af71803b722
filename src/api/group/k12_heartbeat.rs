//! Heartbeat (key 12), versions 0 to 4: a member lives. Rules: row 104.
//!
//! While the coordinator reads its log every heartbeat is taken for good, as in Apache Kafka: the member has its
//! session's time again once the log is read.

use super::{Api, Context, Plan, ask_one, failure};
use crate::base::ErrorCode;
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::{HeartbeatRequest, HeartbeatResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api = Api { key: 12, name: "Heartbeat", min: 0, served_min: 0, max: 4, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = HeartbeatRequest::decode(&mut body, context.header.version)?;
    let group = request.group_id.clone();
    Ok(ask_one(context, &group, GroupOp::Heartbeat(request), |context, reply| {
        let response = match reply {
            GroupReply::Heartbeat(response) => response,
            other => {
                let error = match failure(&other) {
                    ErrorCode::CoordinatorLoadInProgress => ErrorCode::None,
                    error => error,
                };
                HeartbeatResponse { error_code: error.code(), ..Default::default() }
            }
        };
        context.respond(&response)
    }))
}
