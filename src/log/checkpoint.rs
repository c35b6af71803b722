//! What a partition writes down besides its segments, so that a restart needn't guess nor read everything: log start,
//! how far it was durable, and what the log was up to there: segments, producers with their transactions, epochs.

use super::epochs::EpochCache;
use super::producers::ProducerStates;
use crate::base::limits::BLOCK_BYTES;
use crate::base::{LeaderEpoch, Offset};
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

/// The file's name within the partition's folder.
pub const FILE_NAME: &str = "checkpoint";
const MAGIC: i64 = 0x5249_4e47_434b_5033;

/// What was known of a segment's durable part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last durable record.
    pub next_offset: Offset,
    /// Position after its last durable batch.
    pub end: u64,
    /// Largest timestamp in it; `i64::MIN` if it is empty.
    pub largest_timestamp: i64,
    /// When it was made, in ms.
    pub created_ms: i64,
    /// There may be gaps between its batches.
    pub holes: bool,
}

/// A partition's checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// First offset to keep.
    pub log_start: Offset,
    /// All below was durable when this was written: a bad batch below it is damage, not a torn tail.
    pub durable: Offset,
    /// Producers and their transactions, as of `durable`.
    pub producers: ProducerStates,
    /// Leader epochs, as of `durable`.
    pub epochs: EpochCache,
    /// Segments below `durable`, oldest first.
    pub segments: Vec<SegmentFacts>,
    /// Compaction's dirty point: below, each key occurs once.
    pub clean: Offset,
    /// How far consumers saw when this was written.
    pub high_watermark: Offset,
}

impl Checkpoint {
    /// What is known of the segment that begins at an offset.
    #[must_use]
    pub fn segment(&self, base_offset: Offset) -> Option<&SegmentFacts> {
        let index = self.segments.binary_search_by_key(&base_offset, |facts| facts.base_offset).ok()?;
        Some(&self.segments[index])
    }

    /// The file's content, padded to whole blocks.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.i64(self.log_start);
        w.i64(self.durable);
        w.array_len(Some(self.epochs.entries().len()), true);
        for (epoch, start) in self.epochs.entries() {
            w.i32(epoch.0);
            w.i64(*start);
        }
        self.producers.encode(&mut w);
        w.array_len(Some(self.segments.len()), true);
        for segment in &self.segments {
            w.i64(segment.base_offset);
            w.i64(segment.next_offset);
            w.i64(segment.end.cast_signed());
            w.i64(segment.largest_timestamp);
            w.i64(segment.created_ms);
        }
        w.i64(self.clean);
        w.i64(self.high_watermark);
        self.producers.encode_unsettled(&mut w);
        self.segments.iter().for_each(|segment| w.bool(segment.holes));
        let body = w.into_pieces().concat();
        let mut file = MAGIC.to_be_bytes().to_vec();
        file.extend_from_slice(&u32::try_from(body.len()).expect("a checkpoint is small").to_be_bytes());
        file.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        file.extend_from_slice(&body);
        file.resize(file.len().next_multiple_of(BLOCK_BYTES), 0);
        file
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The content is damaged or of another build.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.i64()? != MAGIC {
            return Err(DecodeError::Version);
        }
        let (length, crc) = (r.u32()?, r.u32()?);
        let body = r.take(usize::try_from(length).map_err(|_| DecodeError::Length)?)?;
        if crc32c::crc32c(&body) != crc {
            return Err(DecodeError::Value);
        }
        let mut r = Reader::new(body);
        let mut checkpoint = Checkpoint { log_start: r.i64()?, durable: r.i64()?, ..Checkpoint::default() };
        for _ in 0..r.array_len(true)?.ok_or(DecodeError::Length)? {
            checkpoint.epochs.assign(LeaderEpoch(r.i32()?), r.i64()?);
        }
        checkpoint.producers = ProducerStates::decode(&mut r)?;
        for _ in 0..r.array_len(true)?.ok_or(DecodeError::Length)? {
            checkpoint.segments.push(SegmentFacts {
                base_offset: r.i64()?,
                next_offset: r.i64()?,
                end: r.i64()?.cast_unsigned(),
                largest_timestamp: r.i64()?,
                created_ms: r.i64()?,
                holes: false,
            });
        }
        // Checkpoints of before there was compaction end here.
        checkpoint.clean = if r.remaining() > 0 { r.i64()? } else { 0 };
        // And those of before there were followers here.
        checkpoint.high_watermark = checkpoint.durable;
        if r.remaining() > 0 {
            checkpoint.high_watermark = r.i64()?;
            checkpoint.producers.decode_unsettled(&mut r)?;
            for segment in &mut checkpoint.segments {
                segment.holes = r.bool()?;
            }
        }
        r.finish()?;
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_round_trip_and_no_damage_passes() {
        let mut checkpoint =
            Checkpoint { log_start: 3, durable: 9, clean: 5, high_watermark: 7, ..Checkpoint::default() };
        checkpoint.epochs.assign(LeaderEpoch(1), 3);
        let facts = SegmentFacts {
            base_offset: 3,
            next_offset: 9,
            end: 5000,
            largest_timestamp: i64::MIN,
            created_ms: 7,
            holes: true,
        };
        checkpoint.segments.push(facts);
        let file = checkpoint.encode();
        assert_eq!(Checkpoint::decode(file.clone().into()), Ok(checkpoint));
        for byte in 0..40 {
            let mut bad = file.clone();
            bad[byte] ^= 1;
            assert!(Checkpoint::decode(bad.into()).is_err(), "{byte}");
        }
    }
}
