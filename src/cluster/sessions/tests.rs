use super::*;
use crate::cluster::{BrokerEntry, Outcome, Registration, decide};

const TIMEOUT: Duration = Duration::from_millis(1000);
const RULES: SessionRules = SessionRules { timeout: TIMEOUT, balance_every: None };

/// A coordinator that decides everything at once.
struct Fixture {
    state: ClusterState,
    sessions: Sessions,
    now: Duration,
}

impl Fixture {
    fn new(brokers: i32, rules: SessionRules) -> Self {
        let state = ClusterState::new("c");
        let sessions = Sessions::new(&state, Duration::ZERO, rules);
        let mut fixture = Fixture { state, sessions, now: Duration::from_secs(100) };
        (1..=brokers).for_each(|id| drop(fixture.register(id, 1)));
        fixture
    }

    fn run(&mut self, command: Command) -> Outcome {
        let (records, outcome) = decide(&self.state, command);
        records.iter().for_each(|record| self.state.apply(record));
        outcome
    }

    fn register(&mut self, id: i32, incarnation: u8) -> Outcome {
        self.run(Command::RegisterBroker(Registration {
            id: NodeId(id),
            incarnation: [incarnation; 16],
            host: "h".into(),
            port: 9092,
            peer: "h:9192".into(),
            rack: None,
            shards: 1,
            clean_epoch: None,
        }))
    }

    fn entry(&self, id: i32) -> BrokerEntry {
        self.state.broker(NodeId(id)).unwrap().clone()
    }

    /// A heartbeat of a broker that knows everything, and what follows from it.
    fn beat(&mut self, id: i32, wants: (bool, bool)) -> HeartbeatReply {
        let applied = self.state.applied();
        self.beat_at(id, wants, applied)
    }

    fn beat_at(
        &mut self,
        id: i32,
        (wants_fence, wants_shutdown): (bool, bool),
        applied: u64,
    ) -> HeartbeatReply {
        let (broker, epoch) = (NodeId(id), self.entry(id).epoch);
        let beat = Heartbeat { broker, epoch, applied, wants_fence, wants_shutdown };
        let reply = self.sessions.beat(self.now, &self.state, beat);
        self.tick();
        reply
    }

    fn tick(&mut self) -> usize {
        let commands = self.sessions.tick(self.now, &self.state);
        let count = commands.len();
        for command in commands {
            assert_eq!(self.run(command), Outcome::Done);
        }
        count
    }

    fn all_beat(&mut self, ids: &[i32]) {
        for id in ids {
            self.beat(*id, (false, false));
        }
    }

    /// Lets time pass until something is due, and does it.
    fn wait(&mut self) -> usize {
        self.now = self.now.max(self.sessions.deadline().expect("something is due"));
        self.tick()
    }
}

#[test]
fn a_broker_is_relied_on_once_it_has_caught_up_with_its_registration() {
    let mut it = Fixture::new(1, RULES);
    assert!(it.entry(1).fenced);
    assert!(!it.beat_at(1, (false, false), 0).caught_up);
    assert!(it.entry(1).fenced, "it doesn't know of its registration yet");
    assert!(it.beat(1, (true, false)).caught_up);
    assert!(it.entry(1).fenced, "it is still recovering");
    it.beat(1, (false, false));
    assert!(!it.entry(1).fenced);
    it.beat(1, (true, false));
    assert!(it.entry(1).fenced, "its disk broke");
}

#[test]
fn a_broker_that_falls_silent_once_it_is_relied_on_is_fenced_though_nobody_speaks() {
    let mut it = Fixture::new(1, RULES);
    it.beat(1, (false, false));
    assert!(!it.entry(1).fenced);
    for _ in 0..3 {
        it.wait();
    }
    assert!(it.entry(1).fenced);
    assert!(it.sessions.deadline().is_none(), "and then there is nothing to look at");
}

#[test]
fn silence_fences_and_only_for_a_whole_session() {
    let mut it = Fixture::new(2, RULES);
    it.all_beat(&[1, 2]);
    it.now += TIMEOUT / 2;
    it.all_beat(&[1]);
    assert_eq!(it.wait(), 1);
    assert_eq!((it.entry(1).fenced, it.entry(2).fenced), (false, true));
    assert_eq!(it.tick(), 0);
    let deadline = it.sessions.deadline();
    assert_eq!(
        deadline,
        Some(it.now + TIMEOUT / 2),
        "the other's session goes on; the fenced one's doesn't count"
    );
    it.beat(2, (false, false));
    assert!(!it.entry(2).fenced, "it was only slow");
}

#[test]
fn a_new_coordinator_gives_everybody_a_whole_session() {
    let mut it = Fixture::new(2, RULES);
    it.all_beat(&[1, 2]);
    it.now += 10 * TIMEOUT;
    it.sessions = Sessions::new(&it.state, it.now, RULES);
    assert_eq!(it.tick(), 0);
    assert_eq!(it.sessions.deadline(), Some(it.now + TIMEOUT));
    assert_eq!(it.wait(), 2);
}

