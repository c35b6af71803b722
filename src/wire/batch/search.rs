//! Looking for a timestamp in one batch, a step at a time. A batch of a few KiB may decompress to
//! `limits::DECOMPRESSED_BYTES_MAX`, so not all of it is looked at in one go.

use super::header::BatchMeta;
use super::records::RecordError;
use super::skim::{Head, Source};
use crate::base::Offset;
use crate::base::limits::{BATCH_HEADER_BYTES, STEP_BYTES};
use crate::wire::compress::{Decompressing, decompressing};
use bytes::Bytes;

/// What a step of a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searched {
    /// The first record at or after the timestamp: its offset and its own timestamp.
    Found(Offset, i64),
    /// The batch has none.
    Nothing,
    /// There is more to look at.
    More,
}

/// A search for a batch's first record from an offset on with at least some timestamp. Timestamps needn't rise.
pub struct TimestampSearch {
    meta: BatchMeta,
    wanted: i64,
    from: Offset,
    source: Source<Decompressing<'static>>,
    /// Bytes of the last record that weren't passed yet.
    rest: usize,
}

impl TimestampSearch {
    /// A search in a whole batch.
    ///
    /// # Errors
    /// It isn't a batch, or doesn't begin to decompress.
    pub fn new(batch: Bytes, wanted: i64, from: Offset) -> Result<Self, RecordError> {
        let meta =
            BatchMeta::read(&batch).filter(|meta| meta.bytes <= batch.len()).ok_or(RecordError::Malformed)?;
        let codec = meta.codec().ok_or(RecordError::Malformed)?;
        let records = batch.slice(BATCH_HEADER_BYTES..meta.bytes);
        let source = Source::new(decompressing(codec, records).map_err(RecordError::Compression)?);
        Ok(TimestampSearch { meta, wanted, from, source, rest: 0 })
    }

    /// Looks at the next records.
    ///
    /// # Errors
    /// A record is malformed, or the data doesn't decompress within the limits.
    pub fn step(&mut self) -> Result<Searched, RecordError> {
        let stop = self.source.left().checked_sub(STEP_BYTES);
        loop {
            // Where the source may give less than a step, it says itself when that was too much.
            let room = stop.map_or(usize::MAX, |stop| self.source.left().saturating_sub(stop));
            let now = self.rest.min(room);
            self.source.skip(now)?;
            self.rest -= now;
            if now == room {
                return Ok(Searched::More);
            }
            if self.source.is_at_end()? {
                return Ok(Searched::Nothing);
            }
            let Head { timestamp_delta, offset_delta, rest, .. } = self.source.head()?;
            let offset = self.meta.base_offset.wrapping_add(offset_delta);
            let timestamp = self.meta.timestamp_of(timestamp_delta);
            if timestamp >= self.wanted && offset >= self.from {
                return Ok(Searched::Found(offset, timestamp));
            }
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LeaderEpoch;
    use crate::base::limits::DECOMPRESSED_BYTES_MAX;
    use crate::wire::batch::{BatchBuilder, Codec, records};
    use crate::wire::compress::CompressError;

    fn search(batch: &Bytes, wanted: i64, from: Offset) -> Result<(Searched, usize), RecordError> {
        let mut search = TimestampSearch::new(batch.clone(), wanted, from)?;
        for steps in 1.. {
            match search.step()? {
                Searched::More => {}
                end => return Ok((end, steps)),
            }
        }
        unreachable!("a batch ends")
    }

    #[test]
    fn the_first_record_that_is_late_enough_is_found_in_every_codec() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut builder = BatchBuilder::new(codec, 1000);
            for nth in 0..60_i64 {
                let value = vec![u8::try_from(nth).unwrap(); usize::try_from(nth * 1000 % 20_011).unwrap()];
                builder = builder.record(1000 + nth * 37 % 61, Some(b"key"), Some(&value));
            }
            let batch = builder.build_at(500, LeaderEpoch(1));
            let all = records(&batch).unwrap();
            for (wanted, from) in (990..1070).flat_map(|wanted| [(wanted, 0), (wanted, 500 + wanted % 61)]) {
                let expected = all.iter().find(|record| record.timestamp >= wanted && record.offset >= from);
                let expected = expected.map_or(Searched::Nothing, |r| Searched::Found(r.offset, r.timestamp));
                assert_eq!(search(&batch, wanted, from).unwrap().0, expected, "{codec:?} {wanted} {from}");
            }
        }
    }

    #[test]
    fn one_huge_record_takes_many_steps_and_a_small_piece() {
        let value = vec![0; 3 << 20];
        let batch =
            BatchBuilder::new(Codec::Zstd, 5).record(5, None, Some(&value)).record(9, None, None).build();
        assert!(batch.len() < 10_000);
        let (found, steps) = search(&batch, 9, 0).unwrap();
        assert_eq!(found, Searched::Found(1, 9));
        assert!(steps >= 3 << 20 >> 16, "{steps}");
        assert_eq!(
            search(&batch, 5, 0).unwrap(),
            (Searched::Found(0, 5), 1),
            "no more is looked at than needed"
        );
    }

    #[test]
    fn what_grows_without_end_is_given_up() {
        let value = vec![0; DECOMPRESSED_BYTES_MAX];
        let batch =
            BatchBuilder::new(Codec::Zstd, 5).record(5, None, Some(&value)).record(9, None, None).build();
        assert_eq!(search(&batch, 9, 0), Err(RecordError::Compression(CompressError::TooLarge)));
    }

    #[test]
    fn no_damage_makes_it_panic() {
        let mut batch = BatchBuilder::new(Codec::None, 1000);
        for nth in 0..20 {
            batch = batch.record(1000 + nth, Some(b"key"), Some(&[1; 100]));
        }
        let batch = batch.build();
        for at in BATCH_HEADER_BYTES..batch.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = batch.to_vec();
                bad[at] = value;
                let _ = search(&bad.into(), 1019, 0);
            }
        }
    }
}
