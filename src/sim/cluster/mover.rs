//! An operator who moves replicas about while the trouble lasts, takes moves back, and has leaders elected.

use super::Cluster;
use super::router::Router;
use crate::sim::client::{ALTER_PARTITION_REASSIGNMENTS, ELECT_LEADERS};
use crate::sim::workload::{Place, topic_name};
use crate::wire::generated::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use crate::wire::generated::alter_partition_reassignments_response::AlterPartitionReassignmentsResponse;
use crate::wire::generated::elect_leaders_request::ElectLeadersRequest;
use crate::wire::generated::elect_leaders_response::ElectLeadersResponse;
use std::rc::Rc;

/// Moves one partition after the other until the trouble is over.
pub(super) async fn operate(cluster: Rc<Cluster>) {
    let mut router = Router::new(cluster.clone());
    while !cluster.calm.get() {
        cluster.exec.sleep(cluster.exec.micros(50_000, 1_500_000)).await;
        let place = cluster.drawn_places(1)[0];
        let answered = match cluster.exec.below(4) {
            0 => elect(&mut router).await,
            _ => reassign(&cluster, &mut router, place).await,
        };
        if answered.is_none() {
            router.hang_up();
        }
    }
}

/// Wishes for other replicas, or takes the wish of before back. `None` if nobody answers.
async fn reassign(cluster: &Rc<Cluster>, router: &mut Router, place: Place) -> Option<()> {
    let replicas = cluster.exec.chance(80).then(|| drawn_replicas(cluster));
    let partition = ReassignablePartition { partition_index: place.1, replicas };
    let topic = ReassignableTopic { name: topic_name(place.0).into(), partitions: vec![partition] };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let client = router.any()?;
    let answer: AlterPartitionReassignmentsResponse =
        client.call(ALTER_PARTITION_REASSIGNMENTS, &request).await?;
    let code = answer.responses.first().map_or(answer.error_code, |topic| topic.partitions[0].error_code);
    // Nobody coordinates, timed out, not asked in time, no brokers like these, nothing to take back.
    assert!(matches!(code, 0 | 3 | 7 | 14 | 15 | 39 | 41 | 85), "{place:?} can't be moved: error {code}");
    Some(())
}

fn drawn_replicas(cluster: &Cluster) -> Vec<i32> {
    let mut brokers: Vec<i32> = (1..=cluster.shape.brokers).collect();
    let mut drawn = Vec::new();
    for _ in 0..cluster.shape.factor {
        let at = usize::try_from(cluster.exec.below(brokers.len() as u64)).expect("an index");
        drawn.push(brokers.remove(at));
    }
    drawn
}

/// Has whoever is preferred lead, everywhere.
async fn elect(router: &mut Router) -> Option<()> {
    let request = ElectLeadersRequest { election_type: 0, topic_partitions: None, timeout_ms: 10_000 };
    let client = router.any()?;
    let _: ElectLeadersResponse = client.call(ELECT_LEADERS, &request).await?;
    Some(())
}