#[test]
fn a_command_that_is_under_way_is_not_asked_for_again_at_once() {
    let mut it = Fixture::new(1, RULES);
    it.all_beat(&[1]);
    it.now += TIMEOUT;
    assert_eq!(it.sessions.tick(it.now, &it.state).len(), 1);
    assert_eq!(it.sessions.tick(it.now, &it.state).len(), 0);
    let again = it.sessions.deadline().unwrap();
    assert!(again > it.now, "or its driver would spin");
    assert_eq!(it.sessions.tick(again, &it.state).len(), 1, "it may have been lost");
}

#[test]
fn heartbeats_of_old_registrations_and_strangers_are_refused() {
    let mut it = Fixture::new(1, RULES);
    let old = it.entry(1).epoch;
    it.register(1, 2);
    let beat = |broker: i32, epoch| Heartbeat {
        broker: NodeId(broker),
        epoch,
        applied: 99,
        wants_fence: false,
        wants_shutdown: false,
    };
    let now = it.now;
    assert_eq!(it.sessions.beat(now, &it.state, beat(1, old)).error, ErrorCode::StaleBrokerEpoch);
    assert_eq!(it.sessions.beat(now, &it.state, beat(9, old)).error, ErrorCode::BrokerIdNotRegistered);
    assert_eq!(it.tick(), 0, "what they say counts for nothing");
    assert!(it.entry(1).fenced);
}

#[test]
fn who_stops_waits_until_everybody_knows_that_others_lead() {
    let mut it = Fixture::new(3, RULES);
    it.all_beat(&[1, 2, 3]);
    it.all_beat(&[1, 2, 3]);
    assert!(!it.beat(1, (false, true)).may_shut_down);
    let entry = it.entry(1);
    assert!(entry.shutting_down && !entry.fenced);
    assert!(!it.beat(1, (false, true)).may_shut_down, "the others don't know yet");
    it.beat(2, (false, false));
    assert!(!it.beat(1, (false, true)).may_shut_down);
    it.beat(3, (false, false));
    assert!(it.beat(1, (false, true)).may_shut_down);
    assert!(it.entry(1).fenced, "nobody need wait for its session to end");
    assert!(it.beat(1, (false, true)).may_shut_down);
}

#[test]
fn who_is_alone_has_no_session() {
    let mut it = Fixture::new(0, RULES);
    it.run(Command::RegisterBroker(Registration {
        id: NodeId(1),
        incarnation: [1; 16],
        host: "h".into(),
        port: 9092,
        peer: "".into(),
        rack: None,
        shards: 1,
        clean_epoch: None,
    }));
    assert!(!it.entry(1).fenced);
    assert_eq!((it.tick(), it.sessions.deadline()), (0, None));
}

#[test]
fn leaders_are_balanced_now_and_then_and_in_steps() {
    let every = Duration::from_secs(300);
    let mut it = Fixture::new(2, SessionRules { balance_every: Some(every), timeout: 9 * every });
    it.all_beat(&[1, 2]);
    let lists =
        (0..i32::try_from(LEADERS_MOVED_AT_ONCE_MAX).unwrap() + 1).map(|p| (p, vec![NodeId(1), NodeId(2)]));
    let topic = crate::cluster::NewTopic {
        name: "t".into(),
        id: crate::base::TopicId([1; 16]),
        partitions: -1,
        replication_factor: -1,
        assignment: lists.collect(),
        configs: BTreeMap::new(),
    };
    assert!(matches!(it.run(Command::CreateTopic { topic, validate_only: false }), Outcome::Created(_)));
    it.beat(1, (true, false));
    it.beat(1, (false, false));
    let led =
        |it: &Fixture, id| it.state.partitions().filter(|(_, _, entry)| entry.leader == NodeId(id)).count();
    assert_eq!(led(&it, 1), 0, "it isn't in sync yet");
    it.now += every;
    it.all_beat(&[1, 2]);
    assert_eq!(led(&it, 1), 0);
    let keys: Vec<_> = it.state.partitions().map(|(topic, partition, _)| (topic.id, partition)).collect();
    let isr = [1, 2].map(|id| (NodeId(id), it.entry(id).epoch)).to_vec();
    let changes = keys.into_iter().map(|(topic, partition)| {
        let key = crate::base::TopicPartition { topic, partition };
        let entry = it.state.partition(key).unwrap();
        let (leader_epoch, partition_epoch) = (entry.leader_epoch, entry.partition_epoch);
        crate::cluster::IsrChange { partition: key, leader_epoch, partition_epoch, isr: isr.clone() }
    });
    let alter =
        Command::AlterIsr { broker: NodeId(2), broker_epoch: it.entry(2).epoch, changes: changes.collect() };
    it.run(alter);
    it.now += every;
    it.all_beat(&[1]);
    assert_eq!(led(&it, 1), LEADERS_MOVED_AT_ONCE_MAX, "some at a time");
    it.now += BALANCE_PAUSE;
    it.all_beat(&[1, 2]);
    assert_eq!(led(&it, 2), 0);
}
