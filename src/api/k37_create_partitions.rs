//! CreatePartitions (key 37), versions 0 to 3: gives a topic more partitions (row 24).

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, Outcome};
use crate::wire::generated::create_partitions_response::CreatePartitionsTopicResult;
use crate::wire::generated::{CreatePartitionsRequest, CreatePartitionsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 37, name: "CreatePartitions", min: 0, served_min: 0, max: 3, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = CreatePartitionsRequest::decode(&mut body, context.header.version)?;
    let validate_only = request.validate_only;
    let mut names = Vec::new();
    let mut commands = Vec::new();
    for topic in request.topics {
        let lists = |assignments: Vec<
            crate::wire::generated::create_partitions_request::CreatePartitionsAssignment,
        >| {
            assignments.into_iter().map(|one| one.broker_ids.into_iter().map(NodeId).collect()).collect()
        };
        let assignment = topic.assignments.map(lists);
        let name = topic.name.detached();
        commands.push(Command::AddPartitions { name, count: topic.count, assignment, validate_only });
        names.push(topic.name);
    }
    Ok(Plan::Cluster(
        commands,
        Box::new(move |context, outcomes| {
            let results = names.into_iter().zip(outcomes).map(|(name, outcome)| {
                let (error, message) = match outcome {
                    Outcome::Refused((error, why)) => (error, Some(Str::from(why))),
                    _ => (ErrorCode::None, None),
                };
                CreatePartitionsTopicResult { name, error_code: error.code(), error_message: message }
            });
            context.respond(&CreatePartitionsResponse { throttle_time_ms: 0, results: results.collect() })
        }),
    ))
}
