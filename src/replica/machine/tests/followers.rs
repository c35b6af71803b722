//! A leader and what its followers tell it.

use super::*;
use crate::base::BrokerEpoch;
use crate::replica::call::{FollowerRead, ReadOp, ReadReply};
use crate::replica::{Awaited, IsrProposal, Member};

const ME: NodeId = NodeId(1);
const A: NodeId = NodeId(2);
const B: NodeId = NodeId(3);

const DURABLE: Rules =
    Rules { durability: Durability::Durable, min_insync_replicas: 2, replica_lag_max_ms: 10_000, ..RULES };

fn members() -> Vec<Member> {
    [ME, A, B].map(|id| Member { id, broker_epoch: BrokerEpoch(7), able: true }).to_vec()
}

fn assigned(partition_epoch: i32, isr: &[NodeId]) -> Assignment {
    Assignment {
        leader: Some(ME),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(partition_epoch),
        replicas: members(),
        isr: isr.to_vec(),
        registered: true,
    }
}

/// A leader with two followers, and what it has answered and asked.
struct Bench {
    replica: Replica,
    replies: Vec<ErrorCode>,
    proposals: Vec<IsrProposal>,
    wakes: Vec<Watcher>,
    now_ms: i64,
}

impl Bench {
    fn new(isr: &[NodeId]) -> Self {
        let mut replica = Replica::new(ME, DURABLE, Recovered { log_end: 0, ..Recovered::default() });
        let event = Event::Assigned { assignment: Box::new(assigned(0, isr)), now_ms: NOW };
        replica.step(event, &mut Effects::default());
        let (replies, proposals, wakes) = (Vec::new(), Vec::new(), Vec::new());
        Bench { replica, replies, proposals, wakes, now_ms: NOW }
    }

    fn step(&mut self, event: Event) -> Effects {
        let mut out = Effects::default();
        self.replica.step(event, &mut out);
        self.replies.extend(out.replies.iter().map(|(_, produced)| produced.error));
        self.proposals.extend(out.alter.take());
        self.wakes.append(&mut out.wakes);
        out
    }

    fn assign(&mut self, assignment: Assignment) {
        self.step(Event::Assigned { assignment: Box::new(assignment), now_ms: self.now_ms });
    }

    fn send(&mut self, acks: i16) {
        let bytes = at(&[NOW]).build();
        let rules = ClientRules { zstd_allowed: true };
        let Valid { meta, contents } = validate_client_batch(&bytes, &rules).unwrap();
        let waiter = Waiter { shard: ShardId(0), set: 1, index: 0 };
        let (source, now_ms) = (Source::Client, self.now_ms);
        let (bytes, deadline_ms) = (bytes.len(), i64::MAX);
        self.step(Event::Produce { waiter, source, acks, meta, bytes, contents, now_ms, deadline_ms });
    }

    fn flush(&mut self) {
        let upto = self.replica.log_end();
        self.step(Event::Written { upto });
        self.step(Event::Durable { upto });
    }

    fn fetch(&mut self, follower: NodeId, offset: Offset, flushed: Offset) {
        self.fetch_as(follower, 7, offset, flushed);
    }

    fn fetch_as(&mut self, follower: NodeId, broker_epoch: i64, offset: Offset, flushed: Offset) {
        let (broker_epoch, now_ms) = (BrokerEpoch(broker_epoch), self.now_ms);
        self.step(Event::ReplicaFetch { follower, broker_epoch, offset, flushed, now_ms });
    }

    fn tick(&mut self, later_ms: i64) {
        self.now_ms += later_ms;
        self.step(Event::Tick { now_ms: self.now_ms });
    }

    fn read(
        &self,
        follower: NodeId,
        epoch: i32,
        offset: Offset,
        last_epoch: i32,
    ) -> Result<Offset, ReadReply> {
        let follower = FollowerRead { id: follower, broker_epoch: BrokerEpoch(7), flushed: offset };
        let op = ReadOp {
            current_leader_epoch: LeaderEpoch(epoch),
            offset,
            last_fetched_epoch: LeaderEpoch(last_epoch),
            max_bytes: 1000,
            first_whole: true,
            read_committed: false,
            follower: Some(follower),
        };
        self.replica.read_bounds(&op).map(|bounds| bounds.upto)
    }

    fn isr_proposed(&self) -> Vec<i32> {
        self.proposals.last().map_or(Vec::new(), |last| last.isr.iter().map(|(id, _)| id.0).collect())
    }
}

