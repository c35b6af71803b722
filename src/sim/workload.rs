//! One run: clients produce and consume while the broker is killed, loses its power and starts again.

use super::admin;
use super::broker::{End, Node};
use super::client::{Client, FETCH, LIST_OFFSETS};
use super::exec::{Exec, Group};
use super::groups::{self, GroupHistory};
use super::history::History;
use super::keyed;
use super::ledger::{self, Ledger};
use super::mixed;
use super::net::Network;
use super::producer::Producer;
use super::txns;
use crate::base::Offset;
use crate::conf::{BrokerConf, Layers, Source};
use crate::wire::generated::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use crate::wire::generated::fetch_response::{FetchResponse, PartitionData};
use crate::wire::generated::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use crate::wire::generated::list_offsets_response::ListOffsetsResponse;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The group of clients: no process of theirs ever ends.
pub(super) const CLIENTS: Group = Group(0);

/// Steps after which a run counts as hanging.
const STEPS_MAX: u64 = 3_000_000;

/// A topic's index and a partition of it.
pub type Place = (u32, i32);

/// What all clients of a run share.
pub struct Run {
    /// The executor.
    pub exec: Exec,
    /// The broker.
    pub node: Rc<Node>,
    /// What they know, by partition.
    pub histories: RefCell<BTreeMap<Place, History>>,
    /// What members of the group were told.
    pub group: RefCell<GroupHistory>,
    /// What members of the group of both protocols were told.
    pub mixed: RefCell<GroupHistory>,
    /// What transactional producers did.
    pub ledger: RefCell<Ledger>,
    /// Producers send no new records any more.
    pub ending: Cell<bool>,
    /// Clients that still have something to do.
    pub busy: Cell<u32>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Hash over all its steps.
    pub trace: u64,
    /// Steps.
    pub steps: u64,
    /// Records that were acknowledged.
    pub acknowledged: usize,
    /// Commits that were acknowledged.
    pub commits: usize,
    /// Commits of members of the group of both protocols that were acknowledged.
    pub mixed_commits: usize,
    /// Transactions whose commit was acknowledged.
    pub transactions: usize,
}

/// The name of the topic with this index.
#[must_use]
pub fn topic_name(topic: u32) -> String {
    format!("topic-{topic}")
}

/// Runs one seed.
///
/// # Panics
/// The broker broke a promise, or hangs.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    let exec = Exec::new(seed);
    let mut layers = Layers::default();
    // Small enough that readers meet the disk.
    let mut set = |key: &str, value: u64| {
        layers.set(key, &value.to_string(), Source::Flag("the run".to_owned()));
    };
    set("flush.overlap.bytes", [0, 1 << 10, 1 << 18][usize::try_from(exec.below(3)).expect("below 3")]);
    set("memory.bytes", 64 << 10 << exec.below(8));
    // Short enough that members time out while others work.
    set("group.min.session.timeout.ms", 1);
    set("group.consumer.session.timeout.ms", 300);
    set("group.initial.rebalance.delay.ms", exec.below(30));
    set("offsets.topic.num.partitions", 1 + exec.below(4));
    set("offsets.topic.segment.bytes", 1 << 20);
    set("transaction.state.log.num.partitions", 1 + exec.below(3));
    set("transaction.state.log.segment.bytes", 1 << 20);
    set("log.cleaner.backoff.ms", 1 + exec.below(20));
    if exec.chance(50) {
        // So that the topic of groups is compacted, too.
        set("log.roll.ms", 1 + exec.below(30));
    }
    let run = Run::new(&exec, layers);
    run.live_through(run.clone().live());
    let acknowledged = run.histories.borrow().values().map(History::acknowledged).sum();
    let (group, mixed, ledger) = (run.group.borrow(), run.mixed.borrow(), run.ledger.borrow());
    Outcome {
        trace: exec.trace(),
        steps: exec.steps(),
        acknowledged,
        commits: group.commits,
        mixed_commits: mixed.commits,
        transactions: ledger.commits,
    }
}

/// Tasks hold the executor that holds them: without this a run, and one that panicked too, would stay in memory.
pub(super) struct ClearAtEnd(pub(super) Exec);

impl Drop for ClearAtEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Run {
    /// A run that hasn't begun, on a node with these settings.
    pub(super) fn new(exec: &Exec, layers: Layers) -> Rc<Self> {
        let conf = BrokerConf::check(layers, 4 << 30).expect("the settings are valid");
        let shards = u16::try_from(1 + exec.below(3)).expect("at most 3");
        Rc::new(Run {
            exec: exec.clone(),
            node: Node::new(&Network::new(exec), exec, conf, shards),
            histories: RefCell::default(),
            group: RefCell::default(),
            mixed: RefCell::default(),
            ledger: RefCell::default(),
            ending: Cell::new(false),
            busy: Cell::new(0),
        })
    }

