//! Groups that change their protocol while they have members (row 116).

use super::consumer::{first, id, next, share, topics};
use super::*;
use crate::base::TopicId;
use crate::group::migration;
use crate::group::settings::Migration;
use crate::wire::generated::consumer_protocol_subscription::TopicPartition;
use crate::wire::generated::{ConsumerGroupHeartbeatRequest, ConsumerProtocolSubscription};
use crate::wire::{Encode, Writer};
use std::collections::BTreeSet;

type Owned = BTreeSet<(TopicId, i32)>;

/// What a consumer of `t` says that owns these of its partitions.
fn says(owned: &Owned) -> Bytes {
    let partitions: Vec<i32> = owned.iter().map(|(_, partition)| *partition).collect();
    let message = ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        owned_partitions: vec![TopicPartition { topic: "t".into(), partitions }],
        generation_id: -1,
        ..Default::default()
    };
    let mut writer = Writer::new();
    writer.i16(1);
    message.encode(&mut writer, 1).expect("version 1 has them");
    writer.into_pieces().concat().into()
}

fn joins(member: &str, owned: &Owned) -> JoinGroupRequest {
    let metadata = says(owned);
    JoinGroupRequest {
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata }],
        ..join(member)
    }
}

fn parts(bytes: &Bytes) -> Owned {
    let named = migration::assignment(bytes).expect("an assignment");
    named.iter().flat_map(|(name, own)| own.iter().map(|partition| (id(name), *partition))).collect()
}

impl Bench {
    /// A classic group of two with three partitions each.
    fn classic_pair(&mut self) -> (Vec<Str>, i32) {
        let none = Owned::new();
        let ids: Vec<Str> = (0..2).map(|_| self.new_member()).collect();
        let asked: Vec<u64> = ids.iter().map(|id| self.join_with(9, joins(id, &none))).collect();
        self.gather();
        let answers: Vec<_> = asked.into_iter().map(|question| self.joined(question)).collect();
        let (leader, generation) = (answers[0].leader.clone(), answers[0].generation_id);
        let share = |from: i32| {
            let named = [("t".into(), (from..from + 3).collect())].into();
            migration::assignment_bytes(&named, &says(&none))
        };
        let assignments = ids
            .iter()
            .zip([0, 3])
            .map(|(id, from)| SyncGroupRequestAssignment { member_id: id.clone(), assignment: share(from) });
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: leader,
            assignments: assignments.collect(),
            ..Default::default()
        };
        self.ask(GroupOp::Sync(request));
        for id in &ids {
            self.sync(id, generation, &[]);
        }
        assert_eq!(self.state(), Some("Stable"));
        (ids, generation)
    }

    /// Rejoins with what it owns and fetches its share; `None` where it must rejoin again.
    fn rejoin(&mut self, member: &str, owned: &Owned) -> (i32, Result<Owned, ErrorCode>) {
        let question = self.join_with(9, joins(member, owned));
        let joined = self.joined(question);
        assert_eq!(joined.error_code, 0, "a member of the group joins again");
        let question = self.sync(member, joined.generation_id, &[]);
        let synced = self.synced(question);
        match code(synced.error_code) {
            ErrorCode::None => (joined.generation_id, Ok(parts(&synced.assignment))),
            error => (joined.generation_id, Err(error)),
        }
    }
}

fn range(partitions: std::ops::Range<i32>) -> Owned {
    partitions.map(|partition| (id("t"), partition)).collect()
}

#[test]
fn a_classic_group_is_upgraded_and_downgraded_with_its_members() {
    let mut bench = Bench::with_topics(&["t"]);
    let (ids, generation) = bench.classic_pair();
    let new = bench.consumer_beat(first("new"));
    assert_eq!((new.error_code, share(&new).expect("a share").len()), (0, 0), "others have all of it");
    assert_eq!(new.member_epoch, generation + 1);
    assert!(bench.coordinator.groups.is_empty());
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::RebalanceInProgress);
    // Both give up one, and take their next share with the rest.
    for (id, from) in ids.iter().zip([0, 3]) {
        let (_, asked) = bench.rejoin(id, &range(from..from + 3));
        let kept = asked.expect("a smaller share");
        assert_eq!(kept.len(), 2);
        let (epoch, again) = bench.rejoin(id, &kept);
        assert_eq!((epoch, again), (generation + 1, Ok(kept)));
        assert_eq!(bench.heartbeat(id, epoch), ErrorCode::None);
    }
    let got = share(&bench.consumer_beat(next("new", generation + 1, &Owned::new()))).expect("a share");
    assert_eq!(got.len(), 2);
    let before = bench.coordinator.consumers.clone();
    bench.restart();
    assert_eq!(bench.coordinator.consumers, before, "the log holds members of both kinds");
    bench.step(Event::Topics(topics(&["t"])));
    // The last one of the new protocol leaves.
    bench.consumer_beat(ConsumerGroupHeartbeatRequest { member_epoch: -1, ..first("new") });
    assert_eq!(bench.state(), Some("PreparingRebalance"));
    let asked: Vec<u64> = ids.iter().map(|id| bench.join_with(9, joins(id, &Owned::new()))).collect();
    let answers: Vec<_> = asked.into_iter().map(|question| bench.joined(question)).collect();
    assert!(answers.iter().all(|answer| answer.error_code == 0 && answer.generation_id == generation + 3));
    bench.restart();
    assert!(bench.coordinator.consumers.is_empty() && bench.state() == Some("Stable"));
}

