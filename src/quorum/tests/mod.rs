//! The machine in a little network of its own, and its parts.

mod codec;
mod files;
mod members;
mod net;
mod starts;

use super::mend::Mending;
use super::message::Whole;
use super::*;
use crate::base::mutant::{Mutant, all_noticed, first_noticing};
use crate::base::random::Random;
use bytes::Bytes;
use net::{Net, Plan, voters_of};

/// Seeds that every run takes.
const SEEDS: u64 = 60;
/// Seeds within which a planted fault is noticed, after those that are known to notice one.
const MUTANT_SEEDS: u64 = 3_000;
const TELLING_SEEDS: [u64; 4] = [6, 20, 568, 4144];

/// Runs a seed; what went wrong, if something did.
fn run(seed: u64, voters: i32) -> Result<(), String> {
    let mut net = Net::new(seed, voters);
    net.run(&Plan::faults(seed))?;
    net.heal()
}

#[test]
fn voters_agree_whatever_is_lost_late_or_damaged() {
    for voters in [1, 3, 5] {
        for seed in 0..SEEDS {
            run(seed, voters).unwrap_or_else(|wrong| panic!("seed {seed}, {voters} voters: {wrong}"));
        }
    }
}

#[test]
fn a_seed_replays() {
    let trace = |seed| {
        let mut net = Net::new(seed, 3);
        let ended = net.run(&Plan::faults(seed));
        (net.digest(), ended)
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn every_planted_fault_is_noticed() {
    let seeds = || TELLING_SEEDS.into_iter().chain(0..MUTANT_SEEDS);
    all_noticed(Mutant::OF_QUORUM, |fault| first_noticing(fault, seeds(), |seed| run(seed, 3).unwrap()));
}

#[test]
fn a_voter_mends_only_with_a_log_that_is_committed_as_far_as_it_acknowledged() {
    let mending = Mending::new(3, Some(NodeId(1)), 10);
    let log = |term, commit, first| {
        let members = voters_of(0..3);
        let data = Bytes::from_static(b"state");
        let snapshot = Snapshot { index: 5, term: 1, data, members: members.clone() };
        let entry = |index| Committed { index, term: 2, data: Bytes::new(), members: None };
        let entries = (first..=commit).map(entry).collect();
        Whole { term, commit, members, snapshot: Some(snapshot), entries }
    };
    assert_eq!(mending.judge(log(4, 9, 6)), None, "a leader may count 10 as acknowledged");
    assert_eq!(mending.judge(log(4, 12, 7)), None, "there is a gap");
    assert_eq!(mending.judge(log(1, 12, 6)), None, "entries of a term that is to come");
    let taken = mending.judge(log(4, 10, 6)).expect("it has all that was acknowledged");
    assert_eq!((taken.term, taken.vote, taken.commit, taken.last()), (4, None, 10, 10));
    let taken = mending.judge(log(2, 11, 6)).expect("what is committed is so in every term");
    assert_eq!((taken.term, taken.vote, taken.last()), (3, Some(NodeId(1)), 11), "its vote in term 3 stands");
}

#[test]
fn a_lone_voter_acts_after_one_write_and_commits_with_one_more() {
    let conf = QuorumConf {
        id: NodeId(4),
        members: voters_of(4..5),
        election_ticks: 10,
        heartbeat_ticks: 1,
        join_ticks: 60,
        seed: 1,
    };
    let mut voter = Quorum::new(conf, Recovered::default());
    let mut out = Effects::default();
    voter.step(Input::Start, &mut out);
    let write = out.write.take().expect("its vote and the term's first entry");
    assert!(out.committed.is_empty() && out.role.is_some_and(|role| !role.acting));
    let mut out = Effects::default();
    voter.step(Input::Persisted { number: write.number, anew: false }, &mut out);
    assert_eq!(out.committed.len(), 1);
    assert!(out.role.is_some_and(|role| role.acting && role.leader == Some(NodeId(4))));
    let mut out = Effects::default();
    voter.step(Input::Propose(Bytes::from_static(b"one")), &mut out);
    assert_eq!(out.proposed, Some(Proposed::At { index: 2, term: 1 }));
    let write = out.write.take().expect("the entry");
    let mut out = Effects::default();
    voter.step(Input::Propose(Bytes::from_static(b"two")), &mut out);
    assert!(out.write.is_none(), "one write at a time");
    let mut out = Effects::default();
    voter.step(Input::Persisted { number: write.number, anew: false }, &mut out);
    let data = Bytes::from_static(b"one");
    assert_eq!(out.committed, [Committed { index: 2, term: 1, data, members: None }]);
    assert!(out.write.is_some(), "what came meanwhile makes up the next write");
}

#[test]
fn a_follower_that_sees_the_leaders_connection_break_campaigns_soon() {
    let mut net = Net::new(3, 3);
    net.quiet(100);
    let leader = net.acting().expect("somebody leads after a while");
    let (before, term) = (net.round(), net.term());
    net.kill(leader);
    while net.term() == term {
        net.quiet(1);
        assert!(net.round() - before < 9, "sooner than an election timeout of 10 ticks");
    }
}
