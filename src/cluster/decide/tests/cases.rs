//! Three brokers: who is in sync, who is eligible, who leads.

use super::*;
use crate::base::{PartitionEpoch, TopicPartition};
use crate::cluster::{Elected, IsrChange, NO_LEADER, PartitionEntry, Reassignment};
use crate::wire::Str;

const TOPIC: TopicId = TopicId([1; 16]);
const KEY: TopicPartition = TopicPartition { topic: TOPIC, partition: PartitionIndex(0) };

/// A cluster of brokers with a topic of one partition.
struct Cluster(ClusterState);

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

fn registration(id: i32, incarnation: u8, clean_epoch: Option<BrokerEpoch>) -> Registration {
    Registration { peer: "h:9192".into(), clean_epoch, ..broker(id, incarnation) }
}

impl Cluster {
    /// Brokers 1 to `brokers`, all active, and the partition on `replicas`.
    fn new(brokers: i32, replicas: &[i32], min_isr: usize) -> Self {
        let mut it = Cluster(ClusterState::new("c"));
        for id in 1..=brokers {
            it.run(Command::RegisterBroker(registration(id, 1, None)));
            it.set(id, (false, false));
        }
        let topic = NewTopic {
            name: "t".into(),
            id: TOPIC,
            partitions: -1,
            replication_factor: -1,
            assignment: BTreeMap::from([(0, nodes(replicas))]),
            configs: BTreeMap::from([(MIN_ISR.to_owned(), min_isr.to_string())]),
        };
        it.run(Command::CreateTopic { topic, validate_only: false });
        it
    }

    fn run(&mut self, command: Command) -> Outcome {
        run(&mut self.0, command)
    }

    fn entry(&self) -> &PartitionEntry {
        self.0.partition(KEY).unwrap()
    }

    fn epoch(&self, id: i32) -> BrokerEpoch {
        self.0.broker(NodeId(id)).unwrap().epoch
    }

    fn set(&mut self, id: i32, (fenced, shutting_down): (bool, bool)) {
        let epoch = self.epoch(id);
        let command = Command::SetBrokerState { broker: NodeId(id), epoch, fenced, shutting_down };
        assert_eq!(self.run(command), Outcome::Done);
    }

    fn fence(&mut self, ids: &[i32]) {
        ids.iter().for_each(|id| self.set(*id, (true, false)));
    }

    fn unfence(&mut self, ids: &[i32]) {
        ids.iter().for_each(|id| self.set(*id, (false, false)));
    }

    /// A fenced broker starts again.
    fn restart(&mut self, id: i32, clean: bool) {
        let was = self.0.broker(NodeId(id)).unwrap().clone();
        let clean_epoch = clean.then_some(was.epoch);
        let again = registration(id, was.incarnation[0] + 1, clean_epoch);
        assert!(matches!(self.run(Command::RegisterBroker(again)), Outcome::Registered { .. }));
    }

    /// What its leader would send to have these in sync.
    fn proposal(&self, isr: &[i32]) -> IsrChange {
        let PartitionEntry { leader_epoch, partition_epoch, .. } = *self.entry();
        let isr = isr.iter().map(|id| (NodeId(*id), self.epoch(*id))).collect();
        IsrChange { partition: KEY, leader_epoch, partition_epoch, isr }
    }

    fn propose(&mut self, change: IsrChange) -> Result<PartitionEpoch, ErrorCode> {
        let broker = self.entry().leader;
        let broker_epoch = self.0.broker(broker).unwrap().epoch;
        match self.run(Command::AlterIsr { broker, broker_epoch, changes: vec![change] }) {
            Outcome::Isr(results) => results[0],
            other => panic!("{other:?}"),
        }
    }

    fn alter(&mut self, isr: &[i32]) -> Result<PartitionEpoch, ErrorCode> {
        self.propose(self.proposal(isr))
    }

    /// Leader, in sync, eligible, once eligible.
    fn assert(&self, leader: i32, isr: &[i32], elr: &[i32], last: &[i32]) {
        let entry = self.entry();
        let now = (entry.leader.0, &entry.isr, &entry.elr, &entry.last_known_elr);
        assert_eq!(now, (leader, &nodes(isr), &nodes(elr), &nodes(last)));
    }

