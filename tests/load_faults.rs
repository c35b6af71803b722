//! The load generator against brokers that are told to fail: a small cluster in this process that loses, repeats, swaps
//! and damages what it has acknowledged, moves leaders, throttles, hangs up, and speaks old versions only.
#![expect(clippy::disallowed_types, reason = "the cluster is made of plain threads and sockets")]
#![expect(clippy::disallowed_methods, reason = "the test starts a program and reads what it has written")]

use bytes::Bytes;
use ringlog::load::client::{Api, api};
use ringlog::load::report::{Exit, Outcome};
use ringlog::wire::batch::{BatchMeta, restamp};
use ringlog::wire::generated::api_versions_response::ApiVersion;
use ringlog::wire::generated::fetch_response::{FetchableTopicResponse, PartitionData};
use ringlog::wire::generated::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use ringlog::wire::generated::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ringlog::wire::generated::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use ringlog::wire::generated::{
    ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataResponse, ProduceRequest, ProduceResponse,
};
use ringlog::wire::{Decode, Encode, Reader, Records, Writer};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const TOPIC: &str = "t";
const NOT_LEADER: i16 = 6;
const UNSUPPORTED_VERSION: i16 = 35;
const MESSAGE_TOO_LARGE: i16 = 10;

/// What the cluster does wrong. Numbers count batches from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Acknowledges it and forgets it.
    Lose(usize),
    /// Keeps it twice.
    Repeat(usize),
    /// Keeps it behind its successor.
    Swap(usize),
    /// Flips a bit on the disk.
    Damage(usize),
    /// Flips a bit before the batch's CRC is made.
    DamageEarly(usize),
    /// Moves the leader after so many batches, again and again.
    Move(usize),
    /// Hangs up after having stored every so-many-th batch, without an answer.
    HangUp(usize),
    /// Refuses it for good.
    Refuse(usize),
    /// Wants to be left alone for so many ms after each request.
    Throttle(i32),
}

/// One partition's log, and who leads it.
struct State {
    fault: Fault,
    leader: i32,
    ports: [u16; 2],
    /// Newest version of each API.
    newest: fn(Api) -> i16,
    batches: Vec<(i64, Vec<u8>)>,
    held: Option<Vec<u8>>,
    seen: usize,
    next: i64,
    versions: Vec<(i16, i16)>,
}

impl State {
    fn append(&mut self, batch: &[u8]) {
        let count = i64::from(BatchMeta::read(batch).expect("a batch").count);
        self.batches.push((self.next, batch.to_vec()));
        self.next += count;
    }

    /// Takes a batch; its offset, or an error, or nothing at all.
    fn produce(&mut self, batch: &[u8]) -> Option<(i16, i64)> {
        let (nth, base) = (self.seen, self.next);
        self.seen += 1;
        let mut batch = batch.to_vec();
        match self.fault {
            Fault::Lose(at) if at == nth => return Some((0, base)),
            Fault::Refuse(at) if at == nth => return Some((MESSAGE_TOO_LARGE, -1)),
            Fault::Repeat(at) if at == nth => self.append(&batch),
            Fault::Swap(at) if at == nth => {
                self.held = Some(batch);
                return Some((0, base));
            }
            Fault::Damage(at) if at == nth => *batch.last_mut().expect("bytes") ^= 0x40,
            Fault::DamageEarly(at) if at == nth => {
                let middle = batch.len() - 40;
                batch[middle] ^= 1;
                restamp(&mut batch, (-1, -1, -1));
            }
            Fault::Move(every) if nth % every == every - 1 => self.leader = 1 - self.leader,
            Fault::HangUp(every) if nth % every == every - 1 => {
                self.append(&batch);
                return None;
            }
            _ => {}
        }
        self.append(&batch);
        if let Some(held) = self.held.take() {
            self.append(&held);
        }
        Some((0, base))
    }

    fn fetch(&self, from: i64) -> Vec<u8> {
        let mut found = Vec::new();
        for (base, batch) in &self.batches {
            let count = i64::from(BatchMeta::read(batch).expect("a batch").count);
            if base + count > from && found.len() < 200_000 {
                let at = found.len();
                found.extend_from_slice(batch);
                found[at..at + 8].copy_from_slice(&base.to_be_bytes());
            }
        }
        found
    }
}

