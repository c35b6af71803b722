//! Compaction by the real binary, on real files: a client produces keys, changes the topic's settings, and reads;
//! groups commit until their topic is compacted, and are still there after a kill.

mod broker;

use broker::client::Client;
use broker::{Broker, Launch, Scratch, wait_for};
use bytes::Bytes;
use ringlog::base::ErrorCode;
use ringlog::wire::batch::{BatchBuilder, Codec, Record, records, walk};
use ringlog::wire::generated::find_coordinator_response::FindCoordinatorResponse;
use ringlog::wire::generated::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use ringlog::wire::generated::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog::wire::generated::offset_fetch_request::OffsetFetchRequestTopic;
use ringlog::wire::generated::{
    FindCoordinatorRequest, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use std::collections::BTreeMap;

const FIND_COORDINATOR: (i16, i16) = (10, 3);
const OFFSET_COMMIT: (i16, i16) = (8, 8);
const OFFSET_FETCH: (i16, i16) = (9, 7);
const ALTER: (i16, i16) = (44, 1);
const OFFSETS: &str = "__consumer_offsets";

fn launch(scratch: &Scratch) -> Launch {
    Launch::new(scratch)
        .shards(2)
        .set("log.cleaner.backoff.ms", 50)
        .set("offsets.topic.num.partitions", 1)
        .set("offsets.topic.segment.bytes", 1 << 20)
}

/// Everything in a partition, and where it ends.
fn read_all(client: &mut Client, topic: &str) -> (Vec<Record>, i64) {
    let (mut position, mut found) = (0, Vec::new());
    loop {
        let read = client.fetch(topic, 0, position).expect("an answer");
        assert_eq!(read.error, ErrorCode::None);
        for (at, meta) in walk(&read.records) {
            let batch = &read.records[at..at + meta.bytes];
            assert!(
                meta.crc_fits(batch) && meta.last_offset() >= position,
                "a whole batch that is asked for"
            );
            found
                .extend(records(batch).expect("it can be read").into_iter().filter(|r| r.offset >= position));
            position = meta.last_offset() + 1;
        }
        if position >= read.high_watermark {
            return (found, position);
        }
        assert!(!read.records.is_empty(), "a reader gets on at {position}");
    }
}

fn keyed(codec: Codec, round: u32, keys: u32, filling: usize) -> Bytes {
    let now = broker::client::now_ms();
    let value = |key: u32| [&round.to_be_bytes()[..], &key.to_be_bytes(), &vec![7; filling]].concat();
    let builder = BatchBuilder::new(codec, now);
    (0..keys)
        .fold(builder, |builder, key| builder.record(now, Some(&key.to_be_bytes()), Some(&value(key))))
        .build()
}

fn produce(client: &mut Client, topic: &str, batch: Bytes) -> i64 {
    let (error, offset) = client.produce(topic, 0, batch).expect("an answer");
    assert_eq!(error, ErrorCode::None);
    offset
}

fn alter(client: &mut Client, topic: &str, name: &str, value: &str) {
    let config = AlterableConfig { name: name.into(), config_operation: 0, value: Some(value.into()) };
    let resource =
        AlterConfigsResource { resource_type: 2, resource_name: topic.into(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer: IncrementalAlterConfigsResponse = client.call(ALTER, &request).expect("an answer");
    assert_eq!(answer.responses[0].error_code, 0, "{:?}", answer.responses[0].error_message);
}

/// Waits until each key is in a topic once, but for what the last batch has.
fn wait_for_one_each(client: &mut Client, topic: &str) -> Vec<Record> {
    wait_for("compaction", || {
        let (found, _) = read_all(client, topic);
        let mut keys: Vec<_> = found.iter().filter_map(|record| record.key.clone()).collect();
        keys.sort_unstable();
        keys.windows(2).all(|pair| pair[0] != pair[1]).then_some(found)
    })
}

#[test]
fn a_topic_that_becomes_compacted_keeps_each_keys_last_record() {
    let scratch = Scratch::new("compaction");
    let broker = launch(&scratch).start();
    let mut client = broker.client();
    let settings = [("segment.bytes", "1048576"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0.0")];
    client.create_topic("keys", 1, &settings);
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    for round in 0..60 {
        produce(&mut client, "keys", keyed(codecs[round as usize % 5], round, 100, 1000));
    }
    let tombstone = BatchBuilder::new(Codec::None, 0).record(-1, Some(&5_u32.to_be_bytes()), None).build();
    produce(&mut client, "keys", tombstone);
    assert_eq!(read_all(&mut client, "keys").0.len(), 6001, "nothing is compacted before it is asked for");

    alter(&mut client, "keys", "cleanup.policy", "compact");
    let nameless = BatchBuilder::new(Codec::Zstd, 0).record(-1, None, Some(b"x")).build();
    assert_eq!(client.produce("keys", 0, nameless).expect("an answer").0, ErrorCode::InvalidRecord);
    // Closes the segment of what came before.
    let closing = BatchBuilder::new(Codec::None, 0).record(-1, Some(&100_u32.to_be_bytes()), Some(b"last"));
    let last = produce(&mut client, "keys", closing.build());
    let found = wait_for_one_each(&mut client, "keys");
    let check = |found: &[Record]| {
        let by_key: BTreeMap<u32, &Record> = found
            .iter()
            .map(|record| (u32::from_be_bytes(*record.key.as_ref().unwrap().first_chunk().unwrap()), record))
            .collect();
        assert_eq!(by_key.len(), 101);
        for (key, record) in by_key {
            let (offset, value) = match key {
                5 => (6000, None),
                100 => (last, Some(&b"last"[..])),
                _ => (59 * 100 + i64::from(key), Some(&[0, 0, 0, 59][..])),
            };
            assert_eq!(record.offset, offset, "{key}");
            assert_eq!(record.value.as_ref().map(|value| &value[..4]), value, "{key}");
        }
    };
    check(&found);
    assert_eq!(client.list_offset("keys", 0, -2).unwrap(), (ErrorCode::None, 0), "the log's start stays");
    assert_eq!(client.list_offset("keys", 0, -1).unwrap(), (ErrorCode::None, last + 1));
    assert_eq!(client.list_offset("keys", 0, 0).unwrap().1, found[0].offset, "the first that is left");
    for from in [0, 1, 3000, 5899, 5900, 6000, last] {
        let read = client.fetch_at_most("keys", 0, from, 1).expect("an answer");
        let (_, meta) = walk(&read.records).next().expect("a batch, whatever hole it begins in");
        assert!(meta.last_offset() >= from);
    }
    broker.kill();
    let broker = launch(&scratch).start();
    let mut client = broker.client();
    check(&read_all(&mut client, "keys").0);
    // The time of a tombstone runs from when compaction first met it, and is what it was then: key 5 keeps its own, and
    // key 6 loses it by the round after.
    alter(&mut client, "keys", "delete.retention.ms", "0");
    let tombstone = BatchBuilder::new(Codec::None, 0).record(-1, Some(&6_u32.to_be_bytes()), None).build();
    produce(&mut client, "keys", tombstone);
    let mut round = 60;
    wait_for("the tombstone's end", || {
        round += 1;
        produce(&mut client, "keys", keyed(Codec::None, round, 1, 0));
        let (found, _) = read_all(&mut client, "keys");
        let of = |key: u32| found.iter().find(|record| record.key.as_deref() == Some(&key.to_be_bytes()));
        assert!(of(5).is_some_and(|record| record.value.is_none()), "key 5 keeps its tombstone");
        of(6).is_none().then_some(())
    });
    broker.stop();
}

fn find(client: &mut Client) {
    wait_for("the coordinator", || {
        let request = FindCoordinatorRequest { key: "g".into(), key_type: 0, ..Default::default() };
        let answer: FindCoordinatorResponse = client.call(FIND_COORDINATOR, &request).expect("an answer");
        (answer.error_code == 0).then_some(())
    });
}

fn commit(client: &mut Client, offset: i64) {
    let partition = |index| OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset + i64::from(index),
        committed_leader_epoch: -1,
        committed_metadata: Some("m".repeat(4000).as_str().into()),
    };
    let topic = OffsetCommitRequestTopic {
        name: "data".into(),
        partitions: (0..20).map(partition).collect(),
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    wait_for("the commit", || {
        let answer: OffsetCommitResponse = client.call(OFFSET_COMMIT, &request).expect("an answer");
        answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0).then_some(())
    });
}

fn committed(client: &mut Client) -> Vec<i64> {
    let topic = OffsetFetchRequestTopic { name: "data".into(), partition_indexes: (0..20).collect() };
    let request =
        OffsetFetchRequest { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
    wait_for("the offsets", || {
        let answer: OffsetFetchResponse = client.call(OFFSET_FETCH, &request).expect("an answer");
        let partitions = &answer.topics.first()?.partitions;
        (answer.error_code == 0).then(|| partitions.iter().map(|p| p.committed_offset).collect())
    })
}

/// Bytes of all logs' files. But for the topic of groups they are empty.
#[expect(clippy::disallowed_methods, reason = "a test looks at the broker's files")]
fn bytes_of_logs(scratch: &Scratch) -> u64 {
    let folder = |path: std::path::PathBuf| std::fs::read_dir(path).expect("a folder").flatten();
    let logs = folder(scratch.0.join("data").join("log"));
    logs.flat_map(|log| folder(log.path())).filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum()
}

#[test]
fn the_topic_of_groups_shrinks_and_groups_survive() {
    let scratch = Scratch::new("compaction-groups");
    let mut broker: Broker = launch(&scratch).start();
    let mut client = broker.client();
    client.create_topic("data", 20, &[]);
    find(&mut client);
    for nth in 0..120 {
        commit(&mut client, nth * 100);
        if nth == 60 {
            broker.kill();
            broker = launch(&scratch).start();
            client = broker.client();
            find(&mut client);
        }
    }
    let written: u64 = 120 * 20 * 4000;
    let size = wait_for("a small log", || Some(bytes_of_logs(&scratch)).filter(|size| *size < written / 2));
    println!("{written} bytes were committed, {size} are left");
    let (found, end) = read_all(&mut client, OFFSETS);
    assert!(found.len() < 1000 && end >= 2400, "{} of {end}", found.len());
    let expected: Vec<i64> = (0..20).map(|index| 11_900 + index).collect();
    assert_eq!(committed(&mut client), expected);
    broker.kill();
    let broker = launch(&scratch).start();
    let mut client = broker.client();
    assert_eq!(committed(&mut client), expected, "after a kill");
    assert_eq!(client.delete_records(OFFSETS, 0, 5).unwrap(), ErrorCode::InvalidTopicException);
    broker.stop();
}
