//! Connections that come and go at a given rate, open loop: each asks what it is told to, stays a while and leaves.

use super::context::Context;
use super::groups;
use crate::load::arrival::{Rate, Schedule};
use crate::load::client::{ClientError, ProduceHead, Wire, api, topology, walk_answers};
use crate::load::engine::lane::nanos;
use crate::load::verify::Stamp;
use crate::seam::World as _;
use crate::wire::batch::BatchStamp;
use std::rc::Rc;
use std::time::Duration;

/// Connections of one thread that may be open at the same time.
const OPEN_MAX: u32 = 10_000;

/// Starts this thread's share of the churn.
pub(super) fn start(ctx: &Rc<Context>, thread: u32) {
    let pumped = Rc::clone(ctx);
    ctx.world.spawn(async move { pump(&pumped, thread).await });
    let threads = u32::from(ctx.load.threads);
    for group in (thread..ctx.load.groups).step_by(threads as usize) {
        groups::start(ctx, group);
    }
}

async fn pump(ctx: &Rc<Context>, thread: u32) {
    let rate = Rate::Fixed(f64::from(ctx.load.connections));
    let mut schedule = Schedule::new(&rate, thread, u32::from(ctx.load.threads), ctx.load.seed);
    let mut nth = u64::from(thread);
    loop {
        let (now, due) = (ctx.now(), ctx.start.get() + schedule.due());
        if due >= ctx.end() || ctx.closing.get() {
            return;
        }
        if due > now {
            ctx.world.sleep(Duration::from_nanos(due - now).min(Duration::from_millis(10))).await;
            continue;
        }
        if ctx.connecting.get() >= OPEN_MAX {
            ctx.world.sleep(Duration::from_millis(1)).await;
            continue;
        }
        schedule.advance();
        nth += 1;
        let (client, place) = (Rc::clone(ctx), nth);
        ctx.connecting.set(ctx.connecting.get() + 1);
        ctx.pending.set(ctx.pending.get() + 1);
        ctx.measures.borrow_mut().lag.saturating_record(now - due);
        ctx.world.spawn(async move { visit(&client, due, place).await });
    }
}

/// One connection's life.
async fn visit(ctx: &Rc<Context>, due: u64, nth: u64) {
    let began = ctx.now();
    let brokers = &ctx.load.bootstrap;
    let broker = &brokers[usize::try_from(nth).unwrap_or(0) % brokers.len()];
    let asked = async {
        let mut wire = Wire::open(&ctx.world, broker, &ctx.dial).await?;
        if ctx.load.ask != "versions" {
            topology(&mut wire, &ctx.topics).await?;
        }
        if ctx.load.ask == "produce" {
            produce_one(ctx, &mut wire, nth).await?;
        }
        Ok::<_, ClientError>(wire)
    };
    let answer = asked.await;
    let now = ctx.now();
    {
        let mut measures = ctx.measures.borrow_mut();
        match &answer {
            Ok(_) => {
                measures.counts.churned += 1;
                measures.service.saturating_record(now - began);
                measures.ack.saturating_record(now - due);
            }
            Err(ClientError::Refused { code, .. }) => *measures.counts.errors.entry(*code).or_default() += 1,
            Err(_) => measures.counts.disconnects += 1,
        }
    }
    ctx.pending.set(ctx.pending.get() - 1);
    if let Ok(mut wire) = answer {
        if !ctx.load.hold.is_zero() {
            ctx.world.sleep(ctx.load.hold).await;
        }
        wire.close();
    }
    ctx.connecting.set(ctx.connecting.get() - 1);
}

/// Sends one record to a partition that this connection's broker leads, if there is one.
async fn produce_one(ctx: &Context, wire: &mut Wire, nth: u64) -> Result<(), ClientError> {
    let count = ctx.parts.len();
    let turn = usize::try_from(nth).unwrap_or(0);
    let leads = |part: &usize| ctx.leaders.address(ctx.leaders.of(*part)).as_deref() == Some(wire.broker());
    let Some(part) =
        (0..count).map(|step| (turn + step) % count).find(leads).or((count > 0).then_some(turn % count))
    else {
        return Ok(());
    };
    let (topic, partition) = ctx.parts[part];
    let now = ctx.now();
    let mut open = ctx.supply.open(now);
    let stamp = Stamp { run: ctx.run, lane: u32::MAX, sequence: nth, due_ns: ctx.epoch_ns(now) };
    ctx.supply.push(&mut open, &super::supply::Entry { stamp, key: Some(nth), due: None });
    let timestamp = i64::try_from(ctx.epoch_ns(now) / 1_000_000).unwrap_or(0);
    let batch = ctx.supply.seal(
        open,
        part,
        nth,
        &BatchStamp { timestamp, producer: (-1, -1, -1), transactional: false },
    );
    let version = wire.versions().pick(api::PRODUCE, wire.broker())?;
    let timeout = i32::try_from(nanos(ctx.load.request_timeout) / 1_000_000).unwrap_or(i32::MAX);
    let mut head = ProduceHead::new(version, &ctx.load.client_id, -1, timeout, &ctx.topics);
    let mut pieces = Vec::new();
    head.write(1, [(topic, partition, batch.pieces())].into_iter(), &mut pieces);
    let frame = wire.exchange_frame(api::PRODUCE, &mut pieces).await?;
    let mut code = -1;
    let walked = walk_answers(frame.get(4..).unwrap_or_default(), version, |_, answer| code = answer.error);
    ctx.supply.recycle(batch);
    match (walked, code) {
        (Ok(_), 0) => Ok(()),
        (Ok(_), code) => Err(wire.refused(api::PRODUCE, "a record", code, None)),
        (Err(_), _) => {
            Err(ClientError::Malformed { broker: wire.broker().to_owned(), api: api::PRODUCE.name })
        }
    }
}
