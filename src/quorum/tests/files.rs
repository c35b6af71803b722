//! The log's file.

use super::*;
use crate::base::limits::BLOCK_BYTES;
use crate::quorum::disk::{Stand, frame};

const NODE: NodeId = NodeId(1);

fn stand(last: u64) -> Stand {
    Stand { node: NODE, members: voters_of(1..4), term: 3, vote: Some(NodeId(2)), commit: 0, last }
}

fn entry(index: u64, term: u64) -> Committed {
    Committed { index, term, data: Bytes::from(vec![u8::try_from(index).unwrap(); 40]), members: None }
}

/// Frames of one entry each.
fn file(frames: u64) -> Vec<u8> {
    let (mut bytes, mut chain) = (Vec::new(), 0);
    for index in 1..=frames {
        let (frame, crc) = frame(&stand(index), None, &[entry(index, 1)], chain);
        chain = crc;
        bytes.extend_from_slice(&frame);
    }
    bytes
}

fn read_it(bytes: Vec<u8>) -> Result<Recovered, DiskError> {
    read(&bytes.into(), NODE)
}

#[test]
fn a_log_reads_back_and_may_be_followed_by_zeros() {
    let mut bytes = file(3);
    let end = bytes.len();
    bytes.resize(end + 8 * BLOCK_BYTES, 0);
    let log = read_it(bytes).unwrap();
    assert_eq!((log.last(), log.end, log.damage), (3, end, None));
    assert_eq!((log.term, log.vote, log.members.all.len()), (3, Some(NodeId(2)), 3));
    assert_eq!(read_it(Vec::new()).unwrap(), Recovered::default());
    assert_eq!(read_it(vec![0; BLOCK_BYTES]).unwrap(), Recovered::default());
}

#[test]
fn a_later_entry_takes_the_place_of_those_from_its_index_on() {
    let (first, chain) = frame(&stand(3), None, &[entry(1, 1), entry(2, 1), entry(3, 1)], 0);
    let (second, _) = frame(&stand(2), None, &[entry(2, 2)], chain);
    let log = read_it([first, second].concat()).unwrap();
    assert_eq!(log.entries, [entry(1, 1), entry(2, 2)]);
}

#[test]
fn a_snapshot_begins_the_log_anew() {
    let (first, chain) = frame(&stand(1), None, &[entry(1, 1)], 0);
    let snapshot =
        Snapshot { index: 9, term: 2, data: Bytes::from_static(b"state"), members: voters_of(1..4) };
    let (second, chain) = frame(&stand(10), Some(&snapshot), &[entry(10, 2)], chain);
    let (third, _) = frame(&stand(9), None, &[entry(9, 2)], chain);
    let log = read_it([first.clone(), second.clone()].concat()).unwrap();
    assert_eq!((log.snapshot, log.entries), (Some(snapshot), vec![entry(10, 2)]));
    let position = first.len() + second.len();
    assert_eq!(
        read_it([first, second, third].concat()),
        Err(DiskError::Unknown { position }),
        "it is in the snapshot"
    );
}

#[test]
fn every_torn_end_is_cut_and_no_more() {
    let bytes = file(2);
    for end in BLOCK_BYTES..BLOCK_BYTES + 100 {
        let log = read_it(bytes[..end].to_vec()).unwrap();
        assert_eq!((log.last(), log.end, log.damage), (1, BLOCK_BYTES, None));
    }
    for end in 0..100 {
        assert_eq!(read_it(bytes[..end].to_vec()).map(|log| log.last()), Ok(0), "{end}");
    }
}

#[test]
fn damage_before_the_end_is_told_with_where_the_voter_stood() {
    let bytes = file(4);
    for position in (0..120).map(|byte| BLOCK_BYTES + byte) {
        let mut bad = bytes.clone();
        bad[position] ^= 0x10;
        let log = read_it(bad).unwrap();
        assert_eq!(log.damage, Some(Damage { position: BLOCK_BYTES, last: 4 }), "byte {position}");
        assert_eq!((log.last(), log.term, log.vote), (1, 3, Some(NodeId(2))));
    }
}

#[test]
fn another_nodes_log_and_other_files_are_refused() {
    assert_eq!(read(&file(2).into(), NodeId(2)), Err(DiskError::OtherNode(NODE)));
    assert_eq!(read_it(vec![7; 3 * BLOCK_BYTES]), Err(DiskError::Foreign));
}
