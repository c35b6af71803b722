//! The consumer protocol (KIP-848); row 115.

use super::*;
use crate::base::TopicId;
use crate::base::random::Random;
use crate::wire::generated::consumer_group_heartbeat_request::TopicPartitions;
use crate::wire::generated::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::collections::BTreeSet;

/// Partitions of the topics `t` and `u`.
const PARTITIONS: i32 = 6;

pub(super) fn id(name: &str) -> TopicId {
    TopicId([name.as_bytes()[0]; 16])
}

pub(super) fn topics(names: &[&str]) -> Topics {
    std::sync::Arc::new(names.iter().map(|name| ((*name).into(), (id(name), PARTITIONS))).collect())
}

/// A member's first heartbeat.
pub(super) fn first(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        member_epoch: 0,
        rebalance_timeout_ms: REBALANCE_MS,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

/// A heartbeat in which nothing changes, and all that the member has.
pub(super) fn next(
    member: &str,
    epoch: i32,
    owned: &BTreeSet<(TopicId, i32)>,
) -> ConsumerGroupHeartbeatRequest {
    let mut list: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    owned.iter().for_each(|(topic, partition)| list.entry(*topic).or_default().push(*partition));
    let own = |(topic_id, partitions)| TopicPartitions { topic_id, partitions };
    ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        member_epoch: epoch,
        rebalance_timeout_ms: -1,
        topic_partitions: Some(list.into_iter().map(own).collect()),
        ..Default::default()
    }
}

impl Bench {
    pub(super) fn with_topics(names: &[&str]) -> Self {
        let mut bench = Bench::new();
        bench.step(Event::Topics(topics(names)));
        bench
    }

    pub(super) fn consumer_beat(
        &mut self,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let (client, uuid) = (Client::default(), "uuid".into());
        let question = self.ask(GroupOp::ConsumerBeat { request, version: 1, client, uuid });
        match self.reply(question) {
            Some(GroupReply::ConsumerBeat(response)) => response,
            other => panic!("no answer to a heartbeat: {other:?}"),
        }
    }

    pub(super) fn refused(&mut self, request: ConsumerGroupHeartbeatRequest) -> ErrorCode {
        code(self.consumer_beat(request).error_code)
    }
}

pub(super) fn share(response: &ConsumerGroupHeartbeatResponse) -> Option<BTreeSet<(TopicId, i32)>> {
    let list = &response.assignment.as_ref()?.topic_partitions;
    Some(list.iter().flat_map(|own| own.partitions.iter().map(|p| (own.topic_id, *p))).collect())
}

#[test]
fn partitions_move_once_they_are_given_up() {
    let mut bench = Bench::with_topics(&["t"]);
    let a = bench.consumer_beat(first("a"));
    let all = share(&a).expect("the first answer has the share");
    assert_eq!((a.error_code, a.member_epoch, all.len()), (0, 2, 6));
    let b = bench.consumer_beat(first("b"));
    assert_eq!((b.member_epoch, share(&b).expect("a share").len()), (3, 0), "nothing is free yet");
    let asked = bench.consumer_beat(next("a", 2, &all));
    let kept = share(&asked).expect("a new share");
    assert_eq!(
        (asked.member_epoch, kept.len()),
        (2, 3),
        "it stays in its epoch until it has given up the rest"
    );
    assert_eq!(share(&bench.consumer_beat(next("b", 3, &BTreeSet::new()))), None);
    assert_eq!(bench.consumer_beat(next("a", 2, &kept)).member_epoch, 3);
    let got = share(&bench.consumer_beat(next("b", 3, &BTreeSet::new()))).expect("a share");
    assert_eq!(got.len(), 3);
    assert!(got.is_disjoint(&kept));
    let before = bench.coordinator.consumers.clone();
    bench.restart();
    assert_eq!(bench.coordinator.consumers, before, "the log holds all of it");
}

