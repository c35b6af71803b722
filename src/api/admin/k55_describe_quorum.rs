//! DescribeQuorum (key 55), versions 0 to 2: who decides on the metadata, and how far everyone is (KIP-595, 836, 853).
//!
//! One node is its own quorum. An "offset" counts committed records of the metadata journal. Deviations: the epoch is
//! always 1, since nobody else could be elected; the voter's endpoint is the one listener that there is, and its
//! directory has no id.

use super::{Api, Context, Plan};
use crate::base::ErrorCode;
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

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeQuorumRequest::decode(&mut body, context.header.version)?;
    let mut found = false;
    let mut answer = |name: &str, index: i32| {
        let known = name == METADATA && index == 0;
        found |= known;
        if known { metadata(context) } else { unknown(index) }
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let partitions =
            topic.partitions.iter().map(|asked| answer(&topic.topic_name, asked.partition_index)).collect();
        topics.push(TopicData { topic_name: topic.topic_name, partitions });
    }
    let nodes = if found && context.header.version >= 2 { vec![node(context)] } else { Vec::new() };
    Ok(context.respond(&DescribeQuorumResponse { topics, nodes, ..Default::default() }))
}

fn metadata(context: &Context<'_>) -> PartitionData {
    let (id, now_ms) = (context.node.id, context.now_ms);
    let end = i64::try_from(context.cluster.applied()).unwrap_or(i64::MAX);
    let voter = ReplicaState {
        replica_id: id,
        log_end_offset: end,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..Default::default()
    };
    PartitionData {
        leader_id: id,
        leader_epoch: 1,
        high_watermark: end,
        current_voters: vec![voter],
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

fn node(context: &Context<'_>) -> Node {
    let listener = Listener {
        name: Str::from_static("PLAINTEXT"),
        host: context.node.host.clone(),
        port: context.node.port,
    };
    Node { node_id: context.node.id, listeners: vec![listener] }
}
