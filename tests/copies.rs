//! Bytes copied in user space, counted by the real binary over real sockets: one for each produced byte, none for a
//! byte that is fetched from the tail cache.
#![expect(clippy::disallowed_types, reason = "a test reads a page over a socket")]

mod broker;

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
