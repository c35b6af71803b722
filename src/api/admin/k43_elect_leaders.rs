//! ElectLeaders (key 43), versions 0 to 2: has partitions led by the preferred replica, or by any that is left
//! (KIP-460).
//!
//! A null list asks for all partitions and leaves out those that need nothing (row 30). An unclean election may lose
//! acknowledged records; it is logged. No deviations.

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, PartitionIndex};
use crate::cluster::{Command, Elected, Outcome, Refusal};
use crate::wire::generated::elect_leaders_request::TopicPartitions;
use crate::wire::generated::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use crate::wire::generated::{ElectLeadersRequest, ElectLeadersResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeMap;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 43, name: "ElectLeaders", min: 0, served_min: 0, max: 2, plan };

/// Kinds of elections.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = ElectLeadersRequest::decode(&mut body, context.header.version)?;
    if !matches!(request.election_type, PREFERRED | UNCLEAN) {
        return Ok(context.respond(&refused(context, request)));
    }
    let name = |(topic, partition): (&Str, &i32)| (topic.detached(), PartitionIndex(*partition));
    let flat = |topics: &Vec<TopicPartitions>| {
        let pairs = topics.iter().flat_map(|one| one.partitions.iter().map(move |index| (&one.topic, index)));
        pairs.map(name).collect::<Vec<_>>()
    };
    let partitions = request.topic_partitions.as_ref().map(flat);
    let command = Command::ElectLeaders { partitions, unclean: request.election_type == UNCLEAN };
    Ok(Plan::Cluster(
        vec![command],
        Box::new(move |context, outcomes| match outcomes.into_iter().next() {
            Some(Outcome::Elected(all)) => {
                let topics = request.topic_partitions.unwrap_or_else(|| everything(context));
                let replica_election_results = results(topics, all);
                context.respond(&ElectLeadersResponse { replica_election_results, ..Default::default() })
            }
            Some(Outcome::Refused((error, _))) => whole(context, error),
            _ => whole(context, ErrorCode::UnknownServerError),
        }),
    ))
}

fn whole(context: &Context<'_>, error: ErrorCode) -> Plan {
    context.respond(&ElectLeadersResponse { error_code: error.code(), ..Default::default() })
}

/// The answer to an election of an unknown kind.
fn refused(context: &Context<'_>, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let why = format!("Unknown election type {}", request.election_type);
    let result = |partition_id| PartitionResult {
        partition_id,
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: Some(why.as_str().into()),
    };
    let topics = request.topic_partitions.unwrap_or_else(|| everything(context));
    let results = topics.into_iter().map(|TopicPartitions { topic, partitions }| ReplicaElectionResult {
        topic,
        partition_result: partitions.into_iter().map(result).collect(),
    });
    ElectLeadersResponse {
        error_code: ErrorCode::InvalidRequest.code(),
        replica_election_results: results.collect(),
        ..Default::default()
    }
}

/// Every topic, with none of its partitions: which of them were in need the coordinator says.
fn everything(context: &Context<'_>) -> Vec<TopicPartitions> {
    let topic = |name: &Str| TopicPartitions { topic: name.clone(), partitions: Vec::new() };
    context.cluster.topics().map(|found| topic(&found.name)).collect()
}

/// Results by topic, in the order of the topics.
fn results(topics: Vec<TopicPartitions>, all: Vec<Elected>) -> Vec<ReplicaElectionResult> {
    let mut by_topic: BTreeMap<Str, Vec<PartitionResult>> = BTreeMap::new();
    for Elected { topic, partition, result } in all {
        if result == Ok(true) {
            tracing::warn!(%topic, %partition, "an unclean election: acknowledged records may be lost");
        }
        let (error, why) =
            result.map_or_else(|(error, why): Refusal| (error, Some(why)), |_| (ErrorCode::None, None));
        let (partition_id, error_code, error_message) = (partition.0, error.code(), why.map(Str::from));
        by_topic.entry(topic).or_default().push(PartitionResult { partition_id, error_code, error_message });
    }
    let topic = |one: TopicPartitions| {
        let partition_result = by_topic.remove(&one.topic).unwrap_or_default();
        ReplicaElectionResult { topic: one.topic, partition_result }
    };
    topics.into_iter().map(topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;

    fn elect(
        fixture: &mut Fixture,
        kind: i8,
        asked: Option<(&str, i32)>,
    ) -> (i16, Vec<(i16, Option<String>)>) {
        let topics = asked
            .map(|(topic, partition)| TopicPartitions { topic: topic.into(), partitions: vec![partition] });
        let request = ElectLeadersRequest {
            election_type: kind,
            topic_partitions: topics.map(|topic| vec![topic]),
            timeout_ms: 1000,
        };
        let response: ElectLeadersResponse = fixture.ask(43, 2, &request).message();
        let results = response.replica_election_results.into_iter().flat_map(|topic| topic.partition_result);
        let told = results.map(|one| (one.error_code, one.error_message.map(|why| why.to_string())));
        (response.error_code, told.collect())
    }

    #[test]
    fn no_election_is_needed_where_there_is_one_broker() {
        let fixture = &mut Fixture::new();
        fixture.topic("t");
        let needless = (84, Some("Leader election not needed for topic partition.".to_owned()));
        for kind in [0, 1] {
            assert_eq!(elect(fixture, kind, Some(("t", 0))), (0, vec![needless.clone()]));
        }
        let unknown = |why: &str| (0, vec![(3, Some(why.to_owned()))]);
        assert_eq!(elect(fixture, 0, Some(("t", 9))), unknown("No such partition as t-9"));
        assert_eq!(elect(fixture, 0, Some(("u", 0))), unknown("No such topic as u"));
        assert_eq!(elect(fixture, 0, None), (0, vec![]));
        let strange = (42, vec![(42, Some("Unknown election type 7".to_owned()))]);
        assert_eq!(elect(fixture, 7, Some(("t", 0))), strange);
    }

    #[test]
    fn a_broker_that_is_back_leads_again_when_it_is_asked_for() {
        let fixture = &mut Fixture::cluster(2);
        fixture.replicated("t", &[&[2, 1], &[1, 2]]);
        fixture.fence(2, true);
        let away = (80, Some("The preferred leader was not available.".to_owned()));
        assert_eq!(elect(fixture, 0, None), (0, vec![away]));
        fixture.fence(2, false);
        fixture.all_in_sync("t");
        assert_eq!(elect(fixture, 0, None), (0, vec![(0, None)]));
    }
}
