//! WriteTxnMarkers (key 27), versions 1 and 2: markers into partitions, as coordinators of other brokers and
//! `kafka-transactions abort` write them. Rules: rows 68, 69, 77. No deviations.

use super::{Api, Context, Plan};
use crate::api::led_name;
use crate::base::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId};
use crate::replica::call::{MarkOp, PartitionCall, PartitionOp, PartitionReply};
use crate::wire::batch::EndMarker;
use crate::wire::generated::write_txn_markers_request::WritableTxnMarker;
use crate::wire::generated::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use crate::wire::generated::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 27, name: "WriteTxnMarkers", min: 1, served_min: 1, max: 2, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = WriteTxnMarkersRequest::decode(&mut body, context.header.version)?;
    let mut calls = Vec::new();
    let markers: Vec<WritableTxnMarkerResult> =
        request.markers.iter().map(|marker| ask(context, marker, &mut calls)).collect();
    Ok(Plan::Partitions(
        calls,
        Box::new(move |context, replies| {
            let mut response = WriteTxnMarkersResponse { markers };
            let topics = response.markers.iter_mut().flat_map(|marker| &mut marker.topics);
            let asked = topics
                .flat_map(|topic| &mut topic.partitions)
                .filter(|partition| partition.error_code == ErrorCode::None.code());
            for (partition, reply) in asked.zip(replies) {
                partition.error_code = outcome(&reply).code();
            }
            context.respond(&response)
        }),
    ))
}

/// Asks for one marker; where a partition isn't known, its error stands in what is returned.
fn ask(
    context: &Context<'_>,
    marker: &WritableTxnMarker,
    calls: &mut Vec<PartitionCall>,
) -> WritableTxnMarkerResult {
    let op = MarkOp {
        producer_id: ProducerId(marker.producer_id),
        producer_epoch: ProducerEpoch(marker.producer_epoch),
        marker: EndMarker {
            committed: marker.transaction_result,
            coordinator_epoch: marker.coordinator_epoch,
        },
        raised: marker.transaction_version >= 2,
    };
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in &marker.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in &topic.partition_indexes {
            let found = led_name(context, &topic.name, PartitionIndex(*index));
            let error = found.err().unwrap_or_default();
            calls.extend(found.map(|partition| PartitionCall { partition, op: PartitionOp::Mark(op) }));
            let (partition_index, error_code) = (*index, error.code());
            partitions.push(WritableTxnMarkerPartitionResult { partition_index, error_code });
        }
        topics.push(WritableTxnMarkerTopicResult { name: topic.name.clone(), partitions });
    }
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics }
}

/// A coordinator of groups that isn't ready is a reason to come back, which code 6 says to whoever writes markers.
fn outcome(reply: &PartitionReply) -> ErrorCode {
    match reply {
        PartitionReply::Produced(produced) => match produced.error {
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator => {
                ErrorCode::NotLeaderOrFollower
            }
            error => error,
        },
        _ => ErrorCode::UnknownServerError,
    }
}
