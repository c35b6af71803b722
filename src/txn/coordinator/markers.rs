//! Carrying out what is decided: markers for all partitions of a transaction, until each has its own (row 68).

use super::{Coordinator, Held, NamedPartition, Timer};
use crate::base::limits::MARKER_RETRIES_OF_UNKNOWN_MAX;
use crate::base::{ErrorCode, Now, ProducerEpoch, ProducerId};
use crate::txn::call::Protocol;
use crate::txn::state::State;
use crate::wire::Str;
use std::collections::BTreeSet;

/// Time until markers that couldn't be written are tried again.
const RETRY_MS: u64 = 20;

/// Markers to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerOrder {
    /// Of which transactional id.
    pub transactional_id: Str,
    /// Whose transaction.
    pub producer_id: ProducerId,
    /// The epoch that the markers carry.
    pub producer_epoch: ProducerEpoch,
    /// How it ends.
    pub committed: bool,
    /// The epoch was raised above the transaction's (KIP-890).
    pub raised: bool,
    /// Term of the coordinator.
    pub coordinator_epoch: i32,
    /// Where. None: it is carried out as it is, and `Event::Marked` follows all the same.
    pub partitions: Vec<NamedPartition>,
}

/// Where the markers of a transaction stand.
#[derive(Debug, Default)]
pub(super) struct Marking {
    /// Partitions that have theirs.
    done: BTreeSet<NamedPartition>,
    /// Times that some couldn't be written.
    retries: u32,
}

impl Coordinator {
    /// Orders the markers that are missing, once what was appended so far is durable.
    pub(super) fn order_markers(&mut self, id: &str) {
        let Some(txn) = self.txns.get(id).filter(|txn| txn.state.is_decided()) else { return };
        let done = self.extras.get(id).map(|extra| &extra.marking.done);
        let missing = txn.partitions.iter().filter(|one| done.is_none_or(|done| !done.contains(*one)));
        let order = MarkerOrder {
            transactional_id: txn.id.clone(),
            producer_id: txn.producer,
            producer_epoch: txn.epoch,
            committed: txn.state == State::PrepareCommit,
            raised: txn.protocol == Protocol::V2,
            coordinator_epoch: self.epoch.0,
            partitions: missing.cloned().collect(),
        };
        self.output.push(Held::Order(order));
    }

    pub(super) fn marked(&mut self, order: &MarkerOrder, outcomes: &[ErrorCode], now: Now) {
        let id = &order.transactional_id;
        let Some(txn) = self.txns.get(id.as_str()) else { return };
        let current =
            txn.state.is_decided() && txn.epoch == order.producer_epoch && txn.producer == order.producer_id;
        if !current || self.closing {
            return;
        }
        let marking = &mut self.extras.entry(id.clone()).or_default().marking;
        for (partition, outcome) in order.partitions.iter().zip(outcomes) {
            let over = match outcome {
                ErrorCode::None => true,
                // What a later marker has ended is no more of this one's business.
                ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => true,
                // Its topic was deleted; or this shard hasn't heard of it yet.
                ErrorCode::UnknownTopicOrPartition => marking.retries >= MARKER_RETRIES_OF_UNKNOWN_MAX,
                _ => false,
            };
            if over {
                marking.done.insert(partition.clone());
            }
        }
        if txn.partitions.iter().all(|partition| marking.done.contains(partition)) {
            self.complete(id, now);
        } else {
            marking.retries += 1;
            self.timers.set(Timer::Markers(id.clone()), now.mono_ms + RETRY_MS);
        }
    }

    fn complete(&mut self, id: &str, now: Now) {
        let Some(mut txn) = self.take_out(id) else { return };
        txn.complete(now.wall_ms);
        let id = txn.id.clone();
        self.timers.cancel(&Timer::Markers(id.clone()));
        self.keep(txn);
        let waiting = self.extras.remove(&id).map(|extra| extra.waiting).unwrap_or_default();
        waiting.into_iter().for_each(|(asker, addition)| self.add(asker, addition, now));
    }
}
