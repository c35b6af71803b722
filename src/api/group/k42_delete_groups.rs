//! DeleteGroups (key 42), versions 0 to 3: empty groups go, with their offsets. Rules: row 111. No deviations.

use super::{Api, Context, Plan, ask_each, failure};
use crate::group::call::{GroupOp, GroupReply};
use crate::wire::generated::delete_groups_response::DeletableGroupResult;
use crate::wire::generated::{DeleteGroupsRequest, DeleteGroupsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeSet;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 42, name: "DeleteGroups", min: 0, served_min: 0, max: 3, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DeleteGroupsRequest::decode(&mut body, context.header.version)?;
    // Each once, as in Kafka.
    let mut seen = BTreeSet::new();
    let mut groups: Vec<Str> = request.groups_names;
    groups.retain(|group| seen.insert(group.clone()));
    let questions = groups.iter().map(|group| (group.clone(), GroupOp::Delete { group: group.clone() }));
    let questions = questions.collect();
    Ok(ask_each(context, questions, move |context, replies| {
        let result = |(group_id, reply): (_, GroupReply)| match reply {
            GroupReply::Deleted(result) => result,
            other => {
                DeletableGroupResult { group_id, error_code: failure(&other).code(), ..Default::default() }
            }
        };
        let results = groups.into_iter().zip(replies).map(result).collect();
        context.respond(&DeleteGroupsResponse { results, ..Default::default() })
    }))
}
