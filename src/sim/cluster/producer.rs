//! A producer of a cluster: it sends to whoever leads. Idempotent ones with acks=all repeat what isn't acknowledged, in
//! order, over any change of leaders; those with acks=1 send each batch once, and leave behind what only a leader had.

use super::Cluster;
use super::router::Router;
use crate::base::Offset;
use crate::sim::client::{Client, INIT_PRODUCER_ID, PRODUCE};
use crate::sim::history::value;
use crate::sim::producer::request;
use crate::sim::workload::Place;
use crate::wire::batch::{BatchBuilder, Codec};
use crate::wire::generated::init_producer_id_request::InitProducerIdRequest;
use crate::wire::generated::init_producer_id_response::InitProducerIdResponse;
use crate::wire::generated::produce_response::{PartitionProduceResponse, ProduceResponse};
use bytes::Bytes;
use std::collections::VecDeque;
use std::rc::Rc;

/// Batches in flight on one connection.
const PIPELINE: u64 = 4;

struct Batch {
    bytes: Bytes,
    first: u64,
    count: u64,
}

/// What an answer means for what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is there.
    Taken,
    /// Again, to the same leader or another.
    Again,
}

/// One producer.
pub(super) struct Producer {
    cluster: Rc<Cluster>,
    router: Router,
    id: u32,
    place: Place,
    /// Idempotent, with acks=all.
    safe: bool,
    identity: Option<(i64, i16)>,
    sequence: i32,
    next: u64,
    unanswered: VecDeque<Batch>,
}

impl Producer {
    pub(super) fn new(cluster: Rc<Cluster>, id: u32, place: Place) -> Self {
        // The first one is: a run without a promise proves nothing.
        let safe = id == 0 || cluster.exec.chance(65);
        let router = Router::new(cluster.clone());
        Producer {
            cluster,
            router,
            id,
            place,
            safe,
            identity: None,
            sequence: 0,
            next: 0,
            unanswered: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self) {
        while !self.done() {
            let Some(client) = self.router.leader(self.place).await else {
                self.cluster.pause().await;
                continue;
            };
            let went_well = self.identify(&client).await && self.exchange(&client).await;
            if !went_well {
                self.router.lost(self.place, true);
                self.cluster.pause().await;
            }
            self.cluster.exec.sleep(self.cluster.exec.micros(0, 30_000)).await;
        }
    }

    /// Sends one batch, and is done when it is acknowledged.
    pub(super) async fn one_more(mut self) {
        self.safe = true;
        let mut sent = false;
        while !sent || !self.unanswered.is_empty() {
            let leader = self.router.leader(self.place).await;
            if let Some(client) = leader
                && self.identify(&client).await
            {
                if !sent {
                    let batch = self.fill();
                    self.unanswered.push_back(batch);
                    sent = true;
                }
                if self.exchange(&client).await {
                    continue;
                }
            }
            self.router.lost(self.place, true);
            self.cluster.pause().await;
        }
    }

    fn done(&self) -> bool {
        self.cluster.ending.get() && self.unanswered.is_empty()
    }

    async fn identify(&mut self, client: &Client) -> bool {
        if !self.safe || self.identity.is_some() {
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
        self.identity = (answer.error_code == 0).then_some((answer.producer_id, answer.producer_epoch));
        // Ids come from the coordinator, of which there may be none at the moment.
        assert!(
            matches!(answer.error_code, 0 | 7 | 14 | 15 | 41),
            "no producer id: error {}",
            answer.error_code
        );
        self.identity.is_some()
    }

    /// Sends what isn't acknowledged, and new batches; takes their answers. False if somebody else has to be asked.
    async fn exchange(&mut self, client: &Client) -> bool {
        let wanted = 1 + usize::try_from(self.cluster.exec.below(PIPELINE)).expect("small");
        while self.unanswered.len() < wanted && !self.cluster.ending.get() {
            let batch = self.fill();
            self.unanswered.push_back(batch);
        }
        let acks = if self.safe { -1 } else { 1 };
        let sent = self.unanswered.len();
        for batch in &self.unanswered {
            client.send(PRODUCE, &request(self.place, &batch.bytes, acks));
        }
        let mut in_order = true;
        for _ in 0..sent {
            let answer = client.answer::<ProduceResponse>(PRODUCE).await;
            let Some(answer) = answer else {
                in_order = false;
                break;
            };
            // What comes behind a batch that has to be sent again is sent again as well.
            in_order = in_order && self.take(&answer.responses[0].partition_responses[0]) == Verdict::Taken;
        }
        if !self.safe {
            self.unanswered.clear();
        }
        in_order
    }

    /// Takes the answer to the oldest batch.
    fn take(&mut self, answer: &PartitionProduceResponse) -> Verdict {
        let batch = self.unanswered.front().expect("an answer to something sent");
        match answer.error_code {
            0 if self.safe => {
                assert!(answer.base_offset >= 0, "what is acknowledged has an offset");
                let mut histories = self.cluster.histories.borrow_mut();
                let history = histories.get_mut(&self.place).expect("every partition has a history");
                for n in 0..batch.count {
                    let offset = answer.base_offset + Offset::try_from(n).expect("small");
                    history.acknowledge(offset, self.id, batch.first + n);
                }
            }
            // 46: a duplicate of a batch that is no longer among the last five: it is there.
            0 | 46 => {}
            // Unknown topic or leader, timed out, too few in-sync replicas, the disk failed, another term.
            3 | 5 | 6 | 7 | 19 | 20 | 56 | 74 | 75 => return Verdict::Again,
            error => {
                panic!("producer {}: the batch of {} was refused with error {error}", self.id, batch.first)
            }
        }
        self.unanswered.pop_front();
        Verdict::Taken
    }

    fn fill(&mut self) -> Batch {
        let exec = &self.cluster.exec;
        let (first, count) = (self.next, 1 + exec.below(4));
        let mut builder = BatchBuilder::new(Codec::None, 1_767_225_600_000);
        if let Some((id, epoch)) = self.identity {
            builder = builder.producer(id, epoch, self.sequence);
        }
        for number in first..first + count {
            let filling = if exec.chance(10) { exec.below(9_000) } else { exec.below(300) };
            let value = value(self.id, number, usize::try_from(filling).expect("small"));
            builder = builder.record(1_767_225_600_000, None, Some(&value));
            self.cluster
                .histories
                .borrow_mut()
                .get_mut(&self.place)
                .expect("it has one")
                .sends(self.id, number);
        }
        self.next += count;
        self.sequence += i32::try_from(count).expect("small");
        Batch { bytes: builder.build(), first, count }
    }
}
