//! A segment file: one header block, then record batches exactly as they go on the wire.

use crate::base::limits::{BLOCK_BYTES, SEGMENT_HEADER_BYTES};
use crate::base::{Offset, PartitionIndex, TopicId, TopicPartition};

const MAGIC: &[u8; 8] = b"RINGLOG\x01";
/// Of a segment that was copied from a leader whose compaction left gaps between batches.
const MAGIC_HOLES: &[u8; 8] = b"RINGLOG\x03";
/// Of a segment that compaction wrote.
const MAGIC_COMPACTED: &[u8; 8] = b"RINGLOG\x02";
const PLAIN: usize = 8 + 16 + 4 + 8 + 8;
const COMPACTED: usize = PLAIN + 8 + 8 + 8 + 8;
const CRC: usize = 4;

/// What compaction says of a segment that it wrote: nothing is ever appended to it, so that is all there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Offset after the last record that the segment stands for; the next segment begins there.
    pub next_offset: Offset,
    /// Offset after the last record of its last batch. Between this and `next_offset` everything is gone.
    pub read_end: Offset,
    /// Position after its last batch.
    pub end: u64,
    /// Its largest timestamp; `i64::MIN` if no record is left.
    pub largest_timestamp: i64,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose it is.
    pub partition: TopicPartition,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// When it was made, in ms.
    pub created_ms: i64,
    /// There may be gaps between its batches, though compaction wrote no part of it here.
    pub holes: bool,
    /// Of a segment that compaction wrote.
    pub compacted: Option<Compacted>,
}

impl SegmentHeader {
    /// The header of a segment that takes appends.
    #[must_use]
    pub const fn plain(partition: TopicPartition, base_offset: Offset, created_ms: i64) -> Self {
        SegmentHeader { partition, base_offset, created_ms, holes: false, compacted: None }
    }

    /// The header block.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut block = [0; SEGMENT_HEADER_BYTES];
        block[..8].copy_from_slice(match (self.compacted, self.holes) {
            (Some(_), _) => MAGIC_COMPACTED,
            (None, true) => MAGIC_HOLES,
            (None, false) => MAGIC,
        });
        block[8..24].copy_from_slice(&self.partition.topic.0);
        block[24..28].copy_from_slice(&self.partition.partition.0.to_be_bytes());
        block[28..36].copy_from_slice(&self.base_offset.to_be_bytes());
        block[36..44].copy_from_slice(&self.created_ms.to_be_bytes());
        let mut used = PLAIN;
        if let Some(Compacted { next_offset, read_end, end, largest_timestamp }) = self.compacted {
            for word in [next_offset, read_end, end.cast_signed(), largest_timestamp] {
                block[used..used + 8].copy_from_slice(&word.to_be_bytes());
                used += 8;
            }
        }
        let crc = crc32c::crc32c(&block[..used]);
        block[used..used + CRC].copy_from_slice(&crc.to_be_bytes());
        block
    }

    /// Reads a header block; `None` if it isn't one of this format.
    #[must_use]
    pub fn decode(block: &[u8]) -> Option<Self> {
        let block: &[u8; COMPACTED + CRC] = block.first_chunk()?;
        let is_compacted = block.starts_with(MAGIC_COMPACTED);
        let holes = block.starts_with(MAGIC_HOLES);
        let used = if is_compacted { COMPACTED } else { PLAIN };
        let crc = u32::from_be_bytes(*block[used..].first_chunk()?);
        if !(is_compacted || holes || block.starts_with(MAGIC)) || crc32c::crc32c(&block[..used]) != crc {
            return None;
        }
        let word = |at: usize| block[at..].first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        let compacted = Compacted {
            next_offset: word(PLAIN)?,
            read_end: word(PLAIN + 8)?,
            end: word(PLAIN + 16)?.cast_unsigned(),
            largest_timestamp: word(PLAIN + 24)?,
        };
        let topic = TopicId(*block[8..].first_chunk()?);
        let partition = PartitionIndex(i32::from_be_bytes(*block[24..].first_chunk()?));
        Some(SegmentHeader {
            partition: TopicPartition { topic, partition },
            base_offset: i64::from_be_bytes(*block[28..].first_chunk()?),
            created_ms: i64::from_be_bytes(*block[36..].first_chunk()?),
            holes,
            compacted: is_compacted.then_some(compacted),
        })
    }
}

