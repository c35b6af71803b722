//! Partitions of transactions: added, or looked for (rows 63, 65 and 67).

use super::{Coordinator, NamedPartition, Timer};
use crate::base::limits::WAITING_PER_TRANSACTION_MAX;
use crate::base::{Asker, ErrorCode, Now};
use crate::txn::call::{Identity, Protocol, TxnReply};
use crate::txn::state::State;
use crate::wire::Str;

/// Partitions that somebody wants to have in a transaction.
#[derive(Clone, Debug)]
pub(super) struct Addition {
    pub(super) id: Str,
    pub(super) producer: Identity,
    pub(super) partitions: Vec<NamedPartition>,
    pub(super) protocol: Protocol,
    pub(super) patient: bool,
}

impl Coordinator {
    pub(super) fn add(&mut self, asker: Asker, addition: Addition, now: Now) {
        match self.check_addition(&addition) {
            Err(ErrorCode::ConcurrentTransactions) if self.may_wait(&addition) => {
                let id = addition.id.detached();
                self.extras.entry(id).or_default().waiting.push((asker, addition));
            }
            Err(error) => self.answer(asker, TxnReply::Failed(error)),
            Ok(()) => {
                let added = vec![ErrorCode::None; addition.partitions.len()];
                let reply = self.add_now(addition, now).map(|()| TxnReply::Partitions(added));
                self.answer(asker, reply.unwrap_or_else(TxnReply::Failed));
            }
        }
    }

    fn may_wait(&self, addition: &Addition) -> bool {
        let waiting = self.extras.get(addition.id.as_str()).map_or(0, |extra| extra.waiting.len());
        addition.patient && !self.closing && waiting < WAITING_PER_TRANSACTION_MAX
    }

    fn check_addition(&self, addition: &Addition) -> Result<(), ErrorCode> {
        let txn = self.txns.get(addition.id.as_str()).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        // Its next transaction begins under what EndTxn told it, and that may be a new id.
        let ends = txn.state.is_decided() && addition.producer == txn.identity_after();
        if ends {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        txn.check(addition.producer)
    }

    fn add_now(&mut self, addition: Addition, now: Now) -> Result<(), ErrorCode> {
        let Some(txn) = self.txns.get(addition.id.as_str()) else { return Ok(()) };
        let there = txn.state == State::Ongoing
            && addition.partitions.iter().all(|partition| txn.partitions.contains(partition));
        if there {
            return Ok(());
        }
        let more: usize = addition.partitions.iter().map(|(topic, _)| topic.len() + 16).sum();
        if txn.bytes() + more > self.settings.record_bytes_max {
            // Nothing would hold what is to be ended in the end.
            return Err(ErrorCode::PolicyViolation);
        }
        let Some(mut txn) = self.take_out(&addition.id) else { return Ok(()) };
        let begins = txn.state != State::Ongoing;
        if begins {
            (txn.state, txn.started_ms) = (State::Ongoing, now.wall_ms);
        }
        let detached = addition.partitions.iter().map(|(topic, index)| (topic.detached(), *index));
        txn.partitions.extend(detached);
        (txn.protocol, txn.updated_ms) = (addition.protocol, now.wall_ms);
        if begins {
            let at = self.timeout_at(&txn, now);
            self.timers.set(Timer::Timeout(txn.id.clone()), at);
        }
        self.keep(txn);
        Ok(())
    }

    pub(super) fn verify(
        &self,
        id: &str,
        producer: Identity,
        partitions: &[NamedPartition],
    ) -> Result<TxnReply, ErrorCode> {
        let txn = self.txns.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        txn.check(producer)?;
        if txn.state.is_decided() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let found = |partition: &NamedPartition| match txn.partitions.contains(partition) {
            true => ErrorCode::None,
            false => ErrorCode::TransactionAbortable,
        };
        Ok(TxnReply::Partitions(partitions.iter().map(found).collect()))
    }
}
