//! DescribeQuorum (key 55), versions 0 to 2: who decides on the metadata, and how far everyone is (KIP-595, 836, 853).
//!
//! The acting coordinator answers, whichever broker is asked. Deviations: a voter's endpoint is where its peers reach
//! it, and its directory has the id that it was added with, or none.

use super::{Api, Context, Plan};
use crate::base::{ErrorCode, TopicId};
use crate::cluster::{Command, Outcome, QuorumFacts, Refusal, VoterFacts};
use crate::wire::generated::describe_quorum_request::TopicData as Asked;
use crate::wire::generated::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use crate::wire::generated::{DescribeQuorumRequest, DescribeQuorumResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 55, name: "DescribeQuorum", min: 0, served_min: 0, max: 2, plan };

/// Kafka's name for the metadata, as if it were a topic of one partition.
const METADATA: &str = "__cluster_metadata";

fn is_metadata(topic: &str, partition: i32) -> bool {
    topic == METADATA && partition == 0
}

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeQuorumRequest::decode(&mut body, context.header.version)?;
    let wanted = |topic: &Asked| {
        topic.partitions.iter().any(|one| is_metadata(&topic.topic_name, one.partition_index))
    };
    if !request.topics.iter().any(wanted) {
        return Ok(answer(context, request, None));
    }
    Ok(Plan::Cluster(
        vec![Command::DescribeQuorum],
        Box::new(|context, outcomes| match outcomes.into_iter().next() {
            Some(Outcome::Quorum(facts)) => answer(context, request, Some(&facts)),
            Some(Outcome::Refused(refusal)) => refuse(context, refusal),
            _ => refuse(context, (ErrorCode::UnknownServerError, String::new())),
        }),
    ))
}

fn refuse(context: &Context<'_>, (error, why): Refusal) -> Plan {
    let (error_code, error_message) = (error.code(), Some(why.into()));
    context.respond(&DescribeQuorumResponse { error_code, error_message, ..Default::default() })
}

fn answer(context: &Context<'_>, request: DescribeQuorumRequest, facts: Option<&QuorumFacts>) -> Plan {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let partition = |index: i32| match facts.filter(|_| is_metadata(&topic.topic_name, index)) {
            Some(facts) => metadata(context, facts),
            None => unknown(index),
        };
        let partitions = topic.partitions.iter().map(|asked| partition(asked.partition_index)).collect();
        topics.push(TopicData { topic_name: topic.topic_name, partitions });
    }
    let voters = facts.filter(|_| context.header.version >= 2).map_or(&[][..], |facts| &facts.voters);
    let nodes = voters.iter().map(node).collect();
    context.respond(&DescribeQuorumResponse { topics, nodes, ..Default::default() })
}

fn metadata(context: &Context<'_>, facts: &QuorumFacts) -> PartitionData {
    let offset = |entries: u64| i64::try_from(entries).unwrap_or(i64::MAX);
    let state = |voter: &VoterFacts| ReplicaState {
        replica_id: voter.id.0,
        replica_directory_id: TopicId(if context.header.version >= 2 { voter.directory } else { [0; 16] }),
        log_end_offset: offset(voter.end),
        last_fetch_timestamp: voter.heard_ms,
        last_caught_up_timestamp: voter.caught_up_ms,
    };
    PartitionData {
        leader_id: facts.leader.0,
        leader_epoch: facts.term,
        high_watermark: offset(facts.committed),
        current_voters: facts.voters.iter().map(state).collect(),
        observers: facts.observers.iter().map(state).collect(),
        ..Default::default()
    }
}

fn unknown(partition_index: i32) -> PartitionData {
    let why = "This server does not host this topic-partition.";
    PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some(Str::from_static(why)),
        ..Default::default()
    }
}

fn node(voter: &VoterFacts) -> Node {
    let listener =
        Listener { name: Str::from_static("PLAINTEXT"), host: voter.host.clone(), port: voter.port };
    Node { node_id: voter.id.0, listeners: vec![listener] }
}
