//! Simulated transactional producers: they write to several partitions and commit offsets, in both protocols; they are
//! slow, vanish, are replaced while they live on as zombies, send batches that come late; the broker crashes meanwhile.
//!
//! A transaction has a number, and all that it writes says that number. So what readers see of it tells whether it
//! counts as a whole.

use super::client::{
    ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, Call, Client, END_TXN, END_TXN_RISING, FIND_COORDINATOR,
    INIT_PRODUCER_ID, PRODUCE, PRODUCE_VERIFIED, TXN_OFFSET_COMMIT, TXN_OFFSET_COMMIT_IMPLICIT,
};
use super::ledger::{OFFSETS_GROUP, TOPIC, value};
use super::workload::Run;
use crate::base::ErrorCode;
use crate::wire::batch::{BatchBuilder, Codec};
use crate::wire::generated::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use crate::wire::generated::produce_request::{PartitionProduceData, TopicProduceData};
use crate::wire::generated::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::wire::generated::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest,
    InitProducerIdResponse, ProduceRequest, ProduceResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use crate::wire::{Records, Str};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a producer's records say they were written at.
const TIME: i64 = 1_767_225_600_000;

/// Whether a broker may answer so at any time: what is asked isn't here, or not yet, or is being ended, or its disk
/// failed.
fn may_pass(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::KafkaStorageError
    )
}

/// Whether a producer may be told so that isn't the current one any more, or whose transaction was ended for it.
fn is_fenced(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidTxnState
            | ErrorCode::TransactionAbortable
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::OutOfOrderSequenceNumber
    )
}

/// `None` where the producer has to give up its transaction.
fn go_on(what: Call, code: i16) -> Option<()> {
    match ErrorCode::from_code(code).expect("a code of the protocol") {
        ErrorCode::None => Some(()),
        error if may_pass(error) || is_fenced(error) => None,
        error => panic!("a transactional producer's {what:?} is answered by {error}"),
    }
}

/// One incarnation of a transactional id.
struct Producer {
    run: Rc<Run>,
    number: u64,
    incarnation: u64,
    /// The broker adds partitions, and epochs rise (KIP-890).
    rising: bool,
    identity: (i64, i16),
    sequences: BTreeMap<i32, i32>,
}

/// Runs incarnations of one transactional id until the run ends; some live on beside the next one.
pub(super) async fn live(run: Rc<Run>, number: u64) {
    while !run.ending.get() {
        let rising = run.exec.chance(50);
        let begun = begin(&run, number, rising).await;
        let Some((client, producer)) = begun else {
            run.exec.sleep(run.exec.micros(0, 5_000)).await;
            continue;
        };
        if run.exec.chance(30) {
            run.spawn(producer.work(client));
            run.exec.sleep(run.exec.micros(0, 60_000)).await;
        } else {
            producer.work(client).await;
        }
    }
}

