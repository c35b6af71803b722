//! A cluster under trouble: several nodes with a disk each and a network between them; clients that find their way by
//! Metadata; faults of processes, machines, disks and lines. What was acknowledged by all in-sync replicas is there in
//! the end, in order, once, on every replica; what a reader saw never changes; and when the trouble is over, the
//! cluster is whole again within a bounded time.

mod consumer;
mod faults;
mod health;
mod mover;
mod producer;
mod router;
#[cfg(test)]
mod tests;
mod voters;
mod watch;

use super::admin::wanted_topic;
use super::broker::Node;
use super::client::CREATE_TOPICS;
use super::exec::{Exec, Group};
use super::history::History;
use super::net::Network;
use super::workload::{ClearAtEnd, Place, topic_name};
use crate::conf::{BrokerConf, Layers, Source};
use crate::wire::generated::create_topics_request::CreateTopicsRequest;
use crate::wire::generated::create_topics_response::CreateTopicsResponse;
use router::Router;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The group of clients: no process of theirs ever ends.
const CLIENTS: Group = Group(0);

/// Steps after which a run counts as hanging.
const STEPS_MAX: u64 = 30_000_000;

/// The cluster's id.
const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// What all clients of a run share.
pub(super) struct Cluster {
    pub(super) exec: Exec,
    pub(super) network: Network,
    /// Nodes that serve clients, then those that only coordinate.
    pub(super) nodes: Vec<Rc<Node>>,
    pub(super) shape: Shape,
    /// What clients know, by partition.
    pub(super) histories: RefCell<BTreeMap<Place, History>>,
    /// No further trouble comes.
    calm: Cell<bool>,
    /// Producers send no new records any more.
    ending: Cell<bool>,
    /// Clients that still have something to do.
    busy: Cell<u32>,
    /// How often voters were added or removed.
    changes: Cell<u32>,
}

/// What a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Nodes that serve clients.
    pub(super) brokers: i32,
    /// Nodes that only coordinate; with none, the brokers do.
    pub(super) coordinators: i32,
    pub(super) factor: i16,
    pub(super) min_isr: u64,
    /// Whether voters join and leave: one of the brokers votes first.
    pub(super) changing: bool,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Hash over all its steps.
    pub(super) trace: u64,
    pub(super) steps: u64,
    /// Records that were acknowledged.
    pub(super) acknowledged: usize,
    /// How often voters were added or removed.
    pub(super) changes: u32,
    /// Simulated time.
    pub(super) time: Duration,
}

/// Runs one seed.
///
/// # Panics
/// The cluster broke a promise, or hangs.
pub(super) fn run(seed: u64) -> Outcome {
    let exec = Exec::new(seed);
    let shape = Shape::draw(&exec);
    run_shape(&exec, shape)
}

/// Runs one seed with voters that join and leave.
///
/// # Panics
/// Likewise.
#[cfg(test)]
pub(super) fn run_changing(seed: u64) -> Outcome {
    let exec = Exec::new(seed);
    let shape = Shape { coordinators: 0, changing: true, ..Shape::draw(&exec) };
    run_shape(&exec, shape)
}

fn run_shape(exec: &Exec, shape: Shape) -> Outcome {
    let _end = ClearAtEnd(exec.clone());
    let cluster = Cluster::new(exec, shape);
    let _close = CloseAtEnd(cluster.network.clone());
    exec.run(cluster.clone().live(), STEPS_MAX);
    let acknowledged = cluster.histories.borrow().values().map(History::acknowledged).sum();
    let changes = cluster.changes.get();
    Outcome { trace: exec.trace(), steps: exec.steps(), acknowledged, changes, time: exec.now() }
}

/// Without this a run, and one that panicked too, would stay in memory.
struct CloseAtEnd(Network);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Cluster {
    fn new(exec: &Exec, shape: Shape) -> Rc<Self> {
        let network = Network::new(exec);
        let common = settings(exec);
        let node = |id: i32| {
            let mut layers = common.clone();
            shape.place(id, &mut layers);
            let conf = BrokerConf::check(layers, 4 << 30).expect("the settings are valid");
            let shards = u16::try_from(1 + exec.below(2)).expect("at most 2");
            Node::new(&network, exec, conf, shards)
        };
        let nodes = (1..=shape.brokers + shape.coordinators).map(node).collect();
        Rc::new(Cluster {
            exec: exec.clone(),
            network,
            nodes,
            shape,
            histories: RefCell::default(),
            calm: Cell::new(false),
            ending: Cell::new(false),
            busy: Cell::new(0),
            changes: Cell::new(0),
        })
    }

    async fn live(self: Rc<Self>) {
        tracing::info!(shape = ?self.shape, "a cluster starts");
        self.nodes.iter().for_each(Node::launch);
        for topic in 0..1 + u32::try_from(self.exec.below(2)).expect("small") {
            let partitions = 1 + i32::try_from(self.exec.below(3)).expect("small");
            self.create_topic(topic, partitions).await;
            let mut histories = self.histories.borrow_mut();
            histories.extend((0..partitions).map(|partition| ((topic, partition), History::default())));
        }
        self.exec.spawn(CLIENTS, watch::over(self.clone()));
        for (id, place) in (0..).zip(self.drawn_places(4)) {
            self.spawn(producer::Producer::new(self.clone(), id, place).run());
        }
        for place in self.drawn_places(3) {
            self.spawn(consumer::read(self.clone(), place));
        }
        if self.exec.chance(50) {
            self.spawn(mover::operate(self.clone()));
        }
        if self.shape.changing {
            self.spawn(voters::change(self.clone()));
        }
        for _ in 0..2 + self.exec.below(6) {
            faults::trouble(&self).await;
        }
        faults::over(&self);
        health::recovers(&self).await;
        self.exec.sleep(self.exec.micros(0, 200_000)).await;
        self.finish().await;
        if self.shape.changing {
            voters::agree(&self).await;
        }
        health::judge(&self).await;
    }

