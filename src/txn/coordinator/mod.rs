//! The machine of one partition: takes events, finds the transaction, keeps answers and orders until what they rest on
//! is durable.

mod add;
mod admin;
mod end;
mod init;
mod markers;
#[cfg(test)]
mod tests;

pub use markers::MarkerOrder;

use super::call::{NamedPartition, TxnOp, TxnReply};
use super::record::{self, TxnRecord, replayed};
use super::settings::Settings;
use super::state::{State, Txn};
use crate::base::limits::{TRANSACTION_BYTES_PER_COORDINATOR_MAX, TRANSACTIONAL_IDS_PER_COORDINATOR_MAX};
use crate::base::mutant::{Mutant, planted};
use crate::base::{Asker, ErrorCode, LeaderEpoch, Now, Offset, Timers};
use crate::wire::{DecodeError, Str};
use add::Addition;
use bytes::Bytes;
use markers::Marking;
use std::collections::{BTreeMap, VecDeque};

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody asks.
    Request {
        /// Who gets the answer.
        asker: Asker,
        /// What is asked.
        op: Box<TxnOp>,
    },
    /// What became of the markers of an order.
    Marked {
        /// Which.
        order: MarkerOrder,
        /// For each partition, in the order's order.
        outcomes: Vec<ErrorCode>,
    },
    /// All records below this offset survive a power cut, on every replica that must have them.
    Durable {
        /// First offset that may not.
        upto: Offset,
    },
    /// Time passed.
    Tick,
    /// Appended records can't be made durable for now: whoever waits for that is told, and may ask again.
    Stalled,
    /// The broker stops: whoever waits for another's transaction is sent away.
    Close,
    /// The coordinator isn't here any more: everybody who waits is told.
    Resign(ErrorCode),
}

/// What the shard has to do. Reused from step to step; the shard drains it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Records to append, in order. Where there are any, `Coordinator::placed` must follow before the next step.
    pub records: Vec<TxnRecord>,
    /// Answers that are due.
    pub replies: Vec<(Asker, TxnReply)>,
    /// Markers to write; `Event::Marked` says what became of them.
    pub orders: Vec<MarkerOrder>,
}

/// What leaves only when what it rests on is durable.
#[derive(Debug)]
enum Held {
    Reply(Asker, TxnReply),
    Order(MarkerOrder),
}

/// What is due at some time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A transaction takes too long.
    Timeout(Str),
    /// Markers that couldn't be written are tried again.
    Markers(Str),
    /// The next look at transactional ids that nobody uses any more.
    Expiration,
}

/// What a transaction has besides what its record says.
#[derive(Debug, Default)]
struct Extra {
    /// Where its markers stand, while it is decided.
    marking: Marking,
    /// Who waits to begin the next one.
    waiting: Vec<(Asker, Addition)>,
}

/// The coordinator of the transactional ids of one partition. Lives on the shard that owns the partition.
#[derive(Debug)]
pub struct Coordinator {
    settings: Settings,
    /// Term of this coordinator: the partition's leader epoch. Markers carry it.
    epoch: LeaderEpoch,
    txns: BTreeMap<Str, Txn>,
    extras: BTreeMap<Str, Extra>,
    /// About how much memory the transactions take.
    bytes: usize,
    timers: Timers<Timer>,
    /// What the step under way has brought forth.
    records: Vec<TxnRecord>,
    output: Vec<Held>,
    /// What waits until its offset is durable, in order.
    held: VecDeque<(Offset, Held)>,
    /// The broker stops.
    closing: bool,
    /// Where the log ends.
    appended: Offset,
    durable: Offset,
}

impl Coordinator {
    /// A coordinator that knows nothing yet: `replay` tells it what the log holds, `loaded` ends that.
    #[must_use]
    pub fn new(settings: Settings, epoch: LeaderEpoch) -> Self {
        Coordinator {
            settings,
            epoch,
            txns: BTreeMap::new(),
            extras: BTreeMap::new(),
            bytes: 0,
            timers: Timers::default(),
            records: Vec::new(),
            output: Vec::new(),
            held: VecDeque::new(),
            closing: false,
            appended: 0,
            durable: 0,
        }
    }

    /// Takes one record of the log, in order.
    ///
    /// # Errors
    /// The record isn't what its key says. What it would have told is lost; the rest goes on.
    pub fn replay(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), DecodeError> {
        let Some((id, value)) = replayed(key, value)? else { return Ok(()) };
        self.take_out(&id);
        if let Some(txn) = value.and_then(|value| Txn::replayed(id, value)) {
            self.put(txn);
        }
        Ok(())
    }

    /// The log is read up to `end`, which is durable: from now on requests are answered. Transactions that are decided
    /// are carried out to their end; those that are open have as much time left as they had.
    pub fn loaded(&mut self, end: Offset, now: Now, out: &mut Effects) {
        (self.appended, self.durable) = (end, end);
        let open = self.txns.values().filter(|txn| txn.state == State::Ongoing);
        let timeouts: Vec<_> = open.map(|txn| (txn.id.clone(), self.timeout_at(txn, now))).collect();
        timeouts.into_iter().for_each(|(id, at)| self.timers.set(Timer::Timeout(id), at));
        let decided =
            self.txns.values().filter(|txn| txn.state.is_decided() && !planted(Mutant::ForgetDecided));
        let decided: Vec<Str> = decided.map(|txn| txn.id.clone()).collect();
        decided.iter().for_each(|id| self.order_markers(id));
        self.timers.set(Timer::Expiration, now.mono_ms + self.settings.expiration_check_ms);
        self.hand_over(out);
    }

