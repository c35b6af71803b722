//! Leaders propose who is in sync. What they propose is taken only if it was made upon what holds now: in the leader's
//! term, to the entry as it is, with brokers as they are registered. The order of the checks and the codes are Apache
//! Kafka's (`ReplicationControlManager`).

use super::{Decided, refuse};
use crate::base::mutant::{Mutant, planted};
use crate::base::{BrokerEpoch, ErrorCode, NodeId, PartitionEpoch};
use crate::cluster::change::{Around, Election};
use crate::cluster::command::{IsrChange, Outcome};
use crate::cluster::entry::PartitionEntry;
use crate::cluster::record::Record;
use crate::cluster::state::ClusterState;
use std::collections::BTreeSet;

pub(super) fn alter(
    state: &ClusterState,
    broker: NodeId,
    broker_epoch: BrokerEpoch,
    changes: &[IsrChange],
) -> Decided {
    if state.broker(broker).is_none_or(|entry| entry.epoch != broker_epoch) {
        return refuse(ErrorCode::StaleBrokerEpoch, format!("broker {broker} isn't registered so"));
    }
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(changes.len());
    let mut seen = BTreeSet::new();
    for change in changes {
        // The second change to a partition would be decided upon an entry that the first one has changed.
        let decided = match seen.insert(change.partition) {
            true => alter_one(state, broker, change),
            false => Err(ErrorCode::InvalidUpdateVersion),
        };
        results.push(decided.and_then(|(record, result)| {
            records.extend(record);
            result
        }));
    }
    Ok((records, Outcome::Isr(results)))
}

type Altered = (Option<Record>, Result<PartitionEpoch, ErrorCode>);

fn alter_one(state: &ClusterState, broker: NodeId, change: &IsrChange) -> Result<Altered, ErrorCode> {
    let topic = state.topic_by_id(change.partition.topic).ok_or(ErrorCode::UnknownTopicId)?;
    let partition = change.partition.partition;
    let entry = state.partition(change.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_epochs(entry, broker, change)?;
    let isr = check_members(state, entry, change)?;
    let wish = PartitionEntry { isr, ..entry.clone() };
    let Some(record) = state.changed(topic, partition, wish, &Around::as_is(Election::Keep)) else {
        return Ok((None, Ok(entry.partition_epoch)));
    };
    let Record::PartitionChange { entry: after, .. } = &record else {
        return Err(ErrorCode::UnknownServerError);
    };
    // The change completed a reassignment, and the leader leads in another term or not at all.
    let result = match after.leader_epoch == entry.leader_epoch {
        true => Ok(after.partition_epoch),
        false => Err(ErrorCode::NewLeaderElected),
    };
    Ok((Some(record), result))
}

fn check_epochs(entry: &PartitionEntry, broker: NodeId, change: &IsrChange) -> Result<(), ErrorCode> {
    // Who asks knows more than this coordinator, which therefore isn't the acting one any more.
    if change.leader_epoch > entry.leader_epoch || change.partition_epoch > entry.partition_epoch {
        return Err(ErrorCode::NotController);
    }
    if change.leader_epoch < entry.leader_epoch {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if broker != entry.leader {
        return Err(ErrorCode::InvalidRequest);
    }
    if change.partition_epoch < entry.partition_epoch && !planted(Mutant::AnyPartitionEpoch) {
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    Ok(())
}

/// The proposed members, if all of them may be in sync.
fn check_members(
    state: &ClusterState,
    entry: &PartitionEntry,
    change: &IsrChange,
) -> Result<Vec<NodeId>, ErrorCode> {
    let isr: Vec<NodeId> = change.isr.iter().map(|(node, _)| *node).collect();
    let once = isr.iter().collect::<BTreeSet<_>>().len() == isr.len();
    let known = isr.iter().all(|node| entry.replicas.contains(node));
    if !once || !known || !isr.contains(&entry.leader) {
        return Err(ErrorCode::InvalidRequest);
    }
    let eligible = |(node, epoch): &(NodeId, BrokerEpoch)| {
        let Some(broker) = state.broker(*node) else { return false };
        // Who is in sync already has been so under this very registration, for it would have left with the one before.
        let same = broker.epoch == *epoch || *epoch == BrokerEpoch(-1) && entry.isr.contains(node);
        let lives = broker.is_active() || planted(Mutant::FencedJoin);
        lives && (same || planted(Mutant::AnyBrokerEpoch))
    };
    if !change.isr.iter().all(eligible) {
        return Err(ErrorCode::IneligibleReplica);
    }
    Ok(isr)
}
