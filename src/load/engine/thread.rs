//! One thread of a phase: it makes its clients, begins with the others, and ends when all is answered.

use super::churn;
use super::context::Context;
use super::follower::{Follower, Place};
use super::lane::{Lane, Next, nanos};
use super::leaders::Leaders;
use super::setup::dial;
use super::shared::NEVER;
use super::supply::Supply;
use super::transactions;
use super::{PhasePlan, Report};
use crate::load::client::{ClientError, bootstrap, is_retriable, producer_id};
use crate::load::job::{From, Load, Until};
use crate::load::measure::Interval;
use crate::load::verify::Ledger;
use crate::rt::World;
use crate::seam::World as _;
use futures_lite::future::or;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often a thread looks whether the phase is over.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// How often overdue answers are looked for.
const WATCH_PAUSE_NS: u64 = 250_000_000;

/// How long answers to what was sent, and records that were acknowledged, are waited for after the phase.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Attempts to get a producer id from a cluster that has just started.
const ID_ATTEMPTS: u32 = 40;

/// Runs one thread's share of a phase; what it knows of records.
pub(super) async fn run(world: World, thread: u32, plan: Arc<PhasePlan>) -> Result<Ledger, ClientError> {
    let ctx = context(&world, &plan);
    let begun = begin(&ctx, thread, &plan).await;
    if begun.is_err() {
        plan.shared.fail();
    }
    plan.shared.ready(ctx.now());
    let (lanes, followers) = begun?;
    while plan.shared.start() == NEVER {
        world.sleep(Duration::from_millis(1)).await;
    }
    if plan.shared.has_failed() {
        return Ok(Ledger::default());
    }
    ctx.start.set(plan.shared.start());
    for lane in lanes.iter().filter(|_| ctx.load.rate.is_open()) {
        let lane = Rc::clone(lane);
        world.spawn(async move { pump(&lane).await });
    }
    if ctx.load.churn {
        churn::start(&ctx, thread);
    }
    if ctx.load.transact {
        transactions::start(&ctx, thread);
    }
    tick_and_end(&ctx, &plan, (&lanes, &followers)).await;
    Ok(ctx.ledger.take())
}

fn context(world: &World, plan: &PhasePlan) -> Rc<Context> {
    let load = Rc::new(plan.load.clone());
    let target = &plan.target;
    let places = target.topics.iter().zip(0..).map(|(name, nth)| (name.as_bytes().to_vec(), nth)).collect();
    Rc::new(Context {
        world: world.clone(),
        dial: dial(&load),
        shared: Arc::clone(&plan.shared),
        topics: target.topics.clone().into(),
        parts: target.parts.clone().into(),
        leaders: Leaders::new(&target.topology, &target.topics, &target.parts),
        supply: Supply::new(&load),
        measures: RefCell::default(),
        ledger: RefCell::default(),
        keep_acks: plan.keep_acks,
        keep_receipts: plan.keep_receipts,
        run: plan.run,
        topic_places: places,
        connecting: Cell::new(0),
        pending: Cell::new(0),
        closing: Cell::new(false),
        start: Cell::new(NEVER),
        load,
    })
}

type Clients = (Vec<Rc<Lane>>, Vec<Rc<Follower>>);

/// Makes this thread's clients and connects them.
async fn begin(ctx: &Rc<Context>, thread: u32, plan: &PhasePlan) -> Result<Clients, ClientError> {
    let threads = u32::from(ctx.load.threads);
    let mine = |count: u32| (thread..count).step_by(threads as usize);
    let share = bound(&ctx.load);
    let streams = if ctx.load.transact { 0 } else { ctx.load.producers };
    let lanes: Vec<Rc<Lane>> = mine(streams)
        .map(|id| {
            let first = |part| plan.next_sequences.get(&(part, id)).copied().unwrap_or(0);
            Rc::new(Lane::new(ctx, id, share.map(|share| share.of(id)), first))
        })
        .collect();
    if share.is_some() {
        ctx.shared.add_lanes(u32::try_from(lanes.len()).unwrap_or(0));
    }
    if ctx.load.idempotent && !lanes.is_empty() {
        get_ids(ctx, &lanes).await?;
    }
    keep_leaders(ctx, &lanes);
    connect(ctx, &lanes).await?;
    let followers: Vec<Rc<Follower>> =
        mine(ctx.load.consumers).filter_map(|id| follower(ctx, id, plan)).collect();
    if ctx.load.until == Until::End {
        ctx.shared.add_readers(u32::try_from(followers.len()).unwrap_or(0));
    }
    followers.iter().for_each(Follower::start);
    Ok((lanes, followers))
}

