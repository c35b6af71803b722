//! A consuming client: one connection to each broker that leads one of its partitions, one fetch on its way on each.
//! The next fetch is sent before the records of the last one are looked at, as Kafka's client does.

use super::context::Context;
use super::shared::NEVER;
use crate::base::ErrorCode;
use crate::load::client::{
    ClientError, Edge, FetchShape, PartitionKey, Wanted, Wire, api, fetch_request, offsets,
};
use crate::load::job::{Check, Until};
use crate::load::verify::Stamp;
use crate::seam::World as _;
use crate::wire::batch::{BatchMeta, visit_records, walk};
use crate::wire::generated::FetchResponse;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Pause of a link that has nothing to fetch or can't connect.
const IDLE_PAUSE: Duration = Duration::from_millis(50);

/// A partition that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its index among the run's partitions.
    pub(super) part: usize,
    /// The next offset.
    pub(super) offset: i64,
    /// Where reading starts again.
    pub(super) first: i64,
    /// Where it ended when reading began.
    pub(super) end: i64,
}

/// A consuming client.
pub(super) struct Follower {
    ctx: Rc<Context>,
    places: RefCell<Vec<Place>>,
    /// Where a partition's place is.
    index: BTreeMap<PartitionKey, usize>,
    links: RefCell<BTreeSet<i32>>,
    /// Turns, so that no partition is always the first.
    turn: Cell<usize>,
    done: Cell<bool>,
    /// Whether reading starts again at the end.
    repeats: bool,
}

impl Follower {
    /// For these partitions.
    pub(super) fn new(ctx: &Rc<Context>, places: Vec<Place>) -> Rc<Self> {
        let index = places.iter().enumerate().map(|(at, place)| (ctx.parts[place.part], at)).collect();
        let repeats = !ctx.load.produces() && ctx.load.until == Until::Time;
        Rc::new(Follower {
            ctx: Rc::clone(ctx),
            places: RefCell::new(places),
            index,
            links: RefCell::default(),
            turn: Cell::new(0),
            done: Cell::new(false),
            repeats,
        })
    }

    /// Starts a task for each broker that leads one of the partitions and has none yet.
    pub(super) fn start(self: &Rc<Self>) {
        let leaders: BTreeSet<i32> =
            self.places.borrow().iter().map(|place| self.ctx.leaders.of(place.part)).collect();
        for broker in leaders.into_iter().filter(|broker| *broker >= 0) {
            if self.links.borrow_mut().insert(broker) {
                let follower = Rc::clone(self);
                self.ctx.world.spawn(async move { follower.follow(broker).await });
            }
        }
    }

    /// Whether all that was acknowledged has been read.
    pub(super) fn is_caught_up(&self) -> bool {
        self.places.borrow().iter().all(|place| place.offset >= self.ctx.shared.acked_end(place.part))
    }

    /// Whether there is nothing to read from the beginning.
    pub(super) fn is_finished(&self) -> bool {
        let finished = self.places.borrow().iter().all(|place| place.offset >= place.end);
        self.done.set(finished);
        finished
    }

    async fn follow(self: Rc<Self>, broker: i32) {
        let ctx = Rc::clone(&self.ctx);
        while !ctx.closing.get() {
            if let Some(address) = ctx.leaders.address(broker)
                && let Ok(mut wire) = Wire::open(&ctx.world, &address, &ctx.dial).await
            {
                let ended = self.fetch_on(broker, &mut wire).await;
                wire.close();
                if ended.is_err() && !ctx.closing.get() {
                    ctx.measures.borrow_mut().counts.disconnects += 1;
                }
            }
            ctx.leaders.refresh();
            ctx.world.sleep(IDLE_PAUSE).await;
        }
    }

