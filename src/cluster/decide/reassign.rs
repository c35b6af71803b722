//! Partitions move to other brokers (KIP-455): the new replicas are added, catch up, join those in sync, and only then
//! the old ones go.

use crate::base::{ErrorCode, NodeId};
use crate::cluster::change::{Around, Election};
use crate::cluster::command::{Outcome, Reassignment, Refusal};
use crate::cluster::entry::{PartitionEntry, Topic, without};
use crate::cluster::placement::broken_assignment;
use crate::cluster::record::Record;
use crate::cluster::state::ClusterState;
use std::collections::BTreeSet;

pub(super) fn reassign(
    state: &ClusterState,
    moves: &[Reassignment],
    factor_may_change: bool,
) -> (Vec<Record>, Outcome) {
    let mut records = Vec::new();
    let mut seen = BTreeSet::new();
    let mut results = Vec::with_capacity(moves.len());
    for asked in moves {
        let decided = if seen.insert((&asked.topic, asked.partition)) {
            reassign_one(state, asked, factor_may_change)
        } else {
            Err((ErrorCode::InvalidRequest, "the partition is named twice".to_owned()))
        };
        results.push(decided.map(|record| records.extend(record)));
    }
    (records, Outcome::Reassigned(results))
}

fn reassign_one(
    state: &ClusterState,
    asked: &Reassignment,
    factor_may_change: bool,
) -> Result<Option<Record>, Refusal> {
    let (name, partition) = (&asked.topic, asked.partition);
    let unknown = |what: String| (ErrorCode::UnknownTopicOrPartition, what);
    let topic = state.topic(name).ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
    let entry = usize::try_from(partition.0).ok().and_then(|index| topic.partitions.get(index));
    let entry = entry.ok_or_else(|| unknown(format!("Unable to find partition {name}:{partition}.")))?;
    let wish = match &asked.replicas {
        None => cancelled(topic, entry, asked)?,
        Some(target) => moved(state, entry, target, factor_may_change)?,
    };
    Ok(state.changed(topic, partition, wish, &Around::as_is(Election::Keep)))
}

/// Back to the replicas before the reassignment.
fn cancelled(topic: &Topic, entry: &PartitionEntry, asked: &Reassignment) -> Result<PartitionEntry, Refusal> {
    if !entry.is_reassigning() {
        let why = "No partition reassignment is in progress.";
        return Err((ErrorCode::NoReassignmentInProgress, why.to_owned()));
    }
    let isr = without(&entry.isr, &entry.adding);
    if isr.is_empty() {
        let (name, partition) = (&topic.name, asked.partition);
        let why = format!(
            "Unable to revert partition assignment for {name}:{partition} because it would require an unclean leader \
             election."
        );
        return Err((ErrorCode::InvalidReplicaAssignment, why));
    }
    let replicas = entry.before_reassignment();
    Ok(PartitionEntry { replicas, isr, adding: Vec::new(), removing: Vec::new(), ..entry.clone() })
}

/// On the way to other replicas. A reassignment that is under way is taken back first: what it was adding goes, unless
/// it is wanted still.
fn moved(
    state: &ClusterState,
    entry: &PartitionEntry,
    target: &[NodeId],
    factor_may_change: bool,
) -> Result<PartitionEntry, Refusal> {
    if let Some(why) = broken_assignment(state, target, target.len()) {
        return Err((ErrorCode::InvalidReplicaAssignment, why));
    }
    let factor = without(&entry.replicas, &entry.removing).len();
    if !factor_may_change && factor != target.len() {
        let why = format!("The replication factor is changed from {factor} to {}", target.len());
        return Err((ErrorCode::InvalidReplicationFactor, why));
    }
    let before = entry.before_reassignment();
    let (adding, removing) = (without(target, &before), without(&before, target));
    let mut replicas = target.to_vec();
    replicas.extend(&removing);
    let isr: Vec<NodeId> = entry.isr.iter().copied().filter(|node| replicas.contains(node)).collect();
    if isr.is_empty() && !entry.isr.is_empty() {
        let why = "the only replicas in sync are those that an earlier reassignment was adding";
        return Err((ErrorCode::InvalidReplicaAssignment, why.to_owned()));
    }
    Ok(PartitionEntry { replicas, isr, adding, removing, ..entry.clone() })
}
