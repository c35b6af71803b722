//! What compaction leaves of a batch: the records that stay, at their offsets, compressed as before, under a header
//! that says the same of offsets and sequence numbers (`MemoryRecords.filterTo` of Apache Kafka). In steps, as `keyed`.

use super::header::{BatchMeta, Codec, Remains, header_of_remains, seal};
use super::keyed::opened;
use super::records::{RecordError, put_varint};
use super::skim::{Head, Source};
use crate::base::limits::{BATCH_HEADER_BYTES, STEP_BYTES};
use crate::wire::compress::{Compressing, Decompressing};
use bytes::Bytes;

/// A batch being rewritten.
pub struct Rewrite {
    batch: Bytes,
    meta: BatchMeta,
    source: Source<Decompressing<'static>>,
    out: Compressing,
    /// Which records stay, in order.
    keep: Vec<bool>,
    nth: usize,
    /// Bytes of a record to come, and whether they stay.
    rest: (usize, bool),
    base_timestamp: i64,
    horizon: bool,
    count: i32,
    max_timestamp: i64,
}

impl Rewrite {
    /// Begins to rewrite a whole batch to the records that `keep` names. With a `horizon`, which it doesn't have yet,
    /// its tombstones may go from then on.
    ///
    /// # Errors
    /// It isn't a batch, or doesn't begin to decompress.
    pub fn new(batch: &Bytes, keep: Vec<bool>, horizon: Option<i64>) -> Result<Self, RecordError> {
        let (meta, source) = opened(batch)?;
        Ok(Rewrite {
            batch: batch.clone(),
            meta,
            source,
            out: Compressing::new(meta.codec().ok_or(RecordError::Malformed)?),
            keep,
            nth: 0,
            rest: (0, false),
            base_timestamp: horizon.unwrap_or(meta.base_timestamp),
            horizon: horizon.is_some() || meta.delete_horizon_ms().is_some(),
            count: 0,
            max_timestamp: i64::MIN,
        })
    }

    /// Rewrites the next records; the whole new batch once there are no more.
    ///
    /// # Errors
    /// A record is malformed, or the data doesn't decompress within the limits.
    pub fn step(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        let begin = self.source.left();
        while begin - self.source.left() < STEP_BYTES {
            let (left, stays) = self.rest;
            let room = left.min(STEP_BYTES - (begin - self.source.left()));
            if left == 0 {
                if self.source.is_at_end()? {
                    return Ok(Some(self.finish()));
                }
                self.head()?;
            } else if stays {
                let out = &mut self.out;
                self.rest.0 -= self.source.piece(room, |bytes| out.write(bytes))?;
            } else {
                self.source.skip(room)?;
                self.rest.0 -= room;
            }
        }
        Ok(None)
    }

