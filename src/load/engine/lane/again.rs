//! What becomes of batches that weren't acknowledged: they are sent again in order, elsewhere if their leader has
//! moved, or given up.

use super::{GAP_ATTEMPTS, Lane, PartState, RETRY_PAUSE, State, add_sequence, nanos};
use crate::base::ErrorCode;
use crate::load::client::is_retriable;
use crate::load::engine::supply::Batch;
use crate::seam::World as _;
use std::collections::VecDeque;
use std::rc::Rc;

impl Lane {
    /// A batch was refused, or its connection is gone (no error code).
    pub(super) fn failed(&self, state: &mut State, batch: Batch, error: Option<i16>, now: u64) {
        if let Some(code) = error {
            *self.ctx.measures.borrow_mut().counts.errors.entry(code).or_default() += 1;
        }
        self.ctx.leaders.refresh();
        let known = error.and_then(ErrorCode::from_code);
        let idempotent = self.producer.get().0 >= 0;
        let lost_id = idempotent
            && match known {
                Some(ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch) => true,
                Some(ErrorCode::OutOfOrderSequenceNumber) => batch.attempts >= GAP_ATTEMPTS,
                _ => false,
            };
        let overdue = now.saturating_sub(batch.created) > nanos(self.ctx.load.delivery_timeout);
        let again = lost_id || error.is_none_or(is_retriable);
        if again && !overdue && !self.ctx.closing.get() {
            self.ctx.measures.borrow_mut().counts.retries += 1;
            if lost_id {
                self.renew.set(true);
            }
            let slot = &mut state.parts[batch.part];
            state.muted += usize::from(!std::mem::replace(&mut slot.muted, true));
            slot.retry.push(batch);
            return;
        }
        // What follows a given-up batch has a gap before it, which the broker refuses.
        if idempotent {
            self.renew.set(true);
        }
        self.give_up(state, batch);
    }

    fn give_up(&self, state: &mut State, batch: Batch) {
        let count = batch.count as u64;
        self.ctx.measures.borrow_mut().counts.given_up += count;
        if self.ctx.keep_acks {
            let part = u32::try_from(batch.part).unwrap_or(0);
            self.ctx.ledger.borrow_mut().give_up(part, self.id, batch.first, count);
        }
        self.settle(state, batch);
    }

    /// When the last batch of a muted partition is back, those that failed go out again, in order, after a pause.
    pub(super) fn unmute_when_idle(self: &Rc<Self>, state: &mut State, part: usize) {
        let slot = &mut state.parts[part];
        if slot.muted && slot.in_flight == 0 {
            let lane = Rc::clone(self);
            let world = self.ctx.world.clone();
            self.ctx.world.spawn(async move {
                world.sleep(RETRY_PAUSE).await;
                lane.unmute(part);
            });
        }
    }

    fn unmute(self: &Rc<Self>, part: usize) {
        let mut state = self.state.borrow_mut();
        let slot = &mut state.parts[part];
        if !slot.muted || slot.in_flight > 0 {
            return;
        }
        slot.muted = false;
        let mut again = std::mem::take(&mut slot.retry);
        state.muted -= 1;
        again.sort_by_key(|batch| batch.first);
        let leader = self.ctx.leaders.of(part);
        if leader < 0 {
            state.orphans.extend(again);
            self.ctx.leaders.refresh();
            return;
        }
        let link = self.link(leader);
        state.parts[part].queued += u32::try_from(again.len()).unwrap_or(0);
        let mut queue = link.queue.borrow_mut();
        again.into_iter().rev().for_each(|batch| queue.push_front(batch));
        link.wake.set();
    }

    /// Leaders have changed: batches that wait go to where their partition is now.
    pub(in crate::load::engine) fn reroute(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let mut moved = std::mem::take(&mut state.orphans);
        for link in self.links() {
            let mut queue = link.queue.borrow_mut();
            let (stay, go): (VecDeque<Batch>, VecDeque<Batch>) =
                queue.drain(..).partition(|batch| self.ctx.leaders.of(batch.part) == link.broker);
            *queue = stay;
            go.iter().for_each(|batch| state.parts[batch.part].queued -= 1);
            moved.extend(go);
        }
        for batch in moved {
            self.enqueue(&mut state, batch);
        }
        // What has moved may belong before what was there.
        for link in self.links() {
            link.queue.borrow_mut().make_contiguous().sort_by_key(|batch| batch.first);
        }
        drop(state);
        self.wake_links();
    }

    /// Starts over with a new producer id: all that waits gets new sequence numbers. Nothing is on its way.
    pub(in crate::load::engine) fn renewed(self: &Rc<Self>, producer: (i64, i16)) {
        let mut state = self.state.borrow_mut();
        self.producer.set(producer);
        state.parts.iter_mut().for_each(|slot| slot.sequence = 0);
        let mut links = self.links();
        let restamp = |batch: &mut Batch, parts: &mut Vec<PartState>| {
            let slot = &mut parts[batch.part];
            let before = batch.wire_bytes();
            batch.restamp(producer.0, producer.1, slot.sequence);
            debug_assert_eq!(before, batch.wire_bytes());
            slot.sequence = add_sequence(slot.sequence, batch.count);
        };
        // Order within a partition: what failed, then what waits for a leader, then what is queued.
        for part in 0..state.parts.len() {
            let mut again = std::mem::take(&mut state.parts[part].retry);
            again.sort_by_key(|batch| batch.first);
            again.iter_mut().for_each(|batch| restamp(batch, &mut state.parts));
            state.parts[part].retry = again;
        }
        let mut orphans = std::mem::take(&mut state.orphans);
        orphans.iter_mut().for_each(|batch| restamp(batch, &mut state.parts));
        state.orphans = orphans;
        for link in &mut links {
            link.queue.borrow_mut().iter_mut().for_each(|batch| restamp(batch, &mut state.parts));
        }
        drop(state);
        self.renew.set(false);
        self.wake_links();
    }

    /// Gives up on everything that waits: the phase's patience is over.
    pub(in crate::load::engine) fn abandon(&self) {
        let mut state = self.state.borrow_mut();
        let mut rest = std::mem::take(&mut state.orphans);
        for link in self.links() {
            rest.extend(link.queue.borrow_mut().drain(..));
        }
        for slot in &mut state.parts {
            rest.append(&mut slot.retry);
            slot.queued = 0;
        }
        for batch in rest {
            self.give_up(&mut state, batch);
        }
    }
}