#[test]
fn a_record_is_committed_when_all_in_sync_have_flushed_it() {
    let mut bench = Bench::new(&[ME, A, B]);
    bench.send(-1);
    bench.flush();
    bench.fetch(A, 1, 0);
    bench.fetch(B, 1, 1);
    assert_eq!((bench.replica.high_watermark(), bench.replies.len()), (0, 0), "A hasn't flushed it");
    bench.fetch(A, 1, 1);
    assert_eq!((bench.replica.high_watermark(), &bench.replies[..]), (1, &[ErrorCode::None][..]));
    bench.send(1);
    bench.flush();
    assert_eq!(
        (bench.replica.high_watermark(), bench.replies.len()),
        (1, 2),
        "acks=1 waits for the leader alone"
    );
    bench.fetch(A, 2, 2);
    bench.fetch(B, 2, 2);
    bench.send(-1);
    bench.fetch(A, 3, 3);
    bench.fetch(B, 3, 3);
    assert_eq!(bench.replica.high_watermark(), 2, "the leader's own flush counts as well");
}

#[test]
fn too_few_in_sync_take_no_record_for_all_and_commit_none() {
    let mut bench = Bench::new(&[ME]);
    bench.send(-1);
    assert_eq!(bench.replies, [ErrorCode::NotEnoughReplicas]);
    bench.send(1);
    bench.flush();
    assert_eq!(bench.replies[1..], [ErrorCode::None]);
    assert_eq!((bench.replica.high_watermark(), bench.replica.log_end()), (0, 1));
    bench.assign(assigned(1, &[ME, A]));
    bench.fetch(A, 1, 1);
    assert_eq!(bench.replica.high_watermark(), 1);
    bench.send(-1);
    bench.flush();
    bench.assign(assigned(2, &[ME]));
    assert_eq!(bench.replies[2..], [ErrorCode::NotEnoughReplicasAfterAppend]);
}

