//! Batches of transactions, markers, and what readers of committed records may see.

use super::*;
use crate::base::{Guard, ProducerEpoch, ProducerId};
use crate::replica::call::ReadOp;
use crate::wire::batch::EndMarker;

/// A leader whose flushes come when the test says so.
struct Bench {
    leader: Replica,
    replies: Vec<Produced>,
}

fn data(id: i64, epoch: i16, sequence: i32) -> BatchBuilder {
    at(&[NOW]).producer(id, epoch, sequence).attributes(1 << 4)
}

impl Bench {
    fn new() -> Self {
        Bench { leader: leader(Rules { durability: Durability::Durable, ..RULES }), replies: Vec::new() }
    }

    fn step(&mut self, event: Event) -> Option<Append> {
        let mut out = Effects::default();
        self.leader.step(event, &mut out);
        self.replies.extend(out.replies.into_iter().map(|(_, produced)| produced));
        out.append
    }

    fn send(&mut self, batch: &BatchBuilder, source: Source) -> Option<Offset> {
        let bytes = batch.build();
        let rules = ClientRules { zstd_allowed: true };
        let Valid { meta, contents } = validate_client_batch(&bytes, &rules).unwrap();
        let waiter = Waiter { shard: ShardId(0), set: 1, index: 0 };
        let (acks, bytes, now_ms, deadline_ms) = (-1, bytes.len(), NOW, NOW + 1000);
        let event = Event::Produce { waiter, source, acks, meta, bytes, contents, now_ms, deadline_ms };
        self.step(event).map(|append| append.base_offset)
    }

    fn vouched(&self, id: i64, implicit: bool) -> Source {
        Source::Vouched { guard: self.leader.producers.guard(ProducerId(id)), implicit }
    }

    fn mark(&mut self, id: i64, epoch: i16, committed: bool, raised: bool) -> Option<Offset> {
        let marker = EndMarker { committed, coordinator_epoch: 1 };
        let batch = marker.build(ProducerId(id), ProducerEpoch(epoch), NOW);
        let meta = BatchMeta::read(&batch).unwrap();
        let waiter = Waiter { shard: ShardId(0), set: 1, index: 0 };
        self.step(Event::Mark { waiter, meta, marker, raised, now_ms: NOW }).map(|append| append.base_offset)
    }

    fn flush(&mut self) {
        let upto = self.leader.log_end();
        self.step(Event::Written { upto });
        self.step(Event::Durable { upto });
    }

    /// High watermark and last stable offset.
    fn bounds(&self) -> (Offset, Offset) {
        (self.leader.high_watermark(), self.leader.last_stable_offset())
    }

    fn refusal(&mut self) -> ErrorCode {
        self.replies.pop().expect("it was refused").error
    }
}

#[test]
fn what_begins_a_transaction_needs_a_voucher_and_the_rest_of_it_none() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(&data(1, 0, 0), Source::Client), None);
    assert_eq!(bench.refusal(), ErrorCode::InvalidTxnState);
    let source = bench.vouched(1, false);
    assert_eq!(bench.send(&data(1, 0, 0), source), Some(0));
    assert_eq!(bench.send(&data(1, 0, 1), Source::Client), Some(1));
    let plain = at(&[NOW]).producer(1, 0, 2);
    assert_eq!(bench.send(&plain, Source::Client), None, "the producer is in a transaction");
    assert_eq!(bench.refusal(), ErrorCode::InvalidTxnState);
}

#[test]
fn a_voucher_of_before_a_marker_is_worth_nothing() {
    let mut bench = Bench::new();
    let late = bench.vouched(1, false);
    bench.mark(1, 0, false, false);
    assert_eq!(bench.send(&data(1, 0, 0), late), None);
    assert_eq!(bench.refusal(), ErrorCode::InvalidTxnState);
    let group = |guard| Source::Group { guard };
    assert_eq!(bench.send(&data(1, 0, 0), group(Some(Guard(None)))), None);
    assert_eq!(bench.send(&data(1, 0, 0), group(Some(Guard(Some(0))))), Some(1));
    assert_eq!(bench.send(&data(1, 0, 0), group(None)), Some(2), "a group's batches have no sequence");
}

