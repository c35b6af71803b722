//! Bytes that come from a disk.

use bytes::Bytes;
use ringlog::base::{LeaderEpoch, NodeId};
use ringlog::cluster::Record;
use ringlog::conf::{BrokerConf, KEYS, Layers, Source, explain};
use ringlog::log::checkpoint::Checkpoint;
use ringlog::log::scan::Scan;
use ringlog::log::segment::{SegmentHeader, SegmentName};
use ringlog::quorum::{check_message, read, written};
use ringlog::wire::batch::BatchMeta;
use ringlog::wire::{Reader, Writer};

/// A segment's batches as recovery scans them, as they are and with every CRC set right.
pub fn scan(data: &[u8]) {
    scanned(data);
    let mut right = data.to_vec();
    let mut position = 0;
    while let Some(meta) =
        BatchMeta::read(&right[position..]).filter(|meta| position + meta.bytes <= right.len())
    {
        let crc = crc32c::crc32c(&right[position + 21..position + meta.bytes]);
        right[position + 17..position + 21].copy_from_slice(&crc.to_be_bytes());
        position += meta.bytes;
    }
    scanned(&right);
}

fn scanned(data: &[u8]) {
    let base = data.first_chunk().map_or(0, |head| i64::from_be_bytes(*head)).max(0);
    for at_end in [false, true] {
        let mut scan = Scan { next_offset: base, epoch: LeaderEpoch(-1), holes: false };
        let mut position = 0;
        while let Ok(meta) = scan.take(&data[position..], at_end) {
            position += meta.bytes;
            assert!(position <= data.len() && scan.next_offset > meta.base_offset);
        }
    }
}

/// A segment's header, as it is and with its CRC set right; and the rest of the input as a segment's name.
pub fn segment_header(data: &[u8]) {
    let right = |used: usize| {
        let mut right = data.to_vec();
        if let Some(covered) = data.get(..used).filter(|_| data.len() >= used + 4) {
            right[used..used + 4].copy_from_slice(&crc32c::crc32c(covered).to_be_bytes());
        }
        right
    };
    // As long as a plain header is, and as long as one that compaction wrote.
    for block in [data, &right(44), &right(76)] {
        if let Some(header) = SegmentHeader::decode(block) {
            assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
        }
    }
    let name = std::str::from_utf8(data).unwrap_or_default();
    if let Some(read) = SegmentName::read(name) {
        assert_eq!(read.file_name(), name);
    }
}

/// A partition's checkpoint, as it is and with its length and CRC set right.
pub fn checkpoint(data: &[u8]) {
    let mut right = data.to_vec();
    if let Some(length) = data.len().checked_sub(16) {
        right[8..12].copy_from_slice(&u32::try_from(length).expect("inputs are small").to_be_bytes());
        right[12..16].copy_from_slice(&crc32c::crc32c(&data[16..]).to_be_bytes());
    }
    for bytes in [data, &right] {
        if let Ok(checkpoint) = Checkpoint::decode(Bytes::copy_from_slice(bytes)) {
            assert_eq!(Checkpoint::decode(checkpoint.encode().into()), Ok(checkpoint));
        }
    }
}

/// The metadata journal, as it is and as one frame whose CRC is right.
pub fn journal(data: &[u8]) {
    let mut right = u32::try_from(data.len()).expect("inputs are small").to_be_bytes().to_vec();
    let chained = [&[0; 4], data].concat();
    right.extend(crc32c::crc32c(&chained).to_be_bytes());
    right.extend(chained);
    // Whose it is stands behind its version.
    let node =
        |at: usize| data.get(at..at + 4).map_or(0, |id| i32::from_be_bytes(id.try_into().expect("four")));
    for (bytes, node) in [(data, node(13)), (&right, node(1))] {
        let Ok(log) = read(&Bytes::copy_from_slice(bytes), NodeId(node)) else { continue };
        let again = read(&written(&log, NodeId(node)), NodeId(node)).expect("our own frame reads");
        assert_eq!((&again.entries, &again.snapshot), (&log.entries, &log.snapshot));
        assert_eq!((again.term, again.vote, again.last()), (log.term, log.vote, log.last()));
    }
}

/// A message of the coordinators' quorum.
pub fn quorum_message(data: &[u8]) {
    if let Ok(Some(again)) = check_message(&Bytes::copy_from_slice(data)) {
        assert_eq!(check_message(&again), Ok(Some(again)));
    }
}

/// One record of the metadata.
pub fn record(data: &[u8]) {
    let Ok(record) = Record::decode(&mut Reader::new(Bytes::copy_from_slice(data))) else { return };
    let mut writer = Writer::new();
    record.encode(&mut writer);
    let again = Record::decode(&mut Reader::new(writer.into_pieces().concat().into()));
    assert_eq!(again, Ok(record));
}

/// A configuration file: what loads is checked, and every key is explained.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut layers = Layers::default();
    layers.toml(text, &Source::File("fuzz.toml".to_owned()));
    for key in KEYS {
        explain(&layers, Some(key.name)).expect("a known key is explained");
    }
    let problems = !layers.problems().is_empty();
    let checked = BrokerConf::check(layers, 4 << 30);
    assert!(!problems || checked.is_err(), "a configuration with problems isn't accepted");
}
