//! A reader of a cluster: it reads from whoever leads, and asks now and then where the log ends.

use super::Cluster;
use super::router::Router;
use crate::base::Offset;
use crate::sim::client::{Client, FETCH, LIST_OFFSETS};
use crate::sim::workload::{Place, fetch_request, topic_name};
use crate::wire::generated::fetch_response::{FetchResponse, PartitionData};
use crate::wire::generated::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use crate::wire::generated::list_offsets_response::ListOffsetsResponse;
use std::rc::Rc;

/// Errors that send a reader to another node, or back: unknown topic, no leader, another leader, timed out, failed
/// disk, another term, and an end that a new leader doesn't know yet.
fn is_passing(error: i16) -> bool {
    matches!(error, 3 | 5 | 6 | 7 | 9 | 56 | 74 | 75 | 78)
}

/// Reads from the beginning as records come.
pub(super) async fn read(cluster: Rc<Cluster>, place: Place) {
    let mut router = Router::new(cluster.clone());
    let (mut position, mut end) = (0, 0);
    while !cluster.ending.get() {
        let Some(client) = router.leader(place).await else {
            cluster.pause().await;
            continue;
        };
        let went_on = if cluster.exec.chance(10) {
            watch_end(&client, place, router.epoch(place), &mut end).await
        } else {
            advance(&cluster, &client, place, router.epoch(place), &mut position).await
        };
        if went_on.is_none() {
            router.lost(place, true);
            cluster.pause().await;
        }
    }
}

/// Reads all of a partition from one node's connection; `None` if it can't be read there now.
pub(super) async fn read_all(
    cluster: &Rc<Cluster>,
    client: &Client,
    place: Place,
    epoch: i32,
) -> Option<Offset> {
    let mut position = 0;
    loop {
        let data = advance(cluster, client, place, epoch, &mut position).await?;
        if position >= data.high_watermark {
            return Some(position);
        }
    }
}

/// One fetch.
async fn advance(
    cluster: &Rc<Cluster>,
    client: &Client,
    place: Place,
    epoch: i32,
    position: &mut Offset,
) -> Option<PartitionData> {
    let mut request = fetch_request(&cluster.exec, &topic_name(place.0), place.1, *position);
    request.topics[0].partitions[0].current_leader_epoch = epoch;
    let answer: FetchResponse = client.call(FETCH, &request).await?;
    let data = answer.responses.into_iter().next()?.partitions.into_iter().next()?;
    if is_passing(data.error_code) {
        return None;
    }
    assert_eq!(
        data.error_code, 0,
        "fetch of {place:?} at {position}: nothing that was read goes out of range"
    );
    let mut histories = cluster.histories.borrow_mut();
    *position = histories.get_mut(&place).expect("every partition has a history").takes(*position, &data);
    Some(data)
}

/// The end of the log never goes back for a client that asks no leader of before.
async fn watch_end(client: &Client, place: Place, epoch: i32, end: &mut Offset) -> Option<PartitionData> {
    let least = *end;
    let partition =
        ListOffsetsPartition { partition_index: place.1, current_leader_epoch: epoch, timestamp: -1 };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic { name: topic_name(place.0).into(), partitions: vec![partition] }],
        ..ListOffsetsRequest::default()
    };
    let answer: ListOffsetsResponse = client.call(LIST_OFFSETS, &request).await?;
    let found = &answer.topics[0].partitions[0];
    if is_passing(found.error_code) {
        return None;
    }
    assert_eq!(found.error_code, 0, "the end of {place:?}");
    assert!(found.offset >= least, "{place:?} ended at {least}, now at {}", found.offset);
    *end = found.offset;
    Some(PartitionData::default())
}