/// Becomes the current producer of a transactional id.
async fn begin(run: &Rc<Run>, number: u64, rising: bool) -> Option<(Client, Producer)> {
    let client = run.client().await;
    find(&client, 1, &id(number)).await?;
    let incarnation = run.ledger.borrow_mut().incarnate();
    let request = InitProducerIdRequest {
        transactional_id: Some(id(number)),
        transaction_timeout_ms: i32::try_from(10 + run.exec.below(400)).expect("small"),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let answer: InitProducerIdResponse = client.call(INIT_PRODUCER_ID, &request).await?;
    go_on(INIT_PRODUCER_ID, answer.error_code)?;
    let identity = (answer.producer_id, answer.producer_epoch);
    run.ledger.borrow_mut().begins(number, incarnation, identity);
    let (run, sequences) = (run.clone(), BTreeMap::new());
    Some((client, Producer { run, number, incarnation, rising, identity, sequences }))
}

/// Ends whatever transaction a transactional id has open: in the end none may be left.
pub(super) async fn settle(run: &Rc<Run>, number: u64) {
    while begin(run, number, false).await.is_none() {
        run.exec.sleep(run.exec.micros(0, 5_000)).await;
    }
}

/// Waits until the broker has a coordinator; the first to ask makes it so.
pub(super) async fn find(client: &Client, key_type: i8, key: &Str) -> Option<()> {
    let request = FindCoordinatorRequest { key: key.clone(), key_type, ..Default::default() };
    let answer: FindCoordinatorResponse = client.call(FIND_COORDINATOR, &request).await?;
    go_on(FIND_COORDINATOR, answer.error_code)
}

fn id(number: u64) -> Str {
    format!("txn-{number}").into()
}

impl Producer {
    async fn work(mut self, mut client: Client) {
        for _ in 0..1 + self.run.exec.below(6) {
            if self.run.ending.get() || self.transact(&client).await.is_none() {
                return;
            }
            if self.run.exec.chance(10) {
                client = self.run.client().await;
            }
        }
    }

    /// One transaction; `None` if this incarnation is over.
    async fn transact(&mut self, client: &Client) -> Option<()> {
        let exec = self.run.exec.clone();
        let partitions = self.run.ledger.borrow().partitions();
        let mut places = BTreeSet::new();
        for _ in 0..1 + exec.below(3) {
            places.insert(i32::try_from(exec.below(partitions.unsigned_abs().into())).expect("few"));
        }
        let offsets = exec.chance(50);
        let transaction = self.run.ledger.borrow_mut().opens(self.number, &places, offsets);
        if !self.rising {
            self.add_partitions(client, &places).await?;
        }
        self.pause().await;
        for place in &places {
            self.produce(client, transaction, *place).await?;
        }
        self.pause().await;
        if offsets {
            self.commit_offset(client, transaction).await?;
        }
        if exec.chance(10) {
            // It vanishes, and its transaction times out or is ended by the next one.
            return None;
        }
        self.pause().await;
        let commit = exec.chance(60);
        if !commit && exec.chance(30) {
            self.abort_before_a_late_batch(client, transaction, &places).await?;
        } else {
            self.end(client, transaction, commit).await?;
        }
        Some(())
    }

    /// Most are fast, some are so slow that their transactions time out.
    async fn pause(&self) {
        let exec = &self.run.exec;
        let longest = if exec.chance(5) { 500_000 } else { 2_000 };
        exec.sleep(exec.micros(0, longest)).await;
    }

    async fn add_partitions(&self, client: &Client, places: &BTreeSet<i32>) -> Option<()> {
        let topic =
            AddPartitionsToTxnTopic { name: TOPIC.into(), partitions: places.iter().copied().collect() };
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id(self.number),
            v3_and_below_producer_id: self.identity.0,
            v3_and_below_producer_epoch: self.identity.1,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        loop {
            let answer: AddPartitionsToTxnResponse = client.call(ADD_PARTITIONS_TO_TXN, &request).await?;
            let errors =
                answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
            let code = errors.map(|result| result.partition_error_code).find(|code| *code != 0).unwrap_or(0);
            if code != ErrorCode::ConcurrentTransactions.code() {
                return go_on(ADD_PARTITIONS_TO_TXN, code);
            }
            self.run.exec.sleep(self.run.exec.micros(0, 2_000)).await;
        }
    }

    fn batch(&mut self, transaction: u64, place: i32) -> ProduceRequest {
        let sequence = self.sequences.entry(place).or_default();
        let count = 1 + self.run.exec.below(3);
        let mut builder = BatchBuilder::new(Codec::None, TIME).attributes(1 << 4);
        builder = builder.producer(self.identity.0, self.identity.1, *sequence);
        for index in 0..count {
            let filling = usize::try_from(self.run.exec.below(400)).expect("small");
            builder = builder.record(TIME, None, Some(&value(transaction, index, filling)));
        }
        *sequence += i32::try_from(count).expect("small");
        self.run.ledger.borrow_mut().sends(transaction, place, count);
        let records = Some(Records::from(builder.build()));
        ProduceRequest {
            transactional_id: Some(id(self.number)),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: TOPIC.into(),
                partition_data: vec![PartitionProduceData { index: place, records }],
                ..Default::default()
            }],
        }
    }

    fn produce_call(&self) -> Call {
        if self.rising { PRODUCE } else { PRODUCE_VERIFIED }
    }

    async fn produce(&mut self, client: &Client, transaction: u64, place: i32) -> Option<()> {
        let (call, request) = (self.produce_call(), self.batch(transaction, place));
        let answer: ProduceResponse = client.call(call, &request).await?;
        go_on(call, answer.responses[0].partition_responses[0].error_code)
    }

    async fn commit_offset(&self, client: &Client, transaction: u64) -> Option<()> {
        let group: Str = OFFSETS_GROUP.into();
        if !self.rising {
            let request = AddOffsetsToTxnRequest {
                transactional_id: id(self.number),
                producer_id: self.identity.0,
                producer_epoch: self.identity.1,
                group_id: group.clone(),
            };
            let answer: AddOffsetsToTxnResponse = client.call(ADD_OFFSETS_TO_TXN, &request).await?;
            go_on(ADD_OFFSETS_TO_TXN, answer.error_code)?;
        }
        find(client, 0, &group).await?;
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: self.run.ledger.borrow().slot(self.number),
            committed_offset: transaction.cast_signed(),
            ..Default::default()
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: id(self.number),
            group_id: group,
            producer_id: self.identity.0,
            producer_epoch: self.identity.1,
            generation_id_or_member_epoch: -1,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: TOPIC.into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let call = if self.rising { TXN_OFFSET_COMMIT_IMPLICIT } else { TXN_OFFSET_COMMIT };
        let answer: TxnOffsetCommitResponse = client.call(call, &request).await?;
        go_on(call, answer.topics[0].partitions[0].error_code)
    }

    fn end_request(&self, commit: bool) -> (Call, EndTxnRequest) {
        let request = EndTxnRequest {
            transactional_id: id(self.number),
            producer_id: self.identity.0,
            producer_epoch: self.identity.1,
            committed: commit,
        };
        (if self.rising { END_TXN_RISING } else { END_TXN }, request)
    }

    /// Ends the transaction; a request whose answer got lost is sent again.
    async fn end(&mut self, client: &Client, transaction: u64, commit: bool) -> Option<()> {
        let (call, request) = self.end_request(commit);
        let mut again = None;
        loop {
            let client = again.as_ref().unwrap_or(client);
            let current = self.run.ledger.borrow().is_current(self.number, self.incarnation);
            self.run.ledger.borrow_mut().decides(transaction, commit);
            let answer: Option<EndTxnResponse> = client.call(call, &request).await;
            match answer.map(|answer| (answer.error_code, (answer.producer_id, answer.producer_epoch))) {
                Some((0, identity)) => {
                    assert!(current, "transaction {transaction}: a zombie was allowed to end it");
                    self.run.ledger.borrow_mut().decided(transaction, commit);
                    if self.rising {
                        (self.identity, self.sequences) = (identity, BTreeMap::new());
                    }
                    return Some(());
                }
                Some((code, _)) if ErrorCode::from_code(code).is_some_and(may_pass) => {}
                Some((code, _)) => return go_on(call, code),
                None if self.run.ending.get() => return None,
                None => again = Some(self.run.client().await),
            }
            self.run.exec.sleep(self.run.exec.micros(0, 5_000)).await;
        }
    }

    /// Aborts, while a batch of the transaction is still on its way over another connection.
    async fn abort_before_a_late_batch(
        &mut self,
        client: &Client,
        transaction: u64,
        places: &BTreeSet<i32>,
    ) -> Option<()> {
        let late = self.run.client().await;
        let place = *places.first().expect("it wrote somewhere");
        let (call, request) = (self.produce_call(), self.batch(transaction, place));
        let delay = self.run.exec.micros(0, 10_000);
        let exec = self.run.exec.clone();
        self.run.spawn(async move {
            exec.sleep(delay).await;
            let answer: Option<ProduceResponse> = late.call(call, &request).await;
            if let Some(answer) = answer {
                let _ = go_on(call, answer.responses[0].partition_responses[0].error_code);
            }
        });
        self.end(client, transaction, false).await?;
        // Who sends batches that may or may not come has to begin anew before it sends more.
        None
    }
}
