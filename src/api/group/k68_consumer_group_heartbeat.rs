//! ConsumerGroupHeartbeat (key 68), versions 0 and 1: a member of the consumer protocol (KIP-848) joins, lives, moves
//! from share to share, and leaves; the first one makes a consumer group of a classic group. Rules: rows 115, 116.
//!
//! Deviations: partitions are shared out, and regular expressions resolved, in the heartbeat that asks for it, where
//! Apache Kafka does both in the background and answers with the share that the member has so far.

use super::{Api, Context, Plan, ask_one, failure};
use crate::group::call::{Client, GroupOp, GroupReply};
use crate::wire::generated::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 68, name: "ConsumerGroupHeartbeat", min: 0, served_min: 0, max: 1, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = ConsumerGroupHeartbeatRequest::decode(&mut body, version)?;
    let client = Client {
        id: context.header.client_id.clone().unwrap_or_default(),
        host: format!("/{}", context.header.client_host).into(),
    };
    let group = request.group_id.clone();
    let uuid = crate::base::TopicId(context.new_topic_id().0).to_string().into();
    let op = GroupOp::ConsumerBeat { request, version, client, uuid };
    Ok(ask_one(context, &group, op, |context, reply| {
        let response = match reply {
            GroupReply::ConsumerBeat(response) => response,
            other => {
                ConsumerGroupHeartbeatResponse { error_code: failure(&other).code(), ..Default::default() }
            }
        };
        context.respond(&response)
    }))
}
