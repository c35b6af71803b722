//! What each target starts from: the golden frames, and what the broker itself writes.

use bytes::Bytes;
use ringlog::base::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionIndex, ProducerEpoch, ProducerId, ShardId, TopicId,
    TopicPartition,
};
use ringlog::cluster::{BrokerEntry, Command, Outcome, PartitionEntry, Record};
use ringlog::conf::{PROFILES, sample};
use ringlog::log::checkpoint::Checkpoint;
use ringlog::log::segment::{Compacted, SegmentHeader, SegmentName};
use ringlog::peer::{
    Followed, Hello, Kind, NotActing, Proposed, ReplicaData, ReplicaFetch, ReplicaFetched, ReplicaRead,
    Reply, Request, Welcome, write_reply, write_request,
};
use ringlog::quorum::{
    Committed, Effects, Input, Members, Quorum, QuorumConf, Recovered, Snapshot, written as frame,
};
use ringlog::wire::Writer;
use ringlog::wire::batch::{BatchBuilder, BatchMeta, Codec};
use ringlog::wire::compress::compress;
use ringlog::wire::generated::SCHEMAS;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// The seeds of a target. `golden` is the folder of the golden frames.
///
/// # Panics
/// There is no such target, or the folder can't be read.
pub fn seeds(target: &str, golden: &Path) -> Vec<Vec<u8>> {
    match target {
        "request" => frames(golden, "-req.hex").into_iter().map(|(_, frame)| frame).collect(),
        "response" => frames(golden, "-res.hex").into_iter().map(chosen).collect(),
        "batch" => CODECS.iter().map(|codec| batch(*codec, 0).to_vec()).chain([extreme()]).collect(),
        "decompress_gzip" => packed(Codec::Gzip),
        "decompress_snappy" => packed(Codec::Snappy),
        "decompress_lz4" => packed(Codec::Lz4),
        "decompress_zstd" => packed(Codec::Zstd),
        "peer" => peers(),
        "scan" => vec![
            (0..3).flat_map(|nth| batch(Codec::None, nth * 3).to_vec()).collect(),
            extreme(),
            vec![0; 100],
        ],
        "segment_header" => vec![
            segment(None).encode()[..96].to_vec(),
            segment(Some(compacted())).encode()[..96].to_vec(),
            SegmentName::plain(1234).file_name().into_bytes(),
            SegmentName { base_offset: 1234, next_offset: Some(5678) }.file_name().into_bytes(),
        ],
        "checkpoint" => vec![unpadded(&checkpoint())],
        "journal" => {
            let whole = frame(&log(), NodeId(1));
            let body =
                usize::try_from(u32::from_be_bytes(*whole.first_chunk().expect("a length"))).expect("small");
            vec![whole[12..12 + body].to_vec(), whole.to_vec()]
        }
        "quorum_message" => messages(),
        "record" => metadata().iter().map(|record| written(std::slice::from_ref(record), false)).collect(),
        "config" => {
            let profiles = PROFILES.iter().map(|(_, text)| text.as_bytes().to_vec());
            profiles.chain([sample().into_bytes(), b"[num]\npartitions = 3\n".to_vec()]).collect()
        }
        other => panic!("no target is called {other}"),
    }
}

