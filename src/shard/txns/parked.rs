//! Batches that begin a transaction in their partition: they wait for the word of the transaction's coordinator, and
//! later ones of their producer wait behind them, since the order of a producer's batches must not change.
//! Rules: protocol row 65 (KIP-890).

use crate::base::limits::PARKED_PER_PRODUCER_MAX;
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Guard, ProducerEpoch, ProducerId, TopicPartition};
use crate::replica::call::{Membership, PartitionReply, ProduceOp, Produced};
use crate::replica::{Source, Waiter};
use crate::seam::World;
use crate::shard::owner::{Outbox, Owner};
use crate::shard::{Broker, Shard};
use crate::txn::call::{Identity, Protocol, TxnCall, TxnOp, TxnReply};
use crate::wire::Str;
use std::collections::{BTreeMap, VecDeque};

/// A producer in a partition.
pub(in crate::shard) type Spot = (TopicPartition, ProducerId);

/// What waits at a spot.
struct Wait {
    /// What the partition knew of the producer when its coordinator was asked.
    guard: Guard,
    /// For which epoch it was asked.
    epoch: ProducerEpoch,
    ops: VecDeque<(Waiter, ProduceOp)>,
}

/// Everything that waits on this shard.
#[derive(Default)]
pub(in crate::shard) struct Parked(BTreeMap<Spot, Wait>);

/// A question that is due to a coordinator.
pub(in crate::shard) struct Question {
    spot: Spot,
    membership: Membership,
    epoch: ProducerEpoch,
}

/// Questions of one transaction to its coordinator: coordinator, transactional id, producer, version.
type Asked = (TopicPartition, Str, ProducerId, ProducerEpoch, i16);

impl Parked {
    /// Lets a batch wait if it has to; else gives it back.
    pub(in crate::shard) fn park(
        &mut self,
        spot: Spot,
        guard: Option<Guard>,
        (waiter, op): (Waiter, ProduceOp),
        outbox: &mut Outbox,
    ) -> Option<(Waiter, ProduceOp)> {
        if let Some(wait) = self.0.get_mut(&spot) {
            if wait.ops.len() < PARKED_PER_PRODUCER_MAX {
                wait.ops.push_back((waiter, op));
            } else {
                let refused = Produced::refused(ErrorCode::NotEnoughReplicas, None);
                outbox.reply(waiter, PartitionReply::Produced(refused));
            }
            return None;
        }
        let (Some(guard), Some(membership)) = (guard, op.membership.as_deref()) else {
            return Some((waiter, op));
        };
        if planted(Mutant::LateBatches) && !membership.is_implicit() {
            return Some((waiter, op));
        }
        let (epoch, membership) = (op.meta.producer_epoch, membership.clone());
        outbox.questions.push(Question { spot, membership, epoch });
        self.0.insert(spot, Wait { guard, epoch, ops: VecDeque::from([(waiter, op)]) });
        None
    }
}

impl<B: Broker> Shard<B> {
    /// Asks the coordinators of transactions, each once for all partitions of one.
    pub(in crate::shard) fn ask_vouchers(&self, questions: Vec<Question>) {
        let mut asked: BTreeMap<Asked, Vec<(Spot, Str)>> = BTreeMap::new();
        for Question { spot, membership, epoch } in questions {
            let Membership { transactional_id, coordinator, topic, version } = membership;
            let key = (coordinator, transactional_id, spot.1, epoch, version);
            asked.entry(key).or_default().push((spot, topic));
        }
        for ((coordinator, transactional_id, id, epoch, version), places) in asked {
            let producer = Identity { id, epoch };
            let (spots, topics): (Vec<Spot>, Vec<Str>) = places.into_iter().unzip();
            let indexes = spots.iter().map(|(key, _)| key.partition.0);
            let partitions = topics.into_iter().zip(indexes).collect();
            let op = if version >= 12 {
                let (protocol, patient) = (Protocol::V2, true);
                TxnOp::Add { transactional_id, producer, partitions, protocol, patient }
            } else {
                TxnOp::Verify { transactional_id, producer, partitions }
            };
            self.ask_for_voucher(spots, version, TxnCall { partition: coordinator, op });
        }
    }

    /// A coordinator has answered: what waited is appended or refused, in order.
    pub(in crate::shard) fn take_voucher(&self, spots: &[Spot], version: i16, reply: &TxnReply) {
        let now_ms = self.world().wall_ms();
        let mut outbox = Outbox::default();
        {
            let mut owner = self.owner().borrow_mut();
            for (index, spot) in spots.iter().enumerate() {
                let error = match reply {
                    TxnReply::Partitions(errors) => errors.get(index).copied().unwrap_or_default(),
                    TxnReply::Failed(error) => *error,
                    _ => ErrorCode::UnknownServerError,
                };
                self.unpark(&mut owner, *spot, told(error, version), now_ms, &mut outbox);
            }
            if !owner.dirty.is_empty() {
                self.flush_due().notify();
            }
        }
        self.deliver(outbox);
    }

    fn unpark(&self, owner: &mut Owner<B>, spot: Spot, error: ErrorCode, now_ms: i64, outbox: &mut Outbox) {
        let Some(Wait { guard, epoch, ops }) = owner.parked.0.remove(&spot) else { return };
        for (waiter, op) in ops {
            // What came behind it for a later transaction has a question of its own.
            let concerned = op.meta.producer_epoch == epoch;
            if concerned && !error.is_ok() {
                let unadded = error == ErrorCode::InvalidTxnState;
                let why = unadded.then_some("Partition was not added to the transaction");
                outbox.reply(waiter, PartitionReply::Produced(Produced::refused(error, why)));
                continue;
            }
            let implicit = op.membership.as_deref().is_some_and(Membership::is_implicit);
            let source = if concerned { Source::Vouched { guard, implicit } } else { Source::Client };
            self.answer_produce(owner, (spot.0, waiter), (op, source), now_ms, outbox);
        }
    }
}

/// What a client is told of a coordinator's refusal: nothing that it wouldn't know, and what may pass by a code that
/// it tries again on (`AddPartitionsToTxnManager`, `ReplicaManager`).
fn told(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < 11 => ErrorCode::InvalidTxnState,
        ErrorCode::ConcurrentTransactions if version < 12 => ErrorCode::NotEnoughReplicas,
        ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        other => other,
    }
}
