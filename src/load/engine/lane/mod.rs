//! A producing client: which records go into which batches, which batches into the next request, and what becomes of
//! them. Nothing here waits; `link` does.

mod again;

use super::context::Context;
use super::link::Link;
use super::supply::{Batch, Entry, Open};
use crate::base::ErrorCode;
use crate::base::random::Random;
use crate::load::arrival::Schedule;
use crate::load::shape::{KeyShape, Keys, partition_of, write_key};
use crate::load::verify::Stamp;
use crate::rt::Event;
use crate::wire::batch::BatchStamp;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// How long a batch waits before it is sent again, as in Kafka's client.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Attempts after which an idempotent producer that is told of a gap asks for a new id.
const GAP_ATTEMPTS: u32 = 5;

/// Batches of a queue that are passed over in search of one for another partition.
const SEARCH_MAX: usize = 256;

/// Records that a closed loop makes at once in search of a full batch.
const FILL_MAX: usize = 20_000;

/// Records that are taken in one turn, so that acknowledgements get theirs.
const TAKE_MAX: usize = 2_000;

/// A partition as one lane sees it.
#[derive(Default)]
struct PartState {
    /// The next record's number in its stamp.
    next: u64,
    /// The next record's number for the broker.
    sequence: i32,
    open: Option<Open>,
    /// Batches in the queue of a link.
    queued: u32,
    /// Batches that are on their way.
    in_flight: u32,
    /// The broker that they are on their way to. Nothing goes to another one meanwhile, or order would be lost.
    broker: i32,
    /// Batches to be sent again, once none is on its way.
    retry: Vec<Batch>,
    muted: bool,
    /// The request that has a batch of it already.
    request: u64,
}

struct State {
    schedule: Schedule,
    random: Random,
    keys: KeyShape,
    key: Vec<u8>,
    parts: Vec<PartState>,
    /// Without keys: the partition that gets the next batch.
    turn: usize,
    /// Partitions with an open batch and when that was opened, oldest first. Entries may be out of date.
    lingering: VecDeque<(usize, u64)>,
    /// Bytes of sealed batches.
    buffered: usize,
    /// Records that may still be made.
    left: u64,
    requests: u64,
    muted: usize,
    /// Since when there has been room for records.
    room_since: u64,
    was_full: bool,
    /// Batches for partitions without a leader.
    orphans: Vec<Batch>,
}

/// A producing client.
pub(super) struct Lane {
    pub(super) ctx: Rc<Context>,
    pub(super) id: u32,
    state: RefCell<State>,
    links: RefCell<BTreeMap<i32, Rc<Link>>>,
    /// Producer id and epoch; -1 each if it isn't idempotent.
    pub(super) producer: Cell<(i64, i16)>,
    /// The broker no longer knows the producer: a new id is needed before anything is sent.
    pub(super) renew: Cell<bool>,
    pub(super) renewing: Cell<bool>,
    pub(super) in_flight: Cell<u32>,
    /// There is room for records again.
    pub(super) room: Event,
    bounded: bool,
    done: Cell<bool>,
}

/// What the pump shall wait for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This time.
    At(u64),
    /// Acknowledgements that make room.
    Room,
    /// Nothing more: the lane has ended.
    End,
}

impl Lane {
    /// Lane `id` of so many; `first` tells where a partition's numbers go on.
    pub(super) fn new(ctx: &Rc<Context>, id: u32, left: Option<u64>, first: impl Fn(usize) -> u64) -> Self {
        let load = &ctx.load;
        let count = ctx.parts.len();
        let parts = (0..count).map(|part| PartState { next: first(part), ..PartState::default() }).collect();
        Lane {
            ctx: Rc::clone(ctx),
            id,
            state: RefCell::new(State {
                schedule: Schedule::new(&load.rate, id, load.producers, load.seed),
                random: Random::stream(load.seed, 0x6b65 + u64::from(id)),
                keys: KeyShape::new(load.keys),
                key: vec![0; load.key_bytes],
                parts,
                turn: id as usize % count,
                lingering: VecDeque::new(),
                buffered: 0,
                left: left.unwrap_or(u64::MAX),
                requests: 0,
                muted: 0,
                room_since: 0,
                was_full: false,
                orphans: Vec::new(),
            }),
            links: RefCell::default(),
            producer: Cell::new((-1, -1)),
            renew: Cell::new(false),
            renewing: Cell::new(false),
            in_flight: Cell::new(0),
            room: Event::default(),
            bounded: left.is_some(),
            done: Cell::new(false),
        }
    }

