//! A lane's connection to one broker: a task that sends requests and one that takes their answers in.

use super::context::Context;
use super::lane::{Lane, RETRY_PAUSE, nanos};
use super::supply::Batch;
use crate::base::limits::FRAME_BYTES_MAX;
use crate::load::client::{Answer, ClientError, Parts, ProduceHead, Wire, api, producer_id, walk_answers};
use crate::load::job::Acks;
use crate::rt::{Event, SocketReader, SocketWriter};
use crate::seam::{FrameReader, FrameWriter, World as _};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Connections that are being made at the same time by one thread.
const CONNECTING_MAX: u32 = 64;

/// A connection may be silent for as long as nothing is asked; overdue answers are looked for by the thread's watch.
const SILENCE_MAX: Duration = Duration::from_hours(24 * 365);

/// A send above this time waited for the broker to take bytes.
const SEND_NS_MAX: u64 = 2_000_000;

/// Pause between attempts to connect, at first and at most.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A request that waits for its answer.
struct Request {
    correlation: i32,
    sent: u64,
    batches: Vec<Batch>,
}

/// What is kept from one request to the next.
#[derive(Default)]
struct Requests {
    /// The last correlation id.
    last: i32,
    pieces: Vec<Bytes>,
}

/// A connection of a lane to a broker.
pub(super) struct Link {
    pub(super) broker: i32,
    /// Batches to be sent, in order.
    pub(super) queue: RefCell<VecDeque<Batch>>,
    /// Something may be sent.
    pub(super) wake: Event,
    flight: RefCell<VecDeque<Request>>,
    /// Counts connections, so that the end of an old one isn't taken for the end of a new one.
    generation: Cell<u64>,
    broken: Cell<bool>,
    /// Whether it has been connected, or failed, at least once.
    pub(super) tried: Cell<bool>,
    pub(super) error: RefCell<Option<ClientError>>,
    throttled_until: Cell<u64>,
    /// Since when a request may be sent, where the number in flight held it up.
    slot_since: Cell<u64>,
    spare: RefCell<Vec<Vec<Batch>>>,
}

impl Link {
    /// Makes it and starts its task.
    pub(super) fn start(lane: &Rc<Lane>, broker: i32) -> Rc<Link> {
        let link = Rc::new(Link {
            broker,
            queue: RefCell::default(),
            wake: Event::default(),
            flight: RefCell::default(),
            generation: Cell::new(0),
            broken: Cell::new(false),
            tried: Cell::new(false),
            error: RefCell::default(),
            throttled_until: Cell::new(0),
            slot_since: Cell::new(0),
            spare: RefCell::default(),
        });
        let (task_lane, task_link) = (Rc::clone(lane), Rc::clone(&link));
        lane.ctx.world.spawn(async move { task_link.run(&task_lane).await });
        link
    }

    /// Connects and serves, again and again.
    async fn run(self: Rc<Self>, lane: &Rc<Lane>) {
        let ctx = &lane.ctx;
        let mut pause = CONNECT_PAUSE;
        while !ctx.closing.get() {
            let connected = self.connect(ctx).await;
            self.tried.set(true);
            match connected {
                Ok(parts) => {
                    pause = CONNECT_PAUSE;
                    *self.error.borrow_mut() = None;
                    self.serve(lane, parts).await;
                    if !ctx.closing.get() {
                        ctx.measures.borrow_mut().counts.disconnects += 1;
                    }
                    self.fail_all(lane);
                }
                Err(error) => {
                    *self.error.borrow_mut() = Some(error);
                    ctx.measures.borrow_mut().counts.disconnects += u64::from(ctx.is_begun());
                }
            }
            if ctx.closing.get() {
                break;
            }
            ctx.leaders.refresh();
            ctx.world.sleep(pause).await;
            pause = (pause * 2).min(CONNECT_PAUSE_MAX);
        }
    }

    async fn connect(&self, ctx: &Context) -> Result<Parts, ClientError> {
        while ctx.connecting.get() >= CONNECTING_MAX {
            ctx.world.sleep(Duration::from_millis(1)).await;
        }
        let Some(address) = ctx.leaders.address(self.broker) else {
            let broker = format!("{} (node id)", self.broker);
            return Err(ClientError::Unreachable { broker, why: "the cluster doesn't name it".to_owned() });
        };
        ctx.connecting.set(ctx.connecting.get() + 1);
        let wire = Wire::open(&ctx.world, &address, &ctx.dial).await;
        ctx.connecting.set(ctx.connecting.get() - 1);
        wire.map(Wire::into_parts)
    }