    /// When the next `Tick` is wanted, by the clock that never goes back.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Takes one event and says what to do about it.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Effects) {
        match event {
            Event::Request { asker, op } => self.request(asker, *op, now),
            Event::Marked { order, outcomes } => self.marked(&order, &outcomes, now),
            Event::Durable { upto } => self.durable = self.durable.max(upto),
            Event::Tick => self.tick(now),
            Event::Stalled => return self.fail_held(ErrorCode::CoordinatorNotAvailable, out),
            Event::Close => {
                self.closing = true;
                self.turn_away(ErrorCode::NotCoordinator);
            }
            Event::Resign(error) => return self.resign(error, out),
        }
        self.hand_over(out);
    }

    /// This step's records were appended and end before `end`: its answers and orders wait for that offset.
    pub fn placed(&mut self, end: Offset, out: &mut Effects) {
        assert!(end >= self.appended, "a log only grows");
        self.appended = end;
        self.place();
        self.release(out);
    }

    /// Gives records to the shell and holds the rest back until it is due.
    fn hand_over(&mut self, out: &mut Effects) {
        out.records.append(&mut self.records);
        if out.records.is_empty() {
            self.place();
            self.release(out);
        }
    }

    fn place(&mut self) {
        let upto = self.appended;
        self.held.extend(self.output.drain(..).map(|held| (upto, held)));
    }

    fn release(&mut self, out: &mut Effects) {
        let early = planted(Mutant::MarkersFirst);
        let due =
            |held: &(Offset, Held), durable| held.0 <= durable || early && matches!(held.1, Held::Order(_));
        while self.held.front().is_some_and(|held| due(held, self.durable)) {
            match self.held.pop_front().expect("it has a front").1 {
                Held::Reply(asker, reply) => out.replies.push((asker, reply)),
                // A stopping broker leaves them to its next life: what they lead to would come after its last flush.
                Held::Order(_) if self.closing => {}
                Held::Order(order) => out.orders.push(order),
            }
        }
    }

    fn request(&mut self, asker: Asker, op: TxnOp, now: Now) {
        let reply = match op {
            TxnOp::Init { transactional_id, timeout_ms, expected, fresh } => {
                self.init(&transactional_id, (timeout_ms, expected, fresh), now)
            }
            TxnOp::Add { transactional_id: id, producer, partitions, protocol, patient } => {
                return self.add(asker, Addition { id, producer, partitions, protocol, patient }, now);
            }
            TxnOp::Verify { transactional_id, producer, partitions } => {
                self.verify(&transactional_id, producer, &partitions)
            }
            TxnOp::End { transactional_id, producer, commit, protocol, fresh } => {
                self.end(&transactional_id, producer, (commit, protocol, fresh), now)
            }
            TxnOp::Describe { transactional_id } => Ok(self.describe(&transactional_id)),
            TxnOp::List(filter) => self.list(&filter, now),
        };
        self.answer(asker, reply.unwrap_or_else(TxnReply::Failed));
    }

    fn tick(&mut self, now: Now) {
        while let Some(timer) = self.timers.take_due(now.mono_ms) {
            match timer {
                Timer::Timeout(id) => self.timed_out(&id, now),
                Timer::Markers(id) => self.order_markers(&id),
                Timer::Expiration => self.expire(now),
            }
        }
    }

    /// Everybody who waits is told to go and find the coordinator. What was ordered is ordered again by the next one.
    fn resign(&mut self, error: ErrorCode, out: &mut Effects) {
        self.turn_away(error);
        self.place();
        self.fail_held(error, out);
        self.held.clear();
        self.records.clear();
    }

    /// Answers whoever waits for a flush; orders go on waiting.
    fn fail_held(&mut self, error: ErrorCode, out: &mut Effects) {
        self.held.retain(|(_, held)| {
            if let Held::Reply(asker, _) = held {
                out.replies.push((*asker, TxnReply::Failed(error)));
            }
            matches!(held, Held::Order(_))
        });
    }

    /// Sends away whoever waits for a transaction to end.
    fn turn_away(&mut self, error: ErrorCode) {
        let waiting = self.extras.values_mut().flat_map(|extra| extra.waiting.drain(..));
        self.output.extend(waiting.map(|(asker, _)| Held::Reply(asker, TxnReply::Failed(error))));
    }

    fn answer(&mut self, asker: Asker, reply: TxnReply) {
        self.output.push(Held::Reply(asker, reply));
    }

    fn put(&mut self, txn: Txn) {
        self.bytes += txn.bytes();
        self.txns.insert(txn.id.clone(), txn);
    }

    fn take_out(&mut self, id: &str) -> Option<Txn> {
        let txn = self.txns.remove(id)?;
        self.bytes -= txn.bytes();
        Some(txn)
    }

    /// Keeps what a transactional id has come to, and writes it down.
    fn keep(&mut self, txn: Txn) {
        self.records.push(record::state(&txn));
        self.put(txn);
    }

    /// Whether there is room for another transactional id.
    fn has_room(&self) -> bool {
        self.txns.len() < TRANSACTIONAL_IDS_PER_COORDINATOR_MAX
            && self.bytes < TRANSACTION_BYTES_PER_COORDINATOR_MAX
    }

    /// When an open transaction has taken too long.
    fn timeout_at(&self, txn: &Txn, now: Now) -> u64 {
        let left = txn.started_ms.saturating_add(i64::from(txn.timeout_ms)).saturating_sub(now.wall_ms);
        // However the wall clock jumps, a transaction gets no more time than it asked for.
        now.mono_ms + u64::try_from(left.min(i64::from(txn.timeout_ms))).unwrap_or(0)
    }
}