    /// All links.
    pub(super) fn links(&self) -> Vec<Rc<Link>> {
        self.links.borrow().values().cloned().collect()
    }

    /// The link to a broker, made if need be.
    pub(super) fn link(self: &Rc<Self>, broker: i32) -> Rc<Link> {
        let known = self.links.borrow().get(&broker).cloned();
        known.unwrap_or_else(|| {
            let link = Link::start(self, broker);
            self.links.borrow_mut().insert(broker, Rc::clone(&link));
            link
        })
    }

    /// Takes the records that are due; what to wait for after that.
    pub(super) fn take_due(self: &Rc<Self>, now: u64) -> Next {
        let (start, end) = (self.ctx.start.get(), self.ctx.end());
        let mut state = self.state.borrow_mut();
        let limit = self.ctx.load.buffer_bytes;
        for _ in 0..TAKE_MAX {
            let due = start + state.schedule.due();
            if due >= end || state.left == 0 {
                let open = state.lingering.iter().any(|(part, _)| state.parts[*part].open.is_some());
                drop(state);
                self.wake_links();
                return if open { Next::At(now + 1_000_000) } else { Next::End };
            }
            if state.buffered >= limit {
                state.was_full = true;
                return Next::Room;
            }
            if due > now {
                let lingers = self.linger_end(&state);
                drop(state);
                return Next::At(match lingers {
                    Some(end) if end > now => due.min(end),
                    Some(_) => {
                        self.wake_links();
                        due
                    }
                    None => due,
                });
            }
            if std::mem::take(&mut state.was_full) {
                state.room_since = now;
            }
            state.schedule.advance();
            self.add_record(&mut state, now, Some(due));
        }
        Next::At(now)
    }

    /// When the oldest open batch has waited long enough.
    fn linger_end(&self, state: &State) -> Option<u64> {
        let linger = nanos(self.ctx.load.linger);
        let fresh = |(part, opened): &&(usize, u64)| {
            state.parts[*part].open.as_ref().is_some_and(|open| open.opened == *opened)
        };
        state.lingering.iter().find(fresh).map(|(_, opened)| opened + linger)
    }

    fn wake_links(&self) {
        self.links.borrow().values().for_each(|link| link.wake.set());
    }

    /// Puts one record into its partition's batch.
    fn add_record(self: &Rc<Self>, state: &mut State, now: u64, due: Option<u64>) {
        let (part, key) = self.choose(state);
        if state.parts[part].open.is_none() {
            state.parts[part].open = Some(self.ctx.supply.open(now));
            state.lingering.push_back((part, now));
        }
        let State { parts, left, room_since, .. } = state;
        let slot = &mut parts[part];
        let Some(open) = &mut slot.open else { return };
        open.late = open.late.max(due.map_or(0, |due| now.saturating_sub(due.max(*room_since))));
        let sequence = slot.next + open.count() as u64;
        let due_ns = self.ctx.epoch_ns(due.unwrap_or(now));
        let stamp = Stamp { run: self.ctx.run, lane: self.id, sequence, due_ns };
        let full = self.ctx.supply.push(open, &Entry { stamp, key, due });
        *left -= 1;
        if full {
            // What was opened last is closed first when each record fills its batch.
            if state.lingering.back().is_some_and(|(last, _)| *last == part) {
                state.lingering.pop_back();
            }
            if let Some(batch) = self.seal(state, part, now) {
                self.enqueue(state, batch);
            }
        }
    }

    /// The next record's partition and key.
    fn choose(&self, state: &mut State) -> (usize, Option<u64>) {
        if self.ctx.load.keys == Keys::None {
            return (state.turn, None);
        }
        let key = state.keys.draw(&mut state.random);
        let State { key: bytes, parts, .. } = state;
        write_key(key, bytes);
        (partition_of(bytes, parts.len()), Some(key))
    }

    fn seal(&self, state: &mut State, part: usize, now: u64) -> Option<Batch> {
        let slot = &mut state.parts[part];
        let open = slot.open.take()?;
        let (id, epoch) = self.producer.get();
        let sequence = if id < 0 { -1 } else { slot.sequence };
        let timestamp = i64::try_from(self.ctx.epoch_ns(now) / 1_000_000).unwrap_or(0);
        let count = open.count();
        let stamp = BatchStamp { timestamp, producer: (id, epoch, sequence), transactional: false };
        let mut batch = self.ctx.supply.seal(open, part, slot.next, &stamp);
        batch.ready = now;
        slot.next += count as u64;
        slot.sequence = add_sequence(slot.sequence, count);
        state.buffered += batch.wire_bytes();
        self.ctx.pending.set(self.ctx.pending.get() + 1);
        if state.turn == part {
            state.turn = (part + 1) % state.parts.len();
        }
        Some(batch)
    }