/// Records of a bounded phase, shared by its lanes.
#[derive(Clone, Copy)]
struct Bound {
    records: u64,
    lanes: u64,
}

impl Bound {
    fn of(self, lane: u32) -> u64 {
        self.records / self.lanes + u64::from(u64::from(lane) < self.records % self.lanes)
    }
}

fn bound(load: &Load) -> Option<Bound> {
    let by_bytes = (load.bytes > 0).then(|| (load.bytes as f64 / load.sizes.mean().max(1.0)).ceil() as u64);
    let by_count = (load.records > 0).then_some(load.records);
    let records = by_bytes.into_iter().chain(by_count).min()?;
    Some(Bound { records, lanes: u64::from(load.producers.max(1)) })
}

async fn get_ids(ctx: &Context, lanes: &[Rc<Lane>]) -> Result<(), ClientError> {
    let mut wire = bootstrap(&ctx.world, &ctx.dial, &ctx.load.bootstrap).await?;
    for lane in lanes {
        let mut attempts = 0;
        loop {
            match producer_id(&mut wire, None).await {
                Ok(id) => {
                    lane.producer.set(id);
                    break;
                }
                Err(ClientError::Refused { code, .. }) if attempts < ID_ATTEMPTS && is_starting(code) => {
                    attempts += 1;
                    ctx.world.sleep(Duration::from_millis(250)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Whether a coordinator that says this may say something else soon.
fn is_starting(code: i16) -> bool {
    use crate::base::ErrorCode;
    let known = ErrorCode::from_code(code);
    is_retriable(code)
        || matches!(
            known,
            Some(
                ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::NotCoordinator
            )
        )
}

/// Starts the task that keeps the leaders up to date.
fn keep_leaders(ctx: &Rc<Context>, lanes: &[Rc<Lane>]) {
    let (ctx, lanes) = (Rc::clone(ctx), lanes.to_vec());
    let world = ctx.world.clone();
    world.spawn(async move {
        let changed = || lanes.iter().for_each(Lane::reroute);
        let fixed = &ctx.load.bootstrap;
        ctx.leaders.keep(&ctx.world, (&ctx.dial, fixed), (&ctx.topics, &ctx.parts), changed).await;
    });
}

/// Connects every lane to every broker that leads something, before the phase begins.
async fn connect(ctx: &Rc<Context>, lanes: &[Rc<Lane>]) -> Result<(), ClientError> {
    let mut brokers: Vec<i32> = (0..ctx.parts.len()).map(|part| ctx.leaders.of(part)).collect();
    brokers.sort_unstable();
    brokers.dedup();
    let links: Vec<_> = lanes
        .iter()
        .flat_map(|lane| brokers.iter().filter(|id| **id >= 0).map(|id| lane.link(*id)))
        .collect();
    for link in &links {
        while !link.tried.get() {
            ctx.world.sleep(Duration::from_millis(1)).await;
        }
        if let Some(error) = link.error.take() {
            return Err(error);
        }
    }
    Ok(())
}

fn follower(ctx: &Rc<Context>, id: u32, plan: &PhasePlan) -> Option<Rc<Follower>> {
    let (target, consumers) = (&plan.target, ctx.load.consumers as usize);
    let place = |part: usize| {
        let (first, next) = (plan.read_from[part], target.next[part]);
        let offset = if ctx.load.from == From::End { next } else { first };
        Place { part, offset, first, end: next }
    };
    let places: Vec<Place> =
        (0..ctx.parts.len()).filter(|part| part % consumers == id as usize).map(place).collect();
    (!places.is_empty()).then(|| Follower::new(ctx, places))
}

/// Takes records as they are due until the phase ends.
async fn pump(lane: &Rc<Lane>) {
    let ctx = &lane.ctx;
    loop {
        let now = ctx.now();
        match lane.take_due(now) {
            Next::End => return,
            Next::At(at) if at <= now => ctx.world.yield_now().await,
            // The end may come earlier than it was said to.
            Next::At(at) => ctx.world.sleep(Duration::from_nanos(at - now).min(LOOK_PAUSE)).await,
            Next::Room => or(lane.room.wait(), ctx.world.sleep(LOOK_PAUSE)).await,
        }
        if ctx.closing.get() {
            return;
        }
    }
}

/// Reports every interval, and ends the thread's share when the phase is over and all is answered.
async fn tick_and_end(
    ctx: &Rc<Context>,
    plan: &PhasePlan,
    (lanes, followers): (&[Rc<Lane>], &[Rc<Follower>]),
) {
    let start = ctx.start.get();
    let mut ticker = Ticker { number: 0, begin: 0, cpu: ctx.world.cpu() };
    let step = nanos(ctx.load.interval);
    let (mut give_up, mut settled, mut watch_at) = (NEVER, false, 0);
    // Whoever had nothing to read could say so only now that all threads have counted theirs.
    let unread = |follower: &&Rc<Follower>| ctx.load.until == Until::End && follower.is_finished();
    followers.iter().filter(unread).for_each(|_| ctx.shared.reader_done(ctx.now().max(start)));
    loop {
        let now = ctx.now();
        if now >= watch_at {
            watch_at = now + WATCH_PAUSE_NS;
            for link in lanes.iter().flat_map(|lane| lane.links()) {
                link.watch(now, ctx.load.request_timeout);
            }
        }
        if ctx.world.stop_requests() > 0 {
            ctx.shared.end_by(now);
        }
        let end = ctx.end();
        let boundary =
            (start + (ticker.number as u64 + 1) * step).min(if give_up == NEVER { end } else { NEVER });
        if now >= boundary {
            ticker.report(ctx, plan, boundary.saturating_sub(start));
            if boundary == end {
                give_up = end.saturating_add(nanos(DRAIN_PATIENCE));
            }
        }
        if give_up != NEVER {
            if ctx.pending.get() == 0 && !std::mem::replace(&mut settled, true) {
                ctx.shared.settled();
            }
            let reads_all = ctx.load.produces() && ctx.load.until == Until::Time;
            let has_read = || !reads_all || followers.iter().all(|follower| follower.is_caught_up());
            let hurry = ctx.world.stop_requests() > 1;
            if ctx.shared.is_settled() && has_read() || now > give_up || hurry {
                break;
            }
        }
        ctx.world.sleep(LOOK_PAUSE.min(Duration::from_nanos(boundary.saturating_sub(now)))).await;
    }
    ctx.closing.set(true);
    for lane in lanes {
        lane.abandon();
        lane.links().iter().for_each(|link| link.wake.set());
    }
    ctx.world.sleep(Duration::from_millis(5)).await;
    ticker.report(ctx, plan, ctx.now() - start);
}

/// The intervals of one thread.
struct Ticker {
    number: usize,
    begin: u64,
    cpu: Duration,
}

impl Ticker {
    fn report(&mut self, ctx: &Context, plan: &PhasePlan, end: u64) {
        let mut measures = ctx.measures.take();
        let cpu = ctx.world.cpu();
        measures.cpu_ns = nanos(cpu.saturating_sub(self.cpu));
        let interval = Interval { number: self.number, span: (self.begin, end), measures };
        // The conductor outlives the threads.
        let _ = plan.reports.send(Report::Interval(interval));
        (self.number, self.begin, self.cpu) = (self.number + 1, end, cpu);
    }
}

/// What the first numbers of a phase are, by partition and lane.
pub(super) type NextSequences = BTreeMap<(usize, u32), u64>;
