//! Joining, sharing out, leaving; rows 100 to 107.

use super::*;

#[test]
fn a_group_forms_after_its_delay() {
    let mut bench = Bench::new();
    let (a, b) = (bench.new_member(), bench.new_member());
    let first = bench.join_with(9, join(&a));
    bench.pass(2999);
    assert_eq!(bench.reply(first), None, "the delay gathers members");
    let second = bench.join_with(9, join(&b));
    bench.pass(1);
    assert_eq!(bench.reply(first), None, "a member that comes meanwhile makes it longer");
    bench.pass(3000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    assert_eq!((first.error_code, first.generation_id, first.leader.clone()), (0, 1, a.clone()));
    assert_eq!(first.members.len(), 2, "the leader hears of all");
    assert_eq!((second.generation_id, second.leader.clone(), second.members.len()), (1, a.clone(), 0));
    assert_eq!(first.protocol_name.as_deref(), Some("range"));
    assert_eq!(first.protocol_type.as_deref(), Some("consumer"));
    let follower = bench.sync(&b, 1, &[]);
    assert_eq!(bench.reply(follower), None, "a follower waits for the leader");
    let leader = bench.sync(&a, 1, &[(&a, b"A"), (&b, b"B")]);
    assert_eq!(bench.synced(leader).assignment, &b"A"[..]);
    assert_eq!(bench.synced(follower).assignment, &b"B"[..]);
    assert_eq!(bench.state(), Some("Stable"));
    assert_eq!(bench.heartbeat(&a, 1), ErrorCode::None);
    assert_eq!(bench.heartbeat(&a, 2), ErrorCode::IllegalGeneration);
    assert_eq!(bench.heartbeat("nobody", 1), ErrorCode::UnknownMemberId);
}

#[test]
fn what_no_flush_has_covered_is_told_to_nobody() {
    let mut bench = Bench::new();
    let a = bench.new_member();
    let question = bench.join_with(9, join(&a));
    bench.gather();
    let generation = bench.joined(question).generation_id;
    bench.flushes = false;
    let sync = bench.sync(&a, generation, &[(&a, b"A")]);
    let commit = bench.ask(GroupOp::Commit { request: commit(&a, generation, 5), version: 8 });
    let request = OffsetFetchRequestGroup { group_id: GROUP.into(), topics: None, ..Default::default() };
    let fetch = bench.ask(GroupOp::Fetch { request, stable: false });
    assert!(bench.replies.is_empty(), "{:?}", bench.replies);
    bench.flush();
    assert_eq!(bench.synced(sync).error_code, 0);
    assert!(bench.reply(commit).is_some() && bench.reply(fetch).is_some());
}

#[test]
fn a_member_that_asks_with_too_little_is_refused() {
    let mut bench = Bench::new();
    for (request, expected) in [
        (JoinGroupRequest { group_id: "".into(), ..join("") }, ErrorCode::InvalidGroupId),
        (JoinGroupRequest { session_timeout_ms: 5999, ..join("") }, ErrorCode::InvalidSessionTimeout),
        (JoinGroupRequest { session_timeout_ms: 1_800_001, ..join("") }, ErrorCode::InvalidSessionTimeout),
        (JoinGroupRequest { protocols: Vec::new(), ..join("") }, ErrorCode::InconsistentGroupProtocol),
        (JoinGroupRequest { protocol_type: "".into(), ..join("") }, ErrorCode::InconsistentGroupProtocol),
        (join("nobody"), ErrorCode::UnknownMemberId),
    ] {
        let question = bench.join_with(9, request);
        assert_eq!(code(bench.joined(question).error_code), expected);
    }
    assert_eq!(bench.state(), None, "refused requests leave nothing behind");
    assert!(bench.log.is_empty());
    let (_, _) = bench.stable(1);
    let other = JoinGroupRequest { protocols: vec![protocol("other")], ..join("") };
    let question = bench.join_with(9, other);
    assert_eq!(code(bench.joined(question).error_code), ErrorCode::InconsistentGroupProtocol);
    let question = bench.join_with(9, JoinGroupRequest { protocol_type: "connect".into(), ..join("") });
    assert_eq!(code(bench.joined(question).error_code), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn an_old_client_joins_without_an_id() {
    let mut bench = Bench::new();
    let question = bench.join_with(0, join(""));
    bench.pass(SESSION_MS as u64);
    let response = bench.joined(question);
    assert_eq!((response.error_code, response.generation_id), (0, 1));
    assert!(response.member_id.starts_with("client-"));
}

#[test]
fn an_id_that_never_comes_back_is_forgotten() {
    let mut bench = Bench::new();
    let a = bench.new_member();
    bench.pass(SESSION_MS as u64);
    let question = bench.join_with(9, join(&a));
    assert_eq!(code(bench.joined(question).error_code), ErrorCode::UnknownMemberId);
}

#[test]
fn one_who_leaves_or_falls_silent_makes_the_others_rejoin() {
    for silent in [false, true] {
        let mut bench = Bench::new();
        let (ids, generation) = bench.stable(2);
        if silent {
            for _ in 0..3 {
                assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
                bench.pass(SESSION_MS as u64 / 3 + 1);
            }
        } else {
            assert_eq!(
                bench.leave(&[(&ids[1], None), ("nobody", None)]),
                [ErrorCode::None, ErrorCode::UnknownMemberId]
            );
        }
        assert_eq!(bench.state(), Some("PreparingRebalance"));
        assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::RebalanceInProgress);
        assert_eq!(bench.heartbeat(&ids[1], generation), ErrorCode::UnknownMemberId);
        let question = bench.join_with(9, join(&ids[0]));
        let response = bench.joined(question);
        assert_eq!((response.generation_id, response.members.len()), (generation + 1, 1));
    }
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(3);
    let question = bench.join_with(9, join(&ids[0]));
    let beat = |bench: &mut Bench, id: &str| bench.heartbeat(id, generation);
    for _ in 0..7 {
        assert_eq!(bench.reply(question), None);
        assert_eq!(beat(&mut bench, &ids[1]), ErrorCode::RebalanceInProgress);
        assert_eq!(beat(&mut bench, &ids[2]), ErrorCode::RebalanceInProgress);
        bench.pass(9000);
    }
    assert_eq!(bench.joined(question).members.len(), 1);
    assert_eq!(beat(&mut bench, &ids[1]), ErrorCode::UnknownMemberId);
}

#[test]
fn who_joins_and_does_not_sync_is_out() {
    let mut bench = Bench::new();
    let (a, b) = (bench.new_member(), bench.new_member());
    let joins = [bench.join_with(9, join(&a)), bench.join_with(9, join(&b))];
    bench.pass(6000);
    for question in joins {
        assert_eq!(bench.joined(question).error_code, 0);
    }
    let sync = bench.sync(&a, 1, &[(&a, b"A")]);
    assert_eq!(bench.synced(sync).error_code, 0);
    for _ in 0..8 {
        bench.heartbeat(&a, 1);
        bench.heartbeat(&b, 1);
        bench.pass(8000);
    }
    assert_eq!(bench.heartbeat(&b, 1), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(&a, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_follower_that_changes_nothing_keeps_its_share() {
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(2);
    let question = bench.join_with(9, join(&ids[1]));
    let response = bench.joined(question);
    assert_eq!((response.error_code, response.generation_id), (0, generation));
    assert_eq!(bench.state(), Some("Stable"));
    bench.join_with(9, join(&ids[0]));
    assert_eq!(bench.state(), Some("PreparingRebalance"), "a leader that joins wants a new round");
}

#[test]
fn the_protocol_is_what_most_would_choose_of_what_all_know() {
    let mut bench = Bench::new();
    let votes = [["a", "b", "c"], ["b", "a", "c"], ["b", "c", "a"]];
    let ids = [(); 3].map(|()| bench.new_member());
    let mut ids = ids.iter();
    let questions = votes.map(|names| {
        let id = ids.next().expect("as many as votes");
        let protocols = names.iter().map(|name| protocol(name)).collect();
        bench.join_with(9, JoinGroupRequest { protocols, ..join(id) })
    });
    bench.gather();
    for question in questions {
        assert_eq!(bench.joined(question).protocol_name.as_deref(), Some("b"));
    }
}

#[test]
fn a_static_member_comes_back_to_its_share() {
    for (version, skip) in [(8, false), (9, true)] {
        let mut bench = Bench::new();
        let named = || JoinGroupRequest { group_instance_id: Some("i".into()), ..join("") };
        let question = bench.join_with(version, named());
        bench.gather();
        let before = bench.joined(question);
        assert!(before.member_id.starts_with("i-"), "{}", before.member_id);
        let sync = bench.sync(&before.member_id, 1, &[(&before.member_id, b"A")]);
        assert_eq!(bench.synced(sync).assignment, &b"A"[..]);
        let question = bench.join_with(version, named());
        let after = bench.joined(question);
        assert_eq!((after.error_code, after.generation_id, after.skip_assignment), (0, 1, skip));
        assert_ne!(after.member_id, before.member_id);
        assert_eq!(after.leader == after.member_id, skip, "an older client must not share out anew");
        assert_eq!(bench.state(), Some("Stable"));
        let sync = bench.sync(&after.member_id, 1, &[]);
        assert_eq!(bench.synced(sync).assignment, &b"A"[..]);
        let old = JoinGroupRequest { member_id: before.member_id.clone(), ..named() };
        let question = bench.join_with(version, old);
        assert_eq!(code(bench.joined(question).error_code), ErrorCode::FencedInstanceId);
        assert_eq!(bench.leave(&[(&before.member_id, Some("i"))]), [ErrorCode::FencedInstanceId]);
        bench.restart();
        assert_eq!(bench.heartbeat(&after.member_id, 1), ErrorCode::None, "the new id is kept");
        assert_eq!(
            bench.leave(&[("", Some("i")), ("", Some("j"))]),
            [ErrorCode::None, ErrorCode::UnknownMemberId]
        );
        assert_eq!(bench.state(), Some("Empty"));
    }
}

#[test]
fn a_full_group_takes_nobody() {
    let mut bench = Bench::with(Settings { members_max: 2, ..Settings::default() });
    let (ids, generation) = bench.stable(2);
    let question = bench.join_with(9, join(""));
    assert_eq!(code(bench.joined(question).error_code), ErrorCode::GroupMaxSizeReached);
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(3);
    bench.coordinator.set_settings(Settings { members_max: 2, ..Settings::default() });
    bench.restart();
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::RebalanceInProgress, "the bound was lowered");
    let questions = [0, 1, 2].map(|nth: usize| bench.join_with(9, join(&ids[nth])));
    bench.pass(REBALANCE_MS as u64);
    let errors = questions.map(|question| code(bench.joined(question).error_code));
    assert_eq!(errors, [ErrorCode::None, ErrorCode::None, ErrorCode::GroupMaxSizeReached]);
}

#[test]
fn a_restart_changes_nothing_for_a_stable_group() {
    let mut bench = Bench::new();
    let (ids, generation) = bench.stable(3);
    let kept = |bench: &Bench| bench.coordinator.groups[GROUP].record();
    let before = kept(&bench);
    bench.restart();
    assert_eq!(kept(&bench), before);
    for id in &ids {
        assert_eq!(bench.heartbeat(id, generation), ErrorCode::None);
    }
    bench.pass(SESSION_MS as u64);
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::UnknownMemberId, "sessions run on");
}

#[test]
fn shares_too_large_to_keep_are_given_to_nobody() {
    let mut bench = Bench::with(Settings { record_bytes_max: 300, ..Settings::default() });
    let a = bench.new_member();
    let question = bench.join_with(9, join(&a));
    bench.gather();
    let generation = bench.joined(question).generation_id;
    static LARGE: [u8; 400] = [1; 400];
    let sync = bench.sync(&a, generation, &[(&a, &LARGE)]);
    assert_eq!(code(bench.synced(sync).error_code), ErrorCode::UnknownServerError);
    assert_eq!(bench.heartbeat(&a, generation), ErrorCode::RebalanceInProgress);
}

#[test]
fn whoever_waits_hears_that_the_coordinator_goes() {
    let mut bench = Bench::new();
    let (a, b) = (bench.new_member(), bench.new_member());
    let joins = [bench.join_with(9, join(&a)), bench.join_with(9, join(&b))];
    bench.step(Event::Resign(ErrorCode::NotCoordinator));
    for question in joins {
        assert_eq!(code(bench.joined(question).error_code), ErrorCode::NotCoordinator);
    }
}