/// What a segment's file name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentName {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Of a segment that compaction wrote: it stands for all records below this offset, and supersedes every file that
    /// begins in between.
    pub next_offset: Option<Offset>,
}

/// The name that a segment has while compaction writes it.
pub const UNFINISHED: &str = "compacted.new";

impl SegmentName {
    /// A segment that takes appends, or once took them.
    #[must_use]
    pub const fn plain(base_offset: Offset) -> Self {
        SegmentName { base_offset, next_offset: None }
    }

    /// The file's name.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self.next_offset {
            None => format!("{:020}.seg", self.base_offset),
            Some(next_offset) => format!("{:020}-{next_offset:020}.seg", self.base_offset),
        }
    }

    /// Reads a file's name; `None` if it is no segment's.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".seg")?;
        match stem.split_once('-') {
            None => offset(stem).map(SegmentName::plain),
            Some((base, next)) => {
                let (base_offset, next_offset) = (offset(base)?, offset(next)?);
                (base_offset < next_offset)
                    .then_some(SegmentName { base_offset, next_offset: Some(next_offset) })
            }
        }
    }
}

fn offset(digits: &str) -> Option<Offset> {
    let plain = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// Tells the segments that make up the log, in order, from those that compaction has superseded: a crash may come
/// between the renaming of what it wrote and the removal of what it read. What compaction wrote later stands for more.
#[must_use]
pub fn in_force(mut names: Vec<SegmentName>) -> (Vec<SegmentName>, Vec<SegmentName>) {
    names.sort_by_key(|name| (name.base_offset, std::cmp::Reverse(name.next_offset)));
    let mut covered = Offset::MIN;
    names.into_iter().partition(|name| {
        let is_in_force = name.base_offset >= covered;
        covered = covered.max(name.next_offset.unwrap_or(covered));
        is_in_force
    })
}

/// The position rounded down to a block.
#[must_use]
pub const fn block_floor(position: u64) -> u64 {
    position - position % BLOCK_BYTES as u64
}

/// The position rounded up to a block.
#[must_use]
pub const fn block_ceil(position: u64) -> u64 {
    position.next_multiple_of(BLOCK_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_no_flipped_bit_passes() {
        let partition = TopicPartition { topic: TopicId([7; 16]), partition: PartitionIndex(3) };
        let compacted = Compacted { next_offset: 90, read_end: 80, end: 5000, largest_timestamp: i64::MIN };
        for (compacted, holes, used) in
            [(None, false, PLAIN), (None, true, PLAIN), (Some(compacted), false, COMPACTED)]
        {
            let header = SegmentHeader { partition, base_offset: 42, created_ms: 1, holes, compacted };
            let block = header.encode();
            assert_eq!(SegmentHeader::decode(&block), Some(header));
            for bit in 0..(used + CRC) * 8 {
                let mut bad = block;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(SegmentHeader::decode(&bad), None, "{bit}");
            }
        }
    }

    fn name(base_offset: Offset, next_offset: Option<Offset>) -> SegmentName {
        SegmentName { base_offset, next_offset }
    }

    #[test]
    fn names_round_trip() {
        for name in [name(1234, None), name(0, Some(99))] {
            assert_eq!(SegmentName::read(&name.file_name()), Some(name));
        }
        let strange =
            ["checkpoint", "12.seg", "-0000000000000000001.seg", "+0000000000000000001.seg", UNFINISHED];
        assert!(strange.iter().all(|name| SegmentName::read(name).is_none()));
        assert_eq!(SegmentName::read(&name(5, Some(5)).file_name()), None, "it stands for nothing");
    }

    #[test]
    fn what_compaction_wrote_supersedes_what_it_read() {
        let plain = |base| name(base, None);
        let wrote = |base, next| name(base, Some(next));
        let names =
            vec![plain(0), plain(10), wrote(0, 20), plain(20), plain(30), wrote(0, 10), wrote(30, 40)];
        let (used, superseded) = in_force(names);
        assert_eq!(used, [wrote(0, 20), plain(20), wrote(30, 40)]);
        assert_eq!(superseded, [wrote(0, 10), plain(0), plain(10), plain(30)]);
    }
}
