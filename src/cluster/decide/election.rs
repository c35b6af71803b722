//! Elections that somebody asks for: that the preferred replica leads, or that anyone does.

use crate::base::limits::LEADERS_MOVED_AT_ONCE_MAX;
use crate::base::{ErrorCode, PartitionIndex};
use crate::cluster::change::{Around, Election};
use crate::cluster::command::{Elected, Outcome, Refusal};
use crate::cluster::entry::{PartitionEntry, Topic};
use crate::cluster::record::Record;
use crate::cluster::state::ClusterState;
use crate::wire::Str;
use std::collections::BTreeSet;

pub(super) fn elect(
    state: &ClusterState,
    partitions: Option<Vec<(Str, PartitionIndex)>>,
    unclean: bool,
) -> (Vec<Record>, Outcome) {
    let asked = partitions.unwrap_or_else(|| {
        let needy = state.partitions().filter(|(_, _, entry)| is_needed(entry, unclean));
        needy.map(|(topic, partition, _)| (topic.name.clone(), partition)).collect()
    });
    let mut records: Vec<Record> = Vec::new();
    let mut all = Vec::with_capacity(asked.len());
    let mut seen = BTreeSet::new();
    for (topic, partition) in asked {
        let first = seen.insert((topic.clone(), partition));
        let result = if first { elect_one(state, &topic, partition, unclean) } else { needless() };
        let result = result.map(|(record, lossy)| {
            records.push(record);
            lossy
        });
        all.push(Elected { topic, partition, result });
    }
    (records, Outcome::Elected(all))
}

fn is_needed(entry: &PartitionEntry, unclean: bool) -> bool {
    if unclean { !entry.has_leader() } else { entry.leader != entry.preferred() }
}

fn needless<T>() -> Result<T, Refusal> {
    Err((ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned()))
}

/// The record of a partition's election, and whether acknowledged records may be lost by it.
fn elect_one(
    state: &ClusterState,
    name: &Str,
    partition: PartitionIndex,
    unclean: bool,
) -> Result<(Record, bool), Refusal> {
    let unknown = |what: String| (ErrorCode::UnknownTopicOrPartition, what);
    let topic = state.topic(name).ok_or_else(|| unknown(format!("No such topic as {name}")))?;
    let entry = usize::try_from(partition.0).ok().and_then(|index| topic.partitions.get(index));
    let entry = entry.ok_or_else(|| unknown(format!("No such partition as {name}-{partition}")))?;
    if !is_needed(entry, unclean) {
        return needless();
    }
    let election = if unclean { Election::Unclean } else { Election::Preferred };
    let record = state.changed(topic, partition, entry.clone(), &Around::as_is(election));
    match record {
        Some(Record::PartitionChange { topic, partition, entry: after }) => {
            let lossy = !entry.isr.contains(&after.leader) && !entry.elr.contains(&after.leader);
            Ok((Record::PartitionChange { topic, partition, entry: after }, lossy))
        }
        _ if unclean => {
            let why = "Eligible topic partition leaders are not available.";
            Err((ErrorCode::EligibleLeadersNotAvailable, why.to_owned()))
        }
        _ => Err((
            ErrorCode::PreferredLeaderNotAvailable,
            "The preferred leader was not available.".to_owned(),
        )),
    }
}

/// Partitions that could be led by who is preferred and aren't.
pub(in crate::cluster) fn imbalanced(
    state: &ClusterState,
) -> impl Iterator<Item = (&Topic, PartitionIndex, &PartitionEntry)> {
    state.partitions().filter(|(_, _, entry)| {
        let preferred = entry.preferred();
        let could = entry.isr.contains(&preferred) && state.is_active(preferred);
        entry.has_leader() && entry.leader != preferred && could
    })
}

/// Moves some leaders back to where they are preferred. Not all at once: every move makes clients look for the leader.
pub(super) fn balance(state: &ClusterState) -> Vec<Record> {
    let around = Around::as_is(Election::Preferred);
    let some = imbalanced(state).take(LEADERS_MOVED_AT_ONCE_MAX);
    some.filter_map(|(topic, partition, entry)| state.changed(topic, partition, entry.clone(), &around))
        .collect()
}
