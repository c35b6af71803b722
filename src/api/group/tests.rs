//! The APIs of groups in their versions, over real coordinators.

use super::*;
use crate::api::testing::Fixture;
use crate::wire::generated::join_group_request::JoinGroupRequestProtocol;
use crate::wire::generated::leave_group_request::MemberIdentity;
use crate::wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::wire::generated::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use crate::wire::generated::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};

fn find(fixture: &mut Fixture, version: i16, key: &str, key_type: i8) -> FindCoordinatorResponse {
    let mut request = FindCoordinatorRequest { key_type, ..Default::default() };
    if version >= 4 {
        request.coordinator_keys = vec![key.into()];
    } else {
        request.key = key.into();
    }
    fixture.ask(10, version, &request).message()
}

/// A broker with the topic `t`, on which groups are kept.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.topic("t");
    find(&mut fixture, 6, "g", 0);
    fixture
}

#[test]
fn the_first_who_looks_for_a_coordinator_finds_one() {
    for version in 0..=6 {
        let mut fixture = Fixture::new();
        let response = find(&mut fixture, version, "g", 0);
        let (code, node, port) = match response.coordinators.first() {
            Some(one) => (one.error_code, one.node_id, one.port),
            None => (response.error_code, response.node_id, response.port),
        };
        assert_eq!((code, node, port), (0, 1, 9092), "{version}");
        let topic = fixture.cluster.topic(OFFSETS_TOPIC).expect("it was created");
        assert_eq!(topic.partitions.len(), 50);
        assert_eq!(topic.configs.get("cleanup.policy").map(String::as_str), Some("compact"));
    }
    let mut fixture = Fixture::new();
    assert_eq!(find(&mut fixture, 6, "x", 2).coordinators[0].error_code, 42);
    assert_eq!(find(&mut fixture, 3, "x", 1).error_code, 0);
    assert!(fixture.cluster.topic(OFFSETS_TOPIC).is_none(), "only groups need it");
    let topic = fixture.cluster.topic(crate::txn::TRANSACTIONS_TOPIC).expect("transactions need another");
    assert_eq!(topic.partitions.len(), 50);
}

#[test]
fn without_the_topic_nobody_is_a_coordinator() {
    let mut fixture = Fixture::new();
    let joined: JoinGroupResponse = fixture.ask(11, 9, &JoinGroupRequest::default()).message();
    assert_eq!(joined.error_code, 16);
    let beat: HeartbeatResponse = fixture.ask(12, 4, &HeartbeatRequest::default()).message();
    assert_eq!(beat.error_code, 16);
    let listed: ListGroupsResponse = fixture.ask(16, 5, &ListGroupsRequest::default()).message();
    assert_eq!((listed.error_code, listed.groups.len()), (0, 0));
}

fn join(fixture: &mut Fixture, version: i16, member: &str) -> JoinGroupResponse {
    let request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: if version == 0 { -1 } else { 10_000 },
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }],
        ..Default::default()
    };
    fixture.ask(11, version, &request).message()
}

#[test]
fn every_version_of_the_members_apis_works() {
    for version in 0..=9 {
        let mut fixture = fixture();
        let first = join(&mut fixture, version, "");
        let member = first.member_id.clone();
        let joined = if version >= 4 { join(&mut fixture, version, &member) } else { first };
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "{version}");
        assert_eq!((joined.leader.clone(), joined.members.len()), (member.clone(), 1));
        let sync_version = version.min(5);
        let named = (sync_version >= 5).then(|| "consumer".into());
        let sync = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: member.clone(),
            protocol_type: named,
            protocol_name: (sync_version >= 5).then(|| "range".into()),
            ..Default::default()
        };
        let synced: SyncGroupResponse = fixture.ask(14, sync_version, &sync).message();
        assert_eq!(synced.error_code, 0);
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: member.clone(),
            ..Default::default()
        };
        let beat: HeartbeatResponse = fixture.ask(12, version.min(4), &beat).message();
        assert_eq!(beat.error_code, 0);
        let leave_version = version.min(5);
        let mut leave = LeaveGroupRequest { group_id: "g".into(), ..Default::default() };
        if leave_version >= 3 {
            leave.members = vec![MemberIdentity { member_id: member.clone(), ..Default::default() }];
        } else {
            leave.member_id = member.clone();
        }
        let left: LeaveGroupResponse = fixture.ask(13, leave_version, &leave).message();
        assert_eq!((left.error_code, left.members.len()), (0, usize::from(leave_version >= 3)));
        let left: LeaveGroupResponse = fixture.ask(13, leave_version, &leave).message();
        let told = left.members.first().map_or(left.error_code, |member| member.error_code);
        assert_eq!(told, 25, "the second time nobody is there");
    }
}

#[test]
fn a_member_says_what_it_takes_the_group_for() {
    let sync = SyncGroupRequest { group_id: "g".into(), ..Default::default() };
    let synced: SyncGroupResponse = fixture().ask(14, 5, &sync).message();
    assert_eq!(synced.error_code, 23);
}