    fn enqueue(self: &Rc<Self>, state: &mut State, batch: Batch) {
        let leader = self.ctx.leaders.of(batch.part);
        if leader < 0 {
            self.ctx.leaders.refresh();
            state.orphans.push(batch);
            return;
        }
        let link = self.link(leader);
        state.parts[batch.part].queued += 1;
        link.queue.borrow_mut().push_back(batch);
        link.wake.set();
    }

    /// The batches of a link's next request; none if there is nothing to send.
    pub(super) fn next_request(self: &Rc<Self>, link: &Link, now: u64, request: &mut Vec<Batch>) {
        let mut state = self.state.borrow_mut();
        state.requests += 1;
        self.take_queued(&mut state, link, request);
        let open_loop = self.ctx.load.rate.is_open();
        if open_loop || self.ctx.load.keys != Keys::None {
            self.take_lingering(&mut state, link, now, request);
        }
        if request.is_empty() && !open_loop && now < self.ctx.end() {
            self.fill(&mut state, link, now);
            self.take_queued(&mut state, link, request);
        }
        for batch in request.iter_mut() {
            state.parts[batch.part].in_flight += 1;
            state.parts[batch.part].broker = link.broker;
            if batch.attempts == 0 {
                batch.first_sent = now;
            }
            batch.attempts += 1;
        }
        self.in_flight.set(self.in_flight.get() + u32::try_from(request.len()).unwrap_or(0));
        self.note_end(&state, now);
    }

    fn fits(&self, state: &State, link: &Link, (part, bytes): (usize, usize), request: &[Batch]) -> bool {
        let slot = &state.parts[part];
        let held: usize = request.iter().map(Batch::wire_bytes).sum();
        !slot.muted
            && (slot.in_flight == 0 || slot.broker == link.broker)
            && slot.request != state.requests
            && (request.is_empty() || held + bytes <= self.ctx.load.request_max)
    }

    fn take_queued(&self, state: &mut State, link: &Link, request: &mut Vec<Batch>) {
        let limit = self.ctx.load.partitions_per_request;
        let mut queue = link.queue.borrow_mut();
        let mut at = 0;
        while at < queue.len() && request.len() < limit && (at < SEARCH_MAX || state.muted > 0) {
            let (part, bytes) = (queue[at].part, queue[at].wire_bytes());
            if !self.fits(state, link, (part, bytes), request) {
                // A later batch of the same partition must not overtake this one.
                state.parts[part].request = state.requests;
                at += 1;
                continue;
            }
            let taken = if at == 0 { queue.pop_front() } else { queue.remove(at) };
            state.parts[part].queued -= 1;
            state.parts[part].request = state.requests;
            request.extend(taken);
        }
    }

    /// Open batches that have waited long enough, or that wait for nothing once the phase is over.
    fn take_lingering(&self, state: &mut State, link: &Link, now: u64, request: &mut Vec<Batch>) {
        let limit = self.ctx.load.partitions_per_request;
        let over = now >= self.ctx.end() || state.left == 0;
        let linger = if over { 0 } else { nanos(self.ctx.load.linger) };
        let mut at = 0;
        while at < state.lingering.len() && request.len() < limit {
            let (part, opened) = state.lingering[at];
            let slot = &state.parts[part];
            if slot.open.as_ref().is_none_or(|open| open.opened != opened) {
                state.lingering.remove(at);
                continue;
            }
            if opened + linger > now {
                break;
            }
            let elsewhere = self.ctx.leaders.of(part) != link.broker;
            if elsewhere || slot.queued > 0 || !self.fits(state, link, (part, 0), request) {
                at += 1;
                continue;
            }
            state.lingering.remove(at);
            state.parts[part].request = state.requests;
            if let Some(mut batch) = self.seal(state, part, now) {
                batch.ready = opened + linger;
                request.push(batch);
            }
        }
    }

