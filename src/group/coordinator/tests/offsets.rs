//! Committing, fetching and losing offsets; rows 108 to 114.

use super::*;
use crate::wire::generated::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};

impl Bench {
    fn commit_as(&mut self, version: i16, request: OffsetCommitRequest) -> ErrorCode {
        let question = self.ask(GroupOp::Commit { request, version });
        match self.reply(question) {
            Some(GroupReply::Commit(response)) => code(response.topics[0].partitions[0].error_code),
            other => panic!("no answer to a commit: {other:?}"),
        }
    }

    /// The offset of the topic `t`'s partition 0; all of it with no topics named.
    fn committed(&mut self, group: &str) -> i64 {
        let topics = vec![OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..Default::default()
        }];
        let request =
            OffsetFetchRequestGroup { group_id: group.into(), topics: Some(topics), ..Default::default() };
        let question = self.ask(GroupOp::Fetch { request, stable: false });
        match self.reply(question) {
            Some(GroupReply::Fetch(response)) => response.topics[0].partitions[0].committed_offset,
            other => panic!("no answer to a fetch: {other:?}"),
        }
    }

    fn delete(&mut self) -> ErrorCode {
        let question = self.ask(GroupOp::Delete { group: GROUP.into() });
        match self.reply(question) {
            Some(GroupReply::Deleted(result)) => code(result.error_code),
            other => panic!("no answer to a DeleteGroups: {other:?}"),
        }
    }

    fn delete_offset(&mut self) -> (ErrorCode, Option<ErrorCode>) {
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
        let topics = vec![OffsetDeleteRequestTopic { name: "t".into(), partitions }];
        let question =
            self.ask(GroupOp::DeleteOffsets(OffsetDeleteRequest { group_id: GROUP.into(), topics }));
        match self.reply(question) {
            Some(GroupReply::OffsetsDeleted(response)) => {
                let first = response.topics.first().map(|topic| code(topic.partitions[0].error_code));
                (code(response.error_code), first)
            }
            other => panic!("no answer to an OffsetDelete: {other:?}"),
        }
    }
}

#[test]
fn who_may_commit_depends_on_the_group() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit_as(8, commit("", 3, 1)), ErrorCode::IllegalGeneration);
    assert_eq!(bench.commit_as(9, commit("", 3, 1)), ErrorCode::GroupIdNotFound);
    assert_eq!(bench.state(), None);
    assert_eq!(bench.commit_as(8, commit("", -1, 1)), ErrorCode::None, "a tool makes a simple group");
    assert_eq!(bench.committed(GROUP), 1);
    assert_eq!(bench.commit_as(8, commit("nobody", 0, 1)), ErrorCode::UnknownMemberId);
    let (ids, generation) = bench.stable(1);
    assert_eq!(bench.commit_as(8, commit("", -1, 2)), ErrorCode::UnknownMemberId);
    assert_eq!(bench.commit_as(8, commit(&ids[0], generation - 1, 2)), ErrorCode::IllegalGeneration);
    assert_eq!(bench.commit_as(8, commit(&ids[0], generation, 2)), ErrorCode::None);
    let fenced =
        OffsetCommitRequest { group_instance_id: Some("i".into()), ..commit(&ids[0], generation, 3) };
    assert_eq!(bench.commit_as(8, fenced), ErrorCode::UnknownMemberId);
    assert_eq!(bench.committed(GROUP), 2);
    let question = bench.join_with(9, join(&ids[0]));
    assert_eq!(bench.joined(question).generation_id, generation + 1);
    assert_eq!(bench.commit_as(8, commit(&ids[0], generation + 1, 3)), ErrorCode::RebalanceInProgress);
    bench.restart();
    assert_eq!(bench.committed(GROUP), 2);
    assert_eq!(bench.committed("other"), -1);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(1);
    for offset in 0..5 {
        assert_eq!(bench.commit_as(8, commit(&ids[0], generation, offset)), ErrorCode::None);
        bench.pass(SESSION_MS as u64 - 1);
    }
    bench.pass(1);
    assert_eq!(bench.commit_as(8, commit(&ids[0], generation, 9)), ErrorCode::UnknownMemberId);
}

#[test]
fn metadata_is_bounded_in_characters() {
    let mut bench = Bench::new();
    for (text, expected) in
        [("ä".repeat(4096), ErrorCode::None), ("x".repeat(4097), ErrorCode::OffsetMetadataTooLarge)]
    {
        let mut request = commit("", -1, 1);
        request.topics[0].partitions[0].committed_metadata = Some(text.into());
        assert_eq!(bench.commit_as(8, request), expected);
    }
}