/// Two brokers of one partition.
struct Cluster {
    state: Arc<Mutex<State>>,
    address: String,
}

impl Cluster {
    fn start(fault: Fault, newest: fn(Api) -> i16) -> Cluster {
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports =
            [&listeners[0], &listeners[1]].map(|listener| listener.local_addr().expect("a port").port());
        let state = Arc::new(Mutex::new(State {
            fault,
            leader: 0,
            ports,
            newest,
            batches: Vec::new(),
            held: None,
            seen: 0,
            next: 0,
            versions: Vec::new(),
        }));
        for (node, listener) in (0..).zip(listeners) {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    std::thread::spawn(move || serve(stream, node, &state));
                }
            });
        }
        Cluster { state, address: format!("127.0.0.1:{}", ports[0]) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody has panicked")
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Outcome {
        let out = std::env::temp_dir().join(format!("ringlog-load-faults-{}-{name}", std::process::id()));
        let out = out.to_string_lossy().into_owned();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog-load"));
        command.args([
            "produce",
            "--bootstrap",
            &self.address,
            "--topic",
            TOPIC,
            "--out",
            &out,
            "--allow-saturated",
        ]);
        command.args(["--size", "100", "--records", "600", "--batch", "2KiB"]);
        let ran = command.args(arguments).output().expect("the load generator starts");
        let outcome = Outcome::read(&format!("{out}.json"));
        let outcome =
            outcome.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stderr)));
        for ending in ["json", "html", "hlog", "service.hgrm", "ack.hgrm", "delay.hgrm", "lag.hgrm"] {
            let _ = std::fs::remove_file(format!("{out}.{ending}"));
        }
        assert_eq!(ran.status.code(), Some(outcome.exit as i32), "{}", String::from_utf8_lossy(&ran.stderr));
        outcome
    }
}

/// What real clusters speak today, as far as it is spoken here.
fn today(what: Api) -> i16 {
    what.max
}

/// About Kafka 2.1: nothing is flexible, and ApiVersions 3 isn't known.
fn old(what: Api) -> i16 {
    match what {
        api::PRODUCE => 7,
        api::FETCH => 10,
        api::LIST_OFFSETS => 4,
        api::METADATA => 7,
        api::API_VERSIONS => 2,
        api::INIT_PRODUCER_ID => 1,
        other => other.max,
    }
}

const SPOKEN: [Api; 6] =
    [api::PRODUCE, api::FETCH, api::LIST_OFFSETS, api::METADATA, api::API_VERSIONS, api::INIT_PRODUCER_ID];