    /// Runs what happens in it to its end.
    pub(super) fn live_through(&self, life: impl Future<Output = ()>) {
        let _end = ClearAtEnd(self.exec.clone());
        self.exec.run(life, STEPS_MAX);
        self.exec.end();
    }

    /// Waits until all clients have done what they had to.
    pub(super) async fn finish(&self) {
        self.ending.set(true);
        while self.busy.get() > 0 {
            self.exec.sleep(Duration::from_millis(5)).await;
        }
    }

    async fn live(self: Rc<Self>) {
        let exec = &self.exec;
        self.node.start().await;
        let topics = 1 + u32::try_from(exec.below(3)).expect("small");
        for topic in 0..topics {
            let partitions = admin::create_topic(&self, &topic_name(topic)).await;
            let mut histories = self.histories.borrow_mut();
            histories.extend((0..partitions).map(|partition| ((topic, partition), History::default())));
        }
        let places: Vec<Place> = self.histories.borrow().keys().copied().collect();
        for id in 0..1 + u32::try_from(exec.below(4)).expect("small") {
            self.spawn(Producer::new(self.clone(), id, &places).run());
        }
        let grouped = exec.chance(40);
        if grouped {
            let shared = self.partitions_of(0);
            for number in 0..1 + exec.below(4) {
                self.spawn(groups::member(self.clone(), number, shared));
            }
        }
        let is_mixed = exec.chance(40);
        if is_mixed {
            let shared = self.partitions_of(0);
            for number in 0..2 + exec.below(4) {
                self.spawn(mixed::member(self.clone(), number, shared));
            }
        }
        let keyed = self.begin_keyed().await;
        for place in &places {
            if exec.chance(40) {
                self.spawn(self.clone().consume(*place));
            }
        }
        let producers = if exec.chance(40) { 1 + exec.below(3) } else { 0 };
        if producers > 0 {
            self.begin_transactions(producers).await;
        }
        if exec.chance(30) {
            self.spawn(admin::delete_records(self.clone(), places.clone()));
        }
        if exec.chance(30) {
            self.spawn(admin::churn_topics(self.clone()));
        }
        for _ in 0..1 + exec.below(4) {
            self.trouble(producers > 0).await;
        }
        exec.sleep(exec.micros(0, 20_000)).await;
        self.finish().await;
        self.crash().await;
        for place in places {
            self.judge(place).await;
        }
        if grouped {
            groups::judge(&self, &self.group, groups::GROUP, self.partitions_of(0)).await;
        }
        if is_mixed {
            mixed::judge(&self, self.partitions_of(0)).await;
        }
        if producers > 0 {
            ledger::judge(&self, producers).await;
        }
        if let Some(keyed) = keyed {
            keyed::judge(&self, &keyed).await;
        }
    }

    async fn begin_transactions(self: &Rc<Self>, producers: u64) {
        let partitions = admin::create_topic(self, ledger::TOPIC).await;
        self.ledger.borrow_mut().begin(partitions);
        for number in 0..producers {
            self.spawn(txns::live(self.clone(), number));
        }
        for place in 0..partitions {
            self.spawn(ledger::read(self.clone(), place));
        }
        self.spawn(ledger::watch_offsets(self.clone()));
    }

    /// A full disk perhaps, and a crash.
    async fn trouble(&self, transactions: bool) {
        let exec = &self.exec;
        exec.sleep(exec.micros(0, 60_000)).await;
        if exec.chance(15) {
            self.node.fill_disk();
            exec.sleep(exec.micros(0, 400_000)).await;
        }
        if transactions && exec.chance(50) {
            self.until_a_decision().await;
        }
        self.crash().await;
    }

    /// Waits until a transaction is about to be decided, if one is soon: a crash then comes between the decision and
    /// the last marker.
    async fn until_a_decision(&self) {
        let before = self.ledger.borrow().asked();
        for _ in 0..200 {
            if self.ledger.borrow().asked() > before {
                break;
            }
            self.exec.sleep(self.exec.micros(10, 100)).await;
        }
        self.exec.sleep(self.exec.micros(0, 2_000)).await;
    }

    /// A compacted topic with its writers and readers, in some runs.
    async fn begin_keyed(self: &Rc<Self>) -> Option<Rc<keyed::Keyed>> {
        if !self.exec.chance(40) {
            return None;
        }
        let (keyed, settings) = keyed::settings(self);
        admin::create_with(self, keyed::TOPIC, 1, &settings).await;
        let keyed = Rc::new(keyed);
        for id in 0..1 + u32::try_from(self.exec.below(3)).expect("small") {
            self.spawn(keyed::write(self.clone(), keyed.clone(), id));
        }
        for _ in 0..self.exec.below(3) {
            self.spawn(keyed::read(self.clone(), keyed.clone()));
        }
        Some(keyed)
    }