    fn reassign(&mut self, replicas: Option<&[i32]>, factor_may_change: bool) -> Result<(), Refusal> {
        let replicas = replicas.map(nodes);
        let moves = vec![Reassignment { topic: "t".into(), partition: PartitionIndex(0), replicas }];
        match self.run(Command::Reassign { moves, factor_may_change }) {
            Outcome::Reassigned(mut results) => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn elect(&mut self, unclean: bool) -> Result<bool, ErrorCode> {
        let partitions = Some(vec![(Str::from("t"), PartitionIndex(0))]);
        match self.run(Command::ElectLeaders { partitions, unclean }) {
            Outcome::Elected(mut all) => all.remove(0).result.map_err(|(code, _)| code),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_is_fenced_leaves_and_the_next_in_sync_leads_in_a_new_term() {
    let mut it = Cluster::new(3, &[1, 2, 3], 1);
    it.assert(1, &[1, 2, 3], &[], &[]);
    it.fence(&[2]);
    it.assert(1, &[1, 3], &[], &[]);
    assert_eq!(it.entry().leader_epoch, LeaderEpoch(0), "the leader is the same");
    it.fence(&[1]);
    it.assert(3, &[3], &[], &[]);
    assert_eq!(it.entry().leader_epoch, LeaderEpoch(1));
    assert_eq!(it.entry().partition_epoch, PartitionEpoch(2));
    it.fence(&[3]);
    it.assert(-1, &[], &[3], &[]);
    assert_eq!(it.entry().leader, NO_LEADER);
    it.unfence(&[1, 2]);
    it.assert(-1, &[], &[3], &[]);
    it.unfence(&[3]);
    it.assert(3, &[3], &[], &[]);
    assert_eq!(it.entry().leader_epoch, LeaderEpoch(3), "nobody's term counts as well");
}

#[test]
fn below_the_minimum_who_leaves_stays_eligible() {
    let mut it = Cluster::new(3, &[1, 2, 3], 2);
    it.fence(&[1]);
    it.assert(2, &[2, 3], &[], &[]);
    it.fence(&[2]);
    it.assert(3, &[3], &[2], &[]);
    it.fence(&[3]);
    it.assert(-1, &[], &[2, 3], &[]);
    it.unfence(&[1]);
    it.assert(-1, &[], &[2, 3], &[]);
    it.unfence(&[2]);
    it.assert(2, &[2], &[3], &[]);
    it.unfence(&[3]);
    it.alter(&[2, 3]).unwrap();
    it.assert(2, &[2, 3], &[], &[]);
}

#[test]
fn who_may_have_lost_records_is_remembered_and_not_trusted() {
    let mut it = Cluster::new(3, &[1, 2, 3], 2);
    it.fence(&[1, 2, 3]);
    it.assert(-1, &[], &[2, 3], &[]);
    it.restart(2, false);
    it.assert(-1, &[], &[3], &[2]);
    it.unfence(&[2]);
    it.assert(-1, &[], &[3], &[2]);
    it.restart(3, true);
    it.assert(-1, &[], &[3], &[2]);
    it.unfence(&[3]);
    it.assert(3, &[3], &[], &[2]);
    it.alter(&[3, 2]).unwrap();
    it.assert(3, &[3, 2], &[], &[]);
}

#[test]
fn a_damaged_copy_is_given_up_where_another_is_complete() {
    let mut it = Cluster::new(3, &[1, 2, 3], 2);
    let give_up = |it: &mut Cluster, id: i32, epoch: BrokerEpoch| {
        it.run(Command::GiveUpReplica { broker: NodeId(id), broker_epoch: epoch, partition: KEY })
    };
    let code = |outcome: Outcome| match outcome {
        Outcome::Refused((code, _)) => code,
        _ => ErrorCode::None,
    };
    let epoch = it.epoch(1);
    assert_eq!(code(give_up(&mut it, 1, BrokerEpoch(epoch.0 - 1))), ErrorCode::StaleBrokerEpoch);
    assert_eq!(code(give_up(&mut it, 4, epoch)), ErrorCode::BrokerIdNotRegistered);
    // Another one leads, and who gave up isn't even eligible.
    let term = it.entry().leader_epoch;
    assert_eq!(give_up(&mut it, 1, epoch), Outcome::Done);
    it.assert(2, &[2, 3], &[], &[]);
    assert!(it.entry().leader_epoch > term);
    let was = it.entry().clone();
    assert_eq!(give_up(&mut it, 1, epoch), Outcome::Done);
    assert_eq!(*it.entry(), was, "once is enough");
    let epoch = it.epoch(3);
    assert_eq!(give_up(&mut it, 3, epoch), Outcome::Done);
    it.assert(2, &[2], &[], &[3]);
    // The last complete copy stays what it is, though it be damaged.
    let epoch = it.epoch(2);
    assert_eq!(code(give_up(&mut it, 2, epoch)), ErrorCode::EligibleLeadersNotAvailable);
    it.assert(2, &[2], &[], &[3]);
}

#[test]
fn the_only_copy_is_led_by_who_has_it() {
    let mut it = Cluster::new(1, &[1], 1);
    it.fence(&[1]);
    it.restart(1, false);
    it.assert(-1, &[], &[1], &[]);
    it.unfence(&[1]);
    it.assert(1, &[1], &[], &[]);
}

#[test]
fn a_broker_registers_when_nobody_else_is_there_in_its_name() {
    let mut it = Cluster::new(1, &[1], 1);
    let epoch = it.epoch(1);
    let same = it.run(Command::RegisterBroker(registration(1, 1, None)));
    assert_eq!(same, Outcome::Registered { epoch }, "the first answer was lost");
    let other = it.run(Command::RegisterBroker(registration(1, 2, None)));
    assert!(matches!(other, Outcome::Refused((ErrorCode::DuplicateBrokerRegistration, _))));
    it.fence(&[1]);
    let applied = it.0.applied();
    let other = it.run(Command::RegisterBroker(registration(1, 2, None)));
    assert_eq!(other, Outcome::Registered { epoch: BrokerEpoch(i64::try_from(applied).unwrap() + 1) });
    assert!(it.0.broker(NodeId(1)).unwrap().fenced);
    let stale = Command::SetBrokerState { broker: NodeId(1), epoch, fenced: false, shutting_down: false };
    assert!(matches!(it.run(stale), Outcome::Refused((ErrorCode::StaleBrokerEpoch, _))));
}

#[test]
fn a_node_that_was_alone_may_become_one_of_several() {
    let mut it = Cluster(cluster());
    create_code(&mut it.0, NewTopic { id: TOPIC, partitions: 1, ..topic("t") });
    it.assert(1, &[1], &[], &[]);
    let registered = it.run(Command::RegisterBroker(registration(1, 2, None)));
    assert!(matches!(registered, Outcome::Registered { .. }), "{registered:?}");
    it.assert(-1, &[], &[1], &[]);
    it.unfence(&[1]);
    it.assert(1, &[1], &[], &[]);
}

#[test]
fn a_start_that_fails_before_the_epoch_is_written_down_loses_nothing() {
    let mut it = Cluster::new(2, &[1, 2], 2);
    it.fence(&[2, 1]);
    it.assert(-1, &[], &[2, 1], &[]);
    let written = it.epoch(1);
    for incarnation in 2..5 {
        it.run(Command::RegisterBroker(registration(1, incarnation, Some(written))));
        it.assert(-1, &[], &[2, 1], &[]);
    }
    it.unfence(&[1]);
    it.fence(&[1]);
    it.run(Command::RegisterBroker(registration(1, 9, Some(written))));
    it.assert(-1, &[], &[2], &[1]);
}

#[test]
fn who_stops_hands_over_what_it_leads() {
    let mut it = Cluster::new(3, &[1, 2, 3], 1);
    it.set(1, (false, true));
    it.assert(2, &[2, 3], &[], &[]);
    let change = it.proposal(&[2, 3, 1]);
    assert_eq!(it.propose(change), Err(ErrorCode::IneligibleReplica));
    it.set(1, (true, true));
    it.restart(1, true);
    it.unfence(&[1]);
    assert_eq!(it.alter(&[2, 3, 1]), Ok(PartitionEpoch(2)));
    assert_eq!(it.elect(false), Ok(false));
    it.assert(1, &[2, 3, 1], &[], &[]);
    assert_eq!(it.elect(false), Err(ErrorCode::ElectionNotNeeded));
}

#[test]
fn proposals_are_taken_only_upon_what_holds() {
    let mut it = Cluster::new(4, &[1, 2, 3], 2);
    let fine = it.proposal(&[1, 2]);
    let (id, epoch) = (NodeId, |number| it.epoch(number));
    let with = |isr: Vec<(NodeId, BrokerEpoch)>| IsrChange { isr, ..fine.clone() };
    let unknown = TopicPartition { topic: TopicId([9; 16]), ..KEY };
    let beyond = TopicPartition { partition: PartitionIndex(9), ..KEY };
    let cases = [
        (IsrChange { partition: unknown, ..fine.clone() }, ErrorCode::UnknownTopicId),
        (IsrChange { partition: beyond, ..fine.clone() }, ErrorCode::UnknownTopicOrPartition),
        (IsrChange { leader_epoch: LeaderEpoch(1), ..fine.clone() }, ErrorCode::NotController),
        (IsrChange { partition_epoch: PartitionEpoch(1), ..fine.clone() }, ErrorCode::NotController),
        (IsrChange { leader_epoch: LeaderEpoch(-1), ..fine.clone() }, ErrorCode::FencedLeaderEpoch),
        (IsrChange { partition_epoch: PartitionEpoch(-1), ..fine.clone() }, ErrorCode::InvalidUpdateVersion),
        (with(vec![]), ErrorCode::InvalidRequest),
        (with(vec![(id(2), epoch(2))]), ErrorCode::InvalidRequest),
        (with(vec![(id(1), epoch(1)), (id(1), epoch(1))]), ErrorCode::InvalidRequest),
        (with(vec![(id(1), epoch(1)), (id(4), epoch(4))]), ErrorCode::InvalidRequest),
        (with(vec![(id(1), epoch(1)), (id(2), epoch(3))]), ErrorCode::IneligibleReplica),
    ];
    for (change, error) in cases {
        assert_eq!(it.propose(change.clone()), Err(error), "{change:?}");
    }
    assert_eq!(it.propose(with(vec![(id(1), it.epoch(1)), (id(2), BrokerEpoch(-1))])), Ok(PartitionEpoch(1)));
    it.fence(&[3]);
    let joins = it.proposal(&[1, 2, 3]);
    assert_eq!(it.propose(joins), Err(ErrorCode::IneligibleReplica), "it is fenced");
    it.unfence(&[3]);
    let unnamed =
        IsrChange { isr: vec![(id(1), it.epoch(1)), (id(3), BrokerEpoch(-1))], ..it.proposal(&[1]) };
    assert_eq!(it.propose(unnamed), Err(ErrorCode::IneligibleReplica), "who joins names its registration");
    assert_eq!(it.propose(fine), Err(ErrorCode::InvalidUpdateVersion), "it came late");
    assert_eq!(it.alter(&[1, 2]), Ok(PartitionEpoch(1)), "nothing changes");
    let other = Command::AlterIsr {
        broker: id(2),
        broker_epoch: it.epoch(2),
        changes: vec![it.proposal(&[1, 2, 3])],
    };
    assert_eq!(it.run(other), Outcome::Isr(vec![Err(ErrorCode::InvalidRequest)]), "it doesn't lead");
    let changes = vec![it.proposal(&[1, 2, 3]), it.proposal(&[1])];
    let twice = Command::AlterIsr { broker: id(1), broker_epoch: it.epoch(1), changes };
    assert_eq!(
        it.run(twice),
        Outcome::Isr(vec![Ok(PartitionEpoch(2)), Err(ErrorCode::InvalidUpdateVersion)])
    );
    let stale = Command::AlterIsr { broker: id(1), broker_epoch: BrokerEpoch(0), changes: vec![] };
    assert!(matches!(it.run(stale), Outcome::Refused((ErrorCode::StaleBrokerEpoch, _))));
}

#[test]
fn an_unclean_election_is_an_explicit_act_and_says_so() {
    let mut it = Cluster::new(3, &[1, 2, 3], 2);
    it.fence(&[1, 2, 3]);
    it.restart(2, false);
    it.restart(3, false);
    it.assert(-1, &[], &[], &[3, 2]);
    assert_eq!(it.elect(true), Err(ErrorCode::EligibleLeadersNotAvailable));
    it.unfence(&[1, 3]);
    it.assert(-1, &[], &[], &[3, 2]);
    assert_eq!(it.elect(false), Err(ErrorCode::PreferredLeaderNotAvailable));
    assert_eq!(it.elect(true), Ok(true), "records may be lost");
    it.assert(3, &[3], &[], &[]);
    assert_eq!(it.elect(true), Err(ErrorCode::ElectionNotNeeded));
    let all = it.run(Command::ElectLeaders { partitions: None, unclean: true });
    assert_eq!(all, Outcome::Elected(vec![]));
    let mut it = Cluster::new(3, &[1, 2, 3], 1);
    it.fence(&[3, 2]);
    it.set(1, (true, false));
    it.restart(1, true);
    it.unfence(&[2]);
    assert_eq!(it.elect(true), Ok(true), "the eligible one is away");
    it.assert(2, &[2], &[], &[]);
}

#[test]
fn unknown_partitions_elect_nobody() {
    let mut it = Cluster::new(1, &[1], 1);
    let asked = [("u", 0), ("t", 7)].map(|(topic, partition)| (Str::from(topic), PartitionIndex(partition)));
    let Outcome::Elected(all) =
        it.run(Command::ElectLeaders { partitions: Some(asked.to_vec()), unclean: false })
    else {
        panic!("elections have results")
    };
    let told = all.into_iter().map(|Elected { result, .. }| result.unwrap_err()).collect::<Vec<_>>();
    let unknown = |why: &str| (ErrorCode::UnknownTopicOrPartition, why.to_owned());
    assert_eq!(told, [unknown("No such topic as u"), unknown("No such partition as t-7")]);
}

#[test]
fn a_reassignment_ends_when_all_that_it_adds_are_in_sync() {
    let mut it = Cluster::new(4, &[1, 2], 1);
    assert_eq!(it.reassign(Some(&[3, 4]), false), Ok(()));
    let entry = it.entry();
    assert_eq!(
        (&entry.replicas, &entry.adding, &entry.removing),
        (&nodes(&[3, 4, 1, 2]), &nodes(&[3, 4]), &nodes(&[1, 2]))
    );
    it.assert(1, &[1, 2], &[], &[]);
    it.alter(&[1, 2, 3]).unwrap();
    assert!(it.entry().is_reassigning());
    let term = it.entry().leader_epoch;
    assert_eq!(it.alter(&[1, 2, 3, 4]), Err(ErrorCode::NewLeaderElected), "it leads no longer");
    it.assert(3, &[3, 4], &[], &[]);
    assert_eq!(it.entry().replicas, nodes(&[3, 4]));
    assert!(!it.entry().is_reassigning() && it.entry().leader_epoch > term);
}

#[test]
fn fewer_replicas_take_effect_at_once_and_in_a_new_term() {
    let mut it = Cluster::new(3, &[1, 2, 3], 2);
    assert_eq!(it.reassign(Some(&[1, 2]), true), Ok(()));
    it.assert(1, &[1, 2], &[], &[]);
    assert_eq!((&it.entry().replicas, it.entry().leader_epoch), (&nodes(&[1, 2]), LeaderEpoch(1)));
    assert_eq!(it.reassign(Some(&[2, 1]), true), Ok(()));
    assert_eq!((it.entry().leader.0, it.entry().preferred().0), (1, 2), "only who is preferred changes");
}

#[test]
fn a_reassignment_is_taken_back_or_replaced() {
    let mut it = Cluster::new(4, &[1, 2], 1);
    let none = (ErrorCode::NoReassignmentInProgress, "No partition reassignment is in progress.".to_owned());
    assert_eq!(it.reassign(None, true), Err(none));
    it.reassign(Some(&[1, 3]), false).unwrap();
    assert_eq!(it.entry().replicas, nodes(&[1, 3, 2]));
    assert_eq!(it.reassign(None, true), Ok(()));
    assert_eq!((&it.entry().replicas, it.entry().is_reassigning()), (&nodes(&[1, 2]), false));
    it.reassign(Some(&[1, 3]), false).unwrap();
    it.reassign(Some(&[4, 2]), false).unwrap();
    let entry = it.entry();
    assert_eq!(
        (&entry.replicas, &entry.adding, &entry.removing),
        (&nodes(&[4, 2, 1]), &nodes(&[4]), &nodes(&[1]))
    );
    it.alter(&[1, 2, 4]).unwrap_err();
    it.assert(4, &[2, 4], &[], &[]);
    it.reassign(Some(&[1]), true).unwrap();
    it.alter(&[2, 4]).unwrap();
    it.fence(&[2]);
    it.assert(4, &[4], &[], &[]);
}

#[test]
fn targets_of_reassignments_are_checked() {
    let mut it = Cluster::new(3, &[1, 2], 1);
    for (target, code) in [
        (&[][..], ErrorCode::InvalidReplicaAssignment),
        (&[1, 1], ErrorCode::InvalidReplicaAssignment),
        (&[1, 9], ErrorCode::InvalidReplicaAssignment),
        (&[1, 2, 3], ErrorCode::InvalidReplicationFactor),
    ] {
        assert_eq!(it.reassign(Some(target), false).unwrap_err().0, code, "{target:?}");
    }
    let moves = vec![Reassignment { topic: "u".into(), partition: PartitionIndex(0), replicas: None }];
    let unknown = (ErrorCode::UnknownTopicOrPartition, "Unable to find a topic named u.".to_owned());
    let outcome = it.run(Command::Reassign { moves, factor_may_change: true });
    assert_eq!(outcome, Outcome::Reassigned(vec![Err(unknown)]));
    it.reassign(Some(&[3]), true).unwrap();
    it.fence(&[2]);
    it.fence(&[1]);
    it.assert(-1, &[], &[1], &[]);
    assert_eq!(it.reassign(None, true).unwrap_err().0, ErrorCode::InvalidReplicaAssignment);
}

#[test]
fn a_broker_that_is_gone_for_good_may_come_again_as_another() {
    let mut it = Cluster::new(3, &[1, 2, 3], 2);
    it.fence(&[3]);
    assert_eq!(it.run(Command::UnregisterBroker { id: NodeId(1) }), Outcome::Done);
    it.assert(2, &[2], &[1], &[]);
    assert!(it.0.broker(NodeId(1)).is_none());
    let again = it.run(Command::UnregisterBroker { id: NodeId(1) });
    assert!(matches!(again, Outcome::Refused((ErrorCode::BrokerIdNotRegistered, _))));
    it.run(Command::RegisterBroker(registration(1, 7, Some(BrokerEpoch(1)))));
    it.assert(2, &[2], &[], &[1]);
}

#[test]
fn another_minimum_changes_who_is_eligible_at_once() {
    let set = |target, value: &str| Command::EditConfigs {
        target,
        edits: vec![(MIN_ISR.to_owned(), Edit::Set(value.to_owned()))],
    };
    let mut it = Cluster::new(3, &[1, 2, 3], 3);
    it.alter(&[1, 2]).unwrap();
    it.assert(1, &[1, 2], &[3], &[]);
    assert_eq!(it.run(set(Target::Brokers, "1")), Outcome::Done);
    it.assert(1, &[1, 2], &[3], &[]);
    assert_eq!(it.run(set(Target::Topic(TOPIC), "2")), Outcome::Done);
    it.assert(1, &[1, 2], &[], &[]);
    let own = it.run(set(Target::Broker(NodeId(1)), "1"));
    assert!(matches!(own, Outcome::Refused((ErrorCode::InvalidConfig, _))));
}

#[test]
fn topics_are_created_while_some_brokers_are_away() {
    let mut it = Cluster::new(3, &[1, 2, 3], 1);
    it.fence(&[1]);
    let new = |name: &str, lists: &[&[i32]]| NewTopic {
        name: name.into(),
        id: TopicId([u8::try_from(name.len()).unwrap(); 16]),
        partitions: -1,
        replication_factor: -1,
        assignment: (0..).zip(lists.iter().map(|list| nodes(list))).collect(),
        configs: BTreeMap::new(),
    };
    let create = |topic| Command::CreateTopic { topic, validate_only: false };
    let Outcome::Created(topic) = it.run(create(new("manual", &[&[1, 2]]))) else {
        panic!("it can be created")
    };
    let entry = &topic.partitions[0];
    assert_eq!((entry.leader.0, &entry.isr, &entry.elr), (2, &nodes(&[2]), &vec![]));
    let why = "All brokers specified in the manual partition assignment for partition 1 are fenced or in controlled \
               shutdown.";
    let refused = Outcome::Refused((ErrorCode::InvalidReplicaAssignment, why.to_owned()));
    assert_eq!(it.run(create(new("away", &[&[2], &[1]]))), refused);
    let chosen = NewTopic {
        partitions: 4,
        replication_factor: 2,
        assignment: BTreeMap::new(),
        ..new("chosenone", &[])
    };
    let Outcome::Created(topic) = it.run(create(chosen)) else { panic!("there are two") };
    assert!(
        topic.partitions.iter().all(|entry| !entry.replicas.contains(&NodeId(1)) && entry.isr.len() == 2)
    );
    let all = NewTopic {
        partitions: 4,
        replication_factor: 3,
        assignment: BTreeMap::new(),
        ..new("everywhere", &[])
    };
    let Outcome::Created(topic) = it.run(create(all)) else { panic!("a fenced one will do") };
    assert!(topic.partitions.iter().all(|entry| entry.leader != NodeId(1) && entry.isr.len() == 2));
    it.unfence(&[1]);
    assert_eq!(it.entry().isr, nodes(&[2, 3]), "it has to catch up first");
}
