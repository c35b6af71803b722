//! State that a client makes the broker keep: fetch sessions, topics, producers.

use super::{attack, throw};
use crate::broker::client::{FETCH, fetch_request, request};
use crate::broker::size;
use ringlog::wire::generated::fetch_request::{FetchPartition, FetchTopic};
use ringlog::wire::generated::metadata_request::MetadataRequestTopic;
use ringlog::wire::generated::{FetchRequest, FetchResponse, MetadataRequest, MetadataResponse};

#[test]
fn fetch_sessions_are_bounded_by_what_they_remember() {
    attack("sessions", |broker| {
        let partitions = |topic: usize| FetchTopic {
            topic: format!("{topic}-{}", "x".repeat(200)).into(),
            partitions: (0..10).map(|partition| FetchPartition { partition, ..Default::default() }).collect(),
            ..Default::default()
        };
        let mut fetch = fetch_request("healthy", 0, 0, 1 << 20, 0);
        (fetch.session_id, fetch.session_epoch) = (0, 0);
        fetch.topics.extend((0..500).map(partitions));
        let large = request(FETCH, 1, &fetch);
        // Few large sessions, then many tiny ones.
        throw(broker.address, std::iter::repeat_n(large, size("RINGLOG_SESSIONS", 200)));
        let mut tiny = fetch_request("healthy", 0, 0, 1 << 20, 0);
        (tiny.session_id, tiny.session_epoch) = (0, 0);
        let tiny = request(FETCH, 1, &tiny);
        throw(broker.address, std::iter::repeat_n(tiny, 5000));
        // One session that grows and grows.
        let mut client = broker.client();
        let first: FetchResponse = client
            .call(FETCH, &FetchRequest { session_epoch: 0, replica_id: -1, ..Default::default() })
            .expect("an answer");
        let (mut session_id, mut epoch) = (first.session_id, 1);
        for round in 0..100 {
            let mut more =
                FetchRequest { replica_id: -1, session_id, session_epoch: epoch, ..Default::default() };
            more.topics = (0..200).map(|topic| partitions(1000 * round + topic)).collect();
            let answer: FetchResponse = client.call(FETCH, &more).expect("an answer");
            epoch += 1;
            if answer.error_code != 0 {
                (session_id, epoch) = (0, 0);
            }
        }
    });
}

#[test]
fn topics_made_on_request_cost_little() {
    let count = size("RINGLOG_AUTO_TOPICS", 2000);
    attack("auto-create", |broker| {
        let mut client = broker.client();
        let names: Vec<String> = (0..count).map(|nth| format!("{nth:0>249}")).collect();
        let topic =
            |name: &String| MetadataRequestTopic { name: Some(name.as_str().into()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(names.iter().map(topic).collect()),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        let mut missing = count;
        for _ in 0..20 {
            let answer: MetadataResponse =
                client.call(crate::broker::client::METADATA, &request).expect("an answer");
            missing = answer.topics.iter().filter(|topic| topic.error_code != 0).count();
            if missing == 0 {
                break;
            }
        }
        assert_eq!(missing, 0, "a client that asks again gets its topics");
        eprintln!("auto-create: {:.1} MiB with {count} topics", broker.rss() as f64 / 1048576.0);
    });
}
