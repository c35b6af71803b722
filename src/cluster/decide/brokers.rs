//! Brokers come, are relied on, stop, fall silent, and go for good.

use super::{Decided, refuse};
use crate::base::mutant::{Mutant, planted};
use crate::base::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, TopicPartition};
use crate::cluster::change::{Around, Election};
use crate::cluster::command::{Outcome, Refusal, Registration};
use crate::cluster::entry::{BrokerEntry, PartitionEntry, without};
use crate::cluster::record::Record;
use crate::cluster::state::ClusterState;

/// Registers a broker. It starts fenced: until it has shown that it lives and has caught up with the metadata, nothing
/// rests on it. A process that dies and comes back waits until it is fenced, so that whoever leads knows that what it
/// learned of the old one doesn't hold for the new one.
pub(super) fn register(state: &ClusterState, asked: Registration) -> Decided {
    let alone = asked.peer.is_empty();
    let was = state.broker(asked.id);
    if let Some(was) = was {
        if was.incarnation == asked.incarnation {
            return Ok(register_again(asked, was));
        }
        if !was.fenced && !was.is_alone() && !alone {
            let why = "Another broker is registered with that broker id.";
            return refuse(ErrorCode::DuplicateBrokerRegistration, why);
        }
    }
    let id = asked.id;
    let goes_on = |was: &BrokerEntry| was.is_alone() || goes_on_from(was, asked.clean_epoch);
    let lost_nothing = alone || was.is_some_and(goes_on);
    let epoch = BrokerEpoch(i64::try_from(state.applied() + 1).unwrap_or(i64::MAX));
    let entry = BrokerEntry {
        epoch,
        incarnation: asked.incarnation,
        host: asked.host.detached(),
        port: asked.port,
        peer: asked.peer.detached(),
        rack: asked.rack.map(|rack| rack.detached()),
        shards: asked.shards,
        fenced: !alone,
        shutting_down: false,
        resumed: asked.clean_epoch.filter(|_| lost_nothing),
    };
    let mut records = vec![Record::Broker { id, entry }];
    if alone {
        records.extend(new_terms(state, id));
        records.extend(come(state, id));
    } else if !lost_nothing {
        records.extend(lose(state, id));
    } else if state.is_active(id) {
        // It was alone so far. Its process is gone, or this one wouldn't have its data directory.
        records.extend(leave(state, id));
    }
    Ok((records, Outcome::Registered { epoch }))
}

/// Whether a broker that was closed under this registration has lost nothing since the one that is known.
fn goes_on_from(was: &BrokerEntry, clean: Option<BrokerEpoch>) -> bool {
    clean.is_some() && (clean == Some(was.epoch) || clean == was.resumed)
}

/// The same process once more: its first answer was lost on the way, or it has moved.
fn register_again(asked: Registration, was: &BrokerEntry) -> (Vec<Record>, Outcome) {
    let entry = BrokerEntry {
        host: asked.host.detached(),
        port: asked.port,
        peer: asked.peer.detached(),
        rack: asked.rack.map(|rack| rack.detached()),
        shards: asked.shards,
        ..was.clone()
    };
    let records = if entry == *was { Vec::new() } else { vec![Record::Broker { id: asked.id, entry }] };
    (records, Outcome::Registered { epoch: was.epoch })
}

/// A broker that is alone leads its partitions in a new term, so that what it wrote before is told from what it writes
/// now. Others get new terms because their partitions are led by somebody else in between, or by nobody.
fn new_terms(state: &ClusterState, id: NodeId) -> Vec<Record> {
    let led = state.partitions().filter(|(_, _, entry)| entry.leader == id);
    let again = led.map(|(topic, partition, entry)| {
        let entry = PartitionEntry {
            leader_epoch: LeaderEpoch(entry.leader_epoch.0 + 1),
            partition_epoch: PartitionEpoch(entry.partition_epoch.0 + 1),
            ..entry.clone()
        };
        Record::PartitionChange { topic: topic.id, partition, entry }
    });
    again.collect()
}