#[test]
fn who_does_not_give_up_in_time_is_fenced() {
    let mut bench = Bench::with_topics(&["t"]);
    let all = share(&bench.consumer_beat(first("a"))).expect("a share");
    bench.consumer_beat(first("b"));
    for _ in 0..5 {
        bench.consumer_beat(next("a", 2, &all));
        bench.consumer_beat(next("b", 3, &BTreeSet::new()));
        bench.pass(13_000);
    }
    assert_eq!(bench.refused(next("a", 2, &all)), ErrorCode::UnknownMemberId);
    let got = share(&bench.consumer_beat(next("b", 3, &BTreeSet::new()))).expect("a share");
    assert_eq!(got.len(), 6);
    bench.pass(45_000);
    assert_eq!(bench.refused(next("b", 4, &got)), ErrorCode::UnknownMemberId, "it was silent for a session");
    assert!(bench.coordinator.consumers[GROUP].is_empty());
}

#[test]
fn requests_are_checked() {
    let mut bench = Bench::with_topics(&["t"]);
    let regex = |text: &str| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(text.into()),
        ..first("a")
    };
    for (request, expected) in [
        (ConsumerGroupHeartbeatRequest { group_id: "".into(), ..first("a") }, ErrorCode::InvalidRequest),
        (first(""), ErrorCode::InvalidRequest),
        (ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..first("a") }, ErrorCode::InvalidRequest),
        (ConsumerGroupHeartbeatRequest { topic_partitions: None, ..first("a") }, ErrorCode::InvalidRequest),
        (ConsumerGroupHeartbeatRequest { member_epoch: -3, ..first("a") }, ErrorCode::InvalidRequest),
        (ConsumerGroupHeartbeatRequest { member_epoch: -2, ..first("a") }, ErrorCode::InvalidRequest),
        (
            ConsumerGroupHeartbeatRequest { server_assignor: Some("sticky".into()), ..first("a") },
            ErrorCode::UnsupportedAssignor,
        ),
        (regex("(["), ErrorCode::InvalidRegularExpression),
        (next("a", 1, &BTreeSet::new()), ErrorCode::GroupIdNotFound),
    ] {
        assert_eq!(bench.refused(request), expected);
    }
    assert!(bench.coordinator.consumers.is_empty() && bench.log.is_empty(), "nothing is left behind");
    bench.consumer_beat(first("a"));
    let owned = BTreeSet::new();
    assert_eq!(bench.refused(next("a", 7, &owned)), ErrorCode::FencedMemberEpoch);
    assert_eq!(bench.refused(next("b", 1, &owned)), ErrorCode::UnknownMemberId);
}

#[test]
fn descriptions_follow_the_topics() {
    let mut bench = Bench::with_topics(&["t"]);
    let request = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("[tu]".into()),
        ..first("a")
    };
    let share_of_t = share(&bench.consumer_beat(request)).expect("a share");
    assert_eq!(share_of_t.len(), 6);
    bench.step(Event::Topics(topics(&["t", "u", "tu"])));
    let both = share(&bench.consumer_beat(next("a", 2, &share_of_t))).expect("a new share");
    assert_eq!(both.len(), 12, "the whole name must match");
    assert!(both.iter().all(|(topic, _)| [id("t"), id("u")].contains(topic)));
}

#[test]
fn a_static_member_comes_back_to_its_share() {
    let mut bench = Bench::with_topics(&["t"]);
    let named = |member: &str, epoch| ConsumerGroupHeartbeatRequest {
        instance_id: Some("i".into()),
        member_epoch: epoch,
        ..first(member)
    };
    assert_eq!(share(&bench.consumer_beat(named("a", 0))).expect("a share").len(), 6);
    assert_eq!(bench.refused(named("b", 0)), ErrorCode::UnreleasedInstanceId);
    assert_eq!(bench.refused(named("a", -2)), ErrorCode::None);
    let back = bench.consumer_beat(named("b", 0));
    assert_eq!((back.member_epoch, share(&back).expect("a share").len()), (2, 6), "nothing moved");
    assert_eq!(bench.refused(named("a", 2)), ErrorCode::FencedInstanceId);
    bench.restart();
    bench.step(Event::Topics(topics(&["t"])));
    assert_eq!(bench.refused(named("b", -1)), ErrorCode::None);
    assert!(bench.coordinator.consumers[GROUP].is_empty());
}

