//! A simulated producer: idempotent ones repeat what wasn't answered until it is, in order, with the same sequences;
//! the others send each batch once and don't know what became of it when the connection ends.

use super::client::{Client, INIT_PRODUCER_ID, PRODUCE};
use super::history::{History, value};
use super::workload::{Place, Run, topic_name};
use crate::base::Offset;
use crate::wire::Records;
use crate::wire::batch::{BatchBuilder, Codec};
use crate::wire::generated::init_producer_id_request::InitProducerIdRequest;
use crate::wire::generated::init_producer_id_response::InitProducerIdResponse;
use crate::wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::wire::generated::produce_response::{PartitionProduceResponse, ProduceResponse};
use bytes::Bytes;
use std::collections::VecDeque;
use std::rc::Rc;

/// Batches in flight on one connection.
const PIPELINE: usize = 4;

/// A batch that isn't answered yet.
struct Batch {
    place: Place,
    bytes: Bytes,
    first: u64,
    count: u64,
}

/// One producer.
pub(super) struct Producer {
    run: Rc<Run>,
    id: u32,
    /// Idempotent producers keep to one partition, so that one sequence will do.
    places: Vec<Place>,
    idempotent: bool,
    identity: Option<(i64, i16)>,
    sequence: i32,
    next: u64,
    unanswered: VecDeque<Batch>,
}

impl Producer {
    pub(super) fn new(run: Rc<Run>, id: u32, places: &[Place]) -> Self {
        let idempotent = run.exec.chance(60);
        let pick = usize::try_from(run.exec.below(places.len() as u64)).expect("an index");
        let places = if idempotent { vec![places[pick]] } else { places.to_vec() };
        let unanswered = VecDeque::new();
        Producer { run, id, places, idempotent, identity: None, sequence: 0, next: 0, unanswered }
    }

    pub(super) async fn run(mut self) {
        while !self.done() {
            let client = self.run.client().await;
            if self.idempotent && !self.identify(&client).await {
                continue;
            }
            while !self.done() && self.exchange(&client).await {}
            if !self.idempotent {
                self.unanswered.clear();
            }
            self.run.exec.sleep(self.run.exec.micros(0, 3000)).await;
        }
    }

    fn done(&self) -> bool {
        self.run.ending.get() && self.unanswered.is_empty()
    }

    async fn identify(&mut self, client: &Client) -> bool {
        if self.identity.is_some() {
            return true;
        }
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequest::default()
        };
        let answer: Option<InitProducerIdResponse> = client.call(INIT_PRODUCER_ID, &request).await;
        let Some(answer) = answer else { return false };
        assert_eq!(answer.error_code, 0, "an idempotent producer gets an id");
        self.identity = Some((answer.producer_id, answer.producer_epoch));
        true
    }

    /// Sends what isn't answered, and new batches; takes their answers. False if the connection is of no more use.
    async fn exchange(&mut self, client: &Client) -> bool {
        let wanted = 1 + usize::try_from(self.run.exec.below(PIPELINE as u64)).expect("small");
        while self.unanswered.len() < wanted && !self.run.ending.get() {
            let batch = self.fill();
            self.unanswered.push_back(batch);
        }
        let sent = self.unanswered.len();
        for batch in &self.unanswered {
            client.send(PRODUCE, &request(batch.place, &batch.bytes, -1));
        }
        let mut in_order = true;
        for _ in 0..sent {
            let Some(answer) = client.answer::<ProduceResponse>(PRODUCE).await else { return false };
            if in_order {
                let answer = &answer.responses[0].partition_responses[0];
                in_order = self.take(answer);
            }
        }
        in_order || !self.idempotent
    }

    /// Takes the answer to the oldest batch; false if what follows it has to be sent again.
    fn take(&mut self, answer: &PartitionProduceResponse) -> bool {
        let batch = self.unanswered.front().expect("an answer to something sent");
        let (place, first, count) = (batch.place, batch.first, batch.count);
        match answer.error_code {
            0 => {
                let mut histories = self.run.histories.borrow_mut();
                let history: &mut History = histories.get_mut(&place).expect("every partition has a history");
                for n in 0..count {
                    let offset = answer.base_offset + Offset::try_from(n).expect("small");
                    history.acknowledge(offset, self.id, first + n);
                }
            }
            // Unknown topic while starting, not the leader, the disk failed: again, or given up. Never timed out: the
            // simulated disk is not that slow.
            3 | 6 | 56 if self.idempotent => return false,
            3 | 6 | 56 => {}
            // A duplicate of a batch that is no longer among the last five: it is there.
            46 => {}
            error => panic!("producer {}: the batch of {first} was refused with error {error}", self.id),
        }
        self.unanswered.pop_front();
        true
    }

    fn fill(&mut self) -> Batch {
        let exec = &self.run.exec;
        let place = self.places[usize::try_from(exec.below(self.places.len() as u64)).expect("an index")];
        let (first, count) = (self.next, 1 + exec.below(4));
        let mut builder = BatchBuilder::new(Codec::None, 1_767_225_600_000);
        if let Some((id, epoch)) = self.identity {
            builder = builder.producer(id, epoch, self.sequence);
        }
        for number in first..first + count {
            let filling = match exec.below(20) {
                0 => exec.below(20_000),
                1..4 => exec.below(5_000),
                _ => exec.below(300),
            };
            let value = value(self.id, number, usize::try_from(filling).expect("small"));
            builder = builder.record(1_767_225_600_000, None, Some(&value));
            self.run.histories.borrow_mut().get_mut(&place).expect("it has one").sends(self.id, number);
        }
        self.next += count;
        self.sequence += i32::try_from(count).expect("small");
        Batch { place, bytes: builder.build(), first, count }
    }
}

/// A request with one batch for one partition.
pub(super) fn request((topic, partition): Place, batch: &Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData { index: partition, records: Some(Records::from(batch.clone())) };
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic_name(topic).into(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        }],
    }
}
