//! DescribeGroups (key 15), versions 0 to 6: a group's state and members. Rules: row 111. No deviations.

use super::{Api, Context, Plan, ask_each, failure};
use crate::api::k03_metadata::OPERATIONS_UNASKED;
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::describe_groups_response::DescribedGroup;
use crate::wire::generated::{DescribeGroupsRequest, DescribeGroupsResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 15, name: "DescribeGroups", min: 0, served_min: 0, max: 6, plan };

/// All operations on a group (read, delete, describe, those two on its settings), as bits of Kafka's operation codes.
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = DescribeGroupsRequest::decode(&mut body, version)?;
    let with_operations = request.include_authorized_operations;
    let groups = request.groups;
    let questions =
        groups.iter().map(|group| (group.clone(), GroupOp::Describe { group: group.clone(), version }));
    let questions = questions.collect();
    Ok(ask_each(context, questions, move |context, replies| {
        let group = |(group_id, reply): (_, GroupReply)| {
            let mut described = match reply {
                GroupReply::Described(described) => described,
                other => {
                    DescribedGroup { error_code: failure(&other).code(), group_id, ..Default::default() }
                }
            };
            let told = with_operations && described.error_code == 0;
            described.authorized_operations = if told { GROUP_OPERATIONS } else { OPERATIONS_UNASKED };
            described
        };
        let groups = groups.into_iter().zip(replies).map(group).collect();
        context.respond(&DescribeGroupsResponse { groups, ..Default::default() })
    }))
}