    /// Sends until the connection is over.
    async fn serve(self: &Rc<Self>, lane: &Rc<Lane>, parts: Parts) {
        let ctx = &lane.ctx;
        let Parts { mut reader, mut writer, versions } = parts;
        let Ok(version) = versions.pick(api::PRODUCE, "") else { return };
        let load = &ctx.load;
        let timeout = i32::try_from(load.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let mut head = ProduceHead::new(version, &load.client_id, load.acks.number(), timeout, &ctx.topics);
        self.generation.set(self.generation.get() + 1);
        self.broken.set(false);
        self.slot_since.set(ctx.now());
        if load.in_flight == 1 && load.acks != Acks::None {
            self.ask_and_wait(lane, (&mut head, version), (&mut reader, &mut writer)).await;
            writer.close();
            return;
        }
        let (link, task_lane, generation) = (Rc::clone(self), Rc::clone(lane), self.generation.get());
        ctx.world.spawn(async move {
            link.take_answers(&task_lane, reader, (version, generation)).await;
            if link.generation.get() == generation {
                link.broken.set(true);
                link.wake.set();
            }
        });
        self.send_requests(lane, &mut head, &mut writer).await;
        writer.close();
    }

    async fn send_requests(&self, lane: &Rc<Lane>, head: &mut ProduceHead, writer: &mut SocketWriter) {
        let mut requests = Requests::default();
        while let Some(true) = self.send_next(lane, head, writer, &mut requests).await {}
    }

    /// Waits until something may be sent, and sends it. True once it is, false if that failed; `None` if the
    /// connection is to be left.
    async fn send_next(
        &self,
        lane: &Rc<Lane>,
        head: &mut ProduceHead,
        writer: &mut SocketWriter,
        requests: &mut Requests,
    ) -> Option<bool> {
        let ctx = &lane.ctx;
        while !self.broken.get() && !ctx.closing.get() {
            let now = ctx.now();
            let held = ctx.start.get().max(self.throttled_until.get());
            if now < held {
                ctx.world.sleep(Duration::from_nanos((held - now).min(10_000_000))).await;
                continue;
            }
            if lane.renew.get() && !self.renew(lane).await {
                self.wake.wait().await;
                continue;
            }
            if self.flight.borrow().len() < ctx.load.in_flight {
                let mut batches = self.spare.borrow_mut().pop().unwrap_or_default();
                lane.next_request(self, now, &mut batches);
                if !batches.is_empty() {
                    requests.last = requests.last.wrapping_add(1) & i32::MAX;
                    self.note_sent(ctx, &batches, now);
                    write_request(ctx, head, requests.last, &mut batches, &mut requests.pieces);
                    let request = Request { correlation: requests.last, sent: now, batches };
                    return Some(self.send(lane, request, writer, &mut requests.pieces).await);
                }
                self.spare.borrow_mut().push(batches);
            }
            self.wake.wait().await;
        }
        None
    }

    /// Sends one request; false if the connection is over.
    async fn send(
        &self,
        lane: &Rc<Lane>,
        request: Request,
        writer: &mut SocketWriter,
        pieces: &mut Vec<Bytes>,
    ) -> bool {
        let ctx = &lane.ctx;
        let began = request.sent;
        if ctx.load.acks == Acks::None {
            let sent = writer.send(pieces).await.is_ok();
            let error = if sent { Some(0) } else { None };
            let now = ctx.now();
            self.finish(lane, request.batches, now, |_, _| (error, -1));
            return sent;
        }
        self.flight.borrow_mut().push_back(request);
        let sent = writer.send(pieces).await.is_ok();
        let now = ctx.now();
        if now - began > SEND_NS_MAX {
            self.slot_since.set(now);
        }
        sent
    }

    fn note_sent(&self, ctx: &Context, batches: &[Batch], now: u64) {
        let mut measures = ctx.measures.borrow_mut();
        let (mut records, mut bytes) = (0, 0);
        for batch in batches.iter() {
            records += batch.count as u64;
            bytes += batch.value_bytes;
            if batch.attempts == 1 && ctx.load.rate.is_open() {
                let free = batch.ready.max(self.slot_since.get());
                let lag = batch.late + now.saturating_sub(free);
                measures.lag.saturating_record_n(lag, batch.count as u64);
            }
        }
        measures.counts.sent.add(records, bytes);
    }

    /// Takes answers in until the connection is over.
    async fn take_answers(
        &self,
        lane: &Rc<Lane>,
        mut reader: SocketReader,
        (version, generation): (i16, u64),
    ) {
        let mut answers = Vec::new();
        while let Ok(frame) = reader.next(FRAME_BYTES_MAX, SILENCE_MAX).await {
            // What an earlier connection still brings isn't for the requests of this one.
            let is_old = self.generation.get() != generation || self.broken.get();
            if is_old || !self.take_answer(lane, &frame, version, &mut answers) {
                return;
            }
            self.wake.set();
        }
    }

    /// With one request in flight there is nothing to do while it is: one task does both, which saves a switch of tasks
    /// and a poll for each request.
    async fn ask_and_wait(
        &self,
        lane: &Rc<Lane>,
        (head, version): (&mut ProduceHead, i16),
        (reader, writer): (&mut SocketReader, &mut SocketWriter),
    ) {
        let mut answers = Vec::new();
        let mut requests = Requests::default();
        while let Some(true) = self.send_next(lane, head, writer, &mut requests).await {
            let patience = lane.ctx.load.request_timeout;
            match reader.next(FRAME_BYTES_MAX, patience).await {
                Ok(frame) if self.take_answer(lane, &frame, version, &mut answers) => {}
                _ => return,
            }
        }
    }

    /// Takes one answer in; false if it isn't one to the oldest request.
    fn take_answer(
        &self,
        lane: &Rc<Lane>,
        frame: &Bytes,
        version: i16,
        answers: &mut Vec<(u32, Answer)>,
    ) -> bool {
        let ctx = &lane.ctx;
        let now = ctx.now();
        let Some((head, body)) = frame.split_first_chunk::<4>() else { return false };
        let full = self.flight.borrow().len() >= ctx.load.in_flight;
        let Some(request) = self.flight.borrow_mut().pop_front() else { return false };
        answers.clear();
        let expected = request.correlation == i32::from_be_bytes(*head);
        let walked =
            walk_answers(body, version, |topic, answer| answers.push((topic_index(ctx, topic), answer)));
        let throttle = walked.unwrap_or(0);
        if full {
            self.slot_since.set(now);
        }
        if throttle > 0 {
            self.throttle(ctx, now, u64::from(throttle.unsigned_abs()));
        }
        self.finish(lane, request.batches, now, |nth, batch| {
            let key = ctx.parts[batch.part];
            let is_its = |(topic, answer): &&(u32, Answer)| (*topic, answer.partition) == key;
            let found = answers.get(nth).filter(is_its).or_else(|| answers.iter().find(is_its));
            found.map_or((None, -1), |(_, answer)| (Some(answer.error), answer.base_offset))
        });
        expected && walked.is_ok()
    }

    fn throttle(&self, ctx: &Context, now: u64, ms: u64) {
        let until = now + ms * 1_000_000;
        self.throttled_until.set(until);
        self.slot_since.set(until);
        ctx.measures.borrow_mut().counts.throttled_ms += ms;
    }

    /// Ends a request: `answer` tells each batch's error code (none if there is no answer) and offset.
    fn finish(
        &self,
        lane: &Rc<Lane>,
        mut batches: Vec<Batch>,
        now: u64,
        answer: impl Fn(usize, &Batch) -> (Option<i16>, i64),
    ) {
        for (nth, batch) in batches.drain(..).enumerate() {
            let (error, base_offset) = answer(nth, &batch);
            lane.resolve(batch, error, base_offset, now);
        }
        self.spare.borrow_mut().push(batches);
    }

    /// Nothing that is on its way will be answered.
    fn fail_all(&self, lane: &Rc<Lane>) {
        let now = lane.ctx.now();
        let requests = std::mem::take(&mut *self.flight.borrow_mut());
        for request in requests {
            self.finish(lane, request.batches, now, |_, _| (None, -1));
        }
    }

    /// Ends the connection if its oldest request waits for longer than it may.
    pub(super) fn watch(&self, now: u64, patience: Duration) {
        let oldest = self.flight.borrow().front().map(|request| request.sent);
        if oldest.is_some_and(|sent| now.saturating_sub(sent) > nanos(patience)) {
            self.broken.set(true);
            self.wake.set();
        }
    }

    /// Gets the lane a new producer id once nothing is on its way; false if that isn't so yet.
    async fn renew(&self, lane: &Rc<Lane>) -> bool {
        let ctx = &lane.ctx;
        if lane.in_flight.get() > 0 || lane.renewing.replace(true) {
            ctx.world.sleep(Duration::from_millis(5)).await;
            self.wake.set();
            return false;
        }
        let asked = async {
            let address = ctx.leaders.address(self.broker).unwrap_or_default();
            let mut wire = Wire::open(&ctx.world, &address, &ctx.dial).await?;
            producer_id(&mut wire, None).await
        };
        let answer = asked.await;
        lane.renewing.set(false);
        match answer {
            Ok(id) => lane.renewed(id),
            Err(_) => {
                ctx.world.sleep(RETRY_PAUSE).await;
                self.wake.set();
            }
        }
        !lane.renew.get()
    }
}

fn topic_index(ctx: &Context, name: &[u8]) -> u32 {
    if let [only] = &ctx.topics[..] {
        return if only.as_bytes() == name { 0 } else { u32::MAX };
    }
    let place = ctx.topic_places.get(name).copied();
    place.unwrap_or(u32::MAX)
}

fn write_request(
    ctx: &Context,
    head: &mut ProduceHead,
    correlation: i32,
    batches: &mut [Batch],
    pieces: &mut Vec<Bytes>,
) {
    if ctx.topics.len() > 1 {
        batches.sort_by_key(|batch| ctx.parts[batch.part]);
    }
    let list = batches.iter().map(|batch| {
        let (topic, partition) = ctx.parts[batch.part];
        (topic, partition, batch.pieces())
    });
    head.write(correlation, list, pieces);
}
