//! Brokers, topics and leaders.

use super::error::ClientError;
use super::versions::api;
use super::wire::{Dial, Wire};
use crate::rt::World;
use crate::wire::Str;
use crate::wire::generated::MetadataResponse;
use crate::wire::generated::metadata_request::{MetadataRequest, MetadataRequestTopic};
use std::collections::BTreeMap;

/// A partition of one of the run's topics: the topic's index and the partition's number.
pub type PartitionKey = (u32, i32);

/// A topic as the cluster knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicInfo {
    /// Error code; 0 for none.
    pub error: i16,
    /// Leader of each partition, -1 for none.
    pub leaders: Vec<i32>,
    /// The leader's epoch in each partition, -1 where the broker doesn't tell.
    pub epochs: Vec<i32>,
}

impl TopicInfo {
    /// Whether every partition has a leader.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.error == 0 && !self.leaders.is_empty() && self.leaders.iter().all(|leader| *leader >= 0)
    }
}

/// The cluster at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// HOST:PORT by node id.
    pub brokers: BTreeMap<i32, String>,
    /// The broker that makes topics, -1 for unknown.
    pub controller: i32,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// Topics by name.
    pub topics: BTreeMap<String, TopicInfo>,
}

/// Connects to the first bootstrap address that answers.
///
/// # Errors
/// None does; the last one's error.
pub async fn bootstrap(world: &World, dial: &Dial, addresses: &[String]) -> Result<Wire, ClientError> {
    let mut last = None;
    for address in addresses {
        match Wire::open(world, address, dial).await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ClientError::Unreachable {
        broker: "(none)".to_owned(),
        why: "no bootstrap address was given".to_owned(),
    }))
}

/// Asks for brokers and these topics.
///
/// # Errors
/// No answer.
pub async fn topology(wire: &mut Wire, topics: &[String]) -> Result<Topology, ClientError> {
    let names = topics.iter().map(|name| MetadataRequestTopic {
        name: Some(Str::from(name.as_str())),
        ..MetadataRequestTopic::default()
    });
    // A question must not make what it asks for.
    let request = MetadataRequest {
        topics: Some(names.collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let answer: MetadataResponse = wire.call(api::METADATA, &request).await?;
    Ok(read(&answer))
}

fn read(answer: &MetadataResponse) -> Topology {
    let brokers = answer.brokers.iter();
    let brokers =
        brokers.map(|broker| (broker.node_id, format!("{}:{}", broker.host, broker.port))).collect();
    let topics = answer.topics.iter().filter_map(|topic| {
        // They are numbered from 0, none is left out.
        let mut leaders = vec![-1; topic.partitions.len()];
        let mut epochs = leaders.clone();
        for partition in &topic.partitions {
            let place = usize::try_from(partition.partition_index).ok().filter(|at| *at < leaders.len())?;
            leaders[place] = partition.leader_id;
            epochs[place] = partition.leader_epoch;
        }
        Some((topic.name.as_ref()?.to_string(), TopicInfo { error: topic.error_code, leaders, epochs }))
    });
    Topology {
        brokers,
        controller: answer.controller_id,
        cluster_id: answer.cluster_id.as_ref().map(ToString::to_string),
        topics: topics.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::generated::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };

    #[test]
    fn leaders_come_by_partition_number() {
        let partition = |index, leader| MetadataResponsePartition {
            partition_index: index,
            leader_id: leader,
            leader_epoch: index + 4,
            ..MetadataResponsePartition::default()
        };
        let answer = MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 7,
                host: "h".into(),
                port: 9092,
                ..MetadataResponseBroker::default()
            }],
            topics: vec![MetadataResponseTopic {
                name: Some("t".into()),
                partitions: vec![partition(2, 7), partition(0, 7), partition(1, -1)],
                ..MetadataResponseTopic::default()
            }],
            ..MetadataResponse::default()
        };
        let topology = read(&answer);
        assert_eq!(topology.brokers[&7], "h:9092");
        assert_eq!(topology.topics["t"].leaders, [7, -1, 7]);
        assert_eq!(topology.topics["t"].epochs, [4, 5, 6]);
        assert!(!topology.topics["t"].is_ready());
    }
}
