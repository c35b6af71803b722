//! CreatePartitions (key 37), versions 0 to 3: gives a topic more partitions (row 24).

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, Outcome};
use crate::wire::generated::create_partitions_request::CreatePartitionsAssignment;
use crate::wire::generated::create_partitions_response::CreatePartitionsTopicResult;
use crate::wire::generated::{CreatePartitionsRequest, CreatePartitionsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeSet;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 37, name: "CreatePartitions", min: 0, served_min: 0, max: 3, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = CreatePartitionsRequest::decode(&mut body, context.header.version)?;
    let validate_only = request.validate_only;
    let mut seen = BTreeSet::new();
    let again: BTreeSet<Str> = request
        .topics
        .iter()
        .filter(|topic| !seen.insert(&topic.name))
        .map(|topic| topic.name.clone())
        .collect();
    let mut names = Vec::new();
    let mut commands = Vec::new();
    for topic in request.topics.into_iter().filter(|topic| !again.contains(&topic.name)) {
        let list = |one: CreatePartitionsAssignment| one.broker_ids.into_iter().map(NodeId).collect();
        let assignment = topic.assignments.map(|lists| lists.into_iter().map(list).collect());
        let name = topic.name.detached();
        commands.push(Command::AddPartitions { name, count: topic.count, assignment, validate_only });
        names.push(topic.name);
    }
    Ok(Plan::Cluster(
        commands,
        Box::new(move |context, outcomes| {
            let result = |name, refusal: Option<(ErrorCode, String)>| {
                let (error, why) = refusal.map_or((ErrorCode::None, None), |(error, why)| (error, Some(why)));
                let error_message = why.map(Str::from);
                CreatePartitionsTopicResult { name, error_code: error.code(), error_message }
            };
            let done = names.into_iter().zip(outcomes).map(|(name, outcome)| match outcome {
                Outcome::Refused(refusal) => result(name, Some(refusal)),
                _ => result(name, None),
            });
            let twice = (ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned());
            let again = again.into_iter().map(|name| result(name, Some(twice.clone())));
            let results = done.chain(again).collect();
            context.respond(&CreatePartitionsResponse { throttle_time_ms: 0, results })
        }),
    ))
}
