//! A compacted topic under crashes: writers with keys of their own, and readers who rely on what compaction promises.
//!
//! Each writer numbers its records and sends one batch at a time, again and again until it is acknowledged, so what is
//! latest of a key is known. A reader who begins at the start of the log and is through before `delete.retention.ms` is
//! over must end up with the latest of everything that was acknowledged before it began. In the end each key is there
//! once.

use super::admin;
use super::broker::End;
use super::client::{Client, INIT_PRODUCER_ID, PRODUCE};
use super::workload::Run;
use crate::base::Offset;
use crate::wire::Records;
use crate::wire::batch::{BatchBuilder, Codec, Record, records, walk};
use crate::wire::generated::init_producer_id_request::InitProducerIdRequest;
use crate::wire::generated::init_producer_id_response::InitProducerIdResponse;
use crate::wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::wire::generated::produce_response::ProduceResponse;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The topic's name.
pub const TOPIC: &str = "compacted";

/// How long the broker may take in the end until every key is there once.
const PATIENCE: Duration = Duration::from_secs(60);
const BASE_MS: i64 = 1_767_225_600_000;

/// A key: its writer, and a number.
type Key = (u32, u64);

/// A record of a key: its writer's number for it, and whether it has a value.
type Written = (u64, bool);

/// What is known of the topic.
pub struct Keyed {
    delete_retention: Duration,
    /// Records that were sent, by key.
    sent: RefCell<BTreeMap<Key, Vec<Written>>>,
    /// The latest record of each key that was acknowledged.
    acknowledged: RefCell<BTreeMap<Key, Written>>,
    offsets: RefCell<BTreeMap<Offset, (Key, Written)>>,
}

