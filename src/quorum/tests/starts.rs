//! One node, step by step: how it begins with what its file holds, and what it does while it writes.

use super::super::message::Message;
use super::super::store::snapshot_to_raft;
use super::*;
use raft::eraftpb::{self, MessageType};

fn conf(id: i32, voters: std::ops::Range<i32>) -> QuorumConf {
    QuorumConf {
        id: NodeId(id),
        members: voters_of(voters),
        election_ticks: 10,
        heartbeat_ticks: 1,
        join_ticks: 60,
        seed: 1,
    }
}

fn step(quorum: &mut Quorum, input: Input) -> Effects {
    let mut out = Effects::default();
    quorum.step(input, &mut out);
    out
}

fn snapshot(index: u64, members: Members) -> Snapshot {
    Snapshot { index, term: 2, data: Bytes::from_static(b"state"), members }
}

fn campaigns(out: &Effects) -> bool {
    let kind = |bytes: &Bytes| match Message::decode(bytes) {
        Ok(Message::Raft(message)) => Some(message.get_msg_type()),
        _ => None,
    };
    out.send.iter().any(|(_, bytes)| kind(bytes) == Some(MessageType::MsgRequestPreVote))
}

/// The crate looks through all entries that aren't applied before it campaigns, and these begin before the snapshot.
#[test]
fn nobody_campaigns_while_a_snapshot_is_being_written() {
    let mut voter = Quorum::new(conf(1, 0..3), Recovered::default());
    step(&mut voter, Input::Start);
    let mut message = eraftpb::Message::default();
    message.set_msg_type(MessageType::MsgSnapshot);
    message.term = 3;
    message.set_snapshot(snapshot_to_raft(&snapshot(50, voters_of(0..3))));
    let bytes = Message::Raft(Box::new(message)).encode().expect("it travels");
    let mut write = step(&mut voter, Input::Message { from: NodeId(0), bytes }).write;
    step(&mut voter, Input::Unreachable(NodeId(0)));
    for _ in 0..100 {
        let out = step(&mut voter, Input::Tick);
        assert!(!campaigns(&out));
        write = write.or(out.write);
    }
    let mut campaigned = false;
    while let Some(Write { number, .. }) = write.take() {
        write = step(&mut voter, Input::Persisted { number, anew: false }).write;
    }
    assert_eq!(voter.applied(), 50);
    for _ in 0..30 {
        campaigned |= campaigns(&step(&mut voter, Input::Tick));
    }
    assert!(campaigned, "it does so once the snapshot is there");
}

/// The members as of its last entry count, not those that its log began with.
#[test]
fn who_was_left_alone_leads_at_once_when_it_starts() {
    let mut alone = voters_of(0..1);
    alone.index = 7;
    let entry = |index, members| Committed { index, term: 2, data: Bytes::new(), members };
    let recovered = Recovered {
        members: voters_of(0..3),
        term: 2,
        commit: 8,
        entries: (1..=8).map(|index| entry(index, (index == 7).then(|| alone.clone()))).collect(),
        ..Recovered::default()
    };
    let mut voter = Quorum::new(conf(0, 0..1), recovered);
    let out = step(&mut voter, Input::Start);
    let write = out.write.expect("its vote and the term's first entry");
    assert_eq!(*voter.members(), alone);
    let out = step(&mut voter, Input::Persisted { number: write.number, anew: false });
    assert!(out.role.is_some_and(|role| role.acting && role.term == 3));
}

/// A node that was to join was told of one voter only; the snapshot that it got knows all.
#[test]
fn the_members_of_a_snapshot_stay_what_they_are() {
    let recovered = Recovered {
        members: voters_of(0..1),
        term: 2,
        commit: 9,
        snapshot: Some(snapshot(9, voters_of(0..3))),
        ..Recovered::default()
    };
    let voter = Quorum::new(conf(4, 0..1), recovered);
    assert_eq!(voter.members().voters().collect::<Vec<_>>(), voters_of(0..3).voters().collect::<Vec<_>>());
}

/// All that it knows of may have been replaced since.
#[test]
fn a_voter_that_mends_is_told_whom_to_ask() {
    let mut other = Quorum::new(conf(4, 4..7), Recovered::default());
    step(&mut other, Input::Start);
    let ask = Message::Ask.encode().expect("it travels");
    let mut answer = step(&mut other, Input::Message { from: NodeId(0), bytes: ask });
    let (to, bytes) = answer.send.pop().expect("it answers, though it doesn't act");
    assert_eq!(to, NodeId(0));
    let Ok(Message::Members(members)) = Message::decode(&bytes) else { panic!("whom to ask") };
    assert_eq!(members, voters_of(4..7));
}
