//! Producers that run one transaction after the other: batches to some partitions, then the commit. A closed loop, like
//! an application that works through its input. Both ways of the protocol: where the broker adds partitions to
//! transactions and raises the epoch with each (KIP-890), and where the client says AddPartitionsToTxn.

use super::context::Context;
use super::supply::Entry;
use crate::base::ErrorCode;
use crate::load::client::{ClientError, CoordinatorOf, Wire, api, coordinator, is_retriable, producer_id};
use crate::load::measure::Counts;
use crate::load::verify::Stamp;
use crate::seam::World as _;
use crate::wire::batch::BatchStamp;
use crate::wire::generated::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use crate::wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::wire::generated::{AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, ProduceResponse};
use crate::wire::{Records, Str};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The first version of EndTxn whose answer brings the next transaction's epoch (KIP-890).
const RAISING_FROM: i16 = 5;

/// The first version of Produce with which the broker adds partitions to transactions (KIP-890).
const ADDING_FROM: i16 = 12;

/// Pause before a question that may be answered differently soon is asked again.
const AGAIN_PAUSE: Duration = Duration::from_millis(1);

/// Pause before a producer whose transaction failed begins anew.
const ANEW_PAUSE: Duration = Duration::from_millis(200);

/// How long the broker waits for a producer's next word.
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// Starts this thread's share of the producers.
pub(super) fn start(ctx: &Rc<Context>, thread: u32) {
    for nth in (thread..ctx.load.producers).step_by(usize::from(ctx.load.threads)) {
        let ctx = Rc::clone(ctx);
        let world = ctx.world.clone();
        ctx.pending.set(ctx.pending.get() + 1);
        world.spawn(async move {
            while !is_over(&ctx) {
                if let Err(error) = live(&ctx, nth).await {
                    note(&ctx, &error);
                    ctx.world.sleep(ANEW_PAUSE).await;
                }
            }
            ctx.pending.set(ctx.pending.get() - 1);
        });
    }
}

fn is_over(ctx: &Context) -> bool {
    ctx.closing.get() || ctx.now() >= ctx.end()
}

fn note(ctx: &Context, error: &ClientError) {
    ctx.leaders.refresh();
    let mut measures = ctx.measures.borrow_mut();
    match error {
        ClientError::Refused { code, .. } => *measures.counts.errors.entry(*code).or_default() += 1,
        _ => measures.counts.disconnects += 1,
    }
}

/// A producer from InitProducerId, which ends what its predecessor left open, until the phase is over or it fails.
async fn live(ctx: &Context, nth: u32) -> Result<(), ClientError> {
    let name = Str::from(format!("ringlog-load-{:08x}-{nth}", ctx.run));
    let of = (&name, CoordinatorOf::Transactions);
    let mut coordinator = coordinator(&ctx.world, &ctx.dial, &ctx.load.bootstrap, of).await?;
    let producer = patiently(ctx, async || producer_id(&mut coordinator, Some(&name)).await).await?;
    let mut teller = Teller {
        ctx,
        name,
        producer,
        coordinator,
        leaders: BTreeMap::new(),
        sequences: vec![0; ctx.parts.len()],
        turn: nth as usize,
        nth: 0,
    };
    while !is_over(ctx) {
        teller.transaction().await?;
    }
    Ok(())
}

