//! Messages as bytes.

use super::*;
use crate::quorum::message::{Message, Whole};
use raft::eraftpb::{self, MessageType};

fn samples() -> Vec<Message> {
    let learner = Member { id: NodeId(3), address: "d:4".into(), directory: [4; 16], votes: false };
    let members = voters_of(0..3).with(learner);
    let entries = vec![
        Committed { index: 8, term: 2, data: Bytes::from_static(b"a"), members: None },
        Committed { index: 9, term: 3, data: Bytes::new(), members: None },
        Committed {
            index: 10,
            term: 3,
            data: Bytes::new(),
            members: Some(Members { index: 10, ..members.clone() }),
        },
    ];
    let snapshot =
        Snapshot { index: 7, term: 2, data: Bytes::from_static(b"state"), members: members.clone() };
    let snap = Some(snapshot.clone());
    let whole =
        Whole { term: 4, commit: 9, members: voters_of(0..3), snapshot: snap, entries: entries.clone() };
    let mut append = eraftpb::Message::default();
    append.set_msg_type(MessageType::MsgAppend);
    (append.term, append.log_term, append.index, append.commit) = (4, 2, 7, 6);
    append.set_entries(entries.iter().map(crate::quorum::store::to_raft).collect::<Vec<_>>().into());
    let mut install = eraftpb::Message::default();
    install.set_msg_type(MessageType::MsgSnapshot);
    install.term = 4;
    install.set_snapshot(crate::quorum::store::snapshot_to_raft(&snapshot));
    let mut vote = eraftpb::Message::default();
    vote.set_msg_type(MessageType::MsgRequestVote);
    (vote.term, vote.context) = (5, b"CampaignTransfer".to_vec().into());
    let mut refusal = eraftpb::Message::default();
    refusal.set_msg_type(MessageType::MsgAppendResponse);
    (refusal.term, refusal.reject, refusal.reject_hint) = (4, true, 3);
    let raft = [append, install, vote, refusal].map(|message| Message::Raft(Box::new(message)));
    [Message::Ask, Message::Whole(whole), Message::Members(members)].into_iter().chain(raft).collect()
}

#[test]
fn messages_round_trip_and_every_truncation_is_refused() {
    for message in samples() {
        let bytes = message.encode().expect("it travels");
        assert_eq!(Message::decode(&bytes), Ok(message));
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes.slice(..end)).is_err());
        }
    }
}

#[test]
fn what_stays_within_a_node_never_leaves_it() {
    for kind in
        [MessageType::MsgHup, MessageType::MsgBeat, MessageType::MsgPropose, MessageType::MsgCheckQuorum]
    {
        let mut message = eraftpb::Message::default();
        message.set_msg_type(kind);
        assert_eq!(Message::Raft(Box::new(message)).encode(), None, "{kind:?}");
    }
}

#[test]
fn noise_is_no_message_and_harms_no_voter() {
    let conf = QuorumConf {
        id: NodeId(0),
        members: voters_of(0..3),
        election_ticks: 10,
        heartbeat_ticks: 1,
        join_ticks: 60,
        seed: 1,
    };
    let mut voter = Quorum::new(conf, Recovered::default());
    voter.step(Input::Start, &mut Effects::default());
    let mut random = Random::new(5);
    for _ in 0..20_000 {
        let samples = samples();
        let nth = usize::try_from(random.below(samples.len() as u64)).unwrap();
        let mut bytes = samples[nth].encode().unwrap().to_vec();
        for _ in 0..random.below(4) {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
        let bytes = Bytes::from(bytes);
        if let Ok(again) = check_message(&bytes) {
            assert!(again.is_some());
        }
        let from = NodeId(i32::try_from(random.below(5)).unwrap());
        let mut out = Effects::default();
        voter.step(Input::Message { from, bytes }, &mut out);
        while let Some(write) = out.write.take() {
            out = Effects::default();
            voter.step(Input::Persisted { number: write.number, anew: write.append.is_none() }, &mut out);
        }
    }
}
