use super::*;
use crate::wire::batch::{BatchBuilder, Codec};
use crate::wire::{Reader, Writer};

fn meta(id: i64, epoch: i16, sequence: i32) -> BatchMeta {
    let batch = BatchBuilder::new(Codec::None, 5).producer(id, epoch, sequence).record(5, None, None).build();
    BatchMeta::read(&batch).unwrap()
}

fn appended(states: &mut ProducerStates, meta: BatchMeta, offset: Offset) -> Verdict {
    let verdict = states.check(&meta);
    if verdict == Verdict::Append {
        states.apply(&meta, offset, 5);
    }
    verdict
}

const GAP: Verdict = Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber);

#[test]
fn sequences_follow_as_kafka_measured() {
    let mut states = ProducerStates::default();
    assert_eq!(appended(&mut states, meta(1, 0, 0), 10), Verdict::Append);
    assert_eq!(states.check(&meta(1, 0, 0)), Verdict::Duplicate { base_offset: 10, timestamp: 5 });
    assert_eq!(states.check(&meta(1, 0, 5)), GAP);
    assert_eq!(appended(&mut states, meta(1, 0, 1), 11), Verdict::Append);
    assert_eq!(states.check(&meta(1, 1, 3)), GAP);
    assert_eq!(appended(&mut states, meta(1, 1, 0), 12), Verdict::Append);
    assert_eq!(states.check(&meta(1, 0, 2)), Verdict::Refuse(ErrorCode::InvalidProducerEpoch));
    assert_eq!(states.check(&meta(2, 0, 9)), Verdict::Append);
    for sequence in 1..8 {
        assert_eq!(appended(&mut states, meta(1, 1, sequence), 12 + i64::from(sequence)), Verdict::Append);
    }
    assert_eq!(states.check(&meta(1, 1, 1)), GAP);
    assert_eq!(states.check(&meta(1, 1, 4)), Verdict::Duplicate { base_offset: 16, timestamp: 5 });
}

#[test]
fn a_snapshot_leaves_out_what_may_be_lost() {
    let mut states = ProducerStates::default();
    for (offset, sequence) in (10..14).zip(0..) {
        appended(&mut states, meta(1, 0, sequence), offset);
    }
    appended(&mut states, meta(2, 0, 0), 14);
    let kept = states.as_of(12);
    assert_eq!(kept.check(&meta(1, 0, 1)), Verdict::Duplicate { base_offset: 11, timestamp: 5 });
    assert_eq!(kept.check(&meta(1, 0, 2)), Verdict::Append);
    assert_eq!((kept.len(), states.len()), (1, 2));
}

#[test]
fn sequences_wrap() {
    let mut states = ProducerStates::default();
    assert_eq!(appended(&mut states, meta(1, 0, i32::MAX), 0), Verdict::Append);
    assert_eq!(appended(&mut states, meta(1, 0, 0), 1), Verdict::Append);
}

#[test]
fn state_round_trips_and_expires() {
    let mut states = ProducerStates::default();
    states.apply(&meta(1, 0, 0), 0, 1000);
    states.apply(&meta(2, 3, 0), 1, 1000);
    let mut writer = Writer::new();
    states.encode(&mut writer);
    let mut reader = Reader::new(writer.into_pieces().concat().into());
    assert_eq!(ProducerStates::decode(&mut reader), Ok(states.clone()));
    states.expire(1000 + 99, 100);
    assert_eq!(states.len(), 2, "records of long ago don't make it older");
    states.expire(1000 + 100, 100);
    assert!(states.is_empty());
}

/// A step of a partition's log: a batch of a transaction, or a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Data { id: i64, epoch: i16 },
    Marker { id: i64, epoch: i16, committed: bool },
}

const STEPS: [Step; 8] = [
    Step::Data { id: 1, epoch: 0 },
    Step::Data { id: 1, epoch: 1 },
    Step::Data { id: 2, epoch: 0 },
    Step::Marker { id: 1, epoch: 0, committed: true },
    Step::Marker { id: 1, epoch: 1, committed: false },
    Step::Marker { id: 1, epoch: 1, committed: true },
    Step::Marker { id: 2, epoch: 0, committed: false },
    Step::Marker { id: 2, epoch: 1, committed: true },
];