/// Asks until the answer isn't one that will soon be another: the transaction before is still being ended.
async fn patiently<T>(
    ctx: &Context,
    mut ask: impl AsyncFnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let until = ctx.now() + super::lane::nanos(ctx.load.request_timeout);
    loop {
        match ask().await {
            Err(ClientError::Refused { code, .. }) if is_passing(code) && ctx.now() < until => {
                ctx.world.sleep(AGAIN_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

fn is_passing(code: i16) -> bool {
    let passing = [
        ErrorCode::ConcurrentTransactions,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
    ];
    is_retriable(code) || passing.iter().any(|known| known.code() == code)
}

/// One producer.
struct Teller<'a> {
    ctx: &'a Context,
    name: Str,
    producer: (i64, i16),
    coordinator: Wire,
    /// Connections to leaders of partitions, by address.
    leaders: BTreeMap<String, Wire>,
    /// Next sequence number of each partition, under the epoch in force.
    sequences: Vec<i32>,
    /// Where the next batch goes.
    turn: usize,
    /// Transactions so far.
    nth: u64,
}

impl Teller<'_> {
    async fn transaction(&mut self) -> Result<(), ClientError> {
        let ctx = self.ctx;
        let began = ctx.now();
        for _ in 0..ctx.load.transaction_batches {
            self.turn = (self.turn + 1) % ctx.parts.len();
            self.produce(self.turn).await?;
        }
        self.nth += 1;
        let every = u64::from(ctx.load.abort_every);
        let commit = every == 0 || !self.nth.is_multiple_of(every);
        let asked = ctx.now();
        self.end(commit).await?;
        let now = ctx.now();
        let mut measures = ctx.measures.borrow_mut();
        let counts = &mut measures.counts;
        *(if commit { &mut counts.committed } else { &mut counts.aborted }) += 1;
        measures.service.saturating_record(now - asked);
        measures.ack.saturating_record(now - began);
        Ok(())
    }

    /// Sends one batch and waits for its answer.
    async fn produce(&mut self, part: usize) -> Result<(), ClientError> {
        let ctx = self.ctx;
        let (topic, partition) = ctx.parts[part];
        let address = ctx.leaders.address(ctx.leaders.of(part)).unwrap_or_default();
        if !self.leaders.contains_key(&address) {
            let wire = Wire::open(&ctx.world, &address, &ctx.dial).await?;
            self.leaders.insert(address.clone(), wire);
        }
        let adds = self.leaders[&address].versions().pick(api::PRODUCE, &address)? >= ADDING_FROM
            && self.raises()?;
        if !adds {
            self.add(part).await?;
        }
        let (records, bytes, count) = self.batch(part);
        let request = ProduceRequest {
            transactional_id: Some(self.name.clone()),
            acks: -1,
            timeout_ms: PRODUCE_TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: ctx.topics[topic as usize].as_str().into(),
                partition_data: vec![PartitionProduceData { index: partition, records: Some(records) }],
                ..TopicProduceData::default()
            }],
        };
        let wire = self.leaders.get_mut(&address).expect("it was opened");
        patiently(ctx, async || {
            let answer: ProduceResponse = wire.call(api::PRODUCE, &request).await?;
            let answers = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
            match answers.map(|answer| answer.error_code).find(|code| *code != 0) {
                None => Ok(()),
                Some(code) => Err(wire.refused(api::PRODUCE, "a transaction's batch", code, None)),
            }
        })
        .await?;
        self.sequences[part] += i32::try_from(count).unwrap_or(i32::MAX);
        let mut measures = ctx.measures.borrow_mut();
        let Counts { sent, acked, .. } = &mut measures.counts;
        for flow in [sent, acked] {
            flow.records += count as u64;
            flow.bytes += bytes;
            flow.requests += 1;
        }
        Ok(())
    }

    /// A full batch for a partition: its bytes, those of its values, and how many records it has.
    fn batch(&self, part: usize) -> (Records, u64, usize) {
        let ctx = self.ctx;
        let now = ctx.now();
        let mut open = ctx.supply.open(now);
        loop {
            let sequence = self.nth * 1000 + open.count() as u64;
            let stamp = Stamp { run: ctx.run, lane: u32::MAX, sequence, due_ns: ctx.epoch_ns(now) };
            if ctx.supply.push(&mut open, &Entry { stamp, key: Some(sequence), due: None }) {
                break;
            }
        }
        let timestamp = i64::try_from(ctx.epoch_ns(now) / 1_000_000).unwrap_or(0);
        let (id, epoch) = self.producer;
        let producer = (id, epoch, self.sequences[part]);
        let stamp = BatchStamp { timestamp, producer, transactional: true };
        let batch = ctx.supply.seal(open, part, self.nth, &stamp);
        (Records(batch.pieces().to_vec()), batch.value_bytes, batch.count)
    }

    /// Whether every transaction has an epoch of its own.
    fn raises(&self) -> Result<bool, ClientError> {
        let coordinator = &self.coordinator;
        Ok(coordinator.versions().pick(api::END_TXN, coordinator.broker())? >= RAISING_FROM)
    }

    async fn add(&mut self, part: usize) -> Result<(), ClientError> {
        let (topic, partition) = self.ctx.parts[part];
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.name.clone(),
            v3_and_below_producer_id: self.producer.0,
            v3_and_below_producer_epoch: self.producer.1,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: self.ctx.topics[topic as usize].as_str().into(),
                partitions: vec![partition],
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let wire = &mut self.coordinator;
        patiently(self.ctx, async || {
            let answer: AddPartitionsToTxnResponse = wire.call(api::ADD_PARTITIONS_TO_TXN, &request).await?;
            let topics = answer.results_by_topic_v3_and_below.iter();
            let codes = topics.flat_map(|topic| &topic.results_by_partition);
            match codes.map(|result| result.partition_error_code).find(|code| *code != 0) {
                None => Ok(()),
                Some(code) => {
                    Err(wire.refused(api::ADD_PARTITIONS_TO_TXN, "a transaction's partition", code, None))
                }
            }
        })
        .await
    }

    async fn end(&mut self, commit: bool) -> Result<(), ClientError> {
        let raises = self.raises()?;
        let request = EndTxnRequest {
            transactional_id: self.name.clone(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            committed: commit,
        };
        let wire = &mut self.coordinator;
        let answer = patiently(self.ctx, async || {
            let answer: EndTxnResponse = wire.call(api::END_TXN, &request).await?;
            match answer.error_code {
                0 => Ok(answer),
                code => Err(wire.refused(api::END_TXN, "the end of a transaction", code, None)),
            }
        })
        .await?;
        if raises {
            self.producer = (answer.producer_id, answer.producer_epoch);
            self.sequences.fill(0);
        }
        Ok(())
    }
}
