//! What clients are told, case by case.

use super::*;

const V1: Protocol = Protocol::V1;
const V2: Protocol = Protocol::V2;

#[test]
fn who_comes_later_fences_who_was_before() {
    let mut bench = Bench::new();
    let first = bench.init_anew();
    assert_eq!(first.epoch, ProducerEpoch(0));
    let second = bench.init_anew();
    assert_eq!(second, identity(first.id.0, 1));
    assert_eq!(bench.add(first, &[0], V1), TxnReply::Failed(ErrorCode::ProducerFenced));
    assert_eq!(bench.end_txn(first, true, V1), TxnReply::Failed(ErrorCode::ProducerFenced));
    let stranger = identity(7, 0);
    assert_eq!(bench.add(stranger, &[0], V1), TxnReply::Failed(ErrorCode::InvalidProducerIdMapping));
    assert!(is_added(&bench.add(second, &[0], V1)));
}

#[test]
fn an_open_transaction_is_aborted_before_another_producer_begins() {
    let mut bench = Bench::new();
    bench.marks = false;
    let first = bench.init_anew();
    bench.add(first, &[0, 1], V1);
    assert_eq!(bench.init(None), TxnReply::Failed(ErrorCode::ConcurrentTransactions));
    assert_eq!(bench.init(None), TxnReply::Failed(ErrorCode::ConcurrentTransactions));
    let order = bench.mark(ErrorCode::None);
    assert_eq!((order.committed, order.producer_epoch, order.partitions.len()), (false, ProducerEpoch(1), 2));
    assert_eq!(bench.state(), State::CompleteAbort);
    assert_eq!(bench.init_anew(), identity(first.id.0, 2));
}

#[test]
fn a_producer_goes_on_as_itself_and_may_ask_twice() {
    let mut bench = Bench::new();
    let first = bench.init_anew();
    let second = TxnReply::Producer(identity(first.id.0, 1));
    assert_eq!(bench.init(Some(first)), second);
    assert_eq!(bench.init(Some(first)), second, "the answer was lost");
    bench.init_anew();
    assert_eq!(bench.init(Some(first)), TxnReply::Failed(ErrorCode::ProducerFenced));
    assert_eq!(bench.init(Some(identity(7, 0))), TxnReply::Failed(ErrorCode::ProducerFenced));
}

#[test]
fn a_transaction_of_the_old_protocol_keeps_its_epoch() {
    let mut bench = Bench::new();
    let producer = bench.init_anew();
    assert_eq!(bench.end_txn(producer, false, V1), TxnReply::Failed(ErrorCode::InvalidTxnState));
    for commit in [true, false] {
        assert!(is_added(&bench.add(producer, &[0], V1)));
        assert_eq!(bench.end_txn(producer, commit, V1), TxnReply::Producer(producer));
        assert_eq!(bench.end_txn(producer, commit, V1), TxnReply::Producer(producer), "the answer was lost");
        assert_eq!(bench.end_txn(producer, !commit, V1), TxnReply::Failed(ErrorCode::InvalidTxnState));
    }
}

#[test]
fn a_transaction_of_the_new_protocol_raises_the_epoch() {
    let mut bench = Bench::new();
    let mut producer = bench.init_anew();
    for commit in [true, false] {
        assert!(is_added(&bench.add(producer, &[0], V2)));
        let next = identity(producer.id.0, producer.epoch.0 + 1);
        assert_eq!(bench.end_txn(producer, commit, V2), TxnReply::Producer(next));
        assert_eq!(bench.end_txn(producer, commit, V2), TxnReply::Producer(next), "the answer was lost");
        assert_eq!(bench.end_txn(producer, !commit, V2), TxnReply::Failed(ErrorCode::InvalidTxnState));
        producer = next;
    }
    let next = identity(producer.id.0, producer.epoch.0 + 1);
    assert_eq!(bench.end_txn(producer, true, V2), TxnReply::Failed(ErrorCode::InvalidTxnState));
    assert_eq!(bench.end_txn(producer, false, V2), TxnReply::Producer(next), "an abort of nothing");
}

