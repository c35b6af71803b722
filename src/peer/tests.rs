use super::*;
use crate::base::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionIndex, ProducerEpoch, ProducerId, ShardId, TopicId,
    TopicPartition,
};
use crate::cluster::{Command, Heartbeat, HeartbeatReply, Outcome};
use crate::wire::{DecodeError, Writer};
use bytes::Bytes;

fn partition(number: i32) -> TopicPartition {
    TopicPartition { topic: TopicId([7; 16]), partition: PartitionIndex(number) }
}

fn fetch() -> ReplicaFetch {
    let read = |number| ReplicaRead {
        partition: partition(number),
        leader_epoch: LeaderEpoch(3),
        offset: 100,
        flushed: 90,
        last_epoch: LeaderEpoch(2),
        log_start: 5,
        high_watermark: 85,
        max_bytes: 1 << 20,
    };
    ReplicaFetch {
        replica: NodeId(2),
        shard: ShardId(1),
        pace: 16,
        broker_epoch: BrokerEpoch(17),
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 10 << 20,
        partitions: vec![read(0), read(1)],
    }
}

fn data(number: i32, diverging: Option<(LeaderEpoch, i64)>, records: Vec<Bytes>) -> ReplicaData {
    ReplicaData {
        partition: partition(number),
        error: if records.is_empty() { ErrorCode::FencedLeaderEpoch } else { ErrorCode::None },
        high_watermark: 95,
        log_start: 4,
        diverging,
        records,
    }
}

fn asks() -> Vec<Ask> {
    let (producer_id, producer_epoch) = (ProducerId(1000), ProducerEpoch(3));
    let vouch = |implicit| Ask::Vouch {
        coordinator: partition(5),
        transactional_id: "mover".into(),
        producer_id,
        producer_epoch,
        partitions: vec![("accounts".into(), 0), ("accounts".into(), 1)],
        implicit,
    };
    let mark = |committed| Ask::Mark {
        partition: partition(1),
        producer_id,
        producer_epoch,
        committed,
        coordinator_epoch: 4,
        raised: !committed,
    };
    vec![vouch(true), vouch(false), mark(true), mark(false)]
}

fn requests() -> Vec<Request> {
    let beat = Heartbeat {
        broker: NodeId(2),
        epoch: BrokerEpoch(17),
        applied: 40,
        wants_fence: true,
        wants_shutdown: false,
    };
    vec![
        Request::Hello(Hello { cluster_id: "abc".into(), from: NodeId(1), to: NodeId(2) }),
        Request::Raft { from: NodeId(1), messages: vec![Bytes::from_static(b"vote"), Bytes::new()] },
        Request::Propose { commands: vec![Command::AllocateProducerIds { count: 1000 }] },
        Request::Follow { broker: NodeId(2), from: 41, wait_ms: 1000 },
        Request::Heartbeat(beat),
        Request::Fetch(fetch()),
        Request::Ask(asks()),
    ]
}

fn replies() -> Vec<Reply> {
    let elsewhere = NotActing { leader: Some(NodeId(3)) };
    let beat = HeartbeatReply {
        error: ErrorCode::StaleBrokerEpoch,
        fenced: true,
        may_shut_down: false,
        caught_up: true,
    };
    let followed = Followed {
        snapshot: Some((7, Bytes::from_static(b"state"))),
        entries: vec![(8, Bytes::from_static(b"entry")), (9, Bytes::new())],
        committed: 9,
    };
    let outcomes = vec![Outcome::Done, Outcome::ProducerIds { first: 0, count: 1000 }];
    vec![
        Reply::Ask(vec![vec![ErrorCode::None, ErrorCode::InvalidTxnState], vec![]]),
        Reply::Hello(Welcome::Yes),
        Reply::Hello(Welcome::No("another cluster".into())),
        Reply::Raft,
        Reply::Propose(Ok(Proposed { outcomes, index: 12 })),
        Reply::Propose(Err(NotActing { leader: None })),
        Reply::Follow(Ok(followed)),
        Reply::Follow(Ok(Followed::default())),
        Reply::Follow(Err(elsewhere)),
        Reply::Heartbeat(Ok(beat)),
        Reply::Heartbeat(Err(elsewhere)),
        Reply::Fetch(ReplicaFetched {
            partitions: vec![
                data(0, None, vec![Bytes::from_static(b"batch")]),
                data(1, Some((LeaderEpoch(2), 80)), Vec::new()),
            ],
        }),
    ]
}

