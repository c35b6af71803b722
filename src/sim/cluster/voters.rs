//! Voters that join and leave while all else goes on: any node at any time, by requests to any other.

use super::health::within;
use super::router::Router;
use super::{Cluster, peer_address};
use crate::base::TopicId;
use crate::sim::client::{ADD_RAFT_VOTER, DESCRIBE_QUORUM, REMOVE_RAFT_VOTER};
use crate::wire::generated::add_raft_voter_request::Listener;
use crate::wire::generated::describe_quorum_request::{PartitionData, TopicData};
use crate::wire::generated::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    RemoveRaftVoterRequest, RemoveRaftVoterResponse,
};
use std::rc::Rc;

/// Who votes first where voters change.
pub(super) const FIRST: i32 = 1;

/// Asks for changes until the trouble is over.
pub(super) async fn change(cluster: Rc<Cluster>) {
    let mut router = Router::new(cluster.clone());
    while !cluster.calm.get() {
        let Some(client) = router.any() else {
            cluster.pause().await;
            continue;
        };
        let brokers = u64::try_from(cluster.shape.brokers).expect("some");
        let id = 1 + i32::try_from(cluster.exec.below(brokers)).expect("small");
        let answer = if cluster.exec.chance(65) {
            let answer: Option<AddRaftVoterResponse> = client.call(ADD_RAFT_VOTER, &add(id)).await;
            answer.map(|answer| answer.error_code)
        } else {
            let answer: Option<RemoveRaftVoterResponse> = client.call(REMOVE_RAFT_VOTER, &remove(id)).await;
            answer.map(|answer| answer.error_code)
        };
        match answer {
            Some(0) => cluster.changes.set(cluster.changes.get() + 1),
            // 7: another change goes on, the node is down, or nobody decides; 41: who decides has changed; 42: it is
            // the last one; 126 and 127: it votes already, or doesn't.
            Some(7 | 41 | 42 | 126 | 127) => {}
            None => router.hang_up(),
            Some(error) => panic!("voters can't be changed: error {error}"),
        }
        cluster.exec.sleep(cluster.exec.micros(10_000, 1_500_000)).await;
    }
}

fn add(voter_id: i32) -> AddRaftVoterRequest {
    let address = peer_address(voter_id);
    let (host, port) = address.rsplit_once(':').expect("a host and a port");
    let port = port.parse().expect("a port");
    AddRaftVoterRequest {
        cluster_id: None,
        timeout_ms: 10_000,
        voter_id,
        voter_directory_id: TopicId([7; 16]),
        listeners: vec![Listener { name: "PEERS".into(), host: host.into(), port }],
        ack_when_committed: true,
    }
}

fn remove(voter_id: i32) -> RemoveRaftVoterRequest {
    RemoveRaftVoterRequest { cluster_id: None, voter_id, voter_directory_id: TopicId::ZERO }
}

/// Waits until every node tells of the same voters, and of nobody who is still to become one.
pub(super) async fn agree(cluster: &Rc<Cluster>) {
    within(cluster, "one list of voters", async || {
        let mut lists = Vec::new();
        for id in 1..=cluster.shape.brokers {
            lists.push(voters(cluster, id).await);
        }
        lists[0].is_some() && lists.iter().all(|list| *list == lists[0])
    })
    .await;
}

async fn voters(cluster: &Rc<Cluster>, node: i32) -> Option<Vec<i32>> {
    let client = Router::new(cluster.clone()).node(node)?;
    let partitions = vec![PartitionData { partition_index: 0 }];
    let topics = vec![TopicData { topic_name: "__cluster_metadata".into(), partitions }];
    let answer: DescribeQuorumResponse =
        client.call(DESCRIBE_QUORUM, &DescribeQuorumRequest { topics }).await?;
    let quorum = answer.topics.first()?.partitions.first()?;
    Some(quorum.current_voters.iter().map(|voter| voter.replica_id).collect())
}
