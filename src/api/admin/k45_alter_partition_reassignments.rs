//! AlterPartitionReassignments (key 45), versions 0 and 1: moves partitions to other brokers.
//!
//! Moving comes with replication. Until then a partition can be sent to where it is, which is done at once; any other
//! place is error 39, since there is no other broker. There is never a move to cancel: error 85. No deviations.

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::broken_assignment;
use crate::wire::generated::alter_partition_reassignments_request::ReassignablePartition;
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
    let responses: Vec<ReassignableTopicResponse> = request
        .topics
        .into_iter()
        .map(|topic| {
            let answer = |asked: ReassignablePartition| {
                let (error, why) = match refusal(context, &topic.name, &asked) {
                    None => (ErrorCode::None, None),
                    Some((error, why)) => (error, why.map(Str::from)),
                };
                let partition_index = asked.partition_index;
                ReassignablePartitionResponse {
                    partition_index,
                    error_code: error.code(),
                    error_message: why,
                }
            };
            let partitions = topic.partitions.into_iter().map(answer).collect();
            ReassignableTopicResponse { name: topic.name.clone(), partitions }
        })
        .collect();
    Ok(context.respond(&AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        responses,
        ..Default::default()
    }))
}

fn refusal(
    context: &Context<'_>,
    topic: &str,
    asked: &ReassignablePartition,
) -> Option<(ErrorCode, Option<String>)> {
    let unknown = |why: String| Some((ErrorCode::UnknownTopicOrPartition, Some(why)));
    let Some(found) = context.cluster.topic(topic) else {
        return unknown(format!("Unable to find a topic named {topic}."));
    };
    let index = usize::try_from(asked.partition_index).ok();
    let Some(partition) = index.and_then(|index| found.partitions.get(index)) else {
        return unknown(format!("Unable to find partition {topic}:{}.", asked.partition_index));
    };
    let Some(ids) = &asked.replicas else { return Some((ErrorCode::NoReassignmentInProgress, None)) };
    let replicas: Vec<NodeId> = ids.iter().map(|id| NodeId(*id)).collect();
    let broken = broken_assignment(context.cluster, &replicas, replicas.len());
    let elsewhere = || (replicas != partition.replicas).then(|| "replicas can't move yet".to_owned());
    broken.or_else(elsewhere).map(|why| (ErrorCode::InvalidReplicaAssignment, Some(why)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use crate::wire::generated::alter_partition_reassignments_request::ReassignableTopic;

    fn reassign(partition_index: i32, replicas: Option<&[i32]>) -> i16 {
        let mut fixture = Fixture::new();
        fixture.topic("t");
        let asked = ReassignablePartition { partition_index, replicas: replicas.map(<[i32]>::to_vec) };
        let topic = ReassignableTopic { name: "t".into(), partitions: vec![asked] };
        let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
        let response: AlterPartitionReassignmentsResponse = fixture.ask(45, 1, &request).message();
        response.responses[0].partitions[0].error_code
    }

    #[test]
    fn a_partition_stays_where_it_is() {
        assert_eq!(reassign(0, Some(&[1])), 0);
        assert_eq!(reassign(0, None), ErrorCode::NoReassignmentInProgress.code());
        for elsewhere in [&[7][..], &[1, 7], &[], &[1, 1]] {
            assert_eq!(reassign(0, Some(elsewhere)), ErrorCode::InvalidReplicaAssignment.code());
        }
        assert_eq!(reassign(3, Some(&[1])), ErrorCode::UnknownTopicOrPartition.code());
    }
}
