use super::*;
use crate::api::testing::{Answer, Fixture};
use crate::wire::Records;
use crate::wire::batch::{BatchBuilder, Codec, Demands};
use crate::wire::generated::produce_request::PartitionProduceData;

fn request(acks: i16, batches: &[Bytes]) -> ProduceRequest {
    let data = |(index, batch): (i32, &Bytes)| PartitionProduceData {
        index,
        records: Some(Records(vec![batch.clone()])),
    };
    let topic = TopicProduceData {
        name: "t".into(),
        partition_data: (0i32..).zip(batches).map(data).collect(),
        ..Default::default()
    };
    ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() }
}

fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.topic("t");
    fixture.partitions = |call| match &call.op {
        PartitionOp::Produce(op) => {
            let ok = Produced { error: ErrorCode::None, ..Produced::refused(ErrorCode::None, None) };
            PartitionReply::Produced(Produced { base_offset: i64::from(op.meta.count), ..ok })
        }
        PartitionOp::Describe => {
            PartitionReply::Described { error: ErrorCode::None, size_bytes: 0, log_start_offset: 44 }
        }
        other => panic!("a produce asks for nothing else: {other:?}"),
    };
    fixture
}

fn ask(fixture: &mut Fixture, request: &ProduceRequest) -> Answer<ProduceResponse> {
    fixture.ask(0, 9, request)
}

fn answers(fixture: &mut Fixture, request: &ProduceRequest) -> Vec<PartitionProduceResponse> {
    ask(fixture, request).message().responses.remove(0).partition_responses
}

fn batch(codec: Codec) -> BatchBuilder {
    BatchBuilder::new(codec, 5).record(5, None, Some(b"v"))
}

#[test]
fn what_the_log_refuses_names_the_log_start() {
    let control = batch(Codec::None).attributes(0x20).build();
    let mut damaged = batch(Codec::None).build().to_vec();
    damaged[17] ^= 1;
    let (control, crc) = (
        answers(&mut fixture(), &request(-1, &[control])).remove(0),
        answers(&mut fixture(), &request(-1, &[damaged.into()])).remove(0),
    );
    assert_eq!((control.error_code, control.log_start_offset), (ErrorCode::InvalidRecord.code(), 44));
    assert_eq!((crc.error_code, crc.log_start_offset), (ErrorCode::CorruptMessage.code(), -1));
}

#[test]
fn batches_are_kept_in_the_topics_codec() {
    for (kept, wanted) in [
        ("producer", Codec::Snappy),
        ("gzip", Codec::Gzip),
        ("uncompressed", Codec::None),
        ("snappy", Codec::Snappy),
    ] {
        let mut fixture = fixture();
        fixture.configure("t", "compression.type", kept);
        fixture.partitions = |call| match &call.op {
            // The codec and the number of records come back as the offset.
            PartitionOp::Produce(op) => {
                assert_eq!((op.meta.bytes, op.meta.crc_fits(&op.batch)), (op.batch.len(), true));
                let seen = i64::from(op.meta.attributes) * 100 + i64::from(op.meta.count);
                let ok = Produced { error: ErrorCode::None, ..Produced::refused(ErrorCode::None, None) };
                PartitionReply::Produced(Produced { base_offset: seen, ..ok })
            }
            other => panic!("a produce asks for nothing else: {other:?}"),
        };
        let sent = batch(Codec::Snappy).record(6, None, Some(b"w")).build();
        let answer = answers(&mut fixture, &request(-1, &[sent])).remove(0);
        assert_eq!(answer.base_offset, i64::from(wanted.bits()) * 100 + 2, "{kept}");
    }
}

#[test]
fn what_is_too_large_for_its_topic_is_refused_before_and_after_it_is_unpacked() {
    let mut fixture = fixture();
    fixture.configure("t", "max.message.bytes", "200");
    fixture.configure("t", "compression.type", "uncompressed");
    let zeros = vec![0; 100_000];
    let packed = batch(Codec::Zstd).record(6, None, Some(&zeros)).build();
    assert!(packed.len() < 200, "{}", packed.len());
    let answer = answers(&mut fixture, &request(-1, &[packed])).remove(0);
    assert_eq!(answer.error_code, ErrorCode::MessageTooLarge.code());
    // As it arrived it would be too large, so nobody compresses it: the partition gets it, and refuses it.
    fixture.configure("t", "compression.type", "zstd");
    fixture.partitions = |call| match &call.op {
        PartitionOp::Produce(op) if op.batch.len() > 200 => {
            PartitionReply::Produced(Produced::refused(ErrorCode::MessageTooLarge, None))
        }
        other => panic!("it is as large as it was: {other:?}"),
    };
    let plain = batch(Codec::None).record(6, None, Some(&zeros)).build();
    let answer = answers(&mut fixture, &request(-1, &[plain])).remove(0);
    assert_eq!(answer.error_code, ErrorCode::MessageTooLarge.code());
}

#[test]
fn one_bad_partition_does_not_fail_the_others() {
    let good = batch(Codec::Zstd).build();
    let list = answers(&mut fixture(), &request(1, &[good.clone(), good]));
    let told: Vec<_> = list.iter().map(|one| (one.error_code, one.base_offset)).collect();
    assert_eq!(told, [(0, 1), (ErrorCode::UnknownTopicOrPartition.code(), -1)]);
}

#[test]
fn without_acks_nothing_is_said_and_a_failure_ends_the_connection() {
    let good = batch(Codec::None).build();
    assert_eq!(ask(&mut fixture(), &request(0, std::slice::from_ref(&good))), Answer::Silence);
    assert_eq!(ask(&mut fixture(), &request(0, &[good.clone(), good])), Answer::Closed);
}

#[test]
fn a_transactional_batch_fails_the_whole_request() {
    let good = batch(Codec::None).build();
    let transactional = batch(Codec::None).producer(1, 0, 0).attributes(0x10).build();
    let list = answers(&mut fixture(), &request(-1, &[good, transactional]));
    let refused = ErrorCode::TransactionalIdAuthorizationFailed.code();
    assert_eq!(list.iter().map(|one| one.error_code).collect::<Vec<_>>(), [refused, refused]);
}

#[test]
fn refused_records_are_named_in_kafkas_words() {
    let mut fixture = fixture();
    fixture.partitions = |_| {
        let demands = Demands { keyed: true, within: Some((10, 20)) };
        let records = vec![Fault { index: 1, timestamp: None }, Fault { index: 3, timestamp: Some(30) }];
        let unmet = Some(Box::new(Unmet { demands, count: 5, records }));
        PartitionReply::Produced(Produced { unmet, ..Produced::refused(ErrorCode::InvalidRecord, None) })
    };
    let answer = answers(&mut fixture, &request(-1, &[batch(Codec::None).build()])).remove(0);
    let keyless = "Compacted topic cannot accept message without key in topic partition t-0";
    let late =
        "Timestamp 30 of message with offset 3 is out of range. The timestamp should be within [10, 20]";
    let told: Vec<_> = answer
        .record_errors
        .iter()
        .map(|one| (one.batch_index, one.batch_index_error_message.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(told, [(1, keyless), (3, late)]);
    let summary = format!(
        "One or more records have been rejected due to 5 record errors in total, and only showing the first three \
         errors at most: [RecordError(batchIndex=1, message='{keyless}'), RecordError(batchIndex=3, \
         message='{late}')]"
    );
    assert_eq!(answer.error_message.as_deref(), Some(&*summary));
}
