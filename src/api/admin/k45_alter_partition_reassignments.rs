//! AlterPartitionReassignments (key 45), versions 0 and 1: moves partitions to other brokers, or gives that up
//! (KIP-455).
//!
//! Version 0 always lets a partition have more or fewer replicas afterwards; version 1 asks. No deviations.

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, NodeId, PartitionIndex};
use crate::cluster::{Command, Outcome, Reassignment, Refusal};
use crate::wire::generated::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use crate::wire::generated::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 45, name: "AlterPartitionReassignments", min: 0, served_min: 0, max: 1, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = AlterPartitionReassignmentsRequest::decode(&mut body, context.header.version)?;
    let factor_may_change = context.header.version == 0 || request.allow_replication_factor_change;
    let mut moves = Vec::new();
    let mut names: Vec<(Str, Vec<i32>)> = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        names
            .push((topic.name.clone(), topic.partitions.iter().map(|asked| asked.partition_index).collect()));
        moves.extend(topic.partitions.into_iter().map(|asked| Reassignment {
            topic: topic.name.detached(),
            partition: PartitionIndex(asked.partition_index),
            replicas: asked.replicas.map(|ids| ids.into_iter().map(NodeId).collect()),
        }));
    }
    let command = Command::Reassign { moves, factor_may_change };
    Ok(Plan::Cluster(
        vec![command],
        Box::new(move |context, outcomes| {
            let (whole, results) = match outcomes.into_iter().next() {
                Some(Outcome::Reassigned(results)) => (None, results),
                Some(Outcome::Refused(refusal)) => (Some(refusal), Vec::new()),
                _ => (Some((ErrorCode::UnknownServerError, String::new())), Vec::new()),
            };
            let (error, message) = told(whole.map_or(Ok(()), Err));
            let responses = if error.is_ok() { topics(names, results) } else { Vec::new() };
            context.respond(&AlterPartitionReassignmentsResponse {
                allow_replication_factor_change: request.allow_replication_factor_change,
                error_code: error.code(),
                error_message: message,
                responses,
                ..Default::default()
            })
        }),
    ))
}

fn topics(names: Vec<(Str, Vec<i32>)>, results: Vec<Result<(), Refusal>>) -> Vec<ReassignableTopicResponse> {
    let mut results = results.into_iter();
    let mut partition = |partition_index: i32| {
        let missing = || Err((ErrorCode::UnknownServerError, String::new()));
        let (error, error_message) = told(results.next().unwrap_or_else(missing));
        ReassignablePartitionResponse { partition_index, error_code: error.code(), error_message }
    };
    let topic = |(name, indexes): (Str, Vec<i32>)| {
        let partitions = indexes.into_iter().map(&mut partition).collect();
        ReassignableTopicResponse { name, partitions }
    };
    names.into_iter().map(topic).collect()
}

/// What a client is told. That nothing is under way needs no words, as in Kafka.
fn told(result: Result<(), Refusal>) -> (ErrorCode, Option<Str>) {
    match result {
        Ok(()) => (ErrorCode::None, None),
        Err((ErrorCode::NoReassignmentInProgress, _)) => (ErrorCode::NoReassignmentInProgress, None),
        Err((error, why)) => (error, Some(why.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use crate::wire::generated::alter_partition_reassignments_request::{
        ReassignablePartition, ReassignableTopic,
    };
    use crate::wire::generated::list_partition_reassignments_response::OngoingPartitionReassignment;
    use crate::wire::generated::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

    fn reassign(fixture: &mut Fixture, partition_index: i32, replicas: Option<&[i32]>) -> i16 {
        let asked = ReassignablePartition { partition_index, replicas: replicas.map(<[i32]>::to_vec) };
        let topic = ReassignableTopic { name: "t".into(), partitions: vec![asked] };
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![topic],
            allow_replication_factor_change: false,
            ..Default::default()
        };
        let response: AlterPartitionReassignmentsResponse = fixture.ask(45, 1, &request).message();
        response.responses[0].partitions[0].error_code
    }

    #[test]
    fn a_partition_stays_where_there_is_one_broker() {
        let mut fixture = Fixture::new();
        fixture.topic("t");
        assert_eq!(reassign(&mut fixture, 0, Some(&[1])), 0);
        assert_eq!(reassign(&mut fixture, 0, None), ErrorCode::NoReassignmentInProgress.code());
        for elsewhere in [&[7][..], &[1, 7], &[], &[1, 1]] {
            let code = reassign(&mut fixture, 0, Some(elsewhere));
            assert_eq!(code, ErrorCode::InvalidReplicaAssignment.code());
        }
        assert_eq!(reassign(&mut fixture, 3, Some(&[1])), ErrorCode::UnknownTopicOrPartition.code());
    }

    #[test]
    fn a_move_is_listed_until_it_is_over_or_given_up() {
        let mut fixture = Fixture::cluster(3);
        fixture.replicated("t", &[&[1, 2]]);
        let list = |fixture: &mut Fixture| -> Vec<OngoingPartitionReassignment> {
            let request = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
            let response: ListPartitionReassignmentsResponse = fixture.ask(46, 0, &request).message();
            response.topics.into_iter().flat_map(|topic| topic.partitions).collect()
        };
        assert_eq!(list(&mut fixture), []);
        assert_eq!(reassign(&mut fixture, 0, Some(&[1, 2, 3])), ErrorCode::InvalidReplicationFactor.code());
        assert_eq!(reassign(&mut fixture, 0, Some(&[3, 1])), 0);
        let ongoing = OngoingPartitionReassignment {
            partition_index: 0,
            replicas: vec![3, 1, 2],
            adding_replicas: vec![3],
            removing_replicas: vec![2],
        };
        assert_eq!(list(&mut fixture), [ongoing]);
        assert_eq!(reassign(&mut fixture, 0, None), 0);
        assert_eq!(list(&mut fixture), []);
    }
}