fn serve(mut stream: TcpStream, node: i32, state: &Mutex<State>) {
    let _ = stream.set_nodelay(true);
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut frame).is_err() {
            return;
        }
        let mut reader = Reader::new(Bytes::from(frame));
        let (key, version) = (reader.i16().expect("a key"), reader.i16().expect("a version"));
        let correlation = reader.i32().expect("a correlation id");
        reader.nullable_string(false).expect("a client id");
        let what = SPOKEN.into_iter().find(|what| what.key == key).expect("an API that was advertised");
        if what.is_flexible(version) {
            reader.skip_tagged_fields().expect("tags");
        }
        let mut writer = Writer::new();
        writer.i32(0);
        writer.i32(correlation);
        if what.is_flexible(version) && what != api::API_VERSIONS {
            writer.no_tagged_fields();
        }
        if !answer((what, version), &mut reader, &mut writer, (node, state)) {
            return;
        }
        let bytes = writer.into_frame().concat();
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Writes the answer; false to hang up.
#[expect(clippy::too_many_lines, reason = "an arm an API")]
fn answer(
    (what, version): (Api, i16),
    reader: &mut Reader,
    writer: &mut Writer,
    (node, state): (i32, &Mutex<State>),
) -> bool {
    let mut state = state.lock().expect("nobody has panicked");
    state.versions.push((what.key, version));
    let leads = state.leader == node;
    match what {
        api::API_VERSIONS => {
            let known = version <= (state.newest)(what);
            let keys = SPOKEN.iter().map(|what| ApiVersion {
                api_key: what.key,
                min_version: what.min,
                max_version: (state.newest)(*what),
            });
            let answer = ApiVersionsResponse {
                error_code: if known { 0 } else { UNSUPPORTED_VERSION },
                api_keys: keys.collect(),
                ..ApiVersionsResponse::default()
            };
            answer.encode(writer, if known { version } else { 0 }).expect("versions");
        }
        api::METADATA => metadata(&state).encode(writer, version).expect("metadata"),
        api::INIT_PRODUCER_ID => {
            let answer = InitProducerIdResponse { producer_id: 7, ..InitProducerIdResponse::default() };
            answer.encode(writer, version).expect("an id");
        }
        api::LIST_OFFSETS => {
            let request = ListOffsetsRequest::decode(reader, version).expect("a request");
            let first = request.topics[0].partitions[0].timestamp == -2;
            let partition = ListOffsetsPartitionResponse {
                offset: if first { 0 } else { state.next },
                ..ListOffsetsPartitionResponse::default()
            };
            let topic = ListOffsetsTopicResponse { name: TOPIC.into(), partitions: vec![partition] };
            let answer = ListOffsetsResponse { topics: vec![topic], ..ListOffsetsResponse::default() };
            answer.encode(writer, version).expect("offsets");
        }
        api::PRODUCE => {
            let request = ProduceRequest::decode(reader, version).expect("a request");
            let records =
                request.topic_data[0].partition_data[0].records.clone().expect("records").0.concat();
            let told = if leads { state.produce(&records) } else { Some((NOT_LEADER, -1)) };
            let Some((error_code, base_offset)) = told else { return false };
            let partition =
                PartitionProduceResponse { error_code, base_offset, ..PartitionProduceResponse::default() };
            let topic = TopicProduceResponse {
                name: TOPIC.into(),
                partition_responses: vec![partition],
                ..TopicProduceResponse::default()
            };
            let throttle_time_ms = if let Fault::Throttle(ms) = state.fault { ms } else { 0 };
            let answer =
                ProduceResponse { responses: vec![topic], throttle_time_ms, ..ProduceResponse::default() };
            answer.encode(writer, version).expect("an answer");
        }
        _ => {
            let request = FetchRequest::decode(reader, version).expect("a request");
            let from = request.topics[0].partitions[0].fetch_offset;
            let found = if leads { state.fetch(from) } else { Vec::new() };
            let (next, empty) = (state.next, found.is_empty());
            drop(state);
            if empty {
                std::thread::sleep(Duration::from_millis(5));
            }
            let partition = PartitionData {
                error_code: if leads { 0 } else { NOT_LEADER },
                high_watermark: next,
                records: Some(Records(vec![found.into()])),
                ..PartitionData::default()
            };
            let topic = FetchableTopicResponse {
                topic: TOPIC.into(),
                partitions: vec![partition],
                ..Default::default()
            };
            let answer = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
            answer.encode(writer, version).expect("records");
        }
    }
    true
}

fn metadata(state: &State) -> MetadataResponse {
    let broker = |(node_id, port): (i32, u16)| MetadataResponseBroker {
        node_id,
        host: "127.0.0.1".into(),
        port: i32::from(port),
        ..MetadataResponseBroker::default()
    };
    let partition =
        MetadataResponsePartition { leader_id: state.leader, ..MetadataResponsePartition::default() };
    let topic = MetadataResponseTopic {
        name: Some(TOPIC.into()),
        partitions: vec![partition],
        ..MetadataResponseTopic::default()
    };
    MetadataResponse {
        brokers: (0..).zip(state.ports).map(broker).collect(),
        topics: vec![topic],
        ..MetadataResponse::default()
    }
}

