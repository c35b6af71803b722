//! Where partitions live: on which brokers, and on which shard of a broker.

use super::state::ClusterState;
use crate::base::{NodeId, ShardId, TopicPartition};

/// The shard of a broker that owns a partition. A function of the partition and the shard count alone, so that every
/// shard knows without asking, and a restart with another `--shards` moves ownership without moving files.
#[must_use]
pub fn owner_shard(partition: TopicPartition, shards: u16) -> ShardId {
    assert!(shards > 0, "a broker has a shard");
    // Consecutive partitions of a topic go to consecutive shards; topics start at different ones.
    let start =
        partition.topic.0.iter().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let place = start.wrapping_add(partition.partition.0.cast_unsigned()) % u32::from(shards);
    ShardId(u16::try_from(place).unwrap_or(0))
}

/// Replicas for `count` new partitions, `factor` each, spread evenly over the brokers; the first of each is its
/// preferred leader. `start` rotates topics against each other.
#[must_use]
pub fn assign(brokers: &[NodeId], count: usize, factor: usize, start: usize) -> Vec<Vec<NodeId>> {
    assert!((1..=brokers.len()).contains(&factor), "checked against the number of brokers");
    let replica = |partition: usize, nth: usize| brokers[(start + partition + nth) % brokers.len()];
    (0..count).map(|partition| (0..factor).map(|nth| replica(partition, nth)).collect()).collect()
}

/// What is wrong with the replicas that a client wants a partition to have, in Kafka's words.
#[must_use]
pub fn broken_assignment(state: &ClusterState, replicas: &[NodeId], factor: usize) -> Option<String> {
    let broken = |why: String| Some(format!("The manual partition assignment includes {why}"));
    if replicas.is_empty() {
        return broken("an empty replica list.".to_owned());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return broken(format!("the broker {} more than once.", pair[0]));
    }
    if let Some(unknown) = sorted.iter().find(|id| !state.brokers.contains_key(id)) {
        return broken(format!("broker {unknown}, but no such broker is registered."));
    }
    let count = replicas.len();
    if count == factor {
        return None;
    }
    broken(format!(
        "a partition with {count} replica(s), but this is not consistent with previous partitions, which have {factor} \
         replica(s)."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PartitionIndex, TopicId};

    #[test]
    fn a_topics_partitions_spread_over_all_shards() {
        for shards in 1..=16u16 {
            let mut counts = vec![0; usize::from(shards)];
            for partition in 0..i32::from(shards) * 3 {
                let key = TopicPartition { topic: TopicId([9; 16]), partition: PartitionIndex(partition) };
                counts[usize::from(owner_shard(key, shards).0)] += 1;
            }
            assert!(counts.iter().all(|count| *count == 3), "{counts:?}");
        }
    }

    #[test]
    fn leaders_and_replicas_spread_over_all_brokers() {
        let brokers = [NodeId(1), NodeId(2), NodeId(3)];
        let assigned = assign(&brokers, 6, 2, 1);
        assert_eq!(assigned[0], [NodeId(2), NodeId(3)]);
        for broker in brokers {
            assert_eq!(assigned.iter().filter(|replicas| replicas[0] == broker).count(), 2);
            assert_eq!(assigned.iter().flatten().filter(|replica| **replica == broker).count(), 4);
        }
    }
}