#[test]
fn whoever_waits_is_told_when_another_leads() {
    let mut bench = Bench::new(&[ME, A]);
    bench.send(-1);
    bench.send(1);
    let watcher = Watcher { shard: ShardId(0), set: 9 };
    bench.step(Event::Watch { watcher, beyond: 5, awaited: Awaited::Committed });
    bench.step(Event::Watch { watcher, beyond: 5, awaited: Awaited::Appended });
    bench.assign(Assignment { leader: Some(A), leader_epoch: LeaderEpoch(6), ..assigned(1, &[ME, A]) });
    assert_eq!(bench.replies, [ErrorCode::NotLeaderOrFollower; 2]);
    assert_eq!(bench.wakes.len(), 2);
    bench.send(-1);
    assert_eq!(bench.replies.pop(), Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!(bench.read(B, 6, 0, -1).unwrap_err().error, ErrorCode::NotLeaderOrFollower);
}

#[test]
fn a_follower_that_has_caught_up_and_flushed_is_proposed() {
    let mut bench = Bench::new(&[ME, A]);
    for _ in 0..3 {
        bench.send(-1);
    }
    bench.flush();
    bench.fetch(A, 3, 3);
    bench.fetch(B, 2, 2);
    assert!(bench.proposals.is_empty(), "it lacks a committed record");
    bench.fetch(B, 3, 2);
    assert!(bench.proposals.is_empty(), "it may lose a committed record");
    bench.send(-1);
    bench.flush();
    bench.fetch(A, 4, 4);
    assert_eq!(bench.replica.high_watermark(), 3, "what is committed by now it will keep");
    bench.fetch(B, 4, 3);
    assert_eq!(bench.isr_proposed(), [1, 2, 3]);
    bench.fetch(B, 4, 4);
    assert_eq!(bench.replica.high_watermark(), 4);
    bench.send(-1);
    bench.flush();
    bench.fetch(A, 5, 5);
    assert_eq!(bench.replica.high_watermark(), 4, "it may be in sync already");
    bench.fetch(B, 5, 5);
    assert_eq!(bench.proposals.len(), 1, "one proposal at a time");
}

#[test]
fn a_follower_that_never_flushes_holds_the_high_watermark_for_a_moment_only() {
    let mut bench = Bench::new(&[ME, A]);
    bench.send(-1);
    bench.flush();
    bench.fetch(A, 1, 1);
    bench.fetch(B, 1, 0);
    bench.send(-1);
    bench.flush();
    bench.fetch(A, 2, 2);
    assert_eq!(bench.replica.high_watermark(), 1);
    bench.tick(1500);
    assert_eq!(bench.replica.high_watermark(), 2);
}

#[test]
fn none_joins_before_the_epochs_start_nor_in_an_earlier_life_nor_fenced() {
    let found = Recovered { log_end: 10, high_watermark: 4, ..Recovered::default() };
    let mut bench = Bench::new(&[ME, A]);
    bench.replica = Replica::new(ME, DURABLE, found);
    bench.assign(assigned(0, &[ME, A]));
    bench.fetch(B, 6, 6);
    assert!(bench.proposals.is_empty(), "what lies below the epoch's start may be committed");
    bench.fetch_as(B, 6, 10, 10);
    assert!(bench.proposals.is_empty(), "an earlier life");
    let mut fenced = assigned(0, &[ME, A]);
    fenced.replicas[2].able = false;
    bench.assign(fenced);
    bench.fetch(B, 10, 10);
    assert!(bench.proposals.is_empty(), "it is fenced");
    bench.assign(assigned(0, &[ME, A]));
    bench.fetch(B, 10, 10);
    assert_eq!(bench.isr_proposed(), [1, 2, 3]);
    assert_eq!(bench.replica.admit(B, BrokerEpoch(6)), Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn a_follower_that_falls_behind_falls_out_of_sync() {
    let mut bench = Bench::new(&[ME, A, B]);
    bench.send(-1);
    bench.flush();
    for _ in 0..3 {
        bench.tick(4000);
        bench.fetch(A, 1, 1);
    }
    assert_eq!(bench.isr_proposed(), [1, 2]);
    assert_eq!(bench.replica.high_watermark(), 0, "until it is decided it may be in sync");
    bench.assign(assigned(1, &[ME, A]));
    assert_eq!(bench.replica.high_watermark(), 1);
    assert_eq!(bench.replies, [ErrorCode::None]);
}

#[test]
fn a_follower_that_always_has_what_there_was_when_it_last_asked_stays_in_sync() {
    let mut bench = Bench::new(&[ME, A, B]);
    for round in 0..20 {
        bench.send(-1);
        bench.flush();
        for follower in [A, B] {
            bench.fetch(follower, round, round);
        }
        bench.tick(2000);
    }
    assert!(bench.proposals.is_empty());
}

#[test]
fn a_proposal_counts_until_the_metadata_tells_what_became_of_it() {
    let mut bench = Bench::new(&[ME, A]);
    bench.send(-1);
    bench.flush();
    bench.fetch(A, 1, 1);
    bench.fetch(B, 1, 1);
    assert_eq!(bench.proposals.len(), 1);
    let answer = |result| Event::AlterAnswered { partition_epoch: PartitionEpoch(0), result };
    bench.step(answer(Err(ErrorCode::RequestTimedOut)));
    bench.tick(1000);
    assert_eq!(bench.proposals.len(), 2, "it may not have arrived");
    bench.step(answer(Err(ErrorCode::InvalidUpdateVersion)));
    bench.send(-1);
    bench.flush();
    bench.fetch(A, 2, 2);
    assert_eq!(bench.replica.high_watermark(), 1, "the first may have come through");
    bench.assign(assigned(1, &[ME, A]));
    assert_eq!(bench.replica.high_watermark(), 2, "it hadn't");
    bench.fetch(B, 2, 2);
    bench.step(Event::AlterAnswered {
        partition_epoch: PartitionEpoch(1),
        result: Err(ErrorCode::IneligibleReplica),
    });
    bench.fetch(B, 2, 2);
    assert_eq!(bench.proposals.len(), 3, "it isn't asked again at once");
    bench.tick(1000);
    bench.fetch(B, 2, 2);
    assert_eq!(bench.proposals.len(), 4);
}

#[test]
fn followers_read_what_is_sealed_and_hear_of_more() {
    let mut bench = Bench::new(&[ME, A, B]);
    bench.send(-1);
    assert_eq!(bench.read(A, 5, 0, -1).ok(), Some(0));
    let watcher = Watcher { shard: ShardId(0), set: 9 };
    bench.step(Event::Watch { watcher, beyond: 0, awaited: Awaited::Appended });
    bench.step(Event::Sealed { upto: 1 });
    assert_eq!((bench.wakes.pop(), bench.read(A, 5, 0, -1).ok()), (Some(watcher), Some(1)));
    assert_eq!(bench.read(A, 4, 0, -1).unwrap_err().error, ErrorCode::FencedLeaderEpoch);
    assert_eq!(bench.read(A, 6, 0, -1).unwrap_err().error, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(bench.read(NodeId(9), 5, 0, -1).unwrap_err().error, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(
        bench.read(A, 5, 3, 4).unwrap_err().diverging,
        Some((LeaderEpoch(4), 0)),
        "from before its time"
    );
    let beyond = bench.read(A, 5, 9, -1).unwrap_err();
    assert_eq!((beyond.error, beyond.log_start_offset), (ErrorCode::OffsetOutOfRange, 0));
}

#[test]
fn where_the_log_ends_is_known_when_the_epochs_start_is_committed() {
    let mut bench = Bench::new(&[ME, A]);
    bench.replica =
        Replica::new(ME, DURABLE, Recovered { log_end: 10, high_watermark: 4, ..Recovered::default() });
    bench.assign(assigned(0, &[ME, A]));
    assert!(!bench.replica.is_established());
    bench.fetch(A, 9, 9);
    assert!(!bench.replica.is_established());
    bench.fetch(A, 10, 10);
    assert!(bench.replica.is_established());
}