fn take(states: &mut ProducerStates, step: Step, offset: Offset) {
    match step {
        Step::Data { id, epoch } => {
            let batch = BatchBuilder::new(Codec::None, 5).producer(id, epoch, 0).attributes(1 << 4);
            let meta = BatchMeta::read(&batch.record(5, None, None).build()).unwrap();
            states.apply(&meta, offset, 5);
        }
        Step::Marker { id, epoch, committed } => {
            let marker = EndMarker { committed, coordinator_epoch: 0 };
            let batch = marker.build(ProducerId(id), ProducerEpoch(epoch), 5);
            states.apply_marker(&BatchMeta::read(&batch).unwrap(), marker, offset, 5);
        }
    }
}

/// Every history of up to four steps, cut at every offset: what a checkpoint tells of, with the rest applied to it, is
/// what is known, and whatever of it is cut off leaves no trace.
#[test]
fn a_snapshot_and_what_follows_it_are_the_whole() {
    let mut histories: Vec<Vec<Step>> = vec![Vec::new()];
    for _ in 0..4 {
        let longer = |history: &Vec<Step>| STEPS.map(|step| [&history[..], &[step]].concat());
        histories = histories.iter().flat_map(longer).collect();
        for history in &histories {
            check_every_cut(history);
        }
    }
}

fn check_every_cut(history: &[Step]) {
    let mut whole = ProducerStates::default();
    let mut prefixes = vec![whole.clone()];
    for (offset, step) in (0..).zip(history) {
        take(&mut whole, *step, offset);
        prefixes.push(whole.clone());
    }
    whole.settle(0);
    for (cut, prefix) in prefixes.iter().enumerate() {
        let mut told = whole.as_of(cut.try_into().unwrap());
        assert_eq!(told, *prefix, "{history:?} cut at {cut}");
        let mut writer = Writer::new();
        told.encode(&mut writer);
        told.encode_unsettled(&mut writer);
        let mut reader = Reader::new(writer.into_pieces().concat().into());
        let mut read = ProducerStates::decode(&mut reader).unwrap();
        read.decode_unsettled(&mut reader).unwrap();
        assert_eq!(read, told);
        for end in (0..=cut).rev() {
            read.truncate_end(end.try_into().unwrap());
            assert_eq!(read, prefixes[end], "{history:?} told at {cut} and cut at {end}");
        }
        for (offset, step) in (0..).zip(history).skip(cut) {
            take(&mut told, *step, offset);
        }
        told.settle(100);
        let mut all = whole.clone();
        all.settle(100);
        assert_eq!(told, all, "{history:?} cut at {cut}");
    }
}

#[test]
fn a_marker_of_an_old_epoch_or_coordinator_is_refused() {
    let mut states = ProducerStates::default();
    take(&mut states, Step::Data { id: 1, epoch: 1 }, 0);
    let check = |states: &ProducerStates, epoch, term, strictly| {
        states.check_marker(ProducerId(1), ProducerEpoch(epoch), term, strictly)
    };
    assert_eq!(check(&states, 0, 0, false), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(check(&states, 1, 0, false), Ok(()));
    assert_eq!(check(&states, 1, 0, true), Err(ErrorCode::InvalidProducerEpoch), "it would not fence");
    assert_eq!(check(&states, 2, 0, true), Ok(()));
    take(&mut states, Step::Marker { id: 1, epoch: 2, committed: true }, 1);
    assert_eq!(check(&states, 2, 0, true), Ok(()), "written again");
    assert_eq!(check(&states, 2, -1, true), Err(ErrorCode::TransactionCoordinatorFenced));
    assert_eq!(states.check(&meta(1, 1, 1)), Verdict::Refuse(ErrorCode::InvalidProducerEpoch));
    assert_eq!(states.check(&meta(1, 2, 3)), GAP);
    assert_eq!(states.check(&meta(1, 2, 0)), Verdict::Append);
}

#[test]
fn an_open_transaction_keeps_its_producer() {
    let mut states = ProducerStates::default();
    take(&mut states, Step::Data { id: 1, epoch: 0 }, 0);
    states.expire(1_000_000, 10);
    assert!(states.is_open(ProducerId(1), ProducerEpoch(0)) && states.has_open(ProducerId(1)));
    assert!(!states.is_open(ProducerId(1), ProducerEpoch(1)));
    let guard = states.guard(ProducerId(1));
    take(&mut states, Step::Marker { id: 1, epoch: 0, committed: true }, 1);
    assert_ne!(states.guard(ProducerId(1)), guard);
    states.expire(1_000_000, 10);
    assert!(states.is_empty());
}
