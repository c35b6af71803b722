//! A broker's view to plan requests with: what comes in and what goes out are messages, what lies between is the plan.

use super::{Context, FetchSessions, NodeInfo, Plan, ProducerIdBlock, RequestHeader};
use crate::base::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ShardId, TopicId, TopicPartition};
use crate::cluster::{
    ClusterState, Command, Edit, IsrChange, NewTopic, Outcome, QuorumFacts, Registration, Target, VoterFacts,
    decide,
};
use crate::conf::BrokerConf;
use crate::group::call::{Asker, GroupCall, GroupReply};
use crate::group::{Coordinator, Effects, Event, Now, Settings};
use crate::replica::call::{PartitionCall, PartitionReply, ReadReply};
use crate::txn;
use crate::txn::call::{TxnCall, TxnReply};
use crate::wire::generated::SCHEMAS;
use crate::wire::{Decode, Encode, Reader, Str, Writer};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// The clock of every test.
pub(super) const NOW_MS: i64 = 1_700_000_000_000;

/// A cluster of one broker with id 1.
pub(super) struct Fixture {
    pub(super) cluster: ClusterState,
    pub(super) conf: BrokerConf,
    node: NodeInfo,
    sessions: RefCell<FetchSessions>,
    producer_ids: RefCell<ProducerIdBlock>,
    drawn: Cell<u64>,
    /// Coordinators of groups, and how long their logs are.
    coordinators: RefCell<BTreeMap<TopicPartition, (Coordinator, Offset)>>,
    /// Coordinators of transactions, as well.
    transactions: RefCell<BTreeMap<TopicPartition, (txn::Coordinator, Offset)>>,
    /// Milliseconds since the start.
    pub(super) clock_ms: Cell<u64>,
    /// What partitions answer.
    pub(super) partitions: fn(&PartitionCall) -> PartitionReply,
}

/// What a broker does about a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Message(T),
    Silence,
    Closed,
}

impl<T> Answer<T> {
    pub(super) fn message(self) -> T {
        match self {
            Answer::Message(message) => message,
            Answer::Silence | Answer::Closed => panic!("there is an answer"),
        }
    }
}

impl Fixture {
    pub(super) fn new() -> Self {
        let mut cluster = ClusterState::new("abcdefghijklmnopqrstuv");
        let command = Command::RegisterBroker(registration(1, Str::EMPTY));
        let (records, _) = decide(&cluster, command);
        records.iter().for_each(|record| cluster.apply(record));
        Fixture {
            cluster,
            conf: BrokerConf::defaults(),
            node: NodeInfo {
                id: 1,
                host: "localhost".into(),
                port: 9092,
                peer: "".into(),
                rack: None,
                log_dir: "/data".into(),
                space: Cell::new((1000, 400)),
            },
            sessions: RefCell::default(),
            producer_ids: RefCell::default(),
            drawn: Cell::new(0),
            coordinators: RefCell::default(),
            transactions: RefCell::default(),
            clock_ms: Cell::new(0),
            partitions: |call| panic!("no partition is asked: {call:?}"),
        }
    }

    /// A cluster of brokers 1 to `brokers`, each in a rack of its own name, of which the first is asked.
    pub(super) fn cluster(brokers: i32) -> Self {
        let mut fixture = Fixture::new();
        fixture.cluster = ClusterState::new("abcdefghijklmnopqrstuv");
        for id in 1..=brokers {
            let rack = Some(format!("rack{id}").into());
            let broker = Registration { rack, ..registration(id, Str::from_static("peer:1")) };
            fixture.run(Command::RegisterBroker(broker));
            fixture.fence(id, false);
        }
        fixture
    }

    /// Creates a topic whose partitions have these replicas.
    pub(super) fn replicated(&mut self, name: &str, lists: &[&[i32]]) -> TopicId {
        let id = TopicId([u8::try_from(name.len()).expect("a short name"); 16]);
        let lists = lists.iter().map(|list| list.iter().copied().map(NodeId).collect());
        let topic = NewTopic {
            name: name.into(),
            id,
            partitions: -1,
            replication_factor: -1,
            assignment: (0..).zip(lists).collect(),
            configs: BTreeMap::new(),
        };
        let created = self.run(Command::CreateTopic { topic, validate_only: false });
        assert!(matches!(created, Outcome::Created(_)), "{created:?}");
        id
    }

    /// Fences a broker, or has it relied on again.
    pub(super) fn fence(&mut self, id: i32, fenced: bool) {
        let epoch = self.cluster.broker(NodeId(id)).expect("it is registered").epoch;
        self.run(Command::SetBrokerState { broker: NodeId(id), epoch, fenced, shutting_down: false });
    }

