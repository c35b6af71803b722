//! ConsumerGroupDescribe (key 69), versions 0 and 1: a consumer group's members, shares and targets. A classic group is
//! error 69, upon which tools ask with DescribeGroups (row 110). No deviations.

use super::{Api, Context, Plan, ask_each, failure};
use crate::api::group::k15_describe_groups::GROUP_OPERATIONS;
use crate::api::k03_metadata::OPERATIONS_UNASKED;
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::consumer_group_describe_response::DescribedGroup;
use crate::wire::generated::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 69, name: "ConsumerGroupDescribe", min: 0, served_min: 0, max: 1, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = ConsumerGroupDescribeRequest::decode(&mut body, context.header.version)?;
    let with_operations = request.include_authorized_operations;
    let groups = request.group_ids;
    let questions =
        groups.iter().map(|group| (group.clone(), GroupOp::ConsumerDescribe { group: group.clone() }));
    let questions = questions.collect();
    Ok(ask_each(context, questions, move |context, replies| {
        let group = |(group_id, reply): (_, GroupReply)| {
            let mut described = match reply {
                GroupReply::ConsumerDescribed(described) => described,
                other => {
                    DescribedGroup { error_code: failure(&other).code(), group_id, ..Default::default() }
                }
            };
            let told = with_operations && described.error_code == 0;
            described.authorized_operations = if told { GROUP_OPERATIONS } else { OPERATIONS_UNASKED };
            described
        };
        let groups = groups.into_iter().zip(replies).map(group).collect();
        context.respond(&ConsumerGroupDescribeResponse { groups, ..Default::default() })
    }))
}
