//! A segment file: one header block, then record batches exactly as they go on the wire.

use crate::base::limits::{BLOCK_BYTES, SEGMENT_HEADER_BYTES};
use crate::base::{Offset, PartitionIndex, TopicId, TopicPartition};

const MAGIC: &[u8; 8] = b"RINGLOG\x01";
const USED: usize = 8 + 16 + 4 + 8 + 8 + 4;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose it is.
    pub partition: TopicPartition,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// When it was made, in ms.
    pub created_ms: i64,
}

impl SegmentHeader {
    /// The header block.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut block = [0; SEGMENT_HEADER_BYTES];
        block[..8].copy_from_slice(MAGIC);
        block[8..24].copy_from_slice(&self.partition.topic.0);
        block[24..28].copy_from_slice(&self.partition.partition.0.to_be_bytes());
        block[28..36].copy_from_slice(&self.base_offset.to_be_bytes());
        block[36..44].copy_from_slice(&self.created_ms.to_be_bytes());
        let crc = crc32c::crc32c(&block[..44]);
        block[44..USED].copy_from_slice(&crc.to_be_bytes());
        block
    }

    /// Reads a header block; `None` if it isn't one of this format.
    #[must_use]
    pub fn decode(block: &[u8]) -> Option<Self> {
        let block: &[u8; USED] = block.first_chunk()?;
        let crc = u32::from_be_bytes(*block[44..].first_chunk()?);
        if !block.starts_with(MAGIC) || crc32c::crc32c(&block[..44]) != crc {
            return None;
        }
        let topic = TopicId(*block[8..].first_chunk()?);
        let partition = PartitionIndex(i32::from_be_bytes(*block[24..].first_chunk()?));
        Some(SegmentHeader {
            partition: TopicPartition { topic, partition },
            base_offset: i64::from_be_bytes(*block[28..].first_chunk()?),
            created_ms: i64::from_be_bytes(*block[36..].first_chunk()?),
        })
    }
}

/// A segment's file name.
#[must_use]
pub fn file_name(base_offset: Offset) -> String {
    format!("{base_offset:020}.seg")
}

/// The base offset in a segment's file name; `None` if it is no segment's.
#[must_use]
pub fn base_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".seg")?;
    let plain = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
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
        let header = SegmentHeader { partition, base_offset: 42, created_ms: 1 };
        let block = header.encode();
        assert_eq!(SegmentHeader::decode(&block), Some(header));
        for bit in 0..USED * 8 {
            let mut bad = block;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), None);
        }
    }

    #[test]
    fn names_round_trip() {
        assert_eq!(base_of(&file_name(1234)), Some(1234));
        assert_eq!(base_of("checkpoint"), None);
        assert_eq!(base_of("12.seg"), None);
        assert_eq!(base_of("-0000000000000000001.seg"), None);
        assert_eq!(base_of("+0000000000000000001.seg"), None);
    }
}
