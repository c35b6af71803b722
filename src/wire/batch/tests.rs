//! Batches as a client may send them: good, damaged, and good with senseless numbers.

use super::*;
use bytes::Bytes;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const RULES: ClientRules = ClientRules { zstd_allowed: true };

fn batch(codec: Codec) -> Bytes {
    let builder = BatchBuilder::new(codec, 1000).producer(7, 0, 3);
    builder
        .record(1000, None, Some(b"first"))
        .record(1005, Some(b"key"), None)
        .record(990, None, None)
        .build()
}

fn first_at_or_after(batch: &Bytes, wanted: i64, from: i64) -> Result<Option<(i64, i64)>, RecordError> {
    let mut search = TimestampSearch::new(batch.clone(), wanted, from)?;
    loop {
        match search.step()? {
            Searched::Found(offset, timestamp) => return Ok(Some((offset, timestamp))),
            Searched::Nothing => return Ok(None),
            Searched::More => {}
        }
    }
}

/// Writes over a part of a batch, and its CRC anew.
fn patched(batch: &Bytes, at: usize, with: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn a_batch_reads_back_in_every_codec() {
    for codec in CODECS {
        let batch = batch(codec);
        let valid = validate_client_batch(&batch, &RULES).unwrap();
        assert_eq!((valid.meta.codec(), valid.meta.count), (Some(codec), 3));
        assert_eq!((valid.meta.last_sequence(), valid.meta.max_timestamp), (5, 1005));
        let read = records(&batch).unwrap();
        let short: Vec<_> = read.iter().map(|record| (record.offset, record.timestamp)).collect();
        assert_eq!(short, [(0, 1000), (1, 1005), (2, 990)]);
        assert_eq!(read[0].value.as_deref(), Some(&b"first"[..]));
        assert_eq!((read[1].key.as_deref(), &read[1].value), (Some(&b"key"[..]), &None));
        assert_eq!(first_at_or_after(&batch, 1001, 0), Ok(Some((1, 1005))));
        assert_eq!(first_at_or_after(&batch, 1000, 1), Ok(Some((1, 1005))), "from an offset on");
        assert_eq!(first_at_or_after(&batch, 1006, 0), Ok(None));
    }
}

#[test]
fn no_flipped_bit_passes_but_in_what_the_leader_writes() {
    for codec in CODECS {
        let good = batch(codec);
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let passes = validate_client_batch(&bad, &RULES).is_ok();
            let leaders_own = (12..16).contains(&(bit / 8));
            assert_eq!(passes, leaders_own, "{codec:?}, bit {bit}");
        }
    }
}

#[test]
fn every_truncation_is_refused_and_walks_to_nothing() {
    for codec in CODECS {
        let good = batch(codec);
        for end in 0..good.len() {
            assert!(validate_client_batch(&good.slice(..end), &RULES).is_err());
            assert_eq!(walk(&good[..end]).count(), 0);
            assert!(records(&good[..end]).is_err());
        }
    }
}

#[test]
fn sums_beyond_their_type_wrap() {
    let late = patched(&batch(Codec::None), 27, &i64::MAX.to_be_bytes());
    assert_eq!(records(&late).unwrap()[1].timestamp, i64::MIN + 4);
    assert_eq!(first_at_or_after(&late, i64::MAX, 0), Ok(Some((0, i64::MAX))));
    let mut high = late.to_vec();
    patch_offsets(&mut high, i64::MAX, crate::base::LeaderEpoch(0));
    assert_eq!(records(&high).unwrap()[2].offset, i64::MIN + 1);
    assert_eq!(BatchMeta::read(&high).unwrap().last_offset(), i64::MAX);
}

#[test]
fn the_time_of_appending_replaces_every_record_s() {
    let mut bytes = batch(Codec::Lz4).to_vec();
    rewrite_stamp(&mut bytes, Stamp { append_time: true, max_timestamp: 5000 });
    let meta = BatchMeta::read(&bytes).unwrap();
    assert!(meta.crc_fits(&bytes) && meta.is_append_time());
    assert!(records(&bytes).unwrap().iter().all(|record| record.timestamp == 5000));
}