#[test]
fn a_broker_that_keeps_its_word_is_believed() {
    for (name, newest) in [("today", today as fn(Api) -> i16), ("old", old)] {
        let cluster = Cluster::start(Fault::None, newest);
        let outcome = cluster.run(name, &["--verify"]);
        assert_eq!(outcome.exit, Exit::Good, "{name}: {:?}", outcome.verification);
        let state = cluster.state();
        for what in SPOKEN {
            let newest_used =
                state.versions.iter().filter(|(key, _)| *key == what.key).map(|(_, version)| *version).max();
            let expected = if what == api::API_VERSIONS { what.max } else { newest(what).min(what.max) };
            assert_eq!(newest_used, Some(expected), "{name}: {}", what.name);
        }
    }
}

#[test]
fn loss_repetition_disorder_and_damage_are_found() {
    for (fault, found) in [
        (Fault::Lose(4), "lost"),
        (Fault::Repeat(4), "duplicates"),
        (Fault::Swap(4), "reordered"),
        (Fault::Damage(4), "corrupt"),
        (Fault::DamageEarly(4), "corrupt"),
    ] {
        let cluster = Cluster::start(fault, today);
        let outcome = cluster.run(&format!("{fault:?}"), &["--verify", "--in-flight", "1"]);
        assert_eq!(outcome.exit, Exit::Broken, "{fault:?}: {:?}", outcome.verification);
        let verification = outcome.verification.expect("it was verified");
        let counts = [
            ("lost", verification.lost),
            ("duplicates", verification.duplicates),
            ("reordered", verification.reordered),
            ("corrupt", verification.corrupt),
        ];
        for (name, count) in counts {
            // What is damaged isn't there as it was sent: it is lost as well.
            let may = name == found || name == "lost" && found == "corrupt";
            assert_eq!(count > 0, may, "{fault:?}: {name} {count}");
        }
        assert!(!verification.examples.is_empty(), "{fault:?}");
    }
}

#[test]
fn a_leader_that_moves_is_followed() {
    let cluster = Cluster::start(Fault::Move(6), today);
    let outcome = cluster.run("move", &["--verify"]);
    let phase = outcome.judged().next().expect("one phase");
    assert_eq!((outcome.exit, phase.acked.records), (Exit::Good, 600), "{:?}", outcome.verification);
    assert!(
        phase.errors["NOT_LEADER_OR_FOLLOWER"] > 0 && phase.retries > 0 && phase.given_up == 0,
        "{:?}",
        phase.errors
    );
}

#[test]
fn an_answer_that_never_came_is_asked_for_again() {
    // The cluster doesn't look at sequence numbers, so what is sent again is there twice: which is found.
    let cluster = Cluster::start(Fault::HangUp(9), today);
    let outcome = cluster.run("hang-up", &["--verify", "--in-flight", "1"]);
    let phase = outcome.judged().next().expect("one phase");
    assert!(phase.disconnects > 0 && phase.retries > 0 && phase.acked.records == 600, "{phase:?}");
    let verification = outcome.verification.expect("it was verified");
    assert!(verification.lost == 0 && verification.duplicates > 0, "{verification:?}");
}

#[test]
fn what_is_refused_is_given_up_and_isnt_called_lost() {
    let cluster = Cluster::start(Fault::Refuse(3), today);
    let outcome = cluster.run("refuse", &["--verify", "--in-flight", "1"]);
    let phase = outcome.judged().next().expect("one phase");
    assert_eq!((phase.given_up + phase.acked.records, phase.errors["MESSAGE_TOO_LARGE"]), (600, 1));
    let verification = outcome.verification.as_ref().expect("it was verified");
    assert!(verification.good && verification.received == phase.acked.records, "{verification:?}");
}

#[test]
fn throttling_is_obeyed() {
    let cluster = Cluster::start(Fault::Throttle(20), today);
    let outcome = cluster.run("throttle", &["--in-flight", "1"]);
    let phase = outcome.judged().next().expect("one phase");
    assert_eq!(phase.throttled_ms, 20 * phase.acked.requests);
    // A request that waits is late by the broker's wish: as many pauses as there are requests, but one.
    assert!(phase.seconds * 1000.0 >= 20.0 * (phase.acked.requests - 1) as f64, "{}", phase.seconds);
}