#[test]
fn a_refused_upgrade_changes_nothing() {
    let mut bench = Bench::with_topics(&["t"]);
    let (ids, generation) = bench.classic_pair();
    let (written, before) = (bench.log.len(), bench.coordinator.groups.clone());
    let bad = ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("([".into()), ..first("new") };
    assert_eq!(bench.refused(bad), ErrorCode::InvalidRegularExpression);
    assert_eq!((bench.log.len(), &bench.coordinator.groups), (written, &before));
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
    let settings = Settings { migration: Migration::Downgrade, ..Settings::default() };
    bench.coordinator.set_settings(settings);
    assert_eq!(bench.refused(first("new")), ErrorCode::GroupIdNotFound);
    assert_eq!((bench.log.len(), &bench.coordinator.groups), (written, &before));
    bench.pass(u64::try_from(SESSION_MS).expect("small"));
    assert_eq!(bench.state(), Some("Empty"), "sessions still end");
}

#[test]
fn who_waits_for_a_rebalance_rejoins_after_the_upgrade() {
    let mut bench = Bench::with_topics(&["t"]);
    let (ids, _) = bench.classic_pair();
    let waiting = bench.join_with(9, joins(&ids[0], &Owned::new()));
    assert!(bench.reply(waiting).is_none() || bench.state() == Some("PreparingRebalance"));
    let other = bench.new_member();
    let waiting = bench.join_with(9, joins(&other, &Owned::new()));
    bench.consumer_beat(first("new"));
    assert_eq!(code(bench.joined(waiting).error_code), ErrorCode::RebalanceInProgress);
    let (_, got) = bench.rejoin(&other, &Owned::new());
    assert!(got.is_ok());
}

#[test]
fn a_classic_member_that_does_not_rejoin_in_time_is_out() {
    let mut bench = Bench::with_topics(&["t"]);
    let (ids, generation) = bench.classic_pair();
    bench.consumer_beat(first("new"));
    for _ in 0..REBALANCE_MS / 5000 {
        for id in &ids {
            assert_eq!(bench.heartbeat(id, generation), ErrorCode::RebalanceInProgress);
        }
        bench.consumer_beat(next("new", generation + 1, &Owned::new()));
        bench.pass(5000);
    }
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::UnknownMemberId);
    let all = share(&bench.consumer_beat(first("new"))).expect("a share");
    assert_eq!(all.len(), 6);
}

#[test]
fn a_static_member_changes_its_protocol_and_keeps_its_share() {
    let mut bench = Bench::with_topics(&["t"]);
    let named =
        |member: &str| ConsumerGroupHeartbeatRequest { instance_id: Some("i".into()), ..first(member) };
    let all = share(&bench.consumer_beat(named("a"))).expect("a share");
    // It comes back with the classic protocol, and with it the group.
    let request = JoinGroupRequest { group_instance_id: Some("i".into()), ..joins("", &Owned::new()) };
    let question = bench.join_with(9, request);
    let joined = bench.joined(question);
    assert_eq!((joined.error_code, bench.state()), (0, Some("Stable")));
    let question = bench.ask(GroupOp::Sync(SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: Some("i".into()),
        ..Default::default()
    }));
    let synced = bench.synced(question);
    assert_eq!((synced.error_code, parts(&synced.assignment)), (0, all.clone()));
    // And once more with the new one.
    let back = bench.consumer_beat(named("b"));
    assert_eq!((back.error_code, share(&back)), (0, Some(all)));
    assert!(bench.coordinator.groups.is_empty());
}

#[test]
fn other_types_of_groups_stay_what_they_are() {
    let mut bench = Bench::with_topics(&["t"]);
    let request = JoinGroupRequest { protocol_type: "connect".into(), ..join("") };
    let question = bench.join_with(3, request);
    bench.gather();
    assert_eq!(bench.joined(question).error_code, 0);
    assert_eq!(bench.refused(first("new")), ErrorCode::GroupIdNotFound);
    let mut bench = Bench::with_topics(&["t"]);
    bench.consumer_beat(first("a"));
    let request = JoinGroupRequest { protocol_type: "connect".into(), ..join("") };
    let question = bench.join_with(9, request);
    assert_eq!(code(bench.joined(question).error_code), ErrorCode::InconsistentGroupProtocol);
}
