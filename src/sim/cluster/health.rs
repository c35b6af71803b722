//! After the trouble: the cluster becomes whole within a bounded time, and everything that it promised is there, on
//! every replica.

use super::Cluster;
use super::consumer::read_all;
use super::producer::Producer;
use super::router::{Router, describe};
use crate::base::TopicPartition;
use crate::sim::broker::{End, Node};
use crate::sim::workload::Place;
use crate::wire::generated::metadata_response::MetadataResponsePartition;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// How long it may take until everything is well once nothing is wrong any more. Processes that are down may take 6
/// seconds to come back, and followers that are far behind have to catch up.
pub(super) const LIVENESS: Duration = Duration::from_secs(60);

/// Long enough that no partition counts as busy any more.
const REST: Duration = Duration::from_millis(2500);
/// Ids of producers that come after all others.
const LATE_PRODUCERS: u32 = 1000;

/// Waits until all nodes serve and every partition has a leader and all its replicas in sync, as every node sees it.
pub(super) async fn recovers(cluster: &Rc<Cluster>) {
    within(cluster, "all replicas in sync", async || stays_whole(cluster).await).await;
}

/// Whether it is whole and stays so for a while: what nodes say that were cut off is what they heard before.
async fn stays_whole(cluster: &Rc<Cluster>) -> bool {
    for _ in 0..6 {
        if !is_whole(cluster).await {
            return false;
        }
        cluster.exec.sleep(Duration::from_millis(500)).await;
    }
    true
}

pub(super) async fn within(cluster: &Rc<Cluster>, what: &str, holds: impl AsyncFn() -> bool) {
    let until = cluster.exec.now() + LIVENESS;
    while !holds().await {
        assert!(cluster.exec.now() < until, "{what}: not so {LIVENESS:?} after the trouble");
        cluster.exec.sleep(Duration::from_millis(50)).await;
    }
}

fn brokers(cluster: &Cluster) -> impl Iterator<Item = &Rc<Node>> {
    cluster.nodes.iter().filter(|node| node.id() <= cluster.shape.brokers)
}

async fn is_whole(cluster: &Rc<Cluster>) -> bool {
    if cluster.nodes.iter().any(|node| node.is_troubled()) {
        return false;
    }
    for node in brokers(cluster) {
        if !sees(cluster, node.id(), |partition| {
            let replicas: BTreeSet<i32> = partition.replica_nodes.iter().copied().collect();
            let isr: BTreeSet<i32> = partition.isr_nodes.iter().copied().collect();
            partition.leader_id >= 0 && replicas == isr
        })
        .await
        {
            return false;
        }
    }
    true
}

/// Whether every partition is so as a node sees it.
async fn sees(cluster: &Rc<Cluster>, node: i32, holds: impl Fn(&MetadataResponsePartition) -> bool) -> bool {
    let topics: BTreeSet<u32> = cluster.histories.borrow().keys().map(|place| place.0).collect();
    let mut router = Router::new(cluster.clone());
    let Some(client) = router.node(node) else { return false };
    for topic in topics {
        match describe(&client, topic).await {
            Some(partitions) if partitions.iter().all(&holds) => {}
            _ => return false,
        }
    }
    true
}

/// Reads everything and judges it; then again and again while one broker after the other is down, so that every replica
/// gets to lead.
pub(super) async fn judge(cluster: &Rc<Cluster>) {
    goes_on(cluster).await;
    judge_all(cluster).await;
    if cluster.shape.factor < 2 || cluster.shape.min_isr > 1 && cluster.shape.factor == 2 {
        return;
    }
    for node in brokers(cluster) {
        node.end(End::Stop).await;
        let other = brokers(cluster).find(|other| other.id() != node.id()).expect("there are several").id();
        let moved = async || {
            sees(cluster, other, |partition| partition.leader_id >= 0 && partition.leader_id != node.id())
                .await
        };
        within(cluster, "leaders move away from a broker that stops", moved).await;
        judge_all(cluster).await;
        if cluster.exec.chance(30) {
            damage(cluster, node);
        }
        node.launch();
        recovers(cluster).await;
        has_no_strays(node);
    }
    if cluster.shape.factor > 2 && cluster.shape.min_isr > 1 {
        let all: Vec<&Rc<Node>> = brokers(cluster).collect();
        let stopped = if cluster.exec.chance(50) { 2 } else { all.len() };
        judge_damaged(cluster, &all[..stopped]).await;
    }
}

/// A broker that was started has the logs of its replicas, and no others.
fn has_no_strays(node: &Node) {
    let replicas: BTreeSet<TopicPartition> = node.replicas().iter().map(|facts| facts.partition).collect();
    assert_eq!(node.logs(), replicas, "node {} keeps logs that are nobody's", node.id());
}

/// After a rest every partition takes records at once, and no follower falls out of sync over it.
async fn goes_on(cluster: &Rc<Cluster>) {
    cluster.exec.sleep(REST).await;
    let places: Vec<Place> = cluster.histories.borrow().keys().copied().collect();
    for (id, place) in (LATE_PRODUCERS..).zip(places) {
        Producer::new(cluster.clone(), id, place).one_more().await;
        assert!(is_whole(cluster).await, "{place:?} fell out of sync over a batch");
    }
}

/// Brokers stop, and the last of them comes back with a damaged copy: if two do, it is no longer in sync but eligible;
/// if all do, it alone is in sync. Either way it isn't relied on any more, and who has everything leads.
async fn judge_damaged(cluster: &Rc<Cluster>, stopped: &[&Rc<Node>]) {
    for node in stopped {
        node.end(End::Stop).await;
    }
    damage(cluster, stopped[stopped.len() - 1]);
    stopped.iter().for_each(|node| node.launch());
    recovers(cluster).await;
    judge_all(cluster).await;
}

/// Damages a copy of a node that is down. The others have everything: it gives its copy up, and copies it anew before
/// it is in sync.
fn damage(cluster: &Cluster, node: &Node) {
    let damaged = node.damage_log();
    tracing::info!(at = ?cluster.exec.now(), node = node.id(), ?damaged, "a copy is damaged");
}

async fn judge_all(cluster: &Rc<Cluster>) {
    let places: Vec<Place> = cluster.histories.borrow().keys().copied().collect();
    for place in &places {
        let end = read_whole(cluster, *place).await;
        cluster.histories.borrow()[place].judge(0, end);
    }
}

/// Reads a partition from its leader to its end. A leader that is new doesn't know at once that all is committed that
/// was read from the one before, or acknowledged by it, and one that was cut off doesn't know that it leads no more:
/// they are asked again.
async fn read_whole(cluster: &Rc<Cluster>, place: Place) -> i64 {
    let mut router = Router::new(cluster.clone());
    let until = cluster.exec.now() + LIVENESS;
    loop {
        assert!(cluster.exec.now() < until, "{place:?} can't be read to its end");
        if let Some(client) = router.leader(place).await
            && let Some(end) = read_all(cluster, &client, place, router.epoch(place)).await
            && end >= cluster.histories.borrow()[&place].known_end()
        {
            return end;
        }
        router.lost(place, true);
        cluster.pause().await;
    }
}