    /// A closed loop makes what it sends.
    fn fill(self: &Rc<Self>, state: &mut State, link: &Link, now: u64) {
        if self.ctx.load.keys != Keys::None {
            for _ in 0..FILL_MAX {
                if state.left == 0
                    || !link.queue.borrow().is_empty()
                    || state.buffered >= self.ctx.load.buffer_bytes
                {
                    break;
                }
                self.add_record(state, now, None);
            }
            return;
        }
        let mut made = 0;
        for _ in 0..state.parts.len() {
            if made == self.ctx.load.partitions_per_request || state.left == 0 {
                break;
            }
            let part = state.turn;
            let busy = state.parts[part].muted || state.parts[part].queued > 0;
            if self.ctx.leaders.of(part) != link.broker || busy {
                state.turn = (part + 1) % state.parts.len();
                continue;
            }
            let mut open = self.ctx.supply.open(now);
            let next = state.parts[part].next;
            let due_ns = self.ctx.epoch_ns(now);
            let room = u64::try_from(self.ctx.supply.room(&open)).unwrap_or(0).min(state.left);
            for sequence in next..next + room {
                let stamp = Stamp { run: self.ctx.run, lane: self.id, sequence, due_ns };
                self.ctx.supply.push(&mut open, &Entry { stamp, key: None, due: None });
            }
            state.left -= room;
            state.parts[part].open = Some(open);
            if let Some(batch) = self.seal(state, part, now) {
                self.enqueue(state, batch);
            }
            made += 1;
        }
    }

    /// A batch was answered, or its connection is gone (no error code).
    pub(super) fn resolve(self: &Rc<Self>, batch: Batch, error: Option<i16>, base_offset: i64, now: u64) {
        self.in_flight.set(self.in_flight.get() - 1);
        let part = batch.part;
        let mut state = self.state.borrow_mut();
        state.parts[part].in_flight -= 1;
        match error {
            Some(0) => self.acknowledged(&mut state, batch, base_offset, now),
            Some(code) if ErrorCode::from_code(code) == Some(ErrorCode::DuplicateSequenceNumber) => {
                self.ctx.measures.borrow_mut().counts.known_already += 1;
                self.acknowledged(&mut state, batch, base_offset, now);
            }
            other => self.failed(&mut state, batch, other, now),
        }
        let slot = &state.parts[part];
        if slot.in_flight == 0 && self.ctx.leaders.of(part) != slot.broker {
            // Whoever leads now may have waited for this.
            self.wake_links();
        }
        self.unmute_when_idle(&mut state, part);
        self.note_end(&state, now);
    }

    fn acknowledged(&self, state: &mut State, batch: Batch, base_offset: i64, now: u64) {
        let count = batch.count as u64;
        {
            let mut measures = self.ctx.measures.borrow_mut();
            measures.counts.acked.add(count, batch.value_bytes);
            measures.counts.acked_wire_bytes += batch.wire_bytes() as u64;
            measures.service.saturating_record_n(now - batch.first_sent, count);
            if batch.dues.is_empty() {
                measures.ack.saturating_record_n(now.saturating_sub(batch.created), count);
            }
            for due in &batch.dues {
                measures.ack.saturating_record(now.saturating_sub(*due));
                measures.delay.saturating_record(batch.first_sent.saturating_sub(*due));
            }
        }
        if self.ctx.keep_acks {
            let part = u32::try_from(batch.part).unwrap_or(0);
            self.ctx.ledger.borrow_mut().acknowledge(part, self.id, batch.first, count);
        }
        if base_offset >= 0 {
            self.ctx.shared.acknowledged(batch.part, base_offset + i64::try_from(count).unwrap_or(0));
        }
        self.settle(state, batch);
    }

    /// A batch's fate is known: its memory is free for others.
    fn settle(&self, state: &mut State, batch: Batch) {
        state.buffered -= batch.wire_bytes();
        self.ctx.pending.set(self.ctx.pending.get() - 1);
        self.ctx.supply.recycle(batch);
        if state.was_full {
            self.room.set();
        }
    }

    /// Tells that a bounded lane has nothing left.
    fn note_end(&self, state: &State, now: u64) {
        let idle = || self.in_flight.get() == 0 && state.buffered == 0;
        if self.bounded && state.left == 0 && !self.done.get() && idle() {
            let open = state.parts.iter().any(|slot| slot.open.is_some());
            if !open {
                self.done.set(true);
                self.ctx.shared.lane_done(now);
            }
        }
    }
}

/// The sequence number after so many records: it wraps from 2^31-1 to 0.
fn add_sequence(sequence: i32, count: usize) -> i32 {
    sequence.wrapping_add(i32::try_from(count).unwrap_or(0)) & i32::MAX
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