/// Frames between nodes, each with the byte before it that says what it is.
fn peers() -> Vec<Vec<u8>> {
    let topic = TopicPartition { topic: TopicId([7; 16]), partition: PartitionIndex(3) };
    let read = ReplicaRead {
        partition: topic,
        leader_epoch: LeaderEpoch(3),
        offset: 100,
        flushed: 90,
        last_epoch: LeaderEpoch(2),
        log_start: 5,
        high_watermark: 80,
        max_bytes: 1 << 20,
    };
    let fetch = ReplicaFetch {
        replica: NodeId(2),
        shard: ShardId(0),
        pace: 0,
        broker_epoch: BrokerEpoch(7),
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1 << 20,
        partitions: vec![read, read],
    };
    let data = ReplicaData {
        partition: topic,
        error: ErrorCode::None,
        high_watermark: 95,
        log_start: 4,
        diverging: Some((LeaderEpoch(2), 80)),
        records: vec![batch(Codec::None, 95)],
    };
    let followed = Followed {
        snapshot: Some((7, Bytes::from_static(b"state"))),
        entries: vec![(8, Bytes::from_static(b"entry"))],
        committed: 8,
    };
    let proposed = Proposed { outcomes: vec![Outcome::ProducerIds { first: 0, count: 9 }], index: 4 };
    let requests = [
        Request::Hello(Hello { cluster_id: "id".into(), from: NodeId(1), to: NodeId(2) }),
        Request::Raft { from: NodeId(1), messages: vec![Bytes::from_static(b"vote")] },
        Request::Propose { commands: vec![Command::AllocateProducerIds { count: 1000 }] },
        Request::Follow { broker: NodeId(2), from: 4, wait_ms: 1000 },
        Request::Fetch(fetch),
    ];
    let replies = [
        Reply::Hello(Welcome::No("why".into())),
        Reply::Propose(Ok(proposed)),
        Reply::Follow(Ok(followed)),
        Reply::Heartbeat(Err(NotActing { leader: Some(NodeId(3)) })),
        Reply::Fetch(ReplicaFetched { partitions: vec![data] }),
    ];
    let frame = |choice: u8, pieces: Vec<Bytes>| [&[choice], &pieces.concat()[4..]].concat();
    let place = |reply: &Reply| Kind::ALL.iter().position(|kind| *kind == reply.kind()).expect("a kind");
    let answers = replies.iter().map(|reply| {
        let choice = u8::try_from(1 + place(reply)).expect("few");
        frame(choice, write_reply(reply, 5))
    });
    requests.iter().map(|request| frame(0, write_request(request, 5))).chain(answers).collect()
}

/// Every golden frame of one kind, with its API and version.
fn frames(golden: &Path, ending: &str) -> Vec<((i16, i16), Vec<u8>)> {
    let paths = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("the folder of golden frames");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    };
    let mut found = Vec::new();
    for path in paths(golden).iter().flat_map(|client| paths(client)) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8");
        let Some(stem) = name.strip_suffix(ending) else { continue };
        let (key, version) = stem.split_once('-').expect("KEY-VERSION");
        let text = fs::read_to_string(&path).expect("a golden frame");
        let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let frame = digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte"));
        found.push(((key.parse().expect("a key"), version.parse().expect("a version")), frame.collect()));
    }
    found
}

/// A response with the two bytes before it that say what it is.
fn chosen(((key, version), frame): ((i16, i16), Vec<u8>)) -> Vec<u8> {
    let index = SCHEMAS.iter().position(|schema| schema.key == key).expect("a key of the schemas");
    let version = version - SCHEMAS[index].min;
    let mut bytes = vec![u8::try_from(index).expect("small"), u8::try_from(version).expect("small")];
    bytes.extend(frame);
    bytes
}

fn batch(codec: Codec, base: i64) -> Bytes {
    let builder = BatchBuilder::new(codec, 1000).producer(7, 0, 3);
    let builder = builder.record(1000, None, Some(b"first")).record(1005, Some(b"key"), None);
    builder.record(990, Some(b"k"), Some(&[b'x'; 40])).build_at(base, LeaderEpoch(2))
}

/// A batch whose sums go beyond their type: the largest offset, the largest timestamp, and records after them.
fn extreme() -> Vec<u8> {
    let mut bytes = batch(Codec::None, i64::MAX).to_vec();
    bytes[27..35].copy_from_slice(&i64::MAX.to_be_bytes());
    bytes
}

fn packed(codec: Codec) -> Vec<Vec<u8>> {
    let texts = [Vec::new(), b"a short text".to_vec(), b"0123456789".repeat(200)];
    let mut found: Vec<Vec<u8>> = texts.iter().map(|text| compress(codec, text)).collect();
    if codec == Codec::Snappy {
        // Raw, as some clients send it: "abcd", then eight more of the same.
        found.push(b"\x0c\x0cabcd\x11\x04".to_vec());
    }
    found
}

fn compacted() -> Compacted {
    Compacted { next_offset: 90, read_end: 80, end: 5000, largest_timestamp: 7 }
}

fn segment(compacted: Option<Compacted>) -> SegmentHeader {
    let partition = TopicPartition { topic: TopicId([7; 16]), partition: PartitionIndex(3) };
    SegmentHeader { partition, base_offset: 42, created_ms: 1, holes: false, compacted }
}

