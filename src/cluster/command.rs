//! What may be asked of the coordinator, and what it decides. Pure: the same state and command give the same records.

use super::configs::{self, Edit, Target, edit};
use super::names::{check_topic_name, collision_key};
use super::placement::{assign, broken_assignment};
use super::record::Record;
use super::state::{ClusterState, PartitionEntry, Topic};
use crate::base::limits::PARTITIONS_PER_TOPIC_MAX;
use crate::base::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId};
use crate::wire::Str;
use std::collections::BTreeMap;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: Str,
    /// The id it gets, drawn by who asks.
    pub id: TopicId,
    /// Partitions, where no assignment is given.
    pub partitions: i32,
    /// Replicas of each, where no assignment is given.
    pub replication_factor: i16,
    /// Brokers of each partition, by index; empty to let the coordinator choose.
    pub assignment: BTreeMap<i32, Vec<NodeId>>,
    /// Settings, checked by who asks.
    pub configs: BTreeMap<String, String>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A broker is here.
    RegisterBroker(Record),
    /// Create a topic; with `validate_only` just say whether it could be.
    CreateTopic {
        /// The topic.
        topic: NewTopic,
        /// Decide, change nothing.
        validate_only: bool,
    },
    /// Delete a topic.
    DeleteTopic {
        /// Its id.
        topic: TopicId,
    },
    /// Give a topic more partitions.
    AddPartitions {
        /// Its name.
        name: Str,
        /// How many it shall have.
        count: i32,
        /// Brokers of each new partition; `None` to let the coordinator choose.
        assignment: Option<Vec<Vec<NodeId>>>,
        /// Decide, change nothing.
        validate_only: bool,
    },
    /// Replace all of a target's settings, checked by who asks.
    SetConfigs {
        /// Whose.
        target: Target,
        /// All of them.
        configs: BTreeMap<String, String>,
    },
    /// Change some of a target's settings, checked by who asks.
    EditConfigs {
        /// Whose.
        target: Target,
        /// In order.
        edits: Vec<(String, Edit)>,
    },
    /// Hand out producer ids.
    AllocateProducerIds {
        /// How many.
        count: i64,
    },
}

/// A command that can't be carried out: the code and what to tell a person.
pub type Refusal = (ErrorCode, String);

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, committed and applied everywhere.
    Done,
    /// The topic as it was (or would be) created.
    Created(Topic),
    /// Producer ids from `first` on.
    ProducerIds {
        /// The first.
        first: i64,
        /// How many.
        count: i64,
    },
    /// It can't be.
    Refused(Refusal),
}

impl Outcome {
    /// Refused because its request would take more than `limits::RECORDS_PER_PROPOSAL_MAX` records; Kafka's words.
    #[must_use]
    pub fn excessive() -> Self {
        let why = "Unable to perform excessively large batch operation.";
        Outcome::Refused((ErrorCode::PolicyViolation, why.to_owned()))
    }
}

fn refuse<T>(code: ErrorCode, why: impl Into<String>) -> Result<T, Refusal> {
    Err((code, why.into()))
}

/// Decides one command: the records that carry it out, and what to answer once they are committed.
#[must_use]
pub fn decide(state: &ClusterState, command: Command) -> (Vec<Record>, Outcome) {
    let decided = match command {
        Command::RegisterBroker(record) => Ok(register(state, record)),
        Command::CreateTopic { topic, validate_only } => create(state, topic, validate_only),
        Command::DeleteTopic { topic } => delete(state, topic),
        Command::AddPartitions { name, count, assignment, validate_only } => {
            add_partitions(state, &name, count, assignment, validate_only)
        }
        Command::SetConfigs { target, configs } => configure(state, target, |now| *now = configs),
        Command::EditConfigs { target, edits } => configure(state, target, |now| {
            edits.iter().for_each(|(name, change)| edit(now, name, change));
        }),
        Command::AllocateProducerIds { count } => {
            let first = state.next_producer_id;
            Ok((vec![Record::ProducerIds { next: first + count }], Outcome::ProducerIds { first, count }))
        }
    };
    decided.unwrap_or_else(|refusal| (Vec::new(), Outcome::Refused(refusal)))
}

