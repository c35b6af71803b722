//! Offsets of transactions: they count from the marker on, and survive as what they are.

use super::consumer::{first, next, share, topics};
use super::*;
use crate::base::ProducerId;
use crate::wire::generated::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::wire::generated::{OffsetDeleteRequest, TxnOffsetCommitRequest};

/// What a log holds.
#[derive(Clone, Debug)]
enum Logged {
    Plain(GroupRecord),
    Transactional(ProducerId, GroupRecord),
    Marker(ProducerId, bool),
}

/// A coordinator and a log that knows of transactions.
struct Ledger {
    coordinator: Coordinator,
    log: Vec<Logged>,
    now: Now,
}

impl Ledger {
    fn new() -> Self {
        let mut coordinator = Coordinator::new(Settings::default());
        let now = Now { mono_ms: 1000, wall_ms: 1_700_000_000_000 };
        coordinator.loaded(0, now, &mut Effects::default());
        Ledger { coordinator, log: Vec::new(), now }
    }

    fn end(&self) -> Offset {
        Offset::try_from(self.log.len()).unwrap()
    }

    fn ask(&mut self, op: GroupOp) -> GroupReply {
        let producer = match &op {
            GroupOp::CommitInTransaction { request, .. } => Some(ProducerId(request.producer_id)),
            _ => None,
        };
        let asker = Asker { shard: ShardId(0), set: 1, index: 0 };
        let mut out = Effects::default();
        self.coordinator.step(self.now, Event::Request { asker, op: Box::new(op) }, &mut out);
        if !out.records.is_empty() {
            let logged = out.records.drain(..).map(|record| match producer {
                Some(producer) => Logged::Transactional(producer, record),
                None => Logged::Plain(record),
            });
            self.log.extend(logged);
            self.coordinator.placed(self.end(), &mut out);
        }
        self.coordinator.step(self.now, Event::Durable { upto: self.end() }, &mut out);
        out.replies.pop().expect("it is answered").1
    }

    fn commit(&mut self, producer: i64, partition: i32, offset: i64) -> ErrorCode {
        let request = in_transaction(producer, partition, offset);
        match self.ask(GroupOp::CommitInTransaction { request, version: 5, guard: None }) {
            GroupReply::CommitInTransaction(response) => code(response.topics[0].partitions[0].error_code),
            other => panic!("no answer to a commit: {other:?}"),
        }
    }

    fn commit_plainly(&mut self, partition: i32, offset: i64) {
        let mut request = commit("", -1, offset);
        request.topics[0].partitions[0].partition_index = partition;
        self.ask(GroupOp::Commit { request, version: 8 });
    }

    fn mark(&mut self, producer: i64, committed: bool) {
        let producer = ProducerId(producer);
        self.log.push(Logged::Marker(producer, committed));
        self.coordinator.transaction_ended(producer, committed, self.end(), self.now.wall_ms);
    }

