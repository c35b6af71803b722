//! The APIs of transactions in their versions, over real coordinators.

use super::*;
use crate::api::testing::Fixture;
use crate::base::{Guard, ProducerEpoch};
use crate::log::producers::ProducerFacts;
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply, Produced};
use crate::wire::generated::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use crate::wire::generated::describe_producers_request::TopicRequest;
use crate::wire::generated::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::wire::generated::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::wire::generated::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest,
    ListTransactionsResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};

/// A broker with the topic `t`, on which groups and transactions are kept.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.topic("t");
    for key_type in [0, 1] {
        let request = FindCoordinatorRequest { key: "x".into(), key_type, ..Default::default() };
        let found: FindCoordinatorResponse = fixture.ask(10, 3, &request).message();
        assert_eq!((found.error_code, found.node_id), (0, 1));
    }
    fixture
}

fn init_request(id: Option<&str>, timeout_ms: i32) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: id.map(Into::into),
        transaction_timeout_ms: timeout_ms,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}

fn init(fixture: &mut Fixture, version: i16, id: &str) -> (i16, i64, i16) {
    let answer: InitProducerIdResponse = fixture.ask(22, version, &init_request(Some(id), 1000)).message();
    (answer.error_code, answer.producer_id, answer.producer_epoch)
}

fn add(fixture: &mut Fixture, version: i16, (id, epoch): (i64, i16), topics: &[(&str, i32)]) -> Vec<i16> {
    let topics = topics
        .iter()
        .map(|(name, index)| AddPartitionsToTxnTopic { name: (*name).into(), partitions: vec![*index] });
    let request = if version >= 4 {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: "x".into(),
            producer_id: id,
            producer_epoch: epoch,
            verify_only: false,
            topics: topics.collect(),
        };
        AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
    } else {
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: "x".into(),
            v3_and_below_producer_id: id,
            v3_and_below_producer_epoch: epoch,
            v3_and_below_topics: topics.collect(),
            ..Default::default()
        }
    };
    let answer: AddPartitionsToTxnResponse = fixture.ask(24, version, &request).message();
    let old = answer.results_by_topic_v3_and_below;
    let results = answer.results_by_transaction.into_iter().flat_map(|one| one.topic_results).chain(old);
    results.flat_map(|topic| topic.results_by_partition).map(|one| one.partition_error_code).collect()
}

fn end(fixture: &mut Fixture, version: i16, (id, epoch): (i64, i16), committed: bool) -> EndTxnResponse {
    let transactional_id = "x".into();
    let request = EndTxnRequest { transactional_id, producer_id: id, producer_epoch: epoch, committed };
    fixture.ask(26, version, &request).message()
}

#[test]
fn producers_get_ids_and_transactional_ones_keep_theirs() {
    let mut fixture = fixture();
    for version in 0..=5 {
        let answer: InitProducerIdResponse = fixture.ask(22, version, &init_request(None, 0)).message();
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        let (code, id, epoch) = init(&mut fixture, version, "x");
        assert_eq!((code, epoch), (0, version), "the same producer once more");
        assert_ne!(id, answer.producer_id);
    }
}

#[test]
fn what_makes_no_sense_of_a_transactional_id_is_refused() {
    let mut fixture = fixture();
    for (id, timeout_ms, code) in [("", 1000, 42), ("x", 0, 50), ("x", 900_001, 50), ("x", -1, 50)] {
        let answer: InitProducerIdResponse =
            fixture.ask(22, 5, &init_request(Some(id), timeout_ms)).message();
        assert_eq!(answer.error_code, code, "{id:?} {timeout_ms}");
    }
    let half = InitProducerIdRequest { producer_id: 1, ..init_request(Some("x"), 1000) };
    let answer: InitProducerIdResponse = fixture.ask(22, 5, &half).message();
    assert_eq!(answer.error_code, 42);
    let mut bare = Fixture::new();
    assert_eq!(init(&mut bare, 5, "x").0, ErrorCode::NotCoordinator.code());
}

#[test]
fn the_fenced_are_told_by_a_code_that_they_know() {
    let mut fixture = fixture();
    let (_, id, _) = init(&mut fixture, 5, "x");
    init(&mut fixture, 5, "x");
    let old = (id, 0);
    for version in 0..=5 {
        let code = if version < 2 { 47 } else { 90 };
        assert_eq!(add(&mut fixture, version, old, &[("t", 0)]), [code], "AddPartitionsToTxn {version}");
        assert_eq!(end(&mut fixture, version, old, true).error_code, code, "EndTxn {version}");
    }
    for version in 3..=5 {
        let request =
            InitProducerIdRequest { producer_id: id, producer_epoch: 0, ..init_request(Some("x"), 1000) };
        let answer: InitProducerIdResponse = fixture.ask(22, version, &request).message();
        assert_eq!(answer.error_code, if version < 4 { 47 } else { 90 }, "InitProducerId {version}");
    }
}