/// Settings of the topic.
pub(super) fn settings(run: &Run) -> (Keyed, Vec<(&'static str, String)>) {
    // Either no tombstone's time is over before the run is, or it is soon.
    let delete_retention_ms = if run.exec.chance(50) { 3_600_000 } else { run.exec.below(60) };
    let policy = if run.exec.chance(70) { "compact" } else { "compact,delete" };
    let settings = vec![
        ("cleanup.policy", policy.to_owned()),
        ("min.cleanable.dirty.ratio", "0.0".to_owned()),
        ("delete.retention.ms", delete_retention_ms.to_string()),
        ("segment.ms", (1 + run.exec.below(10)).to_string()),
        ("segment.bytes", (1 << 20).to_string()),
    ];
    let keyed = Keyed {
        delete_retention: Duration::from_millis(delete_retention_ms),
        sent: RefCell::default(),
        acknowledged: RefCell::default(),
        offsets: RefCell::default(),
    };
    (keyed, settings)
}

/// One writer.
struct Writer {
    run: Rc<Run>,
    keyed: Rc<Keyed>,
    id: u32,
    keys: u64,
    /// Bytes of a value at most.
    filling: u64,
    identity: Option<(i64, i16)>,
    sequence: i32,
    next: u64,
}

/// Writes until the run ends.
pub(super) async fn write(run: Rc<Run>, keyed: Rc<Keyed>, id: u32) {
    let keys = 1 + run.exec.below(8);
    // Some logs become larger than one segment, however compacted.
    let filling = if run.exec.chance(30) { 60_000 } else { 400 };
    let mut writer = Writer { run, keyed, id, keys, filling, identity: None, sequence: 0, next: 0 };
    while !writer.run.ending.get() {
        let count = 1 + writer.run.exec.below(4);
        writer.send(count).await;
        let pause = writer.run.exec.micros(0, 4_000);
        writer.run.exec.sleep(pause).await;
    }
}

fn key_bytes((writer, number): Key) -> Vec<u8> {
    let mut bytes = writer.to_be_bytes().to_vec();
    bytes.extend(number.to_be_bytes());
    bytes
}

fn key_of(bytes: &[u8]) -> Key {
    let writer = u32::from_be_bytes(*bytes.first_chunk().expect("a key has its writer"));
    (writer, u64::from_be_bytes(*bytes[4..].first_chunk().expect("a key has its number")))
}

impl Writer {
    async fn send(&mut self, count: u64) {
        let (batch, list) = self.fill(count).await;
        loop {
            let client = self.run.client().await;
            client.send(PRODUCE, &request(&batch));
            let Some(answer) = client.answer::<ProduceResponse>(PRODUCE).await else { continue };
            let answer = &answer.responses[0].partition_responses[0];
            match answer.error_code {
                0 => {
                    for ((key, written), offset) in list.iter().zip(answer.base_offset..) {
                        self.keyed.acknowledged.borrow_mut().insert(*key, *written);
                        let before = self.keyed.offsets.borrow_mut().insert(offset, (*key, *written));
                        assert!(before.is_none(), "offset {offset} was given to two records");
                    }
                    return;
                }
                3 | 6 | 56 => self.run.exec.sleep(self.run.exec.micros(0, 3000)).await,
                error => panic!("writer {}: error {error}", self.id),
            }
        }
    }

    async fn fill(&mut self, count: u64) -> (Bytes, Vec<(Key, Written)>) {
        let (id, epoch) = self.identify().await;
        let exec = &self.run.exec;
        let codec = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]
            [usize::try_from(exec.below(5)).expect("an index")];
        let mut builder = BatchBuilder::new(codec, BASE_MS).producer(id, epoch, self.sequence);
        let mut list = Vec::new();
        for number in self.next..self.next + count {
            let key = (self.id, exec.below(self.keys));
            let has_value = !exec.chance(25);
            let mut value = number.to_be_bytes().to_vec();
            value.resize(8 + usize::try_from(exec.below(self.filling)).expect("small"), 7);
            builder = builder.record(BASE_MS, Some(&key_bytes(key)), has_value.then_some(&value[..]));
            list.push((key, (number, has_value)));
            self.keyed.sent.borrow_mut().entry(key).or_default().push((number, has_value));
        }
        self.next += count;
        self.sequence += i32::try_from(count).expect("small");
        (builder.build(), list)
    }

    async fn identify(&mut self) -> (i64, i16) {
        while self.identity.is_none() {
            let client = self.run.client().await;
            let request = InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: 60_000,
                producer_id: -1,
                producer_epoch: -1,
                ..InitProducerIdRequest::default()
            };
            let answer: Option<InitProducerIdResponse> = client.call(INIT_PRODUCER_ID, &request).await;
            self.identity = answer.map(|answer| (answer.producer_id, answer.producer_epoch));
        }
        self.identity.expect("it has one")
    }
}

fn request(batch: &Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index: 0, records: Some(Records::from(batch.clone())) };
    ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        }],
    }
}

/// Reads the topic from its start again and again, over crashes.
pub(super) async fn read(run: Rc<Run>, keyed: Rc<Keyed>) {
    while !run.ending.get() {
        let client = run.client().await;
        let (before, begun) = (keyed.acknowledged.borrow().clone(), run.exec.now());
        if let Some(found) = pass(&run, &client).await
            && run.exec.now().saturating_sub(begun) + Duration::from_millis(2) < keyed.delete_retention
        {
            keyed.check(&before, &found);
        }
        run.exec.sleep(run.exec.micros(0, 8_000)).await;
    }
}

/// One way through the log; `None` if the connection ended. Nothing but holes lies between what it brings.
async fn pass(run: &Run, client: &Client) -> Option<Vec<Record>> {
    let (mut position, mut found) = (0, Vec::new());
    loop {
        let data = run.fetch_from(client, TOPIC, 0, position).await?;
        assert!(matches!(data.error_code, 0 | 3 | 6 | 56), "fetch at {position}: error {}", data.error_code);
        let whole = data.records.as_ref().map(|records| records.0.concat()).unwrap_or_default();
        let begin = position;
        for (at, meta) in walk(&whole) {
            let batch = &whole[at..at + meta.bytes];
            assert!(meta.crc_fits(batch), "a batch is whole");
            assert!(meta.base_offset >= position || position == begin, "batches follow each other");
            let inside = records(batch).expect("a batch that can be read").into_iter();
            found.extend(inside.filter(|record| record.offset >= begin));
            position = position.max(meta.last_offset() + 1);
        }
        if data.error_code == 0 && position >= data.high_watermark {
            return Some(found);
        }
        if data.error_code != 0 || position == begin {
            run.exec.sleep(run.exec.micros(100, 1000)).await;
        }
    }
}