#[test]
fn an_empty_group_changes_its_protocol() {
    let mut bench = Bench::with_topics(&["t"]);
    let (ids, _) = bench.stable(1);
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.refused(first("a")), ErrorCode::None);
    bench.restart();
    assert!(bench.coordinator.groups.is_empty() && bench.coordinator.consumers.len() == 1);
    let leaving = ConsumerGroupHeartbeatRequest { member_epoch: -1, ..first("a") };
    assert_eq!(bench.refused(leaving), ErrorCode::None);
    bench.new_member();
    bench.restart();
    assert!(bench.coordinator.consumers.is_empty() && bench.coordinator.groups.len() == 1);
}

impl Bench {
    fn told(&mut self, version: i16, member: &str, epoch: i32) -> ErrorCode {
        self.told_of(version, (member, epoch), &[0])[0]
    }

    /// What a member is told of each partition that it commits.
    fn told_of(&mut self, version: i16, (member, epoch): (&str, i32), partitions: &[i32]) -> Vec<ErrorCode> {
        let mut request = commit(member, epoch, 5);
        let whole = request.topics[0].partitions[0].clone();
        let partition =
            |index: &i32| OffsetCommitRequestPartition { partition_index: *index, ..whole.clone() };
        request.topics[0].partitions = partitions.iter().map(partition).collect();
        let question = self.ask(GroupOp::Commit { request, version });
        match self.reply(question) {
            Some(GroupReply::Commit(response)) => {
                response.topics[0].partitions.iter().map(|partition| code(partition.error_code)).collect()
            }
            other => panic!("no answer to a commit: {other:?}"),
        }
    }
}

#[test]
fn who_commits_says_its_epoch() {
    let mut bench = Bench::with_topics(&["t"]);
    bench.consumer_beat(first("a"));
    assert_eq!(bench.told(9, "a", 2), ErrorCode::None);
    assert_eq!(bench.told(9, "a", 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(bench.told(9, "a", 3), ErrorCode::StaleMemberEpoch);
    assert_eq!(bench.told(9, "b", 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.told(8, "a", 2), ErrorCode::UnsupportedVersion);
    assert_eq!(bench.told(9, "", -1), ErrorCode::UnknownMemberId, "a tool commits when nobody is there");
}

/// A commit that was under way while its member moved on is about what the member has had all the time (KIP-1251).
#[test]
fn an_older_epoch_commits_what_the_member_still_has() {
    let mut bench = Bench::with_topics(&["t"]);
    let all = share(&bench.consumer_beat(first("a"))).expect("a share");
    bench.consumer_beat(first("b"));
    let kept = share(&bench.consumer_beat(next("a", 2, &all))).expect("a new share");
    assert!(kept.contains(&(id("t"), 0)), "commits of these tests are about this one");
    assert_eq!(bench.consumer_beat(next("a", 2, &kept)).member_epoch, 3);
    assert_eq!(bench.told(9, "a", 2), ErrorCode::None);
    assert_eq!(bench.told(9, "a", 1), ErrorCode::StaleMemberEpoch, "it hadn't got it yet");
    assert_eq!(bench.told(9, "b", 2), ErrorCode::StaleMemberEpoch, "it never had it");
    let gave_up = all.difference(&kept).next().expect("it gives up some").1;
    let written = bench.log.len();
    assert_eq!(
        bench.told_of(9, ("a", 2), &[0, gave_up]),
        [ErrorCode::StaleMemberEpoch; 2],
        "together or not at all"
    );
    assert_eq!(bench.log.len(), written);
    bench.restart();
    bench.step(Event::Topics(topics(&["t"])));
    assert_eq!(bench.told(9, "a", 2), ErrorCode::None, "the log says since when");
}

#[test]
fn a_leaving_member_begins_one_epoch() {
    let mut bench = Bench::with_topics(&["t", "u"]);
    let both = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["t".into(), "u".into()]),
        ..first("b")
    };
    bench.consumer_beat(first("a"));
    bench.consumer_beat(both);
    let before = bench.coordinator.consumers[GROUP].epoch();
    bench.consumer_beat(ConsumerGroupHeartbeatRequest { member_epoch: -1, ..first("b") });
    assert_eq!(bench.coordinator.consumers[GROUP].epoch(), before + 1);
    bench.consumer_beat(next("a", 2, &BTreeSet::new()));
    assert_eq!(
        bench.coordinator.consumers[GROUP].epoch(),
        before + 1,
        "the topics it read alone are no news"
    );
}

#[test]
fn a_description_that_nobody_has_leaves_the_log() {
    let mut bench = Bench::with_topics(&["t", "__t"]);
    let described = |regex: &str| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(regex.into()),
        ..first("a")
    };
    let found = share(&bench.consumer_beat(described(".*"))).expect("a share");
    assert!(found.iter().all(|(topic, _)| *topic == id("t")), "what is Kafka's own isn't meant");
    bench.consumer_beat(described("u.*"));
    let before = bench.coordinator.consumers.clone();
    bench.restart();
    assert_eq!(bench.coordinator.consumers, before);
}