#[test]
fn deleting_needs_an_empty_group() {
    let mut bench = Bench::new();
    assert_eq!(bench.delete(), ErrorCode::GroupIdNotFound);
    assert_eq!(bench.delete_offset(), (ErrorCode::GroupIdNotFound, None));
    let (ids, generation) = bench.stable(1);
    assert_eq!(bench.commit_as(8, commit(&ids[0], generation, 2)), ErrorCode::None);
    assert_eq!(bench.delete(), ErrorCode::NonEmptyGroup);
    assert_eq!(bench.delete_offset(), (ErrorCode::None, Some(ErrorCode::GroupSubscribedToTopic)));
    assert_eq!(bench.leave(&[(&ids[0], None)]), [ErrorCode::None]);
    assert_eq!(bench.delete_offset(), (ErrorCode::None, Some(ErrorCode::None)));
    assert_eq!(bench.committed(GROUP), -1);
    assert_eq!(bench.commit_as(8, commit("", -1, 4)), ErrorCode::None);
    assert_eq!(bench.delete(), ErrorCode::None);
    bench.restart();
    assert_eq!((bench.state(), bench.committed(GROUP)), (None, -1));
    assert_eq!(bench.coordinator.offsets.len(), 0);
    assert_eq!(bench.coordinator.bytes, 0);
}

#[test]
fn offsets_expire_a_retention_after_the_group_became_empty() {
    let retention = 7 * 24 * 3_600_000;
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(1);
    assert_eq!(bench.commit_as(8, commit(&ids[0], generation, 2)), ErrorCode::None);
    bench.leave(&[(&ids[0], None)]);
    bench.pass(retention - 600_000);
    assert_eq!(bench.committed(GROUP), 2);
    bench.pass(1_200_000);
    assert_eq!((bench.state(), bench.committed(GROUP)), (None, -1));
    bench.restart();
    assert_eq!(bench.state(), None);
}

#[test]
fn a_topic_that_goes_takes_its_offsets_along() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit_as(8, commit("", -1, 1)), ErrorCode::None);
    bench.step(Event::TopicsDeleted(vec!["u".into()]));
    assert_eq!(bench.committed(GROUP), 1);
    bench.step(Event::TopicsDeleted(vec!["t".into()]));
    assert_eq!(bench.committed(GROUP), -1);
    bench.restart();
    assert_eq!(bench.committed(GROUP), -1);
}

#[test]
fn lists_and_descriptions_tell_the_state() {
    let mut bench = Bench::new();
    let listed = |bench: &mut Bench, states: &[&str], types: &[&str]| {
        let texts = |list: &[&str]| list.iter().map(|text| Str::from(*text)).collect();
        let question = bench.ask(GroupOp::List { states: texts(states), types: texts(types) });
        match bench.reply(question) {
            Some(GroupReply::Listed(groups)) => groups.len(),
            other => panic!("no answer to a ListGroups: {other:?}"),
        }
    };
    let described = |bench: &mut Bench, version| {
        let question = bench.ask(GroupOp::Describe { group: GROUP.into(), version });
        match bench.reply(question) {
            Some(GroupReply::Described(group)) => group,
            other => panic!("no answer to a DescribeGroups: {other:?}"),
        }
    };
    assert_eq!(described(&mut bench, 5).group_state.as_str(), "Dead");
    assert_eq!(code(described(&mut bench, 6).error_code), ErrorCode::GroupIdNotFound);
    bench.stable(2);
    assert_eq!(listed(&mut bench, &[], &[]), 1);
    assert_eq!(listed(&mut bench, &["stable", "empty"], &["classic"]), 1);
    assert_eq!(listed(&mut bench, &["empty"], &[]), 0);
    assert_eq!(listed(&mut bench, &[], &["consumer"]), 0);
    let group = described(&mut bench, 6);
    assert_eq!((group.group_state.as_str(), group.protocol_data.as_str()), ("Stable", "range"));
    assert_eq!(group.members.len(), 2);
    assert!(group.members.iter().all(|member| member.member_assignment[..] == b"share"[..]));
    assert!(group.members.iter().all(|member| member.client_host.as_str() == "/127.0.0.1"));
}