    fn head(&mut self) -> Result<(), RecordError> {
        let Head { attributes, timestamp_delta, offset_delta, rest } = self.source.head()?;
        let stays = self.keep.get(self.nth).copied().unwrap_or(false);
        self.nth += 1;
        self.rest = (rest, stays);
        if !stays {
            return Ok(());
        }
        let timestamp = self.meta.base_timestamp.wrapping_add(timestamp_delta);
        let mut front = vec![attributes];
        put_varint(&mut front, timestamp.wrapping_sub(self.base_timestamp));
        put_varint(&mut front, offset_delta);
        let mut length = Vec::new();
        put_varint(&mut length, i64::try_from(front.len() + rest).map_err(|_| RecordError::Malformed)?);
        self.out.write(&length);
        self.out.write(&front);
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    fn finish(&mut self) -> Vec<u8> {
        let payload = self.out.finish();
        let append_time = self.meta.is_append_time();
        let remains = Remains {
            payload_bytes: payload.len(),
            count: self.count,
            codec: self.meta.codec().unwrap_or(Codec::None),
            base_timestamp: self.base_timestamp,
            horizon: self.horizon,
            max_timestamp: if append_time { self.meta.max_timestamp } else { self.max_timestamp },
        };
        let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
        batch.extend_from_slice(&header_of_remains(&self.batch, &remains));
        batch.extend_from_slice(&payload);
        seal(&mut batch);
        batch
    }
}

/// A batch without its records: what is left tells of the producer's last sequence number, and of the last offset.
#[must_use]
pub fn emptied(header: &[u8], meta: &BatchMeta) -> Vec<u8> {
    let remains = Remains {
        payload_bytes: 0,
        count: 0,
        codec: Codec::None,
        base_timestamp: -1,
        horizon: false,
        max_timestamp: meta.max_timestamp,
    };
    let mut batch = header_of_remains(header, &remains).to_vec();
    seal(&mut batch);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LeaderEpoch;
    use crate::wire::batch::{BatchBuilder, Record, records};

    fn rewritten(batch: &Bytes, keep: &[bool], horizon: Option<i64>) -> Bytes {
        let mut rewrite = Rewrite::new(batch, keep.to_vec(), horizon).unwrap();
        loop {
            if let Some(new) = rewrite.step().unwrap() {
                return new.into();
            }
        }
    }

    fn batch(codec: Codec) -> Bytes {
        let mut builder = BatchBuilder::new(codec, 1000).producer(7, 1, 40);
        for nth in 0..40_u8 {
            let value = vec![nth; usize::from(nth) * 700];
            let value = (nth % 5 != 0).then_some(&value[..]);
            builder = builder.record(1000 + i64::from(nth) * 31 % 400, Some(&[nth]), value);
        }
        builder.build_at(500, LeaderEpoch(3))
    }

    #[test]
    fn what_stays_is_as_it_was_in_every_codec() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let old = batch(codec);
            let keep: Vec<bool> = (0..40).map(|nth| nth % 3 == 1).collect();
            let before = BatchMeta::read(&old).unwrap();
            let stays: Vec<Record> = records(&old)
                .unwrap()
                .into_iter()
                .zip(&keep)
                .filter_map(|(r, keep)| keep.then_some(r))
                .collect();
            for horizon in [None, Some(1_000_000), Some(-5)] {
                let new = rewritten(&old, &keep, horizon);
                let meta = BatchMeta::read(&new).unwrap();
                assert!(meta.crc_fits(&new) && meta.bytes == new.len(), "{codec:?}");
                assert_eq!(records(&new).unwrap(), stays, "{codec:?} {horizon:?}");
                assert_eq!(meta.delete_horizon_ms(), horizon);
                let max_timestamp = stays.iter().map(|record| record.timestamp).max().unwrap();
                let expected = BatchMeta {
                    bytes: meta.bytes,
                    crc: meta.crc,
                    attributes: before.attributes | if horizon.is_some() { 1 << 6 } else { 0 },
                    base_timestamp: horizon.unwrap_or(1000),
                    max_timestamp,
                    count: i32::try_from(stays.len()).unwrap(),
                    ..before
                };
                assert_eq!(meta, expected);
                // Once more: the horizon stays, and so does the rest.
                let all = vec![true; stays.len()];
                let again = rewritten(&new, &all, None);
                assert_eq!(records(&again).unwrap(), stays);
                assert_eq!(BatchMeta::read(&again).unwrap().delete_horizon_ms(), horizon);
            }
        }
    }

    #[test]
    fn an_empty_batch_keeps_its_place_and_sequence() {
        for codec in [Codec::None, Codec::Zstd] {
            let old = batch(codec);
            let before = BatchMeta::read(&old).unwrap();
            let new: Bytes = emptied(&old, &before).into();
            let meta = BatchMeta::read(&new).unwrap();
            assert!(meta.crc_fits(&new));
            assert_eq!(records(&new).unwrap(), []);
            assert_eq!((meta.base_offset, meta.last_offset(), meta.count), (500, 539, 0));
            assert_eq!((meta.last_sequence(), meta.codec()), (before.last_sequence(), Some(Codec::None)));
            assert_eq!(meta.leader_epoch, LeaderEpoch(3));
        }
    }

    #[test]
    fn a_huge_record_is_passed_in_steps() {
        let builder = BatchBuilder::new(Codec::Zstd, 5).record(5, Some(b"a"), Some(&vec![0; 3 << 20]));
        let old = builder.record(5, Some(b"b"), Some(b"x")).build();
        let mut rewrite = Rewrite::new(&old, vec![true, true], None).unwrap();
        let steps = std::iter::from_fn(|| rewrite.step().unwrap().is_none().then_some(())).count();
        assert!(steps >= 3 << 20 >> 16, "{steps}");
    }
}