#[test]
fn heartbeats_that_say_nothing_write_nothing() {
    let mut bench = Bench::with_topics(&["t"]);
    let all = share(&bench.consumer_beat(first("a"))).expect("a share");
    let written = bench.log.len();
    for _ in 0..20 {
        bench.pass(30_000);
        let silent = ConsumerGroupHeartbeatRequest { topic_partitions: None, ..next("a", 2, &all) };
        let answer = bench.consumer_beat(silent);
        assert_eq!((answer.error_code, answer.member_epoch, answer.assignment), (0, 2, None));
    }
    assert_eq!(bench.log.len(), written);
    bench.step(Event::Topics(topics(&["t", "u"])));
    bench.consumer_beat(next("a", 2, &all));
    assert_eq!(bench.log.len(), written, "topics that nobody reads are no news");
}

/// What one member believes.
#[derive(Clone, Debug, Default)]
struct Member {
    epoch: i32,
    owned: BTreeSet<(TopicId, i32)>,
    lives: bool,
}

#[test]
fn no_partition_has_two_owners_at_any_time() {
    let (mut moves, mut restarts) = (0, 0);
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut bench = Bench::with_topics(&["t", "u"]);
        let mut members = vec![Member::default(); 4];
        for _ in 0..150 {
            let nth = usize::try_from(random.below(4)).expect("small");
            let name = format!("m{nth}");
            let request = match random.below(30) {
                0 => ConsumerGroupHeartbeatRequest { member_epoch: -1, ..first(&name) },
                1 => {
                    bench.restart();
                    bench.step(Event::Topics(topics(&["t", "u"])));
                    restarts += 1;
                    continue;
                }
                2 => {
                    // It vanishes: it reads nothing any more, and nobody is told.
                    members[nth] = Member::default();
                    continue;
                }
                3..6 => {
                    bench.pass(random.below(30_000));
                    continue;
                }
                6 | 7 if members[nth].lives => ConsumerGroupHeartbeatRequest {
                    subscribed_topic_names: Some(if random.chance(50) {
                        vec!["t".into()]
                    } else {
                        vec!["t".into(), "u".into()]
                    }),
                    ..next(&name, members[nth].epoch, &members[nth].owned)
                },
                _ if members[nth].lives => next(&name, members[nth].epoch, &members[nth].owned),
                _ => first(&name),
            };
            let leaves = request.member_epoch == -1;
            let response = bench.consumer_beat(request);
            let member = &mut members[nth];
            if response.error_code != 0 || leaves {
                *member = Member::default();
                continue;
            }
            (member.epoch, member.lives) = (response.member_epoch, true);
            if let Some(share) = share(&response) {
                moves += share.symmetric_difference(&member.owned).count();
                member.owned = share;
            }
            // Who has been silent for too long may not know yet that it has been fenced: it is not asked.
            let known = |nth: usize| {
                bench.coordinator.consumers[GROUP].check_fetch(&format!("m{nth}"), members[nth].epoch).is_ok()
            };
            let owned: Vec<_> =
                (0..4).filter(|nth| known(*nth)).flat_map(|nth| members[nth].owned.clone()).collect();
            let distinct: BTreeSet<_> = owned.iter().collect();
            assert_eq!(owned.len(), distinct.len(), "seed {seed}: {members:?}");
        }
        let recount = |mut group: ConsumerGroup| {
            group.recount();
            group.bytes()
        };
        let recounted: usize = bench.coordinator.consumers.values().cloned().map(recount).sum();
        assert_eq!(bench.coordinator.bytes, recounted);
    }
    assert!(moves > 2000 && restarts > 500, "{moves} {restarts}");
}
