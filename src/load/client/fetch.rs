//! Fetch requests.

use super::cluster::PartitionKey;
use crate::wire::generated::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use std::time::Duration;

/// How much a fetch asks for, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct FetchShape {
    /// Bytes per partition at most.
    pub partition_bytes: i32,
    /// Bytes of the whole answer at most.
    pub bytes_max: i32,
    /// Bytes for which the broker waits.
    pub bytes_min: i32,
    /// How long it waits.
    pub wait: Duration,
}

/// A partition to read, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The partition.
    pub partition: PartitionKey,
    /// The next offset.
    pub offset: i64,
}

/// A request for these partitions, which are in order of topics.
#[must_use]
pub fn fetch_request(shape: &FetchShape, names: &[String], wanted: &[Wanted]) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut last = None;
    for part in wanted {
        let (topic, partition) = part.partition;
        if last.replace(topic) != Some(topic) {
            let topic = names[topic as usize].as_str().into();
            topics.push(FetchTopic { topic, ..FetchTopic::default() });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(FetchPartition {
                partition,
                fetch_offset: part.offset,
                partition_max_bytes: shape.partition_bytes,
                ..FetchPartition::default()
            });
        }
    }
    FetchRequest {
        replica_id: -1,
        max_wait_ms: i32::try_from(shape.wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: shape.bytes_min,
        max_bytes: shape.bytes_max,
        // Without a session: the answer doesn't depend on what was asked before.
        session_id: 0,
        session_epoch: -1,
        topics,
        ..FetchRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_grouped_by_topic() {
        let shape = FetchShape {
            partition_bytes: 10,
            bytes_max: 100,
            bytes_min: 1,
            wait: Duration::from_millis(500),
        };
        let want = |topic, partition| Wanted { partition: (topic, partition), offset: 5 };
        let names = ["a".to_owned(), "b".to_owned()];
        let request = fetch_request(&shape, &names, &[want(0, 1), want(0, 2), want(1, 0)]);
        let counts: Vec<usize> = request.topics.iter().map(|topic| topic.partitions.len()).collect();
        assert_eq!((counts, request.max_wait_ms), (vec![2, 1], 500));
    }
}
