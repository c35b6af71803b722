//! CRCs, batches, and the two responses that carry most: Metadata and Fetch.

use crate::harness::{Harness, Work};
use bytes::Bytes;
use ringlog::base::TopicId;
use ringlog::wire::batch::{BatchBuilder, BatchMeta, ClientRules, Codec, validate_client_batch};
use ringlog::wire::generated::fetch_response::{FetchableTopicResponse, PartitionData};
use ringlog::wire::generated::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use ringlog::wire::generated::{FetchResponse, MetadataResponse};
use ringlog::wire::{Decode, Encode, Reader, Records, Writer};

/// A batch of records with a value of 100 bytes.
fn batch(records: usize) -> Bytes {
    let builder = BatchBuilder::new(Codec::None, 1000);
    (0..records).fold(builder, |builder, _| builder.record(1000, Some(b"key"), Some(&[7; 100]))).build()
}

/// CRC-32C over batches of about so many bytes, by the crate that is used and by the fastest one known.
pub(crate) fn crc(harness: &mut Harness, sizes: &[usize]) {
    for &bytes in sizes {
        let batch = BatchBuilder::new(Codec::None, 1).record(1, None, Some(&vec![7; bytes])).build();
        let meta = BatchMeta::read(&batch).expect("our own batch");
        assert!(meta.crc_fits(&batch));
        harness.bench(&format!("crc of {} KiB", bytes >> 10), Work::Bytes(bytes), || meta.crc_fits(&batch));
        let other = || crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch);
        harness.bench(&format!("crc of {} KiB, crc-fast", bytes >> 10), Work::Bytes(bytes), other);
    }
}

/// The checks of a client's batch.
pub(crate) fn validation(harness: &mut Harness, counts: &[usize]) {
    let rules = ClientRules { zstd_allowed: true };
    for &count in counts {
        let batch = batch(count);
        assert!(validate_client_batch(&batch, &rules).is_ok());
        let name = format!("validation of {count} records of 100 B");
        harness.bench(&name, Work::Items(count), || validate_client_batch(&batch, &rules));
    }
}

fn encoded<M: Encode>(message: &M, version: i16) -> Vec<Bytes> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("the version can carry it");
    writer.into_pieces()
}

/// Encodes and decodes a message, which must be the same after it.
fn both_ways<M: Encode + Decode + PartialEq>(
    harness: &mut Harness,
    name: &str,
    message: &M,
    (version, items): (i16, usize),
) {
    let bytes = Bytes::from(encoded(message, version).concat());
    let decode = || M::decode(&mut Reader::new(bytes.clone()), version).expect("our own message");
    assert!(decode() == *message, "{name} is the same after it");
    harness.bench(&format!("encode {name}"), Work::Items(items), || encoded(message, version));
    harness.bench(&format!("decode {name}"), Work::Items(items), decode);
}

/// Metadata 12 with topics of three partitions.
pub(crate) fn metadata(harness: &mut Harness, counts: &[usize]) {
    for &topics in counts {
        let partition = |index: i32| MetadataResponsePartition {
            partition_index: index,
            leader_id: 1,
            leader_epoch: 5,
            replica_nodes: vec![1, 2, 3],
            isr_nodes: vec![1, 2, 3],
            ..MetadataResponsePartition::default()
        };
        let topic = |nth: usize| MetadataResponseTopic {
            name: Some(format!("a-topic-with-a-usual-name-{nth}").into()),
            topic_id: TopicId([7; 16]),
            partitions: (0..3).map(partition).collect(),
            ..MetadataResponseTopic::default()
        };
        let response =
            MetadataResponse { topics: (0..topics).map(topic).collect(), ..MetadataResponse::default() };
        let name = format!("metadata, {topics} topics of 3");
        both_ways(harness, &name, &response, (12, 3 * topics));
    }
}

/// Fetch 16 with partitions of 64 KiB. Encoding shares the records.
pub(crate) fn fetch(harness: &mut Harness, counts: &[usize]) {
    let records = Bytes::from(vec![7; 64 << 10]);
    for &partitions in counts {
        let partition = |index: usize| PartitionData {
            partition_index: i32::try_from(index).expect("few"),
            high_watermark: 1000,
            last_stable_offset: 1000,
            log_start_offset: 0,
            records: Some(Records::from(records.clone())),
            ..PartitionData::default()
        };
        let partitions_of = (0..partitions).map(partition).collect();
        let topic = FetchableTopicResponse {
            topic_id: TopicId([7; 16]),
            partitions: partitions_of,
            ..FetchableTopicResponse::default()
        };
        let response = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
        let pieces = encoded(&response, 16);
        let shared = pieces.iter().filter(|piece| piece.as_ptr() == records.as_ptr()).count();
        assert_eq!(shared, partitions, "every record set goes out as it lies");
        let name = format!("fetch, {partitions} partitions of 64 KiB");
        both_ways(harness, &name, &response, (16, partitions));
    }
}