#[test]
fn one_bad_partition_spoils_it_for_all() {
    let mut fixture = fixture();
    let (_, id, epoch) = init(&mut fixture, 5, "x");
    for version in 0..=5 {
        let told = add(&mut fixture, version, (id, epoch), &[("t", 0), ("nowhere", 0), ("t", 7)]);
        assert_eq!(told, [55, 3, 3], "{version}");
        assert_eq!(add(&mut fixture, version, (id, epoch), &[("t", 0)]), [0], "{version}");
        assert_eq!(end(&mut fixture, 4, (id, epoch), true).error_code, 0, "{version}");
    }
}

#[test]
fn brokers_verify_partitions_without_adding_them() {
    let mut fixture = fixture();
    let (_, id, epoch) = init(&mut fixture, 5, "x");
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: "x".into(),
        producer_id: id,
        producer_epoch: epoch,
        verify_only: true,
        topics: vec![AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![0] }],
    };
    let request = AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() };
    for version in [4, 5] {
        let answer: AddPartitionsToTxnResponse = fixture.ask(24, version, &request).message();
        let told = &answer.results_by_transaction[0].topic_results[0].results_by_partition[0];
        assert_eq!(told.partition_error_code, 120, "{version}");
    }
}

#[test]
fn the_epoch_rises_with_the_new_protocol_alone() {
    let mut fixture = fixture();
    let (_, id, epoch) = init(&mut fixture, 5, "x");
    for version in 0..=4 {
        add(&mut fixture, 3, (id, epoch), &[("t", 0)]);
        let answer = end(&mut fixture, version, (id, epoch), version % 2 == 0);
        assert_eq!((answer.error_code, answer.producer_id, answer.producer_epoch), (0, -1, -1), "{version}");
    }
    add(&mut fixture, 5, (id, epoch), &[("t", 0)]);
    let answer = end(&mut fixture, 5, (id, epoch), true);
    assert_eq!((answer.error_code, answer.producer_id, answer.producer_epoch), (0, id, epoch + 1));
    assert_eq!(end(&mut fixture, 5, (id, epoch + 1), true).error_code, 48);
}

#[test]
fn a_groups_partition_is_added_even_if_nobody_looked_for_the_group() {
    let mut fixture = Fixture::new();
    let request = FindCoordinatorRequest { key: "x".into(), key_type: 1, ..Default::default() };
    let _: FindCoordinatorResponse = fixture.ask(10, 3, &request).message();
    let (_, producer_id, producer_epoch) = init(&mut fixture, 5, "x");
    for version in 0..=4 {
        let (transactional_id, group_id) = ("x".into(), "g".into());
        let request = AddOffsetsToTxnRequest { transactional_id, producer_id, producer_epoch, group_id };
        let answer: AddOffsetsToTxnResponse = fixture.ask(25, version, &request).message();
        assert_eq!(answer.error_code, 0, "{version}");
    }
    let request = DescribeTransactionsRequest { transactional_ids: vec!["x".into(), "y".into()] };
    let answer: DescribeTransactionsResponse = fixture.ask(65, 0, &request).message();
    let [known, unknown] = &answer.transaction_states[..] else { panic!("two answers") };
    assert_eq!((known.error_code, known.transaction_state.as_str()), (0, "Ongoing"));
    assert_eq!(known.topics[0].topic.as_str(), "__consumer_offsets");
    assert_eq!(unknown.error_code, ErrorCode::TransactionalIdNotFound.code());
}

fn offsets(version: i16, fixture: &Fixture, (id, epoch): (i64, i16)) -> TxnOffsetCommitRequest {
    let topic = |name: &str, index| TxnOffsetCommitRequestTopic {
        name: if version < 6 { name.into() } else { Default::default() },
        topic_id: match fixture.cluster.topic(name) {
            Some(topic) if version >= 6 => topic.id,
            _ => crate::base::TopicId::ZERO,
        },
        partitions: vec![TxnOffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: 5,
            ..Default::default()
        }],
    };
    TxnOffsetCommitRequest {
        transactional_id: "x".into(),
        group_id: "g".into(),
        producer_id: id,
        producer_epoch: epoch,
        generation_id_or_member_epoch: -1,
        topics: vec![topic("t", 0), topic("nowhere", 0)],
        ..Default::default()
    }
}

