//! EndTxn (rows 63, 64 and 76).

use super::{Coordinator, Timer};
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Now, ProducerEpoch, ProducerId};
use crate::txn::call::{Identity, Protocol, TxnReply};
use crate::txn::state::{LAST_EPOCH, State, Txn};

/// What EndTxn comes to, if it isn't refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It is done already; the answer was lost.
    Done,
    /// It is decided now.
    Decide,
}

impl Coordinator {
    pub(super) fn end(
        &mut self,
        id: &str,
        producer: Identity,
        (commit, protocol, fresh): (bool, Protocol, Option<ProducerId>),
        now: Now,
    ) -> Result<TxnReply, ErrorCode> {
        let txn = self.txns.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let course = match protocol {
            Protocol::V1 => course_v1(txn, producer, commit)?,
            Protocol::V2 => course_v2(txn, producer, commit)?,
        };
        if course == Course::Done {
            return Ok(TxnReply::Producer(txn.identity()));
        }
        let used_up = protocol == Protocol::V2 && txn.epoch >= LAST_EPOCH;
        let fresh = match fresh {
            // Only who says an epoch that isn't the producer's brings no id, and is refused above.
            None if used_up => return Err(ErrorCode::CoordinatorNotAvailable),
            fresh => fresh.unwrap_or(ProducerId::NONE),
        };
        let Some(mut txn) = self.take_out(id) else { return Err(ErrorCode::InvalidProducerIdMapping) };
        txn.decide(commit, protocol, fresh, now.wall_ms);
        let (id, after) = (txn.id.clone(), txn.identity_after());
        self.timers.cancel(&Timer::Timeout(id.clone()));
        self.keep(txn);
        self.order_markers(&id);
        Ok(TxnReply::Producer(after))
    }
}

/// The rules for clients that keep their epoch (`endTransactionWithTV1`).
fn course_v1(txn: &Txn, producer: Identity, commit: bool) -> Result<Course, ErrorCode> {
    match txn.check(producer) {
        Err(ErrorCode::ProducerFenced) if planted(Mutant::ZombiesEnd) => {}
        checked => checked?,
    }
    match (txn.state, commit) {
        (State::Ongoing, _) => Ok(Course::Decide),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(Course::Done),
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// The rules for clients whose epoch rises with every transaction: that of the last transaction says that a request
/// is one that was answered already (`endTransaction`).
fn course_v2(txn: &Txn, producer: Identity, commit: bool) -> Result<Course, ErrorCode> {
    let epoch = producer.epoch;
    let over_the_top = producer.id == txn.previous && epoch == LAST_EPOCH && txn.epoch == ProducerEpoch(0);
    let raised = epoch.0.checked_add(1) == Some(txn.epoch.0);
    if producer.id != txn.producer && !over_the_top {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let (repeats, is_current) = (raised || over_the_top, epoch == txn.epoch);
    let valid = match txn.state {
        State::Ongoing | State::Empty => is_current || planted(Mutant::ZombiesEnd),
        State::PrepareCommit | State::PrepareAbort => raised,
        State::CompleteCommit | State::CompleteAbort => repeats || is_current,
    };
    if !valid {
        return Err(ErrorCode::ProducerFenced);
    }
    match (txn.state, commit) {
        (State::Ongoing, _) | (State::Empty, false) => Ok(Course::Decide),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) if repeats => Ok(Course::Done),
        // Nothing was written in it; its epoch rises all the same.
        (State::CompleteCommit | State::CompleteAbort, false) if !repeats => Ok(Course::Decide),
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}
