//! InitProducerId of a transactional id, and transactions that take too long (rows 60 to 62 and 73).

use super::{Coordinator, Timer};
use crate::base::{ErrorCode, Now, ProducerId};
use crate::txn::call::{Identity, TxnReply};
use crate::txn::state::{State, Txn};
use crate::wire::Str;

impl Coordinator {
    pub(super) fn init(
        &mut self,
        id: &Str,
        (timeout_ms, expected, fresh): (i32, Option<Identity>, ProducerId),
        now: Now,
    ) -> Result<TxnReply, ErrorCode> {
        let Some(known) = self.txns.get(id.as_str()) else {
            if !self.has_room() {
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
            let mut txn = Txn::new(id.detached(), fresh, timeout_ms);
            txn.updated_ms = now.wall_ms;
            let identity = txn.identity();
            self.keep(txn);
            return Ok(TxnReply::Producer(identity));
        };
        if known.state.is_decided() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let mut txn = known.clone();
        if txn.state == State::Ongoing {
            if expected.is_some_and(|expected| !txn.may_go_on(expected)) {
                return Err(ErrorCode::ProducerFenced);
            }
            self.abort(id, now);
            // The client asks again, and by then the transaction is over.
            return Err(ErrorCode::ConcurrentTransactions);
        }
        txn.begin_anew((timeout_ms, now.wall_ms), expected, fresh)?;
        let identity = txn.identity();
        self.take_out(id);
        self.keep(txn);
        Ok(TxnReply::Producer(identity))
    }

    /// Decides that an open transaction is aborted, and fences its producer.
    fn abort(&mut self, id: &str, now: Now) {
        let Some(mut txn) = self.take_out(id) else { return };
        txn.fence(now.wall_ms);
        let id = txn.id.clone();
        self.timers.cancel(&Timer::Timeout(id.clone()));
        self.keep(txn);
        self.order_markers(&id);
    }

    pub(super) fn timed_out(&mut self, id: &str, now: Now) {
        if self.txns.get(id).is_some_and(|txn| txn.state == State::Ongoing) {
            self.abort(id, now);
        }
    }
}
