//! What a broker of several answers about partitions that others lead, or that nobody does: the tests of it, over all
//! APIs at once.

use super::testing::{Answer, Fixture};
use super::*;
use crate::replica::call::{PartitionOp, PartitionReply};
use crate::wire::generated::fetch_request::{FetchPartition, FetchTopic};
use crate::wire::generated::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::generated::metadata_request::MetadataRequestTopic;
use crate::wire::generated::produce_request::{PartitionProduceData, TopicProduceData};
use crate::wire::generated::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, FetchRequest, FetchResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
};

const NOT_LEADER: i16 = ErrorCode::NotLeaderOrFollower.code();
const NOBODY: i16 = ErrorCode::LeaderNotAvailable.code();

/// Four brokers; of the topic's partitions the first is led here, the others are not, and the last by nobody.
fn fixture() -> Fixture {
    let mut fixture = Fixture::cluster(4);
    fixture.replicated("t", &[&[1, 2], &[2, 1], &[2, 3], &[3, 4]]);
    fixture.fence(3, true);
    fixture.fence(4, true);
    fixture
}

fn metadata(fixture: &mut Fixture, version: i16) -> MetadataResponse {
    let topic = MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
    fixture.ask(3, version, &MetadataRequest { topics: Some(vec![topic]), ..Default::default() }).message()
}

#[test]
fn metadata_tells_who_leads_who_is_in_sync_and_who_is_away() {
    let mut fixture = fixture();
    let told = metadata(&mut fixture, 12);
    assert_eq!(told.brokers.iter().map(|broker| broker.node_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(told.controller_id, 1);
    let facts = told.topics[0].partitions.iter().map(|partition| {
        let lists = (&partition.replica_nodes[..], &partition.isr_nodes[..], &partition.offline_replicas[..]);
        (partition.error_code, partition.leader_id, partition.leader_epoch, lists)
    });
    /// Error, leader, epoch; replicas, those in sync, those offline.
    type Told<'a> = (i16, i32, i32, (&'a [i32], &'a [i32], &'a [i32]));
    let expected: [Told<'_>; 4] = [
        (0, 1, 0, (&[1, 2], &[1, 2], &[])),
        (0, 2, 0, (&[2, 1], &[2, 1], &[])),
        (0, 2, 0, (&[2, 3], &[2], &[3])),
        (NOBODY, -1, 2, (&[3, 4], &[], &[3, 4])),
    ];
    assert_eq!(facts.collect::<Vec<_>>(), expected);
}

#[test]
fn the_oldest_clients_hear_only_of_brokers_that_are_registered() {
    let mut fixture = fixture();
    fixture.run(crate::cluster::Command::UnregisterBroker { id: crate::base::NodeId(3) });
    let told = metadata(&mut fixture, 0);
    let third = &told.topics[0].partitions[2];
    assert_eq!((third.error_code, &third.replica_nodes), (ErrorCode::ReplicaNotAvailable.code(), &vec![2]));
}

#[test]
fn topics_are_described_with_who_is_eligible() {
    let mut fixture = fixture();
    let told: DescribeTopicPartitionsResponse = fixture
        .ask(75, 0, &DescribeTopicPartitionsRequest { response_partition_limit: 99, ..Default::default() })
        .message();
    let last = &told.topics[0].partitions[3];
    assert_eq!((last.error_code, last.leader_id, &last.isr_nodes), (NOBODY, -1, &vec![]));
    assert_eq!((&last.eligible_leader_replicas, &last.offline_replicas), (&Some(vec![4]), &vec![3, 4]));
}

#[test]
fn the_cluster_is_described_without_who_is_away_unless_asked_for() {
    let mut fixture = fixture();
    let mut ask = |include_fenced_brokers| -> Vec<(i32, bool)> {
        let request = DescribeClusterRequest { include_fenced_brokers, ..Default::default() };
        let told: DescribeClusterResponse = fixture.ask(60, 2, &request).message();
        told.brokers.iter().map(|broker| (broker.broker_id, broker.is_fenced)).collect()
    };
    assert_eq!(ask(false), [(1, false), (2, false)]);
    assert_eq!(ask(true), [(1, false), (2, false), (3, true), (4, true)]);
}

