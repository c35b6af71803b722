//! Decoding a Produce request and reading its batch's header costs the same whatever lies behind the header: no byte of
//! the records is read. The pages that hold nothing but records can't be read here, so that one that is ends the bench.

use super::guarded::Guarded;
use crate::counting::measure;
use crate::harness::{Harness, Work};
use bytes::Bytes;
use ringlog::api::RequestHeader;
use ringlog::wire::batch::BatchMeta;
use ringlog::wire::generated::produce_request::{PartitionProduceData, TopicProduceData};
use ringlog::wire::generated::{ProduceRequest, RequestHeader as Header};
use ringlog::wire::{Decode, Encode, Records, Writer};

/// The oldest served version, one with compact lengths, and the newest.
const VERSIONS: [i16; 3] = [3, 9, 13];

/// Bytes before and after the records of a request for one partition.
fn around(version: i16, records: &Bytes) -> (Bytes, Bytes) {
    let mut writer = Writer::new();
    let header = Header {
        request_api_key: 0,
        request_api_version: version,
        correlation_id: 1,
        client_id: Some("bench".into()),
    };
    header.encode(&mut writer, 1 + i16::from(version >= 9)).expect("any version can carry it");
    let data = PartitionProduceData { index: 0, records: Some(Records::from(records.clone())) };
    let name = if version < 13 { "topic".into() } else { ringlog::wire::Str::EMPTY };
    let topic = TopicProduceData { name, partition_data: vec![data], ..TopicProduceData::default() };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() };
    request.encode(&mut writer, version).expect("any version can carry it");
    let mut pieces = writer.into_pieces();
    let after = if version >= 9 { pieces.pop().expect("tagged fields follow") } else { Bytes::new() };
    assert_eq!(pieces.len(), 2, "the records are a piece of their own");
    (pieces.swap_remove(0), after)
}

/// A batch of so many bytes: a header, and zeros.
fn batch(bytes: usize) -> Bytes {
    let mut batch = vec![0; bytes];
    let length = i32::try_from(bytes - 12).expect("below 2 GiB");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    batch.into()
}

fn read(frame: &Bytes) -> (ProduceRequest, BatchMeta) {
    let (header, mut reader) = RequestHeader::parse(frame.clone()).expect("our own request");
    let request = ProduceRequest::decode(&mut reader, header.version).expect("our own request");
    let records = request.topic_data[0].partition_data[0].records.as_ref().expect("it has records");
    let meta = BatchMeta::read(&records.0[0]).expect("our own batch");
    (request, meta)
}

/// Reads requests whose record sets have these sizes.
pub(crate) fn run(harness: &mut Harness, sizes: &[usize]) {
    for version in VERSIONS {
        let mut taken = Vec::new();
        for &bytes in sizes {
            let records = batch(bytes);
            let (before, after) = around(version, &records);
            let guarded = Guarded::new(&before, &records, &after);
            let ((request, meta), took) = measure(|| read(guarded.frame()));
            let slice =
                &request.topic_data[0].partition_data[0].records.as_ref().expect("it has records").0[0];
            assert_eq!(slice.as_ptr(), guarded.records(), "the records are a slice of the frame");
            assert_eq!((meta.bytes, slice.len()), (bytes, bytes));
            taken.push(took);
            let name = format!("produce {version}, header of {} KiB", bytes >> 10);
            harness.bench(&name, Work::Call, || read(guarded.frame()));
        }
        assert!(
            taken.windows(2).all(|pair| pair[0] == pair[1]),
            "memory is the same for all sizes: {taken:?}"
        );
    }
}
