//! DescribeProducers (key 61), version 0: the producers that a partition knows, and their open transactions (KIP-664).
//! No deviations.

use super::{Api, Context, Plan};
use crate::api::led_name;
use crate::base::{ErrorCode, PartitionIndex, TopicPartition};
use crate::cluster::check_topic_name;
use crate::log::producers::ProducerFacts;
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply};
use crate::wire::generated::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use crate::wire::generated::{DescribeProducersRequest, DescribeProducersResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 61, name: "DescribeProducers", min: 0, served_min: 0, max: 0, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeProducersRequest::decode(&mut body, context.header.version)?;
    let mut calls = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for partition_index in topic.partition_indexes {
            match find(context, &topic.name, PartitionIndex(partition_index)) {
                Ok(partition) => {
                    calls.push(PartitionCall { partition, op: PartitionOp::Producers });
                    partitions.push(PartitionResponse { partition_index, ..Default::default() });
                }
                Err((error, why)) => partitions.push(PartitionResponse {
                    partition_index,
                    error_code: error.code(),
                    error_message: Some(why.into()),
                    ..Default::default()
                }),
            }
        }
        topics.push(TopicResponse { name: topic.name, partitions });
    }
    Ok(Plan::Partitions(
        calls,
        Box::new(move |context, replies| {
            let mut topics = topics;
            let asked = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            let asked = asked.filter(|partition| partition.error_code == ErrorCode::None.code());
            for (partition, reply) in asked.zip(replies) {
                match reply {
                    PartitionReply::Producers { error, producers } => {
                        partition.error_code = error.code();
                        partition.active_producers = producers.into_iter().map(state).collect();
                    }
                    _ => partition.error_code = ErrorCode::UnknownServerError.code(),
                }
            }
            context.respond(&DescribeProducersResponse { topics, ..Default::default() })
        }),
    ))
}

/// The partition, or why there is none.
fn find(
    context: &Context<'_>,
    topic: &Str,
    index: PartitionIndex,
) -> Result<TopicPartition, (ErrorCode, String)> {
    check_topic_name(topic).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
    let unknown = |error| (error, "This server does not host this topic-partition.".to_owned());
    led_name(context, topic, index).map_err(unknown)
}

fn state(facts: ProducerFacts) -> ProducerState {
    ProducerState {
        producer_id: facts.id.0,
        producer_epoch: i32::from(facts.epoch.0),
        last_sequence: facts.last_sequence,
        last_timestamp: facts.last_timestamp,
        coordinator_epoch: facts.coordinator_epoch,
        current_txn_start_offset: facts.open_offset,
    }
}