fn configure(
    state: &ClusterState,
    target: Target,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(Vec<Record>, Outcome), Refusal> {
    let Some(now) = state.configs_of(target) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "the topic doesn't exist");
    };
    let mut configs = now.clone();
    change(&mut configs);
    let records = if configs == *now { Vec::new() } else { vec![configs::record(target, configs)] };
    Ok((records, Outcome::Done))
}

/// A broker that (re)starts leads its partitions in a new term, so that what it wrote before is told from what it
/// writes now.
fn register(state: &ClusterState, record: Record) -> (Vec<Record>, Outcome) {
    let Record::Broker { id, .. } = record else { return (Vec::new(), Outcome::Done) };
    let mut records = vec![record];
    for topic in state.topics() {
        for (partition, entry) in (0i32..).zip(&topic.partitions) {
            if entry.leader == id {
                let epoch = LeaderEpoch(entry.leader_epoch.0 + 1);
                let partition = PartitionIndex(partition);
                records.push(Record::Leader { topic: topic.id, partition, leader: id, epoch });
            }
        }
    }
    (records, Outcome::Done)
}

fn create(
    state: &ClusterState,
    new: NewTopic,
    validate_only: bool,
) -> Result<(Vec<Record>, Outcome), Refusal> {
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
    let partitions = replicas.into_iter().map(entry).collect();
    let topic = Topic { name: new.name.detached(), id: new.id, configs: new.configs, partitions };
    if validate_only {
        return Ok((Vec::new(), Outcome::Created(topic)));
    }
    let Topic { name, id, configs, partitions } = topic.clone();
    let mut records = vec![Record::Topic { id, name, configs }];
    records.extend(partitions.into_iter().map(|entry| Record::Partition { topic: id, entry }));
    Ok((records, Outcome::Created(topic)))
}

fn entry(replicas: Vec<NodeId>) -> PartitionEntry {
    PartitionEntry { leader: replicas[0], leader_epoch: LeaderEpoch(0), isr: replicas.clone(), replicas }
}

fn choose(state: &ClusterState, partitions: i32, factor: i16) -> Result<Vec<Vec<NodeId>>, Refusal> {
    if partitions < 1 {
        let why = "Number of partitions was set to an invalid non-positive value.";
        return refuse(ErrorCode::InvalidPartitions, why);
    }
    if partitions > PARTITIONS_PER_TOPIC_MAX {
        return refuse(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.");
    }
    let brokers: Vec<NodeId> = state.brokers().map(|(id, _)| id).collect();
    let wanted = usize::try_from(factor).unwrap_or(0);
    if wanted == 0 {
        let why = "Replication factor must be larger than 0, or -1 to use the default value.";
        return refuse(ErrorCode::InvalidReplicationFactor, why);
    }
    if wanted > brokers.len() {
        let there = brokers.len();
        let why = format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
             reached because only {there} broker(s) are registered or some brokers have all their log \
             directories cordoned."
        );
        return refuse(ErrorCode::InvalidReplicationFactor, why);
    }
    let count = usize::try_from(partitions).unwrap_or(0);
    Ok(assign(&brokers, count, wanted, state.topics.len()))
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

fn delete(state: &ClusterState, topic: TopicId) -> Result<(Vec<Record>, Outcome), Refusal> {
    match state.topic_by_id(topic) {
        Some(_) => Ok((vec![Record::RemoveTopic { topic }], Outcome::Done)),
        None => refuse(ErrorCode::UnknownTopicId, "the topic doesn't exist"),
    }
}

fn add_partitions(
    state: &ClusterState,
    name: &str,
    count: i32,
    assignment: Option<Vec<Vec<NodeId>>>,
    validate_only: bool,
) -> Result<(Vec<Record>, Outcome), Refusal> {
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
    let records =
        lists.into_iter().map(|replicas| Record::Partition { topic: id, entry: entry(replicas) }).collect();
    Ok((if validate_only { Vec::new() } else { records }, Outcome::Done))
}

#[cfg(test)]
mod tests;
