//! A follower and what its leader tells it.

use super::*;
use crate::base::BrokerEpoch;
use crate::replica::Member;

const ME: NodeId = NodeId(1);
const LEADER: NodeId = NodeId(2);

fn assigned(leader_epoch: i32, leader: NodeId) -> Event {
    let member = |id| Member { id, broker_epoch: BrokerEpoch(7), able: true };
    let assignment = Box::new(Assignment {
        leader: Some(leader),
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(leader_epoch),
        replicas: vec![member(LEADER), member(ME)],
        isr: vec![LEADER, ME],
        registered: true,
    });
    Event::Assigned { assignment, now_ms: NOW }
}

fn step(replica: &mut Replica, event: Event) -> Effects {
    let mut out = Effects::default();
    replica.step(event, &mut out);
    out
}

fn follower(leader_epoch: i32) -> Replica {
    let rules = Rules { durability: Durability::Durable, ..RULES };
    let mut replica = Replica::new(ME, rules, Recovered::default());
    step(&mut replica, assigned(leader_epoch, LEADER));
    replica
}

fn batch(offset: Offset, epoch: i32) -> BatchMeta {
    BatchMeta::read(&at(&[NOW]).build_at(offset, LeaderEpoch(epoch))).unwrap()
}

fn copy(replica: &mut Replica, offset: Offset, epoch: i32) -> bool {
    let event = Event::Copied { meta: batch(offset, epoch), marker: None, now_ms: NOW };
    step(replica, event).append.is_some()
}

fn flush(replica: &mut Replica) {
    let upto = replica.log_end();
    step(replica, Event::Written { upto });
    step(replica, Event::Durable { upto });
}

#[test]
fn batches_are_copied_as_they_are_and_promised_once_flushed() {
    let mut replica = follower(3);
    let position = replica.fetch_position().unwrap();
    assert_eq!((position.leader, position.offset, position.last_epoch), (LEADER, 0, LeaderEpoch(-1)));
    assert!(copy(&mut replica, 0, 1) && copy(&mut replica, 1, 3));
    assert!(!copy(&mut replica, 1, 3), "it is here already");
    assert!(!copy(&mut replica, 2, 2), "epochs never fall");
    assert!(!copy(&mut replica, 2, 4), "of no leader that is known");
    assert!(copy(&mut replica, 5, 3), "compaction left nothing before it");
    let position = replica.fetch_position().unwrap();
    assert_eq!((position.offset, position.flushed, position.last_epoch), (6, 0, LeaderEpoch(3)));
    flush(&mut replica);
    assert_eq!(replica.fetch_position().unwrap().flushed, 6);
    assert_eq!(replica.epochs().entries(), [(LeaderEpoch(1), 0), (LeaderEpoch(3), 1)]);
}

#[test]
fn the_high_watermark_is_the_leaders_as_far_as_the_log_goes() {
    let mut replica = follower(1);
    copy(&mut replica, 0, 1);
    let said = |high_watermark, log_start| Event::LeaderSaid { high_watermark, log_start };
    assert!(step(&mut replica, said(9, 0)).committed);
    assert_eq!(replica.high_watermark(), 1);
    step(&mut replica, said(0, 0));
    assert_eq!(replica.high_watermark(), 1, "it never goes back");
    copy(&mut replica, 1, 1);
    step(&mut replica, said(9, 5));
    assert_eq!((replica.high_watermark(), replica.log_start()), (2, 2));
}

#[test]
fn a_log_that_parts_is_cut_where_both_agree() {
    let mut replica = follower(9);
    for (offset, epoch) in [(0, 1), (1, 1), (2, 4), (3, 4), (4, 7)] {
        assert!(copy(&mut replica, offset, epoch));
    }
    flush(&mut replica);
    step(&mut replica, Event::LeaderSaid { high_watermark: 2, log_start: 0 });
    // The leader knows 5 as its largest epoch up to 7, and that it ends at 9: of that this log has nothing.
    let parted = Event::Diverged { epoch: LeaderEpoch(5), end_offset: 9 };
    assert_eq!(step(&mut replica, parted).truncate, Some(4), "where epoch 4 ends here");
    assert!(replica.fetch_position().is_none() && !copy(&mut replica, 5, 9), "the cut comes first");
    step(&mut replica, Event::Truncated { to: 4 });
    assert_eq!(replica.fetch_position().unwrap().last_epoch, LeaderEpoch(4));
    let parted = Event::Diverged { epoch: LeaderEpoch(4), end_offset: 3 };
    assert_eq!(step(&mut replica, parted).truncate, Some(3), "where epoch 4 ends there");
    step(&mut replica, Event::Truncated { to: 3 });
    assert_eq!((replica.log_end(), replica.high_watermark()), (3, 2));
    assert!(copy(&mut replica, 3, 9));
    assert_eq!(replica.epochs().entries().last(), Some(&(LeaderEpoch(9), 3)));
}

#[test]
fn a_log_that_ends_before_the_leaders_begins_starts_anew() {
    let mut replica = follower(2);
    copy(&mut replica, 0, 1);
    flush(&mut replica);
    assert_eq!(
        step(&mut replica, Event::OutOfRange { log_start: 1 }).restart_at,
        None,
        "it has all there is"
    );
    assert_eq!(step(&mut replica, Event::OutOfRange { log_start: 50 }).restart_at, Some(50));
    assert!(replica.fetch_position().is_none());
    step(&mut replica, Event::Restarted { at: 50 });
    let position = replica.fetch_position().unwrap();
    assert_eq!((position.offset, position.log_start, position.last_epoch), (50, 50, LeaderEpoch(-1)));
}

#[test]
fn a_leader_that_was_replaced_forgets_the_epoch_in_which_it_wrote_nothing() {
    let mut replica = follower(1);
    copy(&mut replica, 0, 1);
    flush(&mut replica);
    step(&mut replica, assigned(2, ME));
    assert_eq!(replica.epochs().entries().len(), 2);
    step(&mut replica, assigned(3, LEADER));
    assert_eq!(replica.epochs().entries(), [(LeaderEpoch(1), 0)]);
    step(&mut replica, assigned(2, ME));
    assert!(!replica.is_leading(), "what is older than what is known counts for nothing");
}

#[test]
fn what_the_metadata_says_of_an_earlier_life_makes_nobody_a_leader() {
    let mut replica = follower(1);
    let Event::Assigned { mut assignment, now_ms } = assigned(2, ME) else { unreachable!() };
    assignment.registered = false;
    step(&mut replica, Event::Assigned { assignment, now_ms });
    assert!(!replica.is_leading() && replica.fetch_position().is_none());
    step(&mut replica, assigned(3, ME));
    assert!(replica.is_leading());
}

#[test]
fn what_a_producer_did_is_undone_with_the_cut() {
    let mut replica = follower(2);
    let produced = |offset, epoch, sequence| {
        let bytes = at(&[NOW]).producer(9, 0, sequence).build_at(offset, LeaderEpoch(epoch));
        Event::Copied { meta: BatchMeta::read(&bytes).unwrap(), marker: None, now_ms: NOW }
    };
    step(&mut replica, produced(0, 1, 0));
    step(&mut replica, produced(1, 1, 1));
    flush(&mut replica);
    step(&mut replica, Event::Diverged { epoch: LeaderEpoch(1), end_offset: 1 });
    step(&mut replica, Event::Truncated { to: 1 });
    step(&mut replica, assigned(3, ME));
    let again = at(&[NOW]).producer(9, 0, 1).build();
    let meta = BatchMeta::read(&again).unwrap();
    assert_eq!(replica.producers().check(&meta), Verdict::Append, "it isn't here any more");
}