fn written(record: &Record) -> (Key, Option<u64>) {
    let key = key_of(record.key.as_deref().expect("every record has a key"));
    (key, record.value.as_ref().map(|value| u64::from_be_bytes(*value.first_chunk().expect("a number"))))
}

impl Keyed {
    /// Whoever read `found` knows the latest of everything that was acknowledged before.
    fn check(&self, before: &BTreeMap<Key, Written>, found: &[Record]) {
        let mut state: BTreeMap<Key, Option<u64>> = BTreeMap::new();
        for record in found {
            let (key, number) = written(record);
            state.insert(key, number);
        }
        let sent = self.sent.borrow();
        for (key, (number, has_value)) in before {
            let later: Vec<&Written> = sent[key].iter().filter(|(other, _)| other >= number).collect();
            let ok = match state.get(key) {
                Some(Some(seen)) => later.contains(&&(*seen, true)),
                Some(None) | None => later.iter().any(|(_, has_value)| !has_value),
            };
            assert!(ok, "{key:?}: {number} ({has_value}) was acknowledged, and {:?} is read", state.get(key));
            let patient = self.delete_retention > PATIENCE;
            assert!(!patient || state.contains_key(key), "{key:?}: its tombstone is gone before its time");
        }
    }

    /// What is at an offset is what was sent there.
    fn check_offsets(&self, found: &[Record]) {
        let offsets = self.offsets.borrow();
        for record in found {
            let (key, number) = written(record);
            let (expected, (sent, has_value)) = offsets[&record.offset];
            assert_eq!((key, number), (expected, has_value.then_some(sent)), "at offset {}", record.offset);
        }
    }
}

/// Judges the topic in the end: nothing is lost, and compaction gets on until each key is there once.
pub(super) async fn judge(run: &Rc<Run>, keyed: &Rc<Keyed>) {
    let before = keyed.acknowledged.borrow().clone();
    let client = run.client().await;
    let found = pass(run, &client).await.expect("nothing crashes any more");
    keyed.check_offsets(&found);
    if keyed.delete_retention > PATIENCE {
        keyed.check(&before, &found);
    }
    let writer = || Writer {
        run: run.clone(),
        keyed: keyed.clone(),
        id: u32::MAX,
        keys: 1,
        filling: 1,
        identity: None,
        sequence: 0,
        next: 0,
    };
    // Closes the segment that what was written last is in.
    run.exec.sleep(Duration::from_millis(20)).await;
    writer().send(1).await;
    let begun = run.exec.now();
    loop {
        let found = pass(run, &client).await.expect("nothing crashes any more");
        let mut keys: Vec<Key> = found.iter().map(|record| written(record).0).collect();
        keys.sort_unstable();
        let twice: Vec<Key> = keys.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        if twice.is_empty() {
            return keyed.check_offsets(&found);
        }
        let waited = run.exec.now().saturating_sub(begun);
        assert!(waited < PATIENCE, "compaction doesn't get on: {twice:?} are there twice after {waited:?}");
        run.exec.sleep(Duration::from_millis(50)).await;
    }
}

/// Writes before there is any compaction, ends the process at an operation of the disk once a round has begun, and
/// judges.
pub async fn crash_in_round(run: Rc<Run>, operation: u64, how: End) {
    run.node.start().await;
    let (keyed, settings) = settings(&run);
    admin::create_with(&run, TOPIC, 1, &settings).await;
    let keyed = Rc::new(keyed);
    for id in 0..2 {
        run.spawn(write(run.clone(), keyed.clone(), id));
    }
    run.exec.sleep(Duration::from_millis(80)).await;
    run.finish().await;
    run.node.end_at(operation, Duration::from_secs(2), how).await;
    run.node.start().await;
    judge(&run, &keyed).await;
}
