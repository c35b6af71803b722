use super::*;
use crate::wire::batch::{BatchBuilder, Stamp, rewrite_stamp};
use crate::wire::compress::compress;

const RULES: ClientRules = ClientRules { zstd_allowed: true };
const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn builder(codec: Codec) -> BatchBuilder {
    BatchBuilder::new(codec, 100).record(100, Some(b"k"), Some(b"v")).record(90, None, Some(b"v")).record(
        130,
        Some(b""),
        None,
    )
}

fn check(bytes: &[u8]) -> Result<Valid, BatchError> {
    validate_client_batch(bytes, &RULES)
}

/// The batch with one change, and the CRC that fits it.
fn changed(batch: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut batch = batch.to_vec();
    change(&mut batch);
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn put<const N: usize>(at: usize, bytes: [u8; N]) -> impl FnOnce(&mut Vec<u8>) {
    move |batch| batch[at..at + N].copy_from_slice(&bytes)
}

#[test]
fn records_are_looked_at_under_every_codec() {
    for codec in CODECS {
        let valid = check(&builder(codec).build()).unwrap();
        assert_eq!(valid.contents, Contents { keyless: true, timestamps: Some((90, 130)) }, "{codec:?}");
        let keyed = BatchBuilder::new(codec, -1).record(-1, Some(b"k"), None).build();
        let contents = check(&keyed).unwrap().contents;
        assert_eq!(contents, Contents { keyless: false, timestamps: None }, "{codec:?}");
        assert_eq!(contents.max_timestamp(), -1);
    }
}

#[test]
fn damaged_records_are_refused_under_every_codec() {
    for codec in CODECS {
        let good = builder(codec).build();
        let count = |count: i32| {
            changed(&good, |batch| {
                put(23, (count - 1).to_be_bytes())(batch);
                put(57, count.to_be_bytes())(batch);
            })
        };
        assert_eq!(check(&count(2)), Err(BatchError::Record), "{codec:?}");
        assert_eq!(check(&count(4)), Err(BatchError::Record), "{codec:?}");
        let noise = changed(&good, |batch| batch[61..].fill(0x55));
        assert!(matches!(check(&noise), Err(BatchError::Damaged | BatchError::Record)), "{codec:?}");
        let cut = changed(&good, |batch| {
            batch.truncate(batch.len() - 3);
            let length = i32::try_from(batch.len() - 12).unwrap();
            put(8, length.to_be_bytes())(batch);
        });
        assert!(matches!(check(&cut), Err(BatchError::Damaged | BatchError::Record)), "{codec:?}");
    }
}

#[test]
fn a_record_out_of_place_is_refused() {
    let bytes = builder(Codec::None).build();
    // The second record's offset delta: 61 + 9 bytes of the first one, length, attributes, timestamp delta.
    let moved = changed(&bytes, put(61 + 9 + 3, [4]));
    assert_eq!(check(&moved), Err(BatchError::Record));
}

#[test]
fn headers_obey_kafkas_rules_in_kafkas_order() {
    let good = builder(Codec::None).build();
    assert!(check(&good).is_ok());
    let bad_crc = {
        let mut bytes = good.to_vec();
        bytes[61] ^= 1;
        bytes
    };
    for (bytes, error) in [
        (good[..11].to_vec(), BatchError::Missing),
        (good[..80].to_vec(), BatchError::Missing),
        (Vec::new(), BatchError::Missing),
        (changed(&good, put(8, 13i32.to_be_bytes())), BatchError::Length(13)),
        (changed(&good, put(8, (-5i32).to_be_bytes())), BatchError::Length(-5)),
        (changed(&good, put(8, 20i32.to_be_bytes())), BatchError::Short),
        (changed(&good, put(16, [1])), BatchError::Magic),
        (changed(&good, put(16, [3])), BatchError::UnknownMagic(3)),
        ([&good[..], &good[..]].concat(), BatchError::NotOne),
        (changed(&good, put(0, 7i64.to_be_bytes())), BatchError::BaseOffset),
        (bad_crc, BatchError::Crc),
        (changed(&good, put(21, 5i16.to_be_bytes())), BatchError::Codec),
        (changed(&good, put(23, 7i32.to_be_bytes())), BatchError::Count),
        (changed(&good, put(57, 0i32.to_be_bytes())), BatchError::Count),
        (changed(&good, put(21, 0x20i16.to_be_bytes())), BatchError::Control),
        (changed(&good, put(43, 7i64.to_be_bytes())), BatchError::Sequence),
    ] {
        assert_eq!(check(&bytes), Err(error));
    }
    let old = ClientRules { zstd_allowed: false };
    assert_eq!(validate_client_batch(&builder(Codec::Zstd).build(), &old), Err(BatchError::ZstdVersion));
    assert!(validate_client_batch(&builder(Codec::Lz4).build(), &old).is_ok());
}

#[test]
fn less_than_a_batch_behind_the_batch_is_ignored() {
    let good = builder(Codec::None).build();
    for tail in [&good[..1], &good[..12], &good[..60], &[0; 11]] {
        assert_eq!(check(&[&good[..], tail].concat()).unwrap().meta.bytes, good.len());
    }
    assert_eq!(check(&[&good[..], &[0; 12]].concat()), Err(BatchError::Length(0)));
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let mut record = vec![0u8];
    // A record that says it has 200 MiB: attributes, two deltas, no key, the value.
    let mut varint = |mut value: u64| {
        while value >= 0x80 {
            record.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        record.push(u8::try_from(value).unwrap());
    };
    for value in [0, 0, 1, 400 << 20] {
        varint(value);
    }
    let mut payload = vec![0xa0, 0x80, 0x80, 0xf0, 0x06];
    payload.extend_from_slice(&record);
    payload.resize(crate::base::limits::DECOMPRESSED_BYTES_MAX + (1 << 20), 0);
    let bomb = changed(&builder(Codec::Zstd).build(), |batch| {
        batch.truncate(BATCH_HEADER_BYTES);
        batch.extend_from_slice(&compress(Codec::Zstd, &payload));
        let length = i32::try_from(batch.len() - 12).unwrap();
        put(8, length.to_be_bytes())(batch);
    });
    assert!(bomb.len() < 100_000);
    assert_eq!(check(&bomb), Err(BatchError::TooLarge));
    assert_eq!(BatchError::TooLarge.error_code(), ErrorCode::MessageTooLarge);
}

#[test]
fn faults_name_the_records_that_a_topic_refuses() {
    for codec in CODECS {
        let batch = builder(codec).build();
        let meta = check(&batch).unwrap().meta;
        let keys = Demands { keyed: true, within: None };
        assert_eq!(faults(&batch, &meta, keys), (1, vec![Fault { index: 1, timestamp: None }]));
        let times = Demands { keyed: false, within: Some((95, 120)) };
        let late = |index, timestamp| Fault { index, timestamp: Some(timestamp) };
        assert_eq!(faults(&batch, &meta, times), (2, vec![late(1, 90), late(2, 130)]));
        let contents = check(&batch).unwrap().contents;
        assert!(!times.allow_times_of(&contents) && times.allow_keys_of(&contents));
        assert!(keys.allow_times_of(&contents) && !keys.allow_keys_of(&contents));
    }
    let many = (0..2000).fold(BatchBuilder::new(Codec::None, 0), |b, _| b.record(0, None, None)).build();
    let meta = check(&many).unwrap().meta;
    let (count, list) = faults(&many, &meta, Demands { keyed: true, within: None });
    assert_eq!((count, list.len()), (2000, RECORD_ERRORS_MAX));
}

#[test]
fn a_stamp_replaces_what_a_client_says_of_its_timestamps() {
    let mut batch = builder(Codec::None).attributes(1 << 3).build().to_vec();
    rewrite_stamp(&mut batch, Stamp { append_time: false, max_timestamp: 130 });
    let meta = check(&batch).unwrap().meta;
    assert_eq!((meta.is_append_time(), meta.max_timestamp), (false, 130));
    rewrite_stamp(&mut batch, Stamp { append_time: true, max_timestamp: 7 });
    let meta = check(&batch).unwrap().meta;
    assert_eq!((meta.is_append_time(), meta.max_timestamp), (true, 7));
}
