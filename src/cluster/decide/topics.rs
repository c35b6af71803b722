//! Topics come, grow and go.

use super::{Decided, refuse};
use crate::base::limits::PARTITIONS_PER_TOPIC_MAX;
use crate::base::{ErrorCode, NodeId, TopicId};
use crate::cluster::command::{NewTopic, Outcome, Refusal};
use crate::cluster::entry::{PartitionEntry, Topic};
use crate::cluster::names::{check_topic_name, collision_key};
use crate::cluster::placement::{broken_assignment, place};
use crate::cluster::record::Record;
use crate::cluster::state::ClusterState;

pub(super) fn create(state: &ClusterState, new: NewTopic, validate_only: bool) -> Decided {
    if let Err(why) = check_topic_name(&new.name) {
        return refuse(ErrorCode::InvalidTopicException, why);
    }
    if state.topic(&new.name).is_some() {
        return refuse(ErrorCode::TopicAlreadyExists, format!("Topic '{}' already exists.", new.name));
    }
    if let Some(other) = collision_key(&new.name).and_then(|key| state.collisions.get(&key)) {
        let why = format!("Topic '{}' collides with existing topic: {other}", new.name);
        return refuse(ErrorCode::InvalidTopicException, why);
    }
    let replicas = if new.assignment.is_empty() {
        choose(state, new.partitions, new.replication_factor)?
    } else {
        manual(state, &new)?
    };
    let partitions = entries(state, replicas, 0)?;
    let topic = Topic { name: new.name.detached(), id: new.id, configs: new.configs, partitions };
    if validate_only {
        return Ok((Vec::new(), Outcome::Created(topic)));
    }
    let Topic { name, id, configs, partitions } = topic.clone();
    let mut records = vec![Record::Topic { id, name, configs }];
    records.extend(partitions.into_iter().map(|entry| Record::Partition { topic: id, entry }));
    Ok((records, Outcome::Created(topic)))
}

/// New partitions with these replicas. Brokers that are fenced have to catch up first, so they aren't in sync.
fn entries(
    state: &ClusterState,
    lists: Vec<Vec<NodeId>>,
    first: usize,
) -> Result<Vec<PartitionEntry>, Refusal> {
    let entry = |(partition, replicas): (usize, Vec<NodeId>)| {
        let isr: Vec<NodeId> = replicas.iter().copied().filter(|node| state.is_active(*node)).collect();
        if isr.is_empty() {
            let why = format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                 controlled shutdown."
            );
            return refuse(ErrorCode::InvalidReplicaAssignment, why);
        }
        Ok(PartitionEntry::new(replicas, isr))
    };
    (first..).zip(lists).map(entry).collect()
}

fn choose(state: &ClusterState, partitions: i32, factor: i16) -> Result<Vec<Vec<NodeId>>, Refusal> {
    if partitions < 1 {
        let why = "Number of partitions was set to an invalid non-positive value.";
        return refuse(ErrorCode::InvalidPartitions, why);
    }
    if partitions > PARTITIONS_PER_TOPIC_MAX {
        return refuse(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.");
    }
    if factor < 1 {
        let why = "Replication factor must be larger than 0, or -1 to use the default value.";
        return refuse(ErrorCode::InvalidReplicationFactor, why);
    }
    let size = |number: i32| usize::try_from(number).unwrap_or(0);
    let placed = place(state, size(partitions), size(i32::from(factor)), state.topics.len());
    placed.map_err(|why| {
        let why = format!("Unable to replicate the partition {factor} time(s): {why}");
        (ErrorCode::InvalidReplicationFactor, why)
    })
}

fn manual(state: &ClusterState, new: &NewTopic) -> Result<Vec<Vec<NodeId>>, Refusal> {
    for (given, what) in
        [(i32::from(new.replication_factor), "replication factor"), (new.partitions, "numPartitions")]
    {
        if given != -1 {
            let why = format!("A manual partition assignment was specified, but {what} was not set to -1.");
            return refuse(ErrorCode::InvalidRequest, why);
        }
    }
    if new.assignment.keys().copied().ne(0..i32::try_from(new.assignment.len()).unwrap_or(0)) {
        return refuse(
            ErrorCode::InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        );
    }
    let lists: Vec<Vec<NodeId>> = new.assignment.values().cloned().collect();
    check_lists(state, &lists, lists[0].len())?;
    Ok(lists)
}

fn check_lists(state: &ClusterState, lists: &[Vec<NodeId>], factor: usize) -> Result<(), Refusal> {
    let broken = lists.iter().find_map(|replicas| broken_assignment(state, replicas, factor));
    broken.map_or(Ok(()), |why| refuse(ErrorCode::InvalidReplicaAssignment, why))
}

pub(super) fn delete(state: &ClusterState, topic: TopicId) -> Decided {
    match state.topic_by_id(topic) {
        Some(_) => Ok((vec![Record::RemoveTopic { topic }], Outcome::Done)),
        None => refuse(ErrorCode::UnknownTopicId, "the topic doesn't exist"),
    }
}

pub(super) fn add_partitions(
    state: &ClusterState,
    name: &str,
    count: i32,
    assignment: Option<Vec<Vec<NodeId>>>,
    validate_only: bool,
) -> Decided {
    let Some(topic) = state.topic(name) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.");
    };
    let have = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    if count == have {
        return refuse(ErrorCode::InvalidPartitions, format!("Topic already has {have} partition(s)."));
    }
    if count < have {
        let why =
            format!("The topic {name} currently has {have} partition(s); {count} would not be an increase.");
        return refuse(ErrorCode::InvalidPartitions, why);
    }
    if count > PARTITIONS_PER_TOPIC_MAX {
        let why = "Excessively large number of additional partitions per request.";
        return refuse(ErrorCode::PolicyViolation, why);
    }
    let more = usize::try_from(count - have).unwrap_or(0);
    let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
    let lists = match assignment {
        Some(lists) if lists.len() != more => {
            let why = format!(
                "Attempted to add {more} additional partition(s), but only {} assignment(s) were specified.",
                lists.len()
            );
            return refuse(ErrorCode::InvalidReplicaAssignment, why);
        }
        Some(lists) => {
            check_lists(state, &lists, factor)?;
            lists
        }
        None => choose(state, count - have, i16::try_from(factor).unwrap_or(1))?,
    };
    let id = topic.id;
    let entries = entries(state, lists, topic.partitions.len())?;
    let records = entries.into_iter().map(|entry| Record::Partition { topic: id, entry }).collect();
    Ok((if validate_only { Vec::new() } else { records }, Outcome::Done))
}
