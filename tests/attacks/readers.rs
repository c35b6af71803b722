//! Clients that ask and never read the answers.

use super::{GROWTH_MAX, attack_on, small_broker};
use crate::broker::client::{Client, METADATA, PRODUCE, fetch_request, one, produce_request, request};
use crate::broker::{Broker, Scratch, size};
use ringlog::base::ErrorCode;
use ringlog::wire::generated::MetadataRequest;
use std::io::Write;

/// Bytes of the log that attackers read: far more than the cache of a small broker holds.
fn log_bytes() -> usize {
    size("RINGLOG_LOG_BYTES", 256 << 20)
}

/// A broker with a log of many large batches.
fn filled(scratch: &Scratch) -> Broker {
    let broker = small_broker(scratch).start();
    let mut client = broker.client();
    client.create_topic("large", 4, &[]);
    let whole = one(&vec![7; 900_000]);
    for nth in 0..log_bytes() / whole.len() {
        let partition = i32::try_from(nth % 4).expect("small");
        let (error, _) = client.produce("large", partition, whole.clone()).expect("an answer");
        assert_eq!(error, ErrorCode::None);
    }
    // A reader that behaves reads it all once: caches and pools are as large as they get.
    for partition in 0..4 {
        let mut offset = 0;
        loop {
            let fetched = client.fetch_at_most("large", partition, offset, 50 << 20).expect("an answer");
            if fetched.records.is_empty() {
                break;
            }
            offset += i64::try_from(fetched.records.len() / whole.len()).expect("small");
        }
    }
    broker
}

/// Connections that write `frame` again and again, as far as the broker takes it, and never read.
fn deaf(broker: &Broker, connections: usize, times: usize, frame: impl Fn(usize) -> Vec<u8>) -> Vec<Client> {
    let mut clients = Vec::new();
    for nth in 0..connections {
        let mut client = broker.client();
        client.stream.set_nonblocking(true).expect("a socket option");
        let frame = frame(nth);
        for _ in 0..times {
            if client.stream.write_all(&frame).is_err() {
                break;
            }
        }
        clients.push(client);
    }
    clients
}

#[test]
fn big_answers_that_nobody_reads_are_bounded() {
    let scratch = Scratch::new("deaf-fetches");
    let broker = filled(&scratch);
    attack_on("deaf fetches", broker, GROWTH_MAX, |broker| {
        let connections = size("RINGLOG_DEAF", 60);
        let batches = i64::try_from(log_bytes() / 4 / 900_000).expect("small");
        let clients = deaf(broker, connections, 20, |nth| {
            let nth = i64::try_from(nth).expect("small");
            let partition = i32::try_from(nth % 4).expect("small");
            request((1, 12), 1, &fetch_request("large", partition, nth % batches, 50 << 20, 0))
        });
        // A reader that behaves gets everything meanwhile.
        let mut reader = broker.client();
        for partition in 0..4 {
            let fetched = reader.fetch_at_most("large", partition, 0, 4 << 20).expect("an answer");
            assert!(fetched.records.len() > 900_000, "{:?}", fetched.error);
        }
        drop(clients);
    });
}

#[test]
fn fetches_that_wait_for_more_than_there_is_hold_nothing() {
    let scratch = Scratch::new("greedy-waits");
    let broker = filled(&scratch);
    attack_on("greedy waits", broker, GROWTH_MAX, |broker| {
        let clients = deaf(broker, 60, 1, |nth| {
            let partition = i32::try_from(nth % 4).expect("small");
            let offset = i64::try_from(nth / 4).expect("small");
            let mut fetch = fetch_request("large", partition, offset, i32::MAX, 5000);
            fetch.min_bytes = i32::MAX;
            fetch.topics[0].partitions[0].partition_max_bytes = i32::MAX;
            request((1, 12), 1, &fetch)
        });
        let mut reader = broker.client();
        reader.fetch_at_most("large", 0, 0, 4 << 20).expect("an answer");
        drop(clients);
    });
}

#[test]
fn pipelines_that_nobody_reads_are_bounded() {
    let scratch = Scratch::new("deaf-pipelines");
    let broker = small_broker(&scratch).start();
    broker.client().create_topic("pipe", 500, &[]);
    attack_on("deaf pipelines", broker, GROWTH_MAX, |broker| {
        let metadata = request(METADATA, 1, &MetadataRequest { topics: None, ..Default::default() });
        let produce = request(PRODUCE, 1, &produce_request("pipe", 0, one(b"v"), 1));
        let connections = size("RINGLOG_DEAF", 60);
        let one = deaf(broker, connections, 5000, |_| metadata.clone());
        let other = deaf(broker, connections, 5000, |_| produce.clone());
        broker.client().metadata(&["pipe"]).expect("an answer");
        drop((one, other));
    });
}