fn checkpoint() -> Vec<u8> {
    let mut checkpoint = Checkpoint { log_start: 3, durable: 9, ..Checkpoint::default() };
    checkpoint.epochs.assign(LeaderEpoch(1), 3);
    let meta = BatchMeta::read(&batch(Codec::None, 0)).expect("a batch of ours");
    checkpoint.producers.apply(&meta, 3, 1000);
    checkpoint.producers.apply(
        &BatchMeta { producer_id: ProducerId(9), producer_epoch: ProducerEpoch(1), ..meta },
        6,
        1000,
    );
    checkpoint.encode()
}

/// A checkpoint without the zeros after it.
fn unpadded(file: &[u8]) -> Vec<u8> {
    let length = u32::from_be_bytes(file[8..12].try_into().expect("four bytes"));
    file[..16 + length as usize].to_vec()
}

fn log() -> Recovered {
    let entry = |index, data: Vec<u8>| Committed { index, term: 2, data: data.into(), members: None };
    Recovered {
        members: three(),
        term: 3,
        vote: Some(NodeId(2)),
        commit: 8,
        snapshot: Some(Snapshot { index: 7, term: 1, data: Bytes::from_static(b"state"), members: three() }),
        entries: vec![entry(8, written(&metadata(), true)), entry(9, Vec::new())],
        ..Recovered::default()
    }
}

fn three() -> Members {
    Members::first((1..=3).map(|id| (NodeId(id), format!("node:{id}").into())))
}

/// What two of three voters say to each other until one of them leads.
fn messages() -> Vec<Vec<u8>> {
    let voter = |id| {
        let conf = QuorumConf {
            id: NodeId(id),
            members: three(),
            election_ticks: 2,
            heartbeat_ticks: 1,
            join_ticks: 60,
            seed: 1,
        };
        Quorum::new(conf, Recovered::default())
    };
    let mut voters = [voter(1), voter(2)];
    let mut said = vec![vec![1, 0]];
    let mut inputs: Vec<(usize, Input)> = vec![(0, Input::Start), (1, Input::Start)];
    inputs.extend((0..8).map(|_| (0, Input::Tick)));
    inputs.reverse();
    while let Some((nth, input)) = inputs.pop() {
        let mut out = Effects::default();
        voters[nth].step(input, &mut out);
        for (to, bytes) in out.send {
            said.push(bytes.to_vec());
            let from = NodeId(if nth == 0 { 1 } else { 2 });
            let nth = usize::try_from(to.0 - 1).expect("a voter");
            inputs.extend((nth < 2).then_some((nth, Input::Message { from, bytes })));
        }
        inputs.extend(out.write.map(|write| (nth, Input::Persisted { number: write.number, anew: false })));
    }
    said
}

fn metadata() -> Vec<Record> {
    let configs = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
    let (topic, leader, leader_epoch) = (TopicId([3; 16]), NodeId(1), LeaderEpoch(4));
    let others = vec![NodeId(2)];
    let entry = PartitionEntry {
        leader_epoch,
        elr: others.clone(),
        adding: others,
        ..PartitionEntry::new(vec![leader, NodeId(2)], vec![leader])
    };
    let broker = BrokerEntry {
        epoch: BrokerEpoch(7),
        incarnation: [1; 16],
        host: "host".into(),
        port: 9092,
        peer: "host:9192".into(),
        rack: Some("rack".into()),
        shards: 2,
        fenced: false,
        shutting_down: false,
        resumed: Some(BrokerEpoch(3)),
    };
    let partition = PartitionIndex(0);
    vec![
        Record::Broker { id: leader, entry: broker },
        Record::BrokerState { id: leader, fenced: true, shutting_down: false },
        Record::RemoveBroker { id: leader },
        Record::PartitionChange { topic, partition, entry: entry.clone() },
        Record::Topic { id: topic, name: "topic".into(), configs: configs.clone() },
        Record::Partition { topic, entry },
        Record::Leader { topic, partition, leader, epoch: LeaderEpoch(5) },
        Record::TopicConfigs { topic, configs: configs.clone() },
        Record::BrokerConfigs { configs },
        Record::RemoveTopic { topic },
        Record::ProducerIds { next: 1000 },
    ]
}

fn written(records: &[Record], counted: bool) -> Vec<u8> {
    let mut writer = Writer::new();
    if counted {
        writer.array_len(Some(records.len()), true);
    }
    records.iter().for_each(|record| record.encode(&mut writer));
    writer.into_pieces().concat()
}
