//! Simulated administrators: they create topics, delete records, and create and delete topics while others produce.

use super::client::{CREATE_TOPICS, Client, DELETE_RECORDS, DELETE_TOPICS, PRODUCE};
use super::history::value;
use super::workload::{Place, Run, topic_name};
use crate::wire::Records;
use crate::wire::batch::{BatchBuilder, Codec};
use crate::wire::generated::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use crate::wire::generated::create_topics_response::CreateTopicsResponse;
use crate::wire::generated::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use crate::wire::generated::delete_records_response::DeleteRecordsResponse;
use crate::wire::generated::delete_topics_request::DeleteTopicsRequest;
use crate::wire::generated::delete_topics_response::DeleteTopicsResponse;
use crate::wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::wire::generated::produce_response::ProduceResponse;
use std::rc::Rc;

/// Creates a topic, over crashes; how many partitions it has.
pub(super) async fn create_topic(run: &Run, name: &str) -> i32 {
    let exec = &run.exec;
    let partitions = 1 + i32::try_from(exec.below(4)).expect("small");
    // Many topics roll all the time: much can go wrong between two segments.
    let segment_ms = 1 << if exec.chance(40) { 0 } else { exec.below(14) };
    let settings = [("segment.ms", segment_ms.to_string()), ("segment.bytes", (1 << 20).to_string())];
    create_with(run, name, partitions, &settings).await;
    partitions
}

/// Creates a topic with these settings, over crashes.
pub(super) async fn create_with(run: &Run, name: &str, partitions: i32, settings: &[(&str, String)]) {
    let wanted = wanted_topic(name, partitions, 1, settings);
    let request = CreateTopicsRequest { topics: vec![wanted], timeout_ms: 10_000, validate_only: false };
    loop {
        let client = run.client().await;
        let answer: Option<CreateTopicsResponse> = client.call(CREATE_TOPICS, &request).await;
        // 36: it was created by the try before, whose answer got lost.
        match answer.map(|answer| answer.topics[0].error_code) {
            Some(0 | 36) => return,
            // 7, 41: nobody decides, or whoever did can't say what became of it.
            Some(7 | 41) => run.exec.sleep(run.exec.micros(0, 20_000)).await,
            Some(error) => panic!("the topic isn't created: error {error}"),
            None => {}
        }
    }
}

/// A topic to be created.
pub(super) fn wanted_topic(
    name: &str,
    partitions: i32,
    factor: i16,
    settings: &[(&str, String)],
) -> CreatableTopic {
    let setting = |(name, value): &(&str, String)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some(value.clone().into()),
    };
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: factor,
        configs: settings.iter().map(setting).collect(),
        ..CreatableTopic::default()
    }
}

/// Now and then deletes records that somebody has read.
pub(super) async fn delete_records(run: Rc<Run>, places: Vec<Place>) {
    while !run.ending.get() {
        run.exec.sleep(run.exec.micros(0, 20_000)).await;
        let place = places[usize::try_from(run.exec.below(places.len() as u64)).expect("an index")];
        let before = {
            let mut histories = run.histories.borrow_mut();
            let history = histories.get_mut(&place).expect("every partition has a history");
            let seen = u64::try_from(history.last_seen()).expect("offsets aren't negative");
            let before = i64::try_from(run.exec.below(seen + 1)).expect("small");
            history.deletes(before);
            before
        };
        let client = run.client().await;
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: topic_name(place.0).into(),
                partitions: vec![DeleteRecordsPartition { partition_index: place.1, offset: before }],
            }],
            timeout_ms: 10_000,
        };
        let answer: Option<DeleteRecordsResponse> = client.call(DELETE_RECORDS, &request).await;
        let Some(answer) = answer else { continue };
        let outcome = &answer.topics[0].partitions[0];
        assert!(matches!(outcome.error_code, 0 | 3 | 6 | 7 | 56), "deletion: error {}", outcome.error_code);
        if outcome.error_code == 0 {
            assert!(outcome.low_watermark >= before, "records below {before} are gone");
            run.histories.borrow_mut().get_mut(&place).expect("it has one").deleted(before);
        }
    }
}

/// Creates topics, writes to them, and deletes them while what was written is on its way.
pub(super) async fn churn_topics(run: Rc<Run>) {
    let mut number = 0;
    while !run.ending.get() {
        number += 1;
        let name = format!("short-lived-{number}");
        create_topic(&run, &name).await;
        let client = run.client().await;
        for _ in 0..run.exec.below(6) {
            client.send(PRODUCE, &batch_for(&name));
        }
        run.exec.sleep(run.exec.micros(0, 2000)).await;
        delete_topic(&run, &name).await;
        while let Some(answer) = unanswered(&client).await {
            let error = answer.responses[0].partition_responses[0].error_code;
            assert!(matches!(error, 0 | 3 | 6 | 56), "a topic on its way: error {error}");
        }
    }
}

/// An answer that has come already, or comes before long.
async fn unanswered(client: &Client) -> Option<ProduceResponse> {
    if client.awaits() { client.answer(PRODUCE).await } else { None }
}

async fn delete_topic(run: &Run, name: &str) {
    let request = DeleteTopicsRequest {
        topic_names: vec![name.into()],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    loop {
        let client = run.client().await;
        let answer: Option<DeleteTopicsResponse> = client.call(DELETE_TOPICS, &request).await;
        // 3: the try before has deleted it.
        match answer.map(|answer| answer.responses[0].error_code) {
            Some(0 | 3) => return,
            // The coordinator's disk has failed, or it is about to end.
            Some(7 | 41) => run.exec.sleep(run.exec.micros(1000, 5000)).await,
            Some(error) => panic!("the topic isn't deleted: error {error}"),
            None => {}
        }
    }
}

fn batch_for(topic: &str) -> ProduceRequest {
    let batch = BatchBuilder::new(Codec::None, 1_767_225_600_000);
    let batch = batch.record(1_767_225_600_000, None, Some(&value(0, 0, 100))).build();
    ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData { index: 0, records: Some(Records::from(batch)) }],
            ..TopicProduceData::default()
        }],
    }
}
