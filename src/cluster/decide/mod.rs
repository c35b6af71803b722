//! What the coordinator decides. Pure: the same state and command give the same records.

mod brokers;
mod election;
mod isr;
mod reassign;
mod topics;

pub(super) use election::imbalanced;

use super::change::{Around, Election, MIN_ISR};
use super::command::{Command, Outcome, Refusal};
use super::configs::{self, Target, edit};
use super::record::Record;
use super::state::ClusterState;
use crate::base::{ErrorCode, PartitionIndex};
use std::collections::BTreeMap;

/// The records that carry a command out and what to answer once they are committed; or why it can't be.
type Decided = Result<(Vec<Record>, Outcome), Refusal>;

fn refuse<T>(code: ErrorCode, why: impl Into<String>) -> Result<T, Refusal> {
    Err((code, why.into()))
}

/// Decides one command: the records that carry it out, and what to answer once they are committed. Records that are
/// decided upon a state can always be applied to it, in their order.
#[must_use]
pub fn decide(state: &ClusterState, command: Command) -> (Vec<Record>, Outcome) {
    let decided = match command {
        Command::RegisterBroker(registration) => brokers::register(state, registration),
        Command::SetBrokerState { broker, epoch, fenced, shutting_down } => {
            brokers::set_state(state, broker, epoch, (fenced, shutting_down))
        }
        Command::UnregisterBroker { id } => brokers::unregister(state, id),
        Command::AlterIsr { broker, broker_epoch, changes } => {
            isr::alter(state, broker, broker_epoch, &changes)
        }
        Command::GiveUpReplica { broker, broker_epoch, partition } => {
            brokers::give_up(state, broker, broker_epoch, partition)
        }
        Command::ElectLeaders { partitions, unclean } => Ok(election::elect(state, partitions, unclean)),
        Command::BalanceLeaders => Ok((election::balance(state), Outcome::Done)),
        Command::Reassign { moves, factor_may_change } => {
            Ok(reassign::reassign(state, &moves, factor_may_change))
        }
        Command::CreateTopic { topic, validate_only } => topics::create(state, topic, validate_only),
        Command::DeleteTopic { topic } => topics::delete(state, topic),
        Command::AddPartitions { name, count, assignment, validate_only } => {
            topics::add_partitions(state, &name, count, assignment, validate_only)
        }
        Command::SetConfigs { target, configs } => configure(state, target, |now| *now = configs),
        Command::EditConfigs { target, edits } => configure(state, target, |now| {
            edits.iter().for_each(|(name, change)| edit(now, name, change));
        }),
        Command::AllocateProducerIds { count } => {
            let first = state.next_producer_id;
            Ok((vec![Record::ProducerIds { next: first + count }], Outcome::ProducerIds { first, count }))
        }
        Command::AddVoter { .. } | Command::RemoveVoter { .. } => {
            refuse(ErrorCode::InvalidRequest, "voters change one at a time")
        }
        Command::DescribeQuorum => refuse(ErrorCode::UnknownServerError, "the metadata knows no quorum"),
    };
    decided.unwrap_or_else(|refusal| (Vec::new(), Outcome::Refused(refusal)))
}

fn configure(
    state: &ClusterState,
    target: Target,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Decided {
    let Some(now) = state.configs_of(target) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "the topic doesn't exist");
    };
    let mut configs = now.clone();
    change(&mut configs);
    if configs == *now {
        return Ok((Vec::new(), Outcome::Done));
    }
    let needed = now.get(MIN_ISR) != configs.get(MIN_ISR);
    // A leader that needs fewer in-sync replicas than the coordinator knows of would acknowledge what those that count
    // as eligible haven't got.
    if needed && matches!(target, Target::Broker(_)) {
        let why = "Broker-level min.insync.replicas cannot be altered while ELR is enabled.";
        return refuse(ErrorCode::InvalidConfig, why);
    }
    let number = configs.get(MIN_ISR).cloned();
    let mut records = vec![configs::record(target, configs)];
    if needed {
        records.extend(reconsider(state, target, number.as_deref()));
    }
    Ok((records, Outcome::Done))
}

/// Partitions for whose in-sync replicas another number is enough now: nobody beside them is eligible any longer.
fn reconsider(state: &ClusterState, target: Target, number: Option<&str>) -> Vec<Record> {
    let number = |inherited: usize| number.and_then(|text| text.parse().ok()).unwrap_or(inherited);
    let inherited = state.broker_configs.get(MIN_ISR).and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut records = Vec::new();
    for topic in state.topics() {
        let min_isr = match target {
            Target::Topic(id) if id == topic.id => number(inherited),
            Target::Brokers if !topic.configs.contains_key(MIN_ISR) => number(1),
            _ => continue,
        };
        let around = Around { min_isr: Some(min_isr), ..Around::as_is(Election::Keep) };
        for (index, entry) in (0i32..).zip(&topic.partitions) {
            records.extend(state.changed(topic, PartitionIndex(index), entry.clone(), &around));
        }
    }
    records
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
