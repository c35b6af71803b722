//! ElectLeaders (key 43), versions 0 to 2: moves leadership to the preferred replica, or to any.
//!
//! With one replica a partition its leader is always the preferred one, so no election is ever needed: error 84 (row
//! 30). A null list asks for all partitions and leaves out those that need nothing: all of them. No deviations.

use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::wire::generated::elect_leaders_request::TopicPartitions;
use crate::wire::generated::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use crate::wire::generated::{ElectLeadersRequest, ElectLeadersResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 43, name: "ElectLeaders", min: 0, served_min: 0, max: 2, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = ElectLeadersRequest::decode(&mut body, context.header.version)?;
    let known = matches!(request.election_type, 0 | 1);
    let asked = request.topic_partitions.unwrap_or_else(|| everything(context));
    let results = asked.into_iter().map(|TopicPartitions { topic, partitions }| {
        let result = |partition_id| {
            let (error, why) = if known {
                refusal(context, &topic, partition_id)
            } else {
                let why = format!("Unknown election type {}", request.election_type);
                (ErrorCode::InvalidRequest, why)
            };
            PartitionResult { partition_id, error_code: error.code(), error_message: Some(why.into()) }
        };
        let partition_result = partitions.into_iter().map(result).collect();
        ReplicaElectionResult { topic: topic.clone(), partition_result }
    });
    let error = if known { ErrorCode::None } else { ErrorCode::InvalidRequest };
    Ok(context.respond(&ElectLeadersResponse {
        error_code: error.code(),
        replica_election_results: results.collect(),
        ..Default::default()
    }))
}

/// Every topic, with none of its partitions: none needs an election.
fn everything(context: &Context<'_>) -> Vec<TopicPartitions> {
    let topic = |name: &Str| TopicPartitions { topic: name.clone(), partitions: Vec::new() };
    context.cluster.topics().map(|found| topic(&found.name)).collect()
}

fn refusal(context: &Context<'_>, topic: &str, partition: i32) -> (ErrorCode, String) {
    let Some(found) = context.cluster.topic(topic) else {
        return (ErrorCode::UnknownTopicOrPartition, format!("No such topic as {topic}"));
    };
    if usize::try_from(partition).is_ok_and(|index| index < found.partitions.len()) {
        return (ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned());
    }
    (ErrorCode::UnknownTopicOrPartition, format!("No such partition as {topic}-{partition}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;

    fn elect(kind: i8, asked: Option<(&str, i32)>) -> (i16, Vec<(i16, String)>) {
        let mut fixture = Fixture::new();
        fixture.topic("t");
        let topics = asked
            .map(|(topic, partition)| TopicPartitions { topic: topic.into(), partitions: vec![partition] });
        let request = ElectLeadersRequest {
            election_type: kind,
            topic_partitions: topics.map(|topic| vec![topic]),
            timeout_ms: 1000,
        };
        let response: ElectLeadersResponse = fixture.ask(43, 2, &request).message();
        let results = response.replica_election_results.into_iter().flat_map(|topic| topic.partition_result);
        let told = results.map(|one| (one.error_code, one.error_message.unwrap_or_default().to_string()));
        (response.error_code, told.collect())
    }

    #[test]
    fn no_election_is_needed() {
        let needless = (84, "Leader election not needed for topic partition.".to_owned());
        for kind in [0, 1] {
            assert_eq!(elect(kind, Some(("t", 0))), (0, vec![needless.clone()]));
        }
        assert_eq!(elect(0, Some(("t", 9))), (0, vec![(3, "No such partition as t-9".to_owned())]));
        assert_eq!(elect(0, Some(("u", 0))), (0, vec![(3, "No such topic as u".to_owned())]));
        assert_eq!(elect(0, None), (0, vec![]));
        assert_eq!(elect(7, Some(("t", 0))), (42, vec![(42, "Unknown election type 7".to_owned())]));
    }
}
