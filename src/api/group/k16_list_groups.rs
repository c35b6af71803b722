//! ListGroups (key 16), versions 0 to 5: the groups of this broker, by state and type. While a coordinator reads its
//! log the answer is error 14: a list that lacks groups would be taken for the truth. No deviations.

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, PartitionIndex, TopicPartition};
use crate::group::OFFSETS_TOPIC;
use crate::group::call::{GroupCall, GroupOp, GroupReply};
use crate::wire::generated::{ListGroupsRequest, ListGroupsResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api = Api { key: 16, name: "ListGroups", min: 0, served_min: 0, max: 5, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = ListGroupsRequest::decode(&mut body, context.header.version)?;
    let (states, types) = (request.states_filter, request.types_filter);
    let topic = context.cluster.topic(OFFSETS_TOPIC);
    let partitions = topic.into_iter().flat_map(|topic| {
        let id = topic.id;
        (0i32..)
            .take(topic.partitions.len())
            .map(move |index| TopicPartition { topic: id, partition: PartitionIndex(index) })
    });
    // Other brokers list the groups of the partitions that they lead.
    let calls = partitions.filter(|partition| context.leads(*partition)).map(|partition| {
        let op = GroupOp::List { states: states.clone(), types: types.clone() };
        GroupCall { partition, op }
    });
    let calls = calls.collect();
    Ok(Plan::Groups(
        calls,
        Box::new(|context, replies| {
            let mut response = ListGroupsResponse::default();
            for reply in replies {
                match reply {
                    GroupReply::Listed(groups) => response.groups.extend(groups),
                    // Another broker has that partition, and lists its groups itself.
                    GroupReply::Failed(ErrorCode::NotCoordinator) => {}
                    other => response.error_code = super::failure(&other).code(),
                }
            }
            if response.error_code != 0 {
                response.groups.clear();
            }
            context.respond(&response)
        }),
    ))
}