    async fn fetch_on(self: &Rc<Self>, broker: i32, wire: &mut Wire) -> Result<(), ClientError> {
        let ctx = &self.ctx;
        let load = &ctx.load;
        let shape = FetchShape {
            partition_bytes: load.fetch_bytes,
            bytes_max: load.fetch_max,
            bytes_min: load.fetch_min,
            wait: load.fetch_wait,
        };
        while ctx.now() < ctx.start.get() && !ctx.closing.get() {
            ctx.world.sleep(Duration::from_millis(1)).await;
        }
        let mut asked: Vec<Wanted> = Vec::new();
        let mut asked_at = self.ask(broker, wire, &shape, &mut asked).await?;
        while !ctx.closing.get() {
            if asked.is_empty() {
                ctx.world.sleep(IDLE_PAUSE).await;
                self.start();
                asked_at = self.ask(broker, wire, &shape, &mut asked).await?;
                continue;
            }
            let answer: FetchResponse = wire.hear(api::FETCH).await?;
            let now = ctx.now();
            asked.clear();
            let found = self.advance(&answer);
            if answer.throttle_time_ms > 0 {
                let ms = u64::from(answer.throttle_time_ms.unsigned_abs());
                ctx.measures.borrow_mut().counts.throttled_ms += ms;
                ctx.world.sleep(Duration::from_millis(ms)).await;
            }
            self.reset_out_of_range(wire, &answer).await?;
            let before = asked_at;
            asked_at = self.ask(broker, wire, &shape, &mut asked).await?;
            self.look_at(&found, (before, now));
        }
        Ok(())
    }

    /// Sends a fetch for all partitions that this broker leads; when it was sent.
    async fn ask(
        &self,
        broker: i32,
        wire: &mut Wire,
        shape: &FetchShape,
        asked: &mut Vec<Wanted>,
    ) -> Result<u64, ClientError> {
        let ctx = &self.ctx;
        let now = ctx.now();
        {
            let places = self.places.borrow();
            let mine = |place: &&Place| ctx.leaders.of(place.part) == broker && !self.is_read(place);
            asked.extend(
                places
                    .iter()
                    .filter(mine)
                    .map(|place| Wanted { partition: ctx.parts[place.part], offset: place.offset }),
            );
        }
        if asked.is_empty() {
            return Ok(now);
        }
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let at = turn % asked.len();
        asked.rotate_left(at);
        if ctx.topics.len() > 1 {
            asked.sort_by_key(|wanted| wanted.partition.0);
        }
        let request = fetch_request(shape, &ctx.topics, asked);
        wire.say(api::FETCH, &request).await?;
        Ok(now)
    }

    /// Whether nothing more is wanted of a partition.
    fn is_read(&self, place: &Place) -> bool {
        self.ctx.load.until == Until::End && place.offset >= place.end
    }

    /// Moves the offsets behind what has come; the batches, each with its partition and the offset from which on they
    /// are new. A partition that has moved may be read by two links for a moment: what the second brings isn't.
    fn advance(&self, answer: &FetchResponse) -> Vec<(usize, i64, Bytes)> {
        let ctx = &self.ctx;
        let mut found = Vec::new();
        let mut places = self.places.borrow_mut();
        for topic in &answer.responses {
            let Some(nth) = topic_place(ctx, topic.topic.as_bytes()) else { continue };
            for data in &topic.partitions {
                let key = (nth, data.partition_index);
                let Some(place) = self.index.get(&key).and_then(|at| places.get_mut(*at)) else { continue };
                if data.error_code != 0 {
                    *ctx.measures.borrow_mut().counts.errors.entry(data.error_code).or_default() += 1;
                    ctx.leaders.refresh();
                    continue;
                }
                let Some(bytes) = data.records.as_ref().map(|records| joined(&records.0)) else { continue };
                if let Some(next) = walk(&bytes).map(|(_, meta)| meta.last_offset() + 1).last() {
                    found.push((place.part, place.offset, bytes));
                    place.offset = place.offset.max(next);
                }
                if self.repeats && place.offset >= place.end {
                    place.offset = place.first;
                }
            }
        }
        if self.ctx.load.until == Until::End
            && places.iter().all(|place| place.offset >= place.end)
            && !self.done.replace(true)
        {
            ctx.shared.reader_done(ctx.now());
        }
        found
    }

    /// Old records may be gone: reading goes on where there are some.
    async fn reset_out_of_range(&self, wire: &mut Wire, answer: &FetchResponse) -> Result<(), ClientError> {
        let ctx = &self.ctx;
        let out = |code: i16| ErrorCode::from_code(code) == Some(ErrorCode::OffsetOutOfRange);
        let mut gone = Vec::new();
        for topic in &answer.responses {
            let Some(nth) = topic_place(ctx, topic.topic.as_bytes()) else { continue };
            let lost = topic.partitions.iter().filter(|data| out(data.error_code));
            gone.extend(lost.map(|data| (nth, data.partition_index)));
        }
        if gone.is_empty() {
            return Ok(());
        }
        let firsts = offsets(wire, &ctx.topics, &gone, Edge::First).await?;
        for place in self.places.borrow_mut().iter_mut() {
            if let Some(first) = firsts.get(&ctx.parts[place.part]) {
                place.offset = *first;
                place.first = *first;
            }
        }
        Ok(())
    }