fn commit(fixture: &mut Fixture, version: i16, partitions: &[i32]) -> OffsetCommitResponse {
    let by_id = version >= 10;
    let topic_id = fixture.cluster.topic("t").expect("it is there").id;
    let partition = |index: &i32| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: 7,
        committed_metadata: Some("m".into()),
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: if by_id { "".into() } else { "t".into() },
            topic_id: if by_id { topic_id } else { Default::default() },
            partitions: partitions.iter().map(partition).collect(),
        }],
        ..Default::default()
    };
    fixture.ask(8, version, &request).message()
}

/// Error and offset of every partition asked about.
fn fetch(fixture: &mut Fixture, version: i16, all: bool) -> Vec<(i32, i16, i64)> {
    let topic_id = fixture.cluster.topic("t").expect("it is there").id;
    let mut request = OffsetFetchRequest::default();
    let by_id = version >= 10;
    if version >= 8 {
        let topics = vec![OffsetFetchRequestTopics {
            name: if by_id { "".into() } else { "t".into() },
            topic_id: if by_id { topic_id } else { Default::default() },
            partition_indexes: vec![0, 5],
        }];
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics: (!all).then_some(topics),
            ..Default::default()
        }];
    } else {
        request.group_id = "g".into();
        let topics = vec![OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0, 5] }];
        request.topics = (!all).then_some(topics);
    }
    let response: OffsetFetchResponse = fixture.ask(9, version, &request).message();
    assert_eq!(response.error_code, 0);
    if version >= 8 {
        let group = &response.groups[0];
        assert_eq!(group.error_code, 0);
        let topic = &group.topics[0];
        assert!(if by_id { topic.topic_id == topic_id } else { topic.name.as_str() == "t" });
        let told = |p: &crate::wire::generated::offset_fetch_response::OffsetFetchResponsePartitions| {
            (p.partition_index, p.error_code, p.committed_offset)
        };
        topic.partitions.iter().map(told).collect()
    } else {
        let told = |p: &crate::wire::generated::offset_fetch_response::OffsetFetchResponsePartition| {
            (p.partition_index, p.error_code, p.committed_offset)
        };
        response.topics[0].partitions.iter().map(told).collect()
    }
}

#[test]
fn every_version_commits_and_fetches() {
    for version in 2..=10 {
        let mut fixture = fixture();
        let response = commit(&mut fixture, version, &[5, 0]);
        let told: Vec<_> =
            response.topics[0].partitions.iter().map(|p| (p.partition_index, p.error_code)).collect();
        assert_eq!(told, [(5, 3), (0, 0)], "only partition 0 is there");
        assert_eq!(fetch(&mut fixture, version, false), [(0, 0, 7), (5, 0, -1)]);
        assert_eq!(fetch(&mut fixture, version, true), [(0, 0, 7)]);
    }
    assert_eq!(fetch(&mut fixture(), 1, false), [(0, 0, -1), (5, 0, -1)]);
}

#[test]
fn unknown_topics_are_told_as_the_version_can() {
    let mut fixture = fixture();
    for (version, expected) in [(9, 3), (10, 100)] {
        let topic = OffsetCommitRequestTopic {
            name: if version < 10 { "nowhere".into() } else { "".into() },
            topic_id: if version < 10 { Default::default() } else { crate::base::TopicId([9; 16]) },
            partitions: vec![OffsetCommitRequestPartition::default()],
        };
        let request = OffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() };
        let response: OffsetCommitResponse = fixture.ask(8, version, &request).message();
        assert_eq!(response.topics[0].partitions[0].error_code, expected);
    }
    let topics = vec![OffsetFetchRequestTopics {
        topic_id: crate::base::TopicId([9; 16]),
        partition_indexes: vec![0],
        ..Default::default()
    }];
    let groups =
        vec![OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(topics), ..Default::default() }];
    let request = OffsetFetchRequest { groups, ..Default::default() };
    let response: OffsetFetchResponse = fixture.ask(9, 10, &request).message();
    assert_eq!(response.groups[0].topics[0].partitions[0].error_code, 100);
}

#[test]
fn tools_see_and_delete_groups() {
    let mut fixture = fixture();
    commit(&mut fixture, 9, &[0]);
    let listed: ListGroupsResponse = fixture.ask(16, 5, &ListGroupsRequest::default()).message();
    let group = &listed.groups[0];
    assert_eq!((group.group_id.as_str(), group.group_state.as_str()), ("g", "Empty"));
    assert_eq!((group.protocol_type.as_str(), group.group_type.as_str()), ("", "classic"));
    let request =
        DescribeGroupsRequest { groups: vec!["g".into(), "h".into()], include_authorized_operations: true };
    let described: DescribeGroupsResponse = fixture.ask(15, 6, &request).message();
    let codes: Vec<_> = described.groups.iter().map(|group| group.error_code).collect();
    assert_eq!(codes, [0, 69]);
    let request = OffsetDeleteRequest { group_id: "g".into(), topics: Vec::new() };
    let response: OffsetDeleteResponse = fixture.ask(47, 0, &request).message();
    assert_eq!(response.error_code, 0);
    let request = DeleteGroupsRequest { groups_names: vec!["h".into(), "g".into(), "g".into()] };
    let response: DeleteGroupsResponse = fixture.ask(42, 2, &request).message();
    let codes: Vec<_> = response.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [69, 0]);
}