    fn partitions_of(&self, topic: u32) -> i32 {
        let histories = self.histories.borrow();
        let count = histories.keys().filter(|place| place.0 == topic).count();
        i32::try_from(count).expect("few")
    }

    pub(super) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.busy.set(self.busy.get() + 1);
        let run = self.clone();
        self.exec.spawn(CLIENTS, async move {
            task.await;
            run.busy.set(run.busy.get() - 1);
        });
    }

    async fn crash(&self) {
        let how = match self.exec.below(10) {
            0..4 => End::PowerCut,
            4..7 => End::Kill,
            7..9 => End::Stop,
            _ => End::DiskError,
        };
        tracing::info!(at = ?self.exec.now(), ?how, "the process ends");
        self.node.end(how).await;
        self.exec.sleep(self.exec.micros(0, 5_000)).await;
        self.node.start().await;
    }

    /// A connection, as soon as there is one.
    pub async fn client(&self) -> Client {
        loop {
            if let Some(end) = self.node.connect() {
                return Client::new(&self.exec, end);
            }
            self.exec.sleep(self.exec.micros(100, 2000)).await;
        }
    }

    /// Reads from the beginning as records come, over crashes.
    async fn consume(self: Rc<Self>, place: Place) {
        let mut position = 0;
        while !self.ending.get() {
            let client = self.client().await;
            while !self.ending.get() {
                let Some(answer) = self.fetch(&client, place, position).await else { break };
                position = match answer.error_code {
                    1 => match self.earliest(&client, place, position).await {
                        Some(start) => start,
                        None => break,
                    },
                    _ => self.take(place, position, &answer),
                };
            }
            self.exec.sleep(self.exec.micros(0, 3000)).await;
        }
    }

    pub(super) async fn fetch(
        &self,
        client: &Client,
        place: Place,
        position: Offset,
    ) -> Option<PartitionData> {
        self.fetch_from(client, &topic_name(place.0), place.1, position).await
    }

    pub(super) async fn fetch_from(
        &self,
        client: &Client,
        topic: &str,
        partition: i32,
        position: Offset,
    ) -> Option<PartitionData> {
        let request = fetch_request(&self.exec, topic, partition, position);
        let answer: FetchResponse = client.call(FETCH, &request).await?;
        answer.responses.into_iter().next()?.partitions.into_iter().next()
    }

    /// Where the log starts, for a reader that was told that its position is out of range.
    async fn earliest(&self, client: &Client, place: Place, position: Offset) -> Option<Offset> {
        let partition =
            ListOffsetsPartition { partition_index: place.1, current_leader_epoch: -1, timestamp: -2 };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic { name: topic_name(place.0).into(), partitions: vec![partition] }],
            ..ListOffsetsRequest::default()
        };
        let answer: ListOffsetsResponse = client.call(LIST_OFFSETS, &request).await?;
        let found = &answer.topics[0].partitions[0];
        if found.error_code != 0 {
            return Some(position);
        }
        let deleting = self.histories.borrow()[&place].deleting();
        assert!(
            position < found.offset && found.offset <= deleting,
            "an offset is out of range for no reason"
        );
        Some(found.offset)
    }

    /// Notes what a fetch brought; returns where the next one begins.
    fn take(&self, place: Place, position: Offset, data: &PartitionData) -> Offset {
        // The topic may not be known yet (3), the disk may have failed (56); an offset that was read once is never
        // out of range, and nothing is ever damaged.
        assert!(matches!(data.error_code, 0 | 3 | 6 | 56), "fetch at {position}: error {}", data.error_code);
        let mut histories = self.histories.borrow_mut();
        histories.get_mut(&place).expect("every partition has a history").takes(position, data)
    }

    async fn judge(&self, place: Place) {
        let client = self.client().await;
        let (mut start, mut position) = (0, 0);
        loop {
            let data = self.fetch(&client, place, position).await.expect("nothing crashes any more");
            if data.error_code == 1 {
                start = self.earliest(&client, place, position).await.expect("nothing crashes any more");
                position = start;
                continue;
            }
            position = self.take(place, position, &data);
            if data.error_code == 0 && position >= data.high_watermark {
                break;
            }
        }
        self.histories.borrow()[&place].judge(start, position);
    }
}

/// A fetch of one partition, which may wait a moment.
pub(super) fn fetch_request(exec: &Exec, topic: &str, partition: i32, position: Offset) -> FetchRequest {
    let bytes = 1 << (4 + exec.below(16));
    FetchRequest {
        replica_id: -1,
        max_wait_ms: i32::try_from(exec.below(20)).expect("small"),
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition,
                current_leader_epoch: -1,
                fetch_offset: position,
                last_fetched_epoch: -1,
                partition_max_bytes: bytes,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}