#[test]
fn epochs_that_are_used_up_lead_to_another_id() {
    let mut bench = Bench::new();
    let first = bench.init_anew();
    let mut txn = bench.coordinator.take_out("t").unwrap();
    txn.epoch = ProducerEpoch(i16::MAX - 1);
    bench.coordinator.put(txn);
    let last = Identity { epoch: ProducerEpoch(i16::MAX - 1), ..first };
    bench.marks = false;
    bench.add(last, &[0], V2);
    let TxnReply::Producer(next) = bench.end_txn(last, true, V2) else { panic!("it is decided") };
    assert_eq!(next.epoch, ProducerEpoch(0));
    assert_ne!(next.id, last.id);
    bench.restart();
    let order = bench.mark(ErrorCode::None);
    assert_eq!((order.producer_id, order.producer_epoch), (first.id, ProducerEpoch(i16::MAX)));
    assert_eq!(bench.end_txn(last, true, V2), TxnReply::Producer(next), "the answer was lost");
    assert!(is_added(&bench.add(next, &[0], V2)));
    assert_eq!(bench.init(Some(last)), TxnReply::Failed(ErrorCode::ConcurrentTransactions));
    bench.mark(ErrorCode::None);
    let mut txn = bench.coordinator.take_out("t").unwrap();
    txn.epoch = ProducerEpoch(i16::MAX - 1);
    bench.coordinator.put(txn);
    let TxnReply::Producer(rotated) = bench.init(None) else { panic!("it begins anew") };
    assert_eq!((rotated.epoch, rotated.id == next.id), (ProducerEpoch(0), false));
}

#[test]
fn what_takes_too_long_is_aborted_and_its_producer_fenced() {
    let mut bench = Bench::new();
    let producer = bench.init_anew();
    bench.add(producer, &[0], V2);
    bench.pass(30_000);
    bench.restart();
    bench.pass(29_999);
    assert_eq!(bench.state(), State::Ongoing);
    bench.pass(1);
    assert_eq!(bench.state(), State::CompleteAbort);
    assert_eq!(bench.end_txn(producer, true, V2), TxnReply::Failed(ErrorCode::InvalidTxnState));
    assert_eq!(bench.add(producer, &[0], V2), TxnReply::Failed(ErrorCode::ProducerFenced));
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut bench = Bench::new();
    let producer = bench.init_anew();
    (bench.flushes, bench.marks) = (false, false);
    bench.ask(add(producer, &[0], V1, false));
    let end = TxnOp::End { transactional_id: "t".into(), producer, commit: true, protocol: V1, fresh: None };
    bench.ask(end);
    assert!(bench.replies.is_empty() && bench.orders.is_empty());
    bench.flush();
    assert_eq!((bench.replies.len(), bench.orders.len()), (2, 1));
}

#[test]
fn a_stalled_log_answers_who_waits_and_keeps_what_is_decided() {
    let mut bench = Bench::new();
    let producer = bench.init_anew();
    (bench.flushes, bench.marks) = (false, false);
    bench.ask(add(producer, &[0], V1, false));
    let end = TxnOp::End { transactional_id: "t".into(), producer, commit: true, protocol: V1, fresh: None };
    bench.ask(end);
    bench.step(Event::Stalled);
    let failed = TxnReply::Failed(ErrorCode::CoordinatorNotAvailable);
    assert!(bench.replies.len() == 2 && bench.replies.values().all(|reply| *reply == failed));
    bench.flush();
    assert_eq!(bench.orders.len(), 1);
}

#[test]
fn markers_are_written_until_every_partition_has_its_own() {
    let mut bench = Bench::new();
    bench.marks = false;
    let producer = bench.init_anew();
    bench.add(producer, &[0, 1], V1);
    bench.end_txn(producer, true, V1);
    let order = bench.orders.remove(0);
    assert_eq!((order.committed, order.coordinator_epoch, order.raised), (true, 4, false));
    bench.step(Event::Marked { order, outcomes: vec![ErrorCode::None, ErrorCode::KafkaStorageError] });
    assert_eq!(bench.end_txn(producer, true, V1), TxnReply::Failed(ErrorCode::ConcurrentTransactions));
    bench.pass(1000);
    let order = bench.mark(ErrorCode::None);
    assert_eq!(order.partitions, [("topic".into(), 1)]);
    assert_eq!(bench.state(), State::CompleteCommit);
    bench.step(Event::Marked { order, outcomes: vec![ErrorCode::None] });
    assert_eq!(bench.state(), State::CompleteCommit, "it came twice");
}

#[test]
fn a_partition_that_is_gone_holds_nothing_up_for_ever() {
    let mut bench = Bench::new();
    bench.marks = false;
    let producer = bench.init_anew();
    bench.add(producer, &[0], V1);
    bench.end_txn(producer, true, V1);
    let mut tries = 0;
    while bench.state() == State::PrepareCommit {
        bench.mark(ErrorCode::UnknownTopicOrPartition);
        bench.pass(100);
        tries += 1;
    }
    assert_eq!(tries, 1 + MARKER_TRIES);
}

const MARKER_TRIES: u32 = crate::base::limits::MARKER_RETRIES_OF_UNKNOWN_MAX;

#[test]
fn what_is_decided_is_carried_out_by_the_next_life() {
    let mut bench = Bench::new();
    bench.marks = false;
    let producer = bench.init_anew();
    bench.add(producer, &[0], V2);
    bench.end_txn(producer, true, V2);
    bench.restart();
    let order = bench.mark(ErrorCode::None);
    assert_eq!((order.committed, order.raised, order.coordinator_epoch), (true, true, 5));
    assert_eq!(bench.state(), State::CompleteCommit);
}

