//! DescribeLogDirs (key 35), versions 1 to 5: the log directory, its space, and the partitions' sizes.
//!
//! One log directory. A null topic list asks for all partitions. No deviations.

use super::{Api, Context, Plan, resolve_name};
use crate::base::{PartitionIndex, TopicPartition};
use crate::cluster::PartitionEntry;
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply};
use crate::wire::generated::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use crate::wire::generated::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeSet;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 35, name: "DescribeLogDirs", min: 1, served_min: 1, max: 5, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeLogDirsRequest::decode(&mut body, context.header.version)?;
    let mut names: Vec<(Str, TopicPartition)> = Vec::new();
    let mut seen = BTreeSet::new();
    match request.topics {
        Some(topics) => {
            for topic in topics {
                for partition in topic.partitions {
                    // Partitions that aren't here are left out, as in Kafka.
                    if let Ok(key) = resolve_name(context, &topic.topic, PartitionIndex(partition))
                        && seen.insert(key)
                    {
                        names.push((topic.topic.clone(), key));
                    }
                }
            }
        }
        None => {
            for topic in context.cluster.topics() {
                let here = |(_, entry): &(i32, &PartitionEntry)| entry.replicas.contains(&context.this());
                for (index, _) in (0i32..).zip(&topic.partitions).filter(here) {
                    let key = TopicPartition { topic: topic.id, partition: PartitionIndex(index) };
                    names.push((topic.name.clone(), key));
                }
            }
        }
    }
    let ask = |(_, partition): &(Str, TopicPartition)| PartitionCall {
        partition: *partition,
        op: PartitionOp::Describe,
    };
    let calls = names.iter().map(ask).collect();
    Ok(Plan::Partitions(calls, Box::new(move |context, replies| answer(context, names, &replies))))
}

fn answer(context: &Context<'_>, names: Vec<(Str, TopicPartition)>, replies: &[PartitionReply]) -> Plan {
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    for ((name, key), reply) in names.into_iter().zip(replies) {
        let PartitionReply::Described { error, size_bytes, .. } = reply else { continue };
        if !error.is_ok() {
            continue;
        }
        let partition = DescribeLogDirsPartition {
            partition_index: key.partition.0,
            partition_size: i64::try_from(*size_bytes).unwrap_or(i64::MAX),
            ..Default::default()
        };
        match topics.last_mut().filter(|topic| topic.name == name) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(DescribeLogDirsTopic { name, partitions: vec![partition] }),
        }
    }
    let (total_bytes, usable_bytes) = context.node.space.get();
    let result = DescribeLogDirsResult {
        log_dir: context.node.log_dir.clone(),
        topics,
        total_bytes,
        usable_bytes,
        ..Default::default()
    };
    context.respond(&DescribeLogDirsResponse { results: vec![result], ..Default::default() })
}