    /// Has all replicas of a topic catch up.
    pub(super) fn all_in_sync(&mut self, name: &str) {
        let topic = self.cluster.topic(name).expect("it is there").clone();
        for (index, entry) in (0i32..).zip(&topic.partitions) {
            let epoch = |id: NodeId| self.cluster.broker(id).expect("it is registered").epoch;
            let change = IsrChange {
                partition: TopicPartition { topic: topic.id, partition: PartitionIndex(index) },
                leader_epoch: entry.leader_epoch,
                partition_epoch: entry.partition_epoch,
                isr: entry.replicas.iter().map(|id| (*id, epoch(*id))).collect(),
            };
            let (broker, broker_epoch) = (entry.leader, epoch(entry.leader));
            self.run(Command::AlterIsr { broker, broker_epoch, changes: vec![change] });
        }
    }

    /// Gives a topic a setting.
    pub(super) fn configure(&mut self, name: &str, key: &str, value: &str) {
        let target = Target::Topic(self.cluster.topic(name).expect("a topic that was made").id);
        let edits = vec![(key.to_owned(), Edit::Set(value.to_owned()))];
        self.run(Command::EditConfigs { target, edits });
    }

    /// Creates a topic with one partition.
    pub(super) fn topic(&mut self, name: &str) -> TopicId {
        let id = TopicId([u8::try_from(name.len()).expect("a short name"); 16]);
        let topic = NewTopic {
            name: name.into(),
            id,
            partitions: 1,
            replication_factor: 1,
            assignment: BTreeMap::new(),
            configs: BTreeMap::new(),
        };
        self.run(Command::CreateTopic { topic, validate_only: false });
        id
    }

    pub(super) fn run(&mut self, command: Command) -> Outcome {
        if command == Command::DescribeQuorum {
            return Outcome::Quorum(quorum());
        }
        let votes = |id: NodeId| quorum().voters.iter().any(|voter| voter.id == id);
        match &command {
            Command::AddVoter { id, .. } if votes(*id) => {
                return Outcome::Refused((ErrorCode::DuplicateVoter, String::new()));
            }
            Command::RemoveVoter { id, .. } if !votes(*id) => {
                return Outcome::Refused((ErrorCode::VoterNotFound, String::new()));
            }
            Command::AddVoter { .. } | Command::RemoveVoter { .. } => return Outcome::Done,
            _ => {}
        }
        let (records, outcome) = decide(&self.cluster, command);
        records.iter().for_each(|record| self.cluster.apply(record));
        outcome
    }

    /// Sends a request and performs its plan to the end.
    pub(super) fn ask<T: Decode>(&mut self, key: i16, version: i16, request: &impl Encode) -> Answer<T> {
        let mut writer = Writer::new();
        request.encode(&mut writer, version).expect("the version has these fields");
        let header = RequestHeader {
            api_key: key,
            version,
            correlation_id: 7,
            client_id: Some("test".into()),
            client_host: "127.0.0.1".into(),
        };
        let body = Reader::new(writer.into_pieces().concat().into());
        let mut plan =
            self.with_context(&header, |context| super::plan(context, body)).expect("it can be read");
        loop {
            plan = match plan {
                Plan::Respond(frame) => return Answer::Message(read(&header, &frame)),
                Plan::NoResponse => return Answer::Silence,
                Plan::Close(_) => return Answer::Closed,
                Plan::Partitions(calls, then) => {
                    let replies = calls.iter().map(self.partitions).collect();
                    self.with_context(&header, |context| then(context, replies))
                }
                Plan::Groups(calls, then) => {
                    let replies = calls.into_iter().map(|call| self.ask_group(call)).collect();
                    self.with_context(&header, |context| then(context, replies))
                }
                Plan::Txns(calls, then) => {
                    let replies = calls.into_iter().map(|call| self.ask_txn(call)).collect();
                    self.with_context(&header, |context| then(context, replies))
                }
                Plan::Cluster(commands, then) => {
                    let outcomes = commands.into_iter().map(|command| self.run(command)).collect();
                    self.with_context(&header, |context| then(context, outcomes))
                }
                Plan::Fetch(plan) => {
                    // What partitions hold is tested on a shard.
                    let bounds =
                        ReadReply { high_watermark: 9, last_stable_offset: 9, ..ReadReply::default() };
                    let replies = plan.reads.iter().map(|_| bounds.clone()).collect();
                    self.with_context(&header, |context| (plan.then)(context, replies))
                }
            };
        }
    }

