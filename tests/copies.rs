//! What becomes of bytes, counted by the real binary over real sockets. In user space each produced byte is copied once
//! and none that is fetched from the tail cache. What is sent without a copy in the kernel either stays as it was. What
//! is read from the disk is read once.
#![expect(clippy::disallowed_types, reason = "a test reads pages over sockets")]

mod broker;

use broker::client::{FETCH, fetch_request, one, request};
use broker::{Broker, Launch, Scratch, wait_for};
use bytes::Bytes;
use ringlog::base::ErrorCode;
use ringlog::wire::batch::{BatchBuilder, Codec};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

const PARTITIONS: i32 = 4;
const BATCHES: i32 = 64;

/// A batch of about 128 KiB.
fn batch(seed: i32) -> Bytes {
    let now = broker::client::now_ms();
    let value = |nth: i32| vec![u8::try_from((seed + nth) % 251).expect("below 251"); 1024];
    let builder = BatchBuilder::new(Codec::None, now);
    (0..126).fold(builder, |builder, nth| builder.record(now, None, Some(&value(nth)))).build()
}

/// All counters, summed over the shards.
fn counters(broker: &Broker) -> BTreeMap<String, u64> {
    let address = wait_for("the page's address", || {
        let output = broker.launch.output();
        let (_, rest) = output.split_once("metrics are at http://")?;
        Some(rest.split_once("/metrics")?.0.to_owned())
    });
    let mut page = TcpStream::connect(address).expect("the page is served");
    page.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("it takes a request");
    let mut text = String::new();
    page.read_to_string(&mut text).expect("it answers in text");
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("ringlog_") && line.contains("_total{")) {
        let (name, rest) = line.split_once('{').expect("every value is some shard's");
        let value = rest.split_whitespace().last().and_then(|value| value.parse::<u64>().ok());
        *sums.entry(name.to_owned()).or_default() += value.expect("values are whole numbers");
    }
    sums
}

#[test]
fn a_produced_byte_is_copied_once_and_a_fetched_one_never() {
    let scratch = Scratch::new("copies");
    let launch = Launch::new(&scratch).shards(2).set("metrics.listen", "127.0.0.1:0");
    let broker = launch.start();
    let mut client = broker.client();
    client.create_topic("copies", PARTITIONS, &[]);
    let mut bytes = 0;
    for nth in 0..BATCHES {
        let batch = batch(nth);
        bytes += batch.len() as u64;
        let (error, _) = client.produce("copies", nth % PARTITIONS, batch).expect("an answer");
        assert_eq!(error, ErrorCode::None);
    }
    let produced = counters(&broker);
    assert_eq!(produced["ringlog_produced_bytes_total"], bytes);
    assert_eq!(produced["ringlog_produced_bytes_copied_total"], bytes, "from the frame to the log, once");
    let received = produced["ringlog_received_bytes_copied_total"];
    assert!(received * 50 < bytes, "{received} of {bytes} bytes were copied before they were a frame");
    let tails = produced["ringlog_tail_bytes_copied_total"];
    assert!(
        tails <= u64::try_from(BATCHES).expect("positive") * 2 * 4096,
        "at most a block per write: {tails}"
    );

    let mut fetched = 0;
    for partition in 0..PARTITIONS {
        let read = client.fetch_at_most("copies", partition, 0, 64 << 20).expect("an answer");
        assert_eq!(read.error, ErrorCode::None);
        fetched += read.records.len() as u64;
    }
    assert_eq!(fetched, bytes);
    let after = counters(&broker);
    assert_eq!(after["ringlog_fetched_bytes_total"], bytes);
    assert_eq!(after["ringlog_sent_shared_bytes_total"], bytes, "all went out from where the log has them");
    broker.stop();
}

#[test]
fn a_batch_whose_time_the_broker_writes_is_copied_twice() {
    let scratch = Scratch::new("copies-stamped");
    let broker = Launch::new(&scratch).shards(1).set("metrics.listen", "127.0.0.1:0").start();
    let mut client = broker.client();
    client.create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let batch = batch(1);
    let bytes = batch.len() as u64;
    client.produce("stamped", 0, batch).expect("an answer");
    let counters = counters(&broker);
    assert_eq!(counters["ringlog_produced_bytes_copied_total"], 2 * bytes, "its checksum changes as well");
    broker.stop();
}

/// A batch of about 1 MB, full of what the seed says.
fn large(seed: i32) -> Bytes {
    one(&vec![u8::try_from(seed % 251).expect("below 251"); 1_000_000])
}

#[test]
fn what_was_sent_stays_as_it_was_while_its_memory_is_used_again() {
    const SENT: i32 = 3;
    let scratch = Scratch::new("copies-spliced");
    let launch = Launch::new(&scratch).shards(1).set("metrics.listen", "127.0.0.1:0");
    let broker = launch.set("memory.bytes", 64 << 20).start();
    let mut client = broker.client();
    client.create_topic("spliced", 1, &[]);
    (0..SENT).for_each(|seed| assert!(client.produce("spliced", 0, large(seed)).is_ok()));

    // A reader with room for the whole answer asks, and doesn't look at it.
    let reader = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    reader.set_recv_buffer_size(4 << 20).expect("a large buffer");
    reader.connect(&broker.address.into()).expect("the broker listens");
    let mut reader = TcpStream::from(reader);
    let asked = fetch_request("spliced", 0, 0, 8 << 20, 0);
    reader.write_all(&request(FETCH, 1, &asked)).expect("the broker takes it");
    wait_for("the answer to be on its way", || {
        (counters(&broker)["ringlog_sent_spliced_bytes_total"] >= 1_000_000).then_some(())
    });

    // Meanwhile all memory is written over, more than once.
    (SENT..300).for_each(|seed| assert!(client.produce("spliced", 0, large(seed)).is_ok()));
    let after = counters(&broker);
    assert!(after["ringlog_renewed_bytes_total"] > 0, "the memory that was sent is needed");

    let mut length = [0; 4];
    reader.read_exact(&mut length).expect("the answer");
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
    reader.read_exact(&mut answer).expect("all of it");
    let sent: Vec<u8> = (0..SENT).map(|seed| u8::try_from(seed).expect("small")).collect();
    let values = answer.chunk_by(|one, next| one == next).filter(|run| run.len() >= 1_000_000);
    let found: Vec<u8> = values.map(|run| run[0]).collect();
    assert_eq!(found, sent, "the values of the records, each a million times the same byte");
    broker.stop();
}

#[test]
fn old_records_are_read_from_the_disk_once() {
    let scratch = Scratch::new("copies-cold");
    let launch = Launch::new(&scratch).shards(1);
    let broker = launch.start();
    let mut client = broker.client();
    client.create_topic("old", 1, &[]);
    let mut bytes = 0;
    for seed in 0..200 {
        let batch = batch(seed);
        bytes += batch.len() as u64;
        client.produce("old", 0, batch).expect("an answer");
    }
    broker.stop();

    let broker = launch.start();
    let mut client = broker.client();
    let (before, mut fetched) = (broker.read_bytes(), 0);
    while fetched < bytes {
        // Batches of 126 records each, all of one size.
        let offset = fetched / (bytes / 200) * 126;
        let offset = i64::try_from(offset).expect("an offset");
        let read = client.fetch_at_most("old", 0, offset, 1 << 20).expect("an answer");
        assert!(read.error == ErrorCode::None && !read.records.is_empty());
        fetched += read.records.len() as u64;
    }
    let read = broker.read_bytes() - before;
    assert!(read >= bytes && read < bytes + bytes / 20 + (1 << 20), "{read} bytes were read of {bytes}");
    broker.stop();
}