fn errors_of(answer: &TxnOffsetCommitResponse) -> Vec<i16> {
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

#[test]
fn offsets_of_a_transaction_need_the_word_of_its_coordinator() {
    for version in 0..=6 {
        let mut fixture = fixture();
        fixture.partitions = |_| PartitionReply::Guarded { error: ErrorCode::None, guard: Some(Guard(None)) };
        let (_, id, epoch) = init(&mut fixture, 5, "x");
        let request = offsets(version, &fixture, (id, epoch));
        let answer: TxnOffsetCommitResponse = fixture.ask(28, version, &request).message();
        let first = [48, 48, 48, 48, 120, 0, 0][usize::try_from(version).expect("a version")];
        assert_eq!(errors_of(&answer), [first, if version < 6 { 3 } else { 100 }], "{version}");
        let stale = offsets(version, &fixture, (id, epoch + 1));
        let answer: TxnOffsetCommitResponse = fixture.ask(28, version, &stale).message();
        assert_eq!(errors_of(&answer)[0], 47, "{version}");
        fixture.partitions = |_| PartitionReply::Guarded { error: ErrorCode::None, guard: None };
        let answer: TxnOffsetCommitResponse = fixture.ask(28, version, &request).message();
        assert_eq!(errors_of(&answer)[0], 0, "{version}: the transaction is open there");
    }
}

#[test]
fn transactions_are_listed_as_far_as_the_version_filters() {
    let mut fixture = fixture();
    init(&mut fixture, 5, "x");
    init(&mut fixture, 5, "y");
    for version in 0..=2 {
        let request = ListTransactionsRequest {
            state_filters: vec!["Empty".into(), "Weird".into()],
            duration_filter: -1,
            transactional_id_pattern: (version >= 2).then(|| "x".into()),
            ..Default::default()
        };
        let answer: ListTransactionsResponse = fixture.ask(66, version, &request).message();
        assert_eq!(answer.unknown_state_filters, [crate::wire::Str::from("Weird")]);
        assert_eq!(answer.transaction_states.len(), if version >= 2 { 1 } else { 2 });
    }
    let nothing = ListTransactionsRequest {
        state_filters: vec!["Weird".into()],
        duration_filter: -1,
        ..Default::default()
    };
    let answer: ListTransactionsResponse = fixture.ask(66, 0, &nothing).message();
    assert_eq!((answer.error_code, answer.transaction_states.len()), (0, 0));
}

fn answer_marker(call: &PartitionCall) -> PartitionReply {
    let PartitionOp::Mark(op) = &call.op else { panic!("not a marker: {call:?}") };
    assert!(op.marker.committed && op.marker.coordinator_epoch == 3);
    assert_eq!(op.producer_epoch, ProducerEpoch(1));
    let error = if op.raised { ErrorCode::CoordinatorLoadInProgress } else { ErrorCode::None };
    PartitionReply::Produced(Produced::refused(error, None))
}

#[test]
fn markers_go_to_the_partitions_that_exist() {
    let mut fixture = fixture();
    fixture.partitions = answer_marker;
    for (version, transaction_version, code) in [(1, 0, 0), (2, 0, 0), (2, 2, 6)] {
        let topic = |name: &str| WritableTxnMarkerTopic { name: name.into(), partition_indexes: vec![0] };
        let marker = WritableTxnMarker {
            producer_id: 7,
            producer_epoch: 1,
            transaction_result: true,
            topics: vec![topic("nowhere"), topic("t")],
            coordinator_epoch: 3,
            transaction_version,
        };
        let request = WriteTxnMarkersRequest { markers: vec![marker] };
        let answer: WriteTxnMarkersResponse = fixture.ask(27, version, &request).message();
        let partitions = answer.markers[0].topics.iter().flat_map(|topic| &topic.partitions);
        let told: Vec<i16> = partitions.map(|partition| partition.error_code).collect();
        assert_eq!(told, [3, code], "{version}");
    }
}

#[test]
fn a_partitions_producers_are_described() {
    let mut fixture = fixture();
    fixture.partitions = |_| PartitionReply::Producers {
        error: ErrorCode::None,
        producers: vec![ProducerFacts {
            id: ProducerId(7),
            epoch: ProducerEpoch(1),
            last_sequence: 9,
            last_timestamp: 11,
            coordinator_epoch: -1,
            open_offset: 5,
        }],
    };
    let topic = |name: &str| TopicRequest { name: name.into(), partition_indexes: vec![0] };
    let request = DescribeProducersRequest { topics: vec![topic("nowhere"), topic("t")] };
    let answer: DescribeProducersResponse = fixture.ask(61, 0, &request).message();
    assert_eq!(answer.topics[0].partitions[0].error_code, 3);
    let told = &answer.topics[1].partitions[0].active_producers[0];
    assert_eq!((told.producer_id, told.producer_epoch, told.last_sequence), (7, 1, 9));
    assert_eq!((told.current_txn_start_offset, told.coordinator_epoch, told.last_timestamp), (5, -1, 11));
}