#[test]
fn the_quorum_is_described_by_who_runs_it() {
    use crate::wire::generated::describe_quorum_request::{PartitionData, TopicData};
    let topic = |name: &str| TopicData {
        topic_name: name.into(),
        partitions: vec![PartitionData { partition_index: 0 }],
    };
    let request = DescribeQuorumRequest { topics: vec![topic("__cluster_metadata"), topic("t")] };
    let told: DescribeQuorumResponse = fixture().ask(55, 2, &request).message();
    let metadata = &told.topics[0].partitions[0];
    assert_eq!((metadata.leader_id, metadata.leader_epoch, metadata.high_watermark), (2, 5, 7));
    assert_eq!((metadata.current_voters.len(), told.nodes.len()), (2, 2));
    assert_eq!(told.topics[1].partitions[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn who_produces_elsewhere_is_told_where() {
    let produce = |version: i16| -> ProduceResponse {
        let partition = |index: i32| PartitionProduceData { index, records: None };
        let topic = TopicProduceData {
            name: if version < 13 { "t".into() } else { Str::EMPTY },
            topic_id: if version < 13 { TopicId::ZERO } else { TopicId([1; 16]) },
            partition_data: vec![partition(1), partition(2), partition(3)],
        };
        let request =
            ProduceRequest { acks: -1, timeout_ms: 1, topic_data: vec![topic], ..Default::default() };
        fixture().ask(0, version, &request).message()
    };
    for version in [3, 9, 10, 13] {
        let told = produce(version);
        let codes: Vec<i16> =
            told.responses[0].partition_responses.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, [NOT_LEADER; 3]);
        let hints = told.responses[0].partition_responses.iter().map(|one| one.current_leader.leader_id);
        let (leaders, nodes): (&[i32], &[i32]) =
            if version < 10 { (&[-1, -1, -1], &[]) } else { (&[2, 2, -1], &[2]) };
        assert_eq!(hints.collect::<Vec<_>>(), leaders, "version {version}");
        assert_eq!(told.node_endpoints.iter().map(|node| node.node_id).collect::<Vec<_>>(), nodes);
        assert!(told.node_endpoints.iter().all(|node| node.port == 9093));
    }
}

fn fetch(fixture: &mut Fixture, version: i16, rack: &str) -> FetchResponse {
    let partition =
        |partition: i32| FetchPartition { partition, partition_max_bytes: 99, ..Default::default() };
    let topic = FetchTopic {
        topic: if version < 13 { "t".into() } else { Str::EMPTY },
        topic_id: if version < 13 { TopicId::ZERO } else { TopicId([1; 16]) },
        partitions: (0..4).map(partition).collect(),
    };
    let rack_id = rack.into();
    let request = FetchRequest { session_epoch: -1, topics: vec![topic], rack_id, ..Default::default() };
    fixture.ask(1, version, &request).message()
}

#[test]
fn who_fetches_elsewhere_is_told_where_and_may_ask_a_follower() {
    for (version, follower) in [(4, NOT_LEADER), (10, NOT_LEADER), (11, 0), (16, 0)] {
        let told = fetch(&mut fixture(), version, "");
        let mut all: Vec<_> = told.responses.iter().flat_map(|topic| &topic.partitions).collect();
        all.sort_by_key(|one| one.partition_index);
        let codes: Vec<i16> = all.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, [0, follower, NOT_LEADER, NOT_LEADER], "version {version}");
        let hint = if version < 16 { -1 } else { 2 };
        assert_eq!(all[2].current_leader.leader_id, hint);
        assert_eq!(told.node_endpoints.len(), usize::from(version >= 16));
        assert!(all.iter().all(|one| one.preferred_read_replica == -1));
    }
}

#[test]
fn a_consumer_is_sent_to_a_replica_in_its_rack_where_that_is_configured() {
    let mut fixture = fixture();
    let told = |fixture: &mut Fixture, rack: &str, aware: bool| {
        fixture.conf.cluster.rack_aware_reads = aware;
        let told = fetch(fixture, 12, rack);
        let one = &told.responses[0].partitions[0];
        (one.partition_index, one.error_code, one.high_watermark, one.preferred_read_replica)
    };
    assert_eq!(told(&mut fixture, "rack2", false), (0, 0, 9, -1));
    assert_eq!(told(&mut fixture, "rack2", true), (0, 0, 9, 2));
    for rack in ["", "rack1", "rack3", "elsewhere"] {
        assert_eq!(told(&mut fixture, rack, true), (0, 0, 9, -1), "{rack}");
    }
    fixture.fence(2, true);
    assert_eq!(told(&mut fixture, "rack2", true), (0, 0, 9, -1), "it isn't in sync");
}

#[test]
fn offsets_are_told_by_the_leader_and_looked_at_anywhere() {
    let mut fixture = fixture();
    fixture.partitions = |call| match call.op {
        PartitionOp::ListOffset { .. } => PartitionReply::Offset {
            error: ErrorCode::None,
            timestamp: -1,
            offset: 5,
            leader_epoch: crate::base::LeaderEpoch(0),
        },
        _ => panic!("only offsets are asked for"),
    };
    let mut ask = |replica_id| -> Vec<i16> {
        let partition =
            |index| ListOffsetsPartition { partition_index: index, timestamp: -1, ..Default::default() };
        let partitions = (0..4).map(partition).collect();
        let topics = vec![ListOffsetsTopic { name: "t".into(), partitions }];
        let request = ListOffsetsRequest { replica_id, topics, ..Default::default() };
        let told: ListOffsetsResponse = fixture.ask(2, 7, &request).message();
        told.topics[0].partitions.iter().map(|one| one.error_code).collect()
    };
    assert_eq!(ask(-1), [0, NOT_LEADER, NOT_LEADER, NOT_LEADER]);
    assert_eq!(ask(-2), [0; 4]);
}

#[test]
fn a_coordinator_is_where_its_partition_is_led() {
    let mut fixture = Fixture::cluster(3);
    fixture.replicated("__consumer_offsets", &[&[2, 1]]);
    let find = |fixture: &mut Fixture| -> (i16, i32, i32) {
        let request = FindCoordinatorRequest { key: "g".into(), ..Default::default() };
        let told: FindCoordinatorResponse = fixture.ask(10, 3, &request).message();
        (told.error_code, told.node_id, told.port)
    };
    let beat = |fixture: &mut Fixture| -> Answer<HeartbeatResponse> {
        fixture.ask(12, 4, &HeartbeatRequest { group_id: "g".into(), ..Default::default() })
    };
    assert_eq!(find(&mut fixture), (0, 2, 9093));
    assert_eq!(beat(&mut fixture).message().error_code, ErrorCode::NotCoordinator.code());
    fixture.fence(2, true);
    assert_eq!(find(&mut fixture), (0, 1, 9092));
    assert_ne!(beat(&mut fixture).message().error_code, ErrorCode::NotCoordinator.code());
    fixture.fence(1, true);
    assert_eq!(find(&mut fixture), (ErrorCode::CoordinatorNotAvailable.code(), -1, -1));
}
