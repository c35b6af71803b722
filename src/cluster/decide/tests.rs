//! What the coordinator decides, case by case.

use super::*;
use crate::base::{BrokerEpoch, LeaderEpoch, NodeId, TopicId};
use crate::cluster::configs::Edit;
use crate::cluster::{NewTopic, Registration};

mod cases;

/// A cluster of one node that is alone.
fn cluster() -> ClusterState {
    let mut state = ClusterState::new("c");
    run(&mut state, Command::RegisterBroker(broker(1, 1)));
    state
}

/// A node that is alone.
fn broker(id: i32, incarnation: u8) -> Registration {
    Registration {
        id: NodeId(id),
        incarnation: [incarnation; 16],
        host: "h".into(),
        port: 9092,
        peer: "".into(),
        rack: None,
        shards: 1,
        clean_epoch: None,
    }
}

fn run(state: &mut ClusterState, command: Command) -> Outcome {
    let (records, outcome) = decide(state, command);
    records.iter().for_each(|record| state.apply(record));
    outcome
}

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.into(),
        id: TopicId([u8::try_from(name.len()).unwrap_or(255); 16]),
        partitions: 2,
        replication_factor: 1,
        assignment: BTreeMap::new(),
        configs: BTreeMap::new(),
    }
}

fn create_code(state: &mut ClusterState, topic: NewTopic) -> ErrorCode {
    match run(state, Command::CreateTopic { topic, validate_only: false }) {
        Outcome::Refused((code, _)) => code,
        _ => ErrorCode::None,
    }
}

#[test]
fn creation_obeys_kafkas_rules() {
    let mut state = cluster();
    assert_eq!(create_code(&mut state, topic("a.b")), ErrorCode::None);
    assert_eq!(create_code(&mut state, topic("a.b")), ErrorCode::TopicAlreadyExists);
    assert_eq!(create_code(&mut state, topic("a_b")), ErrorCode::InvalidTopicException);
    assert_eq!(create_code(&mut state, topic("a/b")), ErrorCode::InvalidTopicException);
    let none = NewTopic { partitions: 0, ..topic("p0") };
    assert_eq!(create_code(&mut state, none), ErrorCode::InvalidPartitions);
    let many = NewTopic { replication_factor: 9, ..topic("rf") };
    assert_eq!(create_code(&mut state, many), ErrorCode::InvalidReplicationFactor);
    let zero = NewTopic { replication_factor: 0, ..topic("rf0") };
    assert_eq!(create_code(&mut state, zero), ErrorCode::InvalidReplicationFactor);
}

#[test]
fn manual_assignments_are_checked() {
    let mut state = cluster();
    let manual = |lists: &[(i32, &[i32])]| NewTopic {
        partitions: -1,
        replication_factor: -1,
        assignment: lists.iter().map(|(p, ids)| (*p, ids.iter().map(|id| NodeId(*id)).collect())).collect(),
        ..topic("manual")
    };
    let includes = "The manual partition assignment includes";
    for (bad, why) in [
        (&[(1, &[1][..])][..], "partitions should be a consecutive 0-based integer sequence".to_owned()),
        (&[(0, &[])], format!("{includes} an empty replica list.")),
        (&[(0, &[1, 1])], format!("{includes} the broker 1 more than once.")),
        (&[(0, &[7])], format!("{includes} broker 7, but no such broker is registered.")),
    ] {
        let create = Command::CreateTopic { topic: manual(bad), validate_only: false };
        let refused = Outcome::Refused((ErrorCode::InvalidReplicaAssignment, why));
        assert_eq!(run(&mut state, create), refused, "{bad:?}");
    }
    let both = NewTopic { partitions: 1, ..manual(&[(0, &[1])]) };
    assert_eq!(create_code(&mut state, both), ErrorCode::InvalidRequest);
    assert_eq!(create_code(&mut state, manual(&[(0, &[1]), (1, &[1])])), ErrorCode::None);
}

#[test]
fn validate_only_changes_nothing() {
    let mut state = cluster();
    let before = state.clone();
    let outcome = run(&mut state, Command::CreateTopic { topic: topic("t"), validate_only: true });
    assert!(matches!(outcome, Outcome::Created(topic) if topic.partitions.len() == 2));
    assert_eq!(state, before);
}

#[test]
fn partitions_only_grow() {
    let mut state = cluster();
    create_code(&mut state, topic("t"));
    let add =
        |count| Command::AddPartitions { name: "t".into(), count, assignment: None, validate_only: false };
    for count in [0, 1, 2] {
        assert!(matches!(run(&mut state, add(count)), Outcome::Refused((ErrorCode::InvalidPartitions, _))));
    }
    assert_eq!(run(&mut state, add(5)), Outcome::Done);
    assert_eq!(state.topic("t").unwrap().partitions.len(), 5);
}

#[test]
fn a_restart_begins_a_new_term_and_ids_are_never_handed_out_twice() {
    let mut state = cluster();
    create_code(&mut state, topic("t"));
    let again = run(&mut state, Command::RegisterBroker(broker(1, 1)));
    assert_eq!(again, Outcome::Registered { epoch: BrokerEpoch(1) }, "the answer was lost");
    assert_eq!(state.topic("t").unwrap().partitions[0].leader_epoch, LeaderEpoch(0));
    run(&mut state, Command::RegisterBroker(broker(1, 2)));
    assert_eq!(state.topic("t").unwrap().partitions[0].leader_epoch, LeaderEpoch(1));
    let ids = Command::AllocateProducerIds { count: 1000 };
    assert_eq!(run(&mut state, ids.clone()), Outcome::ProducerIds { first: 0, count: 1000 });
    assert_eq!(run(&mut state, ids), Outcome::ProducerIds { first: 1000, count: 1000 });
}

#[test]
fn changes_of_settings_add_up() {
    let mut state = cluster();
    create_code(&mut state, topic("t"));
    let target = Target::Topic(state.topic("t").unwrap().id);
    let set = |name: &str, value: &str| Command::EditConfigs {
        target,
        edits: vec![(name.to_owned(), Edit::Set(value.to_owned()))],
    };
    assert_eq!(run(&mut state, set("a", "1")), Outcome::Done);
    assert_eq!(run(&mut state, set("b", "2")), Outcome::Done);
    let both = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    assert_eq!(state.topic("t").unwrap().configs, both);
    assert_eq!(decide(&state, set("b", "2")), (vec![], Outcome::Done), "nothing changed, nothing is written");
    let gone = Target::Topic(TopicId([9; 16]));
    let outcome = run(&mut state, Command::SetConfigs { target: gone, configs: BTreeMap::new() });
    assert!(matches!(outcome, Outcome::Refused((ErrorCode::UnknownTopicOrPartition, _))));
}

#[test]
fn a_snapshot_is_the_whole_state() {
    let mut state = cluster();
    create_code(&mut state, topic("t"));
    run(&mut state, Command::AllocateProducerIds { count: 1000 });
    let configs = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    run(&mut state, Command::SetConfigs { target: Target::Brokers, configs: configs.clone() });
    run(&mut state, Command::SetConfigs { target: Target::Broker(NodeId(1)), configs });
    assert_eq!(ClusterState::decode(state.encode()), Ok(state.clone()));
    let id = state.topic("t").unwrap().id;
    assert_eq!(run(&mut state, Command::DeleteTopic { topic: id }), Outcome::Done);
    assert_eq!(ClusterState::decode(state.encode()), Ok(state));
}