/// Has a broker relied on, or not.
pub(super) fn set_state(
    state: &ClusterState,
    id: NodeId,
    epoch: BrokerEpoch,
    (fenced, shutting_down): (bool, bool),
) -> Decided {
    let was = registered(state, id, epoch)?;
    if (was.fenced, was.shutting_down) == (fenced, shutting_down) {
        return Ok((Vec::new(), Outcome::Done));
    }
    let mut records = vec![Record::BrokerState { id, fenced, shutting_down }];
    match (was.is_active(), !fenced && !shutting_down) {
        (true, false) => records.extend(leave(state, id)),
        (false, true) => records.extend(come(state, id)),
        _ => {}
    }
    Ok((records, Outcome::Done))
}

fn known(state: &ClusterState, id: NodeId) -> Result<&BrokerEntry, Refusal> {
    let why = || format!("Broker ID {id} is not currently registered");
    state.broker(id).ok_or_else(|| (ErrorCode::BrokerIdNotRegistered, why()))
}

/// A broker as it is registered, if it is so under this epoch.
fn registered(state: &ClusterState, id: NodeId, epoch: BrokerEpoch) -> Result<&BrokerEntry, Refusal> {
    let why = |was: &BrokerEntry| format!("the broker's epoch is {}, not {epoch}", was.epoch);
    let was = known(state, id)?;
    if was.epoch == epoch { Ok(was) } else { refuse(ErrorCode::StaleBrokerEpoch, why(was)) }
}

/// A broker gives its copy of a partition up, for it is damaged: it leaves the in-sync and the eligible replicas. Not
/// where no other is one of those: nobody else is known to have all that was acknowledged, and what is left of the
/// damaged copy may be all there is.
pub(super) fn give_up(state: &ClusterState, id: NodeId, epoch: BrokerEpoch, key: TopicPartition) -> Decided {
    registered(state, id, epoch)?;
    let (Some(topic), Some(entry)) = (state.topic_by_id(key.topic), state.partition(key)) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "the partition doesn't exist");
    };
    if !entry.isr.iter().chain(&entry.elr).any(|node| *node != id) {
        let why = "no other replica is known to have all that was acknowledged";
        return refuse(ErrorCode::EligibleLeadersNotAvailable, why);
    }
    let around = Around { lossy: Some(id), ..Around::as_is(Election::Keep) };
    let changed = state.changed(topic, key.partition, entry.clone(), &around);
    Ok((changed.into_iter().collect(), Outcome::Done))
}

/// Forgets a broker. Partitions that it had a copy of keep its place, in case it comes back.
pub(super) fn unregister(state: &ClusterState, id: NodeId) -> Decided {
    known(state, id)?;
    let mut records = if state.is_active(id) { leave(state, id) } else { Vec::new() };
    records.push(Record::RemoveBroker { id });
    Ok((records, Outcome::Done))
}

/// Nothing may rest on a broker any longer: it leaves the in-sync replicas, and somebody else leads what it led.
fn leave(state: &ClusterState, id: NodeId) -> Vec<Record> {
    let active = |node: NodeId| node != id && state.is_active(node);
    let around = Around { active: Some(&active), ..Around::as_is(Election::Keep) };
    let concerned = state.partitions().filter(|(_, _, entry)| entry.leader == id || entry.isr.contains(&id));
    let changed = concerned.filter_map(|(topic, partition, entry)| {
        let isr = if planted(Mutant::FencedInSync) && entry.leader != id {
            entry.isr.clone()
        } else {
            without(&entry.isr, &[id])
        };
        state.changed(topic, partition, PartitionEntry { isr, ..entry.clone() }, &around)
    });
    changed.collect()
}

/// A broker may be relied on again: it leads what nobody leads and what it may lead.
fn come(state: &ClusterState, id: NodeId) -> Vec<Record> {
    let active = |node: NodeId| node == id || state.is_active(node);
    let around = Around { active: Some(&active), ..Around::as_is(Election::Keep) };
    let leaderless =
        state.partitions().filter(|(_, _, entry)| !entry.has_leader() && entry.replicas.contains(&id));
    leaderless
        .filter_map(|(topic, partition, entry)| state.changed(topic, partition, entry.clone(), &around))
        .collect()
}

/// A broker may have lost acknowledged records.
fn lose(state: &ClusterState, id: NodeId) -> Vec<Record> {
    let around = Around { lossy: Some(id), ..Around::as_is(Election::Keep) };
    let concerned =
        state.partitions().filter(|(_, _, entry)| entry.isr.contains(&id) || entry.elr.contains(&id));
    concerned
        .filter_map(|(topic, partition, entry)| state.changed(topic, partition, entry.clone(), &around))
        .collect()
}
