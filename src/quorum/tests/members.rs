//! Members that change: voters join and leave while messages get lost, voters crash, and leaders go.

use super::net::{JOIN_TICKS, add, remove};
use super::*;
use crate::base::limits::VOTERS_MAX;

/// Seeds that every run takes.
const SEEDS: u64 = 100;
/// Seeds within which a planted fault is noticed.
const MUTANT_SEEDS: u64 = 5_000;

/// Runs a seed: one to four voters at first, of six nodes.
fn run(seed: u64) -> Result<(), String> {
    let voters = 1 + i32::try_from(seed % 4).expect("small");
    let mut net = Net::with_spares(seed, voters, 6 - voters);
    net.run(&Plan::changes(seed))?;
    net.heal()
}

/// A network in which somebody acts.
fn settled(voters: i32, spares: i32) -> (Net, NodeId) {
    let mut net = Net::with_spares(5, voters, spares);
    net.quiet(100);
    let leader = net.acting().expect("somebody leads after a while");
    (net, leader)
}

fn voters(net: &Net, of: NodeId) -> Vec<i32> {
    net.members(of).voters().map(|id| id.0).collect()
}

#[test]
fn voters_agree_whoever_joins_and_leaves() {
    for seed in 0..SEEDS {
        run(seed).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

#[test]
fn every_planted_fault_of_members_is_noticed() {
    // What the crate takes for impossible may happen as well.
    all_noticed(Mutant::OF_MEMBERS, |fault| {
        first_noticing(fault, 0..MUTANT_SEEDS, |seed| run(seed).unwrap())
    });
}

#[test]
fn a_node_that_joins_gets_the_log_first_and_votes_then() {
    let (mut net, leader) = settled(1, 2);
    for (id, both) in [(1, vec![0, 1]), (2, vec![0, 1, 2])] {
        let Changed::At { .. } = net.change(leader, add(NodeId(id))) else { panic!("it may join") };
        assert!(!net.members(leader).votes(NodeId(id)), "it hasn't caught up");
        net.quiet(20);
        assert_eq!(voters(&net, leader), both);
        assert_eq!(voters(&net, NodeId(id)), both, "it knows");
        assert_eq!(net.members(leader).get(NodeId(id)).map(|it| it.directory), Some([7; 16]));
    }
    net.kill(leader);
    net.quiet(60);
    assert!(net.acting().is_some_and(|next| next != leader), "two of three are enough");
}

#[test]
fn a_node_that_joins_late_begins_with_a_snapshot() {
    let mut net = Net::with_spares(5, 1, 1);
    net.quiet(2_000);
    assert!(matches!(net.change(NodeId(0), add(NodeId(1))), Changed::At { .. }));
    net.quiet(50);
    assert_eq!(voters(&net, NodeId(1)), [0, 1]);
    assert_eq!(net.heal(), Ok(()));
}

#[test]
fn a_leader_that_is_removed_goes_and_another_leads_at_once() {
    let (mut net, leader) = settled(3, 0);
    let term = net.term();
    assert!(matches!(net.change(leader, remove(leader)), Changed::At { .. }));
    net.quiet(9);
    assert_eq!(net.term(), term + 1, "sooner than an election timeout of 10 ticks");
    net.quiet(10);
    let next = net.acting().expect("another leads");
    assert_ne!(next, leader);
    assert!(!net.members(leader).votes(leader) && !net.members(next).votes(leader));
    net.kill(leader);
    assert!(matches!(net.change(next, remove(next)), Changed::At { .. }));
    net.quiet(30);
    let last = net.acting().expect("the last one leads");
    assert_eq!(voters(&net, last), [last.0]);
    assert_eq!(net.change(last, remove(last)), Changed::Refused(Refusal::Last));
}

#[test]
fn a_node_that_does_not_answer_never_votes() {
    let (mut net, leader) = settled(2, 2);
    net.kill(NodeId(3));
    assert!(matches!(net.change(leader, add(NodeId(3))), Changed::At { .. }));
    net.quiet(5);
    assert_eq!(net.change(leader, add(NodeId(2))), Changed::Refused(Refusal::Busy), "one at a time");
    assert!(matches!(net.change(leader, add(NodeId(3))), Changed::At { .. }), "the same may be asked again");
    net.quiet(JOIN_TICKS as u64 + 10);
    assert_eq!(net.members(leader).all.len(), 2, "it was given up");
    assert!(matches!(net.change(leader, add(NodeId(2))), Changed::At { .. }));
    net.quiet(20);
    assert_eq!(voters(&net, leader), [0, 1, 2]);
}

#[test]
fn what_one_leader_began_the_next_one_ends() {
    let (mut net, leader) = settled(3, 1);
    net.cut_off(Some(NodeId(3)));
    assert!(matches!(net.change(leader, add(NodeId(3))), Changed::At { .. }));
    net.quiet(5);
    net.kill(leader);
    net.quiet(30);
    let next = net.acting().expect("two of three are enough");
    assert_eq!(net.members(next).learner().map(|it| it.id), Some(NodeId(3)));
    net.cut_off(None);
    net.quiet(30);
    assert_eq!(voters(&net, next), [0, 1, 2, 3]);
}

#[test]
fn a_voter_that_is_removed_while_it_is_cut_off_learns_it_and_disturbs_nobody() {
    let (mut net, leader) = settled(3, 0);
    let gone = NodeId((leader.0 + 1) % 3);
    net.cut_off(Some(gone));
    let term = net.term();
    assert!(matches!(net.change(leader, remove(gone)), Changed::At { .. }));
    net.quiet(60);
    assert!(net.members(gone).votes(gone), "nobody could tell it");
    net.cut_off(None);
    net.quiet(60);
    assert!(!net.members(gone).votes(gone), "it asked for votes and was told");
    assert_eq!((net.acting(), net.term()), (Some(leader), term));
    assert!(matches!(net.change(leader, add(gone)), Changed::At { .. }), "it may come back");
    net.quiet(30);
    assert!(net.members(gone).votes(gone));
}

#[test]
fn what_can_not_be_is_refused() {
    let most = i32::try_from(VOTERS_MAX).expect("a few");
    let (mut net, leader) = settled(most, 1);
    let other = NodeId((leader.0 + 1) % most);
    for (of, change, refusal) in [
        (other, remove(leader), Refusal::NotLeading),
        (leader, add(other), Refusal::Duplicate),
        (leader, remove(NodeId(most)), Refusal::Unknown),
        (leader, Change::Remove { id: other, directory: [9; 16] }, Refusal::Unknown),
        (leader, add(NodeId(most)), Refusal::TooMany),
    ] {
        assert_eq!(net.change(of, change.clone()), Changed::Refused(refusal), "{change:?}");
    }
    assert!(matches!(net.change(leader, remove(other)), Changed::At { .. }));
    assert_eq!(net.change(leader, remove(leader)), Changed::Refused(Refusal::Busy), "it isn't committed");
}