    /// The offset of a partition, or the error.
    fn committed(&mut self, partition: i32, stable: bool) -> Result<i64, ErrorCode> {
        let (name, partition_indexes) = ("t".into(), vec![partition]);
        let topic = OffsetFetchRequestTopics { name, partition_indexes, ..Default::default() };
        let request = OffsetFetchRequestGroup {
            group_id: GROUP.into(),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        match self.ask(GroupOp::Fetch { request, stable }) {
            GroupReply::Fetch(group) => match &group.topics[0].partitions[0] {
                partition if partition.error_code != 0 => Err(code(partition.error_code)),
                partition => Ok(partition.committed_offset),
            },
            other => panic!("no answer to a fetch: {other:?}"),
        }
    }

    fn restart(&mut self) {
        let mut fresh = Coordinator::new(Settings::default());
        for logged in &self.log {
            match logged.clone() {
                Logged::Plain(record) => fresh.replay(record.key, record.value).unwrap(),
                Logged::Transactional(producer, record) => {
                    fresh.replay_in_transaction(producer, record.key, record.value).unwrap();
                }
                Logged::Marker(producer, committed) => fresh.replay_marker(producer, committed, 0),
            }
        }
        fresh.loaded(self.end(), self.now, &mut Effects::default());
        assert_eq!(fresh.offsets, self.coordinator.offsets, "what the log says is what the machine knows");
        self.coordinator = fresh;
    }
}

fn in_transaction(producer_id: i64, partition_index: i32, committed_offset: i64) -> TxnOffsetCommitRequest {
    let partition =
        TxnOffsetCommitRequestPartition { partition_index, committed_offset, ..Default::default() };
    TxnOffsetCommitRequest {
        transactional_id: "x".into(),
        group_id: GROUP.into(),
        producer_id,
        producer_epoch: 0,
        generation_id_or_member_epoch: -1,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

const UNSTABLE: Result<i64, ErrorCode> = Err(ErrorCode::UnstableOffsetCommit);

#[test]
fn an_offset_counts_from_the_marker_on() {
    for committed in [false, true] {
        for restarts in [false, true] {
            let mut ledger = Ledger::new();
            ledger.commit_plainly(0, 3);
            assert_eq!(ledger.commit(1, 0, 5), ErrorCode::None);
            if restarts {
                ledger.restart();
            }
            assert_eq!((ledger.committed(0, false), ledger.committed(0, true)), (Ok(3), UNSTABLE));
            assert_eq!(ledger.committed(1, true), Ok(-1), "only what may change is unstable");
            ledger.mark(1, committed);
            if restarts {
                ledger.restart();
            }
            assert_eq!(ledger.committed(0, true), Ok(if committed { 5 } else { 3 }));
        }
    }
}

#[test]
fn a_commit_that_came_in_between_is_the_later_one() {
    let mut ledger = Ledger::new();
    ledger.commit(1, 0, 5);
    ledger.commit_plainly(0, 7);
    ledger.commit(2, 0, 6);
    ledger.mark(1, true);
    assert_eq!((ledger.committed(0, false), ledger.committed(0, true)), (Ok(7), UNSTABLE));
    ledger.mark(2, true);
    assert_eq!(ledger.committed(0, true), Ok(6));
    ledger.restart();
    assert_eq!(ledger.committed(0, true), Ok(6));
}

#[test]
fn all_offsets_are_told_with_those_that_may_change() {
    let mut ledger = Ledger::new();
    ledger.commit(1, 4, 5);
    let request = OffsetFetchRequestGroup { group_id: GROUP.into(), topics: None, ..Default::default() };
    for (stable, count) in [(false, 0), (true, 1)] {
        let op = GroupOp::Fetch { request: request.clone(), stable };
        let GroupReply::Fetch(group) = ledger.ask(op) else { panic!("no answer to a fetch") };
        assert_eq!(group.topics.len(), count);
    }
}

#[test]
fn what_is_deleted_doesnt_come_back_with_a_marker() {
    let mut ledger = Ledger::new();
    ledger.commit(1, 0, 5);
    let GroupReply::Deleted(result) = ledger.ask(GroupOp::Delete { group: GROUP.into() }) else {
        panic!("no answer to a DeleteGroups")
    };
    assert_eq!(result.error_code, 0);
    ledger.mark(1, true);
    assert_eq!(ledger.committed(0, true), Ok(-1));
    ledger.restart();
    ledger.commit(2, 0, 5);
    ledger.coordinator.step(ledger.now, Event::TopicsDeleted(vec!["t".into()]), &mut Effects::default());
    ledger.mark(2, true);
    assert_eq!(ledger.committed(0, true), Ok(-1));
    let request = OffsetDeleteRequest { group_id: GROUP.into(), topics: Vec::new() };
    assert!(matches!(ledger.ask(GroupOp::DeleteOffsets(request)), GroupReply::OffsetsDeleted(_)));
}

#[test]
fn who_commits_in_a_transaction_must_be_a_member_if_it_says_so() {
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(1);
    let id = &ids[0];
    let mut ask = |member: &Str, generation| {
        let mut request = in_transaction(1, 0, 5);
        (request.member_id, request.generation_id_or_member_epoch) = (member.clone(), generation);
        let question = bench.ask(GroupOp::CommitInTransaction { request, version: 5, guard: None });
        match bench.reply(question) {
            Some(GroupReply::CommitInTransaction(response)) => {
                code(response.topics[0].partitions[0].error_code)
            }
            other => panic!("no answer to a commit: {other:?}"),
        }
    };
    assert_eq!(ask(id, generation), ErrorCode::None);
    assert_eq!(ask(&Str::EMPTY, -1), ErrorCode::None, "old clients don't say who they are");
    assert_eq!(ask(id, generation + 1), ErrorCode::IllegalGeneration);
    assert_eq!(ask(&"stranger".into(), generation), ErrorCode::UnknownMemberId);
}

impl Bench {
    /// What a member is told of each partition that it commits in a transaction.
    fn told_in_transaction(
        &mut self,
        version: i16,
        (member, epoch): (&str, i32),
        partitions: &[i32],
    ) -> Vec<ErrorCode> {
        let mut request = in_transaction(1, 0, 5);
        (request.member_id, request.generation_id_or_member_epoch) = (member.into(), epoch);
        let partition = |index: &i32| TxnOffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: 5,
            ..Default::default()
        };
        request.topics[0].partitions = partitions.iter().map(partition).collect();
        let question = self.ask(GroupOp::CommitInTransaction { request, version, guard: None });
        match self.reply(question) {
            Some(GroupReply::CommitInTransaction(response)) => {
                response.topics[0].partitions.iter().map(|partition| code(partition.error_code)).collect()
            }
            other => panic!("no answer to a commit: {other:?}"),
        }
    }
}

/// KIP-1251 in a transaction.
#[test]
fn an_older_epoch_commits_in_a_transaction_what_the_member_still_has() {
    let mut bench = Bench::with_topics(&["t"]);
    let all = share(&bench.consumer_beat(first("a"))).expect("a share");
    bench.consumer_beat(first("b"));
    let kept = share(&bench.consumer_beat(next("a", 2, &all))).expect("a new share");
    assert_eq!(bench.consumer_beat(next("a", 2, &kept)).member_epoch, 3);
    let has = kept.first().expect("it keeps some").1;
    let gave_up = all.difference(&kept).next().expect("it gives up some").1;
    for (version, stale) in [(5, ErrorCode::IllegalGeneration), (6, ErrorCode::StaleMemberEpoch)] {
        let mut told = |who, partitions: &[i32]| bench.told_in_transaction(version, who, partitions);
        assert_eq!(told(("a", 3), &[has]), [ErrorCode::None]);
        assert_eq!(told(("a", 2), &[has]), [ErrorCode::None]);
        assert_eq!(told(("a", 2), &[gave_up]), [stale]);
        assert_eq!(told(("a", 2), &[has, gave_up]), [stale, stale], "together or not at all");
        assert_eq!(told(("a", 1), &[has]), [stale], "it hadn't got it yet");
        assert_eq!(told(("a", 4), &[has]), [stale], "nobody knows that epoch yet");
        assert_eq!(told(("b", 2), &[has]), [stale], "it never had it");
        assert_eq!(told(("c", 2), &[has]), [ErrorCode::UnknownMemberId]);
        bench.restart();
        bench.step(Event::Topics(topics(&["t"])));
    }
}

#[test]
fn newer_clients_are_told_that_a_group_is_not_known() {
    let mut bench = Bench::new();
    assert_eq!(bench.told_in_transaction(5, ("a", 1), &[0]), [ErrorCode::IllegalGeneration]);
    assert_eq!(bench.told_in_transaction(6, ("a", 1), &[0]), [ErrorCode::GroupIdNotFound]);
}