#[test]
fn the_next_transaction_waits_for_the_end_of_the_last() {
    let mut bench = Bench::new();
    bench.marks = false;
    let producer = bench.init_anew();
    bench.add(producer, &[0], V2);
    let TxnReply::Producer(next) = bench.end_txn(producer, true, V2) else { panic!("it is decided") };
    assert_eq!(bench.add(next, &[1], V2), TxnReply::Failed(ErrorCode::ConcurrentTransactions));
    let waits = bench.ask(add(next, &[1], V2, true));
    assert!(!bench.replies.contains_key(&waits));
    assert_eq!(bench.answer(add(producer, &[1], V2, true)), TxnReply::Failed(ErrorCode::ProducerFenced));
    bench.mark(ErrorCode::None);
    assert!(is_added(&bench.replies[&waits]));
    assert_eq!(bench.state(), State::Ongoing);
}

#[test]
fn a_stopping_coordinator_begins_nothing_and_keeps_nobody() {
    let mut bench = Bench::new();
    bench.marks = false;
    let producer = bench.init_anew();
    bench.add(producer, &[0], V2);
    let TxnReply::Producer(next) = bench.end_txn(producer, true, V2) else { panic!("it is decided") };
    let waits = bench.ask(add(next, &[1], V2, true));
    bench.step(Event::Close);
    assert_eq!(bench.replies[&waits], TxnReply::Failed(ErrorCode::NotCoordinator));
    let records = bench.log.len();
    bench.mark(ErrorCode::None);
    assert_eq!(bench.log.len(), records);
}

#[test]
fn partitions_are_looked_for_without_being_added() {
    let mut bench = Bench::new();
    let producer = bench.init_anew();
    bench.add(producer, &[0], V1);
    let verify = |producer, partitions: &[i32]| {
        let partitions = partitions.iter().map(|index| (Str::from("topic"), *index)).collect();
        TxnOp::Verify { transactional_id: "t".into(), producer, partitions }
    };
    let told = vec![ErrorCode::None, ErrorCode::TransactionAbortable];
    assert_eq!(bench.answer(verify(producer, &[0, 1])), TxnReply::Partitions(told));
    let other = identity(producer.id.0, 1);
    assert_eq!(bench.answer(verify(other, &[0])), TxnReply::Failed(ErrorCode::ProducerFenced));
}

#[test]
fn transactions_are_listed_by_state_age_producer_and_pattern() {
    let mut bench = Bench::new();
    let producer = bench.init_anew();
    let other = TxnOp::Init {
        transactional_id: "other".into(),
        timeout_ms: TIMEOUT_MS,
        expected: None,
        fresh: ProducerId(7),
    };
    bench.answer(other);
    bench.add(producer, &[0], V1);
    bench.pass(500);
    let all = Filter { duration_ms: -1, ..Filter::default() };
    assert_eq!(bench.listed(all.clone()).len(), 2);
    let only = |filter: Filter, bench: &mut Bench| bench.listed(filter) == ["t"];
    assert!(only(Filter { states: vec!["Ongoing".into()], ..all.clone() }, &mut bench));
    assert!(only(Filter { producer_ids: vec![producer.id.0], ..all.clone() }, &mut bench));
    assert!(only(Filter { pattern: Some("t*".into()), ..all.clone() }, &mut bench));
    assert_eq!(
        bench.listed(Filter { states: vec!["Ongoing".into()], duration_ms: 499, ..all.clone() }).len(),
        1
    );
    assert_eq!(
        bench.listed(Filter { states: vec!["Ongoing".into()], duration_ms: 500, ..all.clone() }).len(),
        0
    );
    let bad = Filter { pattern: Some("(".into()), ..all };
    assert_eq!(bench.answer(TxnOp::List(bad)), TxnReply::Failed(ErrorCode::InvalidRegularExpression));
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let mut bench = Bench::new();
    let producer = bench.init_anew();
    bench.add(producer, &[0], V1);
    bench.end_txn(producer, true, V1);
    let week = 7 * 24 * 3_600_000;
    bench.pass(week - 1);
    assert_eq!(bench.coordinator.txns.len(), 1);
    bench.pass(3_600_001);
    assert!(bench.coordinator.txns.is_empty() && bench.coordinator.bytes == 0);
    bench.restart();
    assert!(bench.coordinator.txns.is_empty());
    let describe = TxnOp::Describe { transactional_id: "t".into() };
    let TxnReply::Described(told) = bench.answer(describe) else { panic!("it is described") };
    assert_eq!(told.error_code, ErrorCode::TransactionalIdNotFound.code());
}