#[test]
fn readers_of_committed_records_stop_at_the_first_open_transaction() {
    let mut bench = Bench::new();
    bench.send(&at(&[NOW]), Source::Client);
    let (one, two) = (bench.vouched(1, false), bench.vouched(2, false));
    bench.send(&data(1, 0, 0), one);
    bench.send(&data(2, 0, 0), two);
    assert_eq!(bench.bounds(), (0, 0), "nothing is durable");
    bench.flush();
    assert_eq!(bench.bounds(), (3, 1));
    bench.mark(1, 0, true, false);
    assert_eq!(bench.bounds(), (3, 1), "the marker may be lost");
    bench.flush();
    assert_eq!(bench.bounds(), (4, 2));
    bench.mark(2, 0, false, false);
    bench.flush();
    assert_eq!(bench.bounds(), (5, 5));
    assert_eq!(bench.leader.aborted(0, 5), [(2, 2)]);
    assert_eq!(bench.leader.aborted(3, 5), [(2, 2)], "it goes on behind where the read begins");
    assert_eq!((bench.leader.aborted(0, 2), bench.leader.aborted(5, 5)), (vec![], vec![]));
    let op = ReadOp {
        current_leader_epoch: LeaderEpoch(-1),
        offset: 0,
        last_fetched_epoch: LeaderEpoch(-1),
        max_bytes: 1000,
        first_whole: true,
        read_committed: true,
        follower: None,
    };
    assert_eq!(bench.leader.read_bounds(&op).map(|bounds| bounds.upto).ok(), Some(5));
}

#[test]
fn deleting_the_beginning_of_an_open_transaction_moves_nothing_back() {
    let mut bench = Bench::new();
    let source = bench.vouched(1, false);
    bench.send(&data(1, 0, 0), source);
    bench.send(&data(1, 0, 1), Source::Client);
    bench.flush();
    bench.step(Event::LogStart { offset: 1 });
    assert_eq!(bench.bounds(), (2, 1));
}

#[test]
fn a_raised_marker_fences_what_comes_late() {
    let mut bench = Bench::new();
    let source = bench.vouched(1, true);
    bench.send(&data(1, 0, 0), source);
    assert_eq!(bench.mark(1, 0, true, true), None, "it isn't raised");
    assert_eq!(bench.refusal(), ErrorCode::InvalidProducerEpoch);
    assert_eq!(bench.mark(1, 1, true, true), Some(1));
    assert_eq!(bench.mark(1, 1, true, true), Some(2), "written again");
    let source = bench.vouched(1, true);
    assert_eq!(bench.send(&data(1, 0, 1), source), None);
    assert_eq!(bench.refusal(), ErrorCode::InvalidProducerEpoch);
    assert_eq!(bench.send(&data(1, 1, 1), source), None, "a transaction begins at sequence 0");
    assert_eq!(bench.refusal(), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(bench.send(&data(1, 1, 0), source), Some(3));
    let unknown = bench.vouched(9, true);
    assert_eq!(bench.send(&data(9, 0, 4), unknown), None);
    assert_eq!(bench.refusal(), ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn only_what_begins_a_transaction_needs_a_voucher() {
    let mut bench = Bench::new();
    let needs = |bench: &Bench, batch: &BatchBuilder| {
        bench.leader.needs_voucher(&BatchMeta::read(&batch.build()).unwrap())
    };
    assert_eq!(needs(&bench, &at(&[NOW])), None);
    assert_eq!(needs(&bench, &data(1, 0, 0)), Some(Guard(None)));
    let source = bench.vouched(1, false);
    bench.send(&data(1, 0, 0), source);
    assert_eq!(needs(&bench, &data(1, 0, 1)), None);
    bench.mark(1, 0, true, false);
    assert_eq!(needs(&bench, &data(1, 0, 0)), None, "it is a duplicate");
    assert_eq!(needs(&bench, &data(1, 0, 5)), None, "it is refused anyway");
    assert_eq!(needs(&bench, &data(1, 0, 1)), Some(Guard(Some(1))));
}