    fn drawn_places(&self, most: u64) -> Vec<Place> {
        let places: Vec<Place> = self.histories.borrow().keys().copied().collect();
        let draw = |_| places[usize::try_from(self.exec.below(places.len() as u64)).expect("an index")];
        (0..1 + self.exec.below(most)).map(draw).collect()
    }

    async fn create_topic(self: &Rc<Self>, topic: u32, partitions: i32) {
        let settings = [
            ("segment.bytes", (1u64 << 20).to_string()),
            ("segment.ms", (1u64 << self.exec.below(14)).to_string()),
            ("min.insync.replicas", self.shape.min_isr.to_string()),
        ];
        let topic = wanted_topic(&topic_name(topic), partitions, self.shape.factor, &settings);
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
        let mut router = Router::new(self.clone());
        loop {
            let Some(client) = router.any() else {
                self.pause().await;
                continue;
            };
            let answer: Option<CreateTopicsResponse> = client.call(CREATE_TOPICS, &request).await;
            match answer.map(|answer| answer.topics[0].error_code) {
                // 36: it was created by the try before, whose answer got lost.
                Some(0 | 36) => return,
                // 7, 41: there is no coordinator yet; 38: not enough brokers yet.
                Some(7 | 38 | 41) | None => {}
                Some(error) => panic!("the topic isn't created: error {error}"),
            }
            router.hang_up();
            self.pause().await;
        }
    }

    /// A client's pause before it tries again.
    async fn pause(&self) {
        self.exec.sleep(self.exec.micros(1_000, 100_000)).await;
    }

    fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.busy.set(self.busy.get() + 1);
        let cluster = self.clone();
        self.exec.spawn(CLIENTS, async move {
            task.await;
            cluster.busy.set(cluster.busy.get() - 1);
        });
    }

    /// Waits until all clients have done what they had to: nothing stands in their way any more.
    async fn finish(&self) {
        self.ending.set(true);
        let until = self.exec.now() + health::LIVENESS;
        while self.busy.get() > 0 {
            assert!(
                self.exec.now() < until,
                "{} clients aren't done {:?} after",
                self.busy.get(),
                health::LIVENESS
            );
            self.exec.sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Shape {
    fn draw(exec: &Exec) -> Self {
        let brokers = if exec.chance(70) { 3 } else { 2 + i32::try_from(exec.below(3)).expect("small") };
        // Two of two voters are a majority: with two brokers, others coordinate.
        let coordinators =
            if brokers == 2 || exec.chance(20) { 1 + 2 * i32::from(exec.chance(80)) } else { 0 };
        let factor = i16::try_from(if exec.chance(80) { brokers.min(3) } else { 2 }).expect("small");
        let min_isr = if factor > 2 && exec.chance(60) { 2 } else { 1 };
        Shape { brokers, coordinators, factor, min_isr, changing: false }
    }

    /// Ids of the voters.
    fn voters(self) -> impl Iterator<Item = i32> {
        if self.changing {
            voters::FIRST..=voters::FIRST
        } else if self.coordinators > 0 {
            self.brokers + 1..=self.brokers + self.coordinators
        } else {
            1..=self.brokers
        }
    }

    /// What one node is told.
    fn place(self, id: i32, layers: &mut Layers) {
        let mut set = |key: &str, value: &str| layers.set(key, value, Source::Flag("the run".to_owned()));
        let voters: Vec<String> = self.voters().map(|id| format!("{id}@{}", peer_address(id))).collect();
        let roles = match (id > self.brokers, self.coordinators > 0) {
            (true, _) => "coordinator",
            (false, true) => "broker",
            (false, false) => "broker,coordinator",
        };
        set("node.id", &id.to_string());
        set("cluster.id", CLUSTER_ID);
        set("listen", &format!("node-{id}:9092"));
        set("peer.listen", &peer_address(id));
        set("coordinator.voters", &voters.join(","));
        set("process.roles", roles);
    }
}

fn peer_address(id: i32) -> String {
    format!("node-{id}:9093")
}

/// What all nodes are told.
fn settings(exec: &Exec) -> Layers {
    let mut layers = Layers::default();
    let mut set = |key: &str, value: u64| {
        layers.set(key, &value.to_string(), Source::Flag("the run".to_owned()));
    };
    set("flush.overlap.bytes", [0, 1 << 10, 1 << 18][usize::try_from(exec.below(3)).expect("below 3")]);
    set("memory.bytes", 64 << 10 << exec.below(8));
    let lag_max = 200 << exec.below(6);
    set("replica.lag.time.max.ms", lag_max);
    // A batch that comes after a rest finds followers as long ago caught up as they wait for one.
    set("replica.fetch.wait.max.ms", (10 << exec.below(6)).min(lag_max / 2));
    set("replica.fetch.max.bytes", 1 << (8 + exec.below(12)));
    set("replica.fetch.response.max.bytes", 1 << (10 + exec.below(12)));
    layers
}