    /// Counts and checks what has come, which was asked for and came at these times.
    fn look_at(&self, found: &[(usize, i64, Bytes)], (asked, came): (u64, u64)) {
        let ctx = &self.ctx;
        let (mut records, mut bytes) = (0, 0);
        for (part, wanted, range) in found {
            for (at, meta) in walk(range) {
                if meta.is_control() {
                    continue;
                }
                let batch = &range[at..at + meta.bytes];
                let (more, size) = self.look_at_batch(*part, (*wanted, came), &meta, batch);
                records += more;
                bytes += size;
            }
        }
        if records == 0 {
            return;
        }
        let mut measures = ctx.measures.borrow_mut();
        measures.counts.received.add(records, bytes);
        if !ctx.load.produces() {
            measures.service.saturating_record(came.saturating_sub(asked));
        }
    }

    /// Records of a batch, and bytes of their values (of the batch where records aren't looked at).
    fn look_at_batch(
        &self,
        part: usize,
        (wanted, came): (i64, u64),
        meta: &BatchMeta,
        batch: &[u8],
    ) -> (u64, u64) {
        let ctx = &self.ctx;
        let check = ctx.load.check;
        if check != Check::None && !meta.crc_fits(batch) {
            let what = format!("partition {part}: the batch at offset {} has a wrong CRC", meta.base_offset);
            ctx.ledger.borrow_mut().corrupt(what);
            return (u64::from(meta.count.unsigned_abs()), meta.bytes as u64);
        }
        if check != Check::Records {
            return (u64::from(meta.count.unsigned_abs()), meta.bytes as u64);
        }
        let mut reading = Reading { part, came, records: 0, bytes: 0, open: None };
        let visited = visit_records(batch, |record| {
            if record.offset >= wanted {
                reading.take(ctx, record.offset, record.value.unwrap_or_default());
            }
        });
        reading.close(ctx);
        if visited.is_err() {
            let what = format!("partition {part}: the batch at offset {} can't be read", meta.base_offset);
            ctx.ledger.borrow_mut().corrupt(what);
        }
        (reading.records, reading.bytes)
    }
}

/// Records of one batch while they are read. Those of one lane with consecutive numbers are entered together.
struct Reading {
    part: usize,
    came: u64,
    records: u64,
    bytes: u64,
    /// Lane, first number and how many.
    open: Option<(u32, u64, u64)>,
}

impl Reading {
    fn take(&mut self, ctx: &Context, offset: i64, value: &[u8]) {
        self.records += 1;
        self.bytes += value.len() as u64;
        let Some(stamp) = Stamp::read(value) else { return ctx.ledger.borrow_mut().foreign() };
        if stamp.run != ctx.run {
            return ctx.ledger.borrow_mut().foreign();
        }
        if !Stamp::sum_fits(value) {
            let part = self.part;
            return ctx
                .ledger
                .borrow_mut()
                .corrupt(format!("partition {part}: the record at offset {offset} is damaged"));
        }
        let due = stamp.due_ns.saturating_sub(ctx.world.start_epoch_ns());
        if stamp.due_ns >= ctx.epoch_ns(ctx.start.get()) && ctx.start.get() != NEVER {
            ctx.measures.borrow_mut().e2e.saturating_record(self.came.saturating_sub(due));
        }
        match &mut self.open {
            Some((lane, first, count)) if *lane == stamp.lane && *first + *count == stamp.sequence => {
                *count += 1
            }
            _ => {
                self.close(ctx);
                self.open = Some((stamp.lane, stamp.sequence, 1));
            }
        }
    }

    fn close(&mut self, ctx: &Context) {
        if let Some((lane, first, count)) = self.open.take().filter(|_| ctx.keep_receipts) {
            let part = u32::try_from(self.part).unwrap_or(0);
            ctx.ledger.borrow_mut().receive(part, lane, first, count);
        }
    }
}

fn topic_place(ctx: &Context, name: &[u8]) -> Option<u32> {
    match &ctx.topics[..] {
        [only] => (only.as_bytes() == name).then_some(0),
        _ => ctx.topic_places.get(name).copied(),
    }
}

/// Slices of one record set as one; usually there is one.
fn joined(slices: &[Bytes]) -> Bytes {
    match slices {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}