/// A frame's bytes behind its length, which must be right.
fn body(pieces: &[Bytes]) -> Bytes {
    let mut whole = Bytes::from(pieces.concat());
    let length = whole.split_to(4);
    assert_eq!(usize::try_from(u32::from_be_bytes(length[..].try_into().unwrap())).unwrap(), whole.len());
    whole
}

#[test]
fn requests_round_trip_and_every_truncation_is_refused() {
    for request in requests() {
        let frame = body(&write_request(&request, 5));
        let header = Header { kind: request.kind(), correlation: 5 };
        assert_eq!(read_request(frame.clone()), Ok((header, request)));
        for end in 0..frame.len() {
            assert!(read_request(frame.slice(..end)).is_err());
        }
        let longer = Bytes::from([&frame[..], b"\0"].concat());
        assert_eq!(read_request(longer), Err(FrameError::Malformed(DecodeError::Trailing)));
    }
}

#[test]
fn replies_round_trip_and_every_truncation_is_refused() {
    for reply in replies() {
        let frame = body(&write_reply(&reply, 6));
        let asked = |number: i32| (number == 6).then(|| reply.kind());
        assert_eq!(read_reply(frame.clone(), asked), Ok((6, reply.clone())));
        for end in 0..frame.len() {
            assert!(read_reply(frame.slice(..end), asked).is_err());
        }
        assert!(read_reply(frame, |_| None).is_err(), "nobody asked");
    }
}

#[test]
fn records_go_out_from_where_they_lie() {
    let records = Bytes::from(vec![1; 100]);
    let slices = vec![records.slice(..60), records.slice(60..)];
    let reply = Reply::Fetch(ReplicaFetched { partitions: vec![data(0, None, slices)] });
    let pieces = write_reply(&reply, 1);
    assert!(pieces.iter().any(|piece| piece.as_ptr() == records.as_ptr()));
    let Ok((_, Reply::Fetch(read))) = read_reply(body(&pieces), |_| Some(Kind::Fetch)) else { panic!() };
    assert_eq!(read.partitions[0].records, [records], "what was two slices arrives as one");
}

#[test]
fn a_count_reserves_nothing_that_isnt_there() {
    let mut w = Writer::new();
    w.i16(Kind::Fetch as i16);
    w.i16(VERSION);
    w.i32(1);
    w.nullable_string(None, false);
    w.no_tagged_fields();
    w.u16(0);
    (0..3).for_each(|_| w.i64(0));
    w.uvarint(u32::MAX);
    let frame = Bytes::from(w.into_pieces().concat());
    assert_eq!(read_request(frame), Err(FrameError::Malformed(DecodeError::Length)));
}

#[test]
fn other_keys_and_versions_are_told_apart() {
    let frame = |key: i16, version: i16| {
        let mut w = Writer::new();
        w.i16(key);
        w.i16(version);
        w.i32(1);
        Bytes::from(w.into_pieces().concat())
    };
    assert_eq!(read_request(frame(3, 12)), Err(FrameError::Key(3)), "Metadata is for clients");
    assert_eq!(read_request(frame(20_001, 9)), Err(FrameError::Version(Kind::Raft, 9)));
    assert!(Kind::ALL.iter().all(|kind| Kind::of(*kind as i16) == Some(*kind)));
}