    /// Asks a coordinator, and lets time pass until it answers.
    fn ask_group(&self, call: GroupCall) -> GroupReply {
        let mut all = self.coordinators.borrow_mut();
        let mut out = Effects::default();
        let (coordinator, end) = all.entry(call.partition).or_insert_with(|| {
            let mut fresh = Coordinator::new(Settings::default());
            fresh.loaded(0, self.group_now(), &mut out);
            (fresh, 0)
        });
        let asker = Asker { shard: ShardId(0), set: 1, index: 0 };
        let mut event = Event::Request { asker, op: Box::new(call.op) };
        loop {
            coordinator.step(self.group_now(), event, &mut out);
            if !out.records.is_empty() {
                *end += Offset::try_from(out.records.drain(..).count()).expect("few");
                coordinator.placed(*end, &mut out);
                coordinator.step(self.group_now(), Event::Durable { upto: *end }, &mut out);
            }
            if let Some((_, reply)) = out.replies.pop() {
                return reply;
            }
            self.clock_ms.set(coordinator.deadline_ms().expect("something is waited for"));
            event = Event::Tick;
        }
    }

    /// Asks a coordinator of transactions; what it has written is written at once.
    fn ask_txn(&self, call: TxnCall) -> TxnReply {
        let mut all = self.transactions.borrow_mut();
        let mut out = txn::Effects::default();
        let (coordinator, end) = all.entry(call.partition).or_insert_with(|| {
            let mut fresh = txn::Coordinator::new(txn::Settings::default(), LeaderEpoch(0));
            fresh.loaded(0, self.group_now(), &mut out);
            (fresh, 0)
        });
        let asker = Asker { shard: ShardId(0), set: 1, index: 0 };
        let mut event = Some(txn::Event::Request { asker, op: Box::new(call.op) });
        while let Some(next) = event {
            coordinator.step(self.group_now(), next, &mut out);
            if !out.records.is_empty() {
                *end += Offset::try_from(out.records.drain(..).count()).expect("few");
                coordinator.placed(*end, &mut out);
                coordinator.step(self.group_now(), txn::Event::Durable { upto: *end }, &mut out);
            }
            event = out.orders.pop().map(|order| {
                let outcomes = vec![ErrorCode::None; order.partitions.len()];
                txn::Event::Marked { order, outcomes }
            });
        }
        out.replies.pop().expect("it is answered at once").1
    }

    fn group_now(&self) -> Now {
        let mono_ms = self.clock_ms.get();
        Now { mono_ms, wall_ms: NOW_MS + i64::try_from(mono_ms).expect("a short time") }
    }

    fn with_context<T>(&self, header: &RequestHeader, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let draw = || {
            self.drawn.set(self.drawn.get() + 1);
            self.drawn.get() << 40
        };
        run(&Context {
            header,
            cluster: &self.cluster,
            conf: &self.conf,
            node: &self.node,
            acting: Some(NodeId(1)),
            now_ms: NOW_MS,
            draw: &draw,
            sessions: &self.sessions,
            producer_ids: &self.producer_ids,
        })
    }
}

/// What a broker registers with; one without peers is alone.
fn registration(id: i32, peer: Str) -> Registration {
    Registration {
        id: NodeId(id),
        incarnation: [1; 16],
        host: "localhost".into(),
        port: 9091 + u16::try_from(id).expect("a small number"),
        peer,
        rack: None,
        shards: 1,
        clean_epoch: None,
    }
}

/// A quorum of two, which brokers can't know of.
fn quorum() -> QuorumFacts {
    let voter = |id: i32| VoterFacts {
        id: NodeId(id),
        host: "localhost".into(),
        port: 9191,
        directory: [6; 16],
        end: 7,
        heard_ms: NOW_MS,
        caught_up_ms: NOW_MS,
    };
    QuorumFacts {
        leader: NodeId(2),
        term: 5,
        committed: 7,
        voters: vec![voter(1), voter(2)],
        observers: vec![],
    }
}

/// Reads a response's frame.
fn read<T: Decode>(header: &RequestHeader, frame: &[Bytes]) -> T {
    let mut reader = Reader::new(frame.concat().into());
    let length = reader.i32().expect("a length");
    assert_eq!(usize::try_from(length).ok(), Some(reader.remaining()), "the length counts what follows it");
    assert_eq!(reader.i32(), Ok(header.correlation_id));
    let schema = SCHEMAS.iter().find(|schema| schema.key == header.api_key).expect("a known API");
    if header.version >= schema.flexible_from && header.api_key != 18 {
        reader.skip_tagged_fields().expect("a flexible header");
    }
    let message = T::decode(&mut reader, header.version).expect("an answer of the request's version");
    assert_eq!(reader.finish(), Ok(()));
    message
}
