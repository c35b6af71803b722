//! The 61 bytes before a batch's records.

use crate::base::limits::BATCH_HEADER_BYTES;
use crate::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use bytes::Bytes;
use zerocopy::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header as it lies in memory.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct Raw {
    base_offset: I64,
    length: I32,
    leader_epoch: I32,
    magic: i8,
    crc: U32,
    attributes: I16,
    last_offset_delta: I32,
    base_timestamp: I64,
    max_timestamp: I64,
    producer_id: I64,
    producer_epoch: I16,
    base_sequence: I32,
    count: I32,
}

const _: () = assert!(size_of::<Raw>() == BATCH_HEADER_BYTES);

/// Attribute bit of a batch that belongs to a transaction.
pub const TRANSACTIONAL: i16 = 1 << 4;

/// Attribute bit of a marker.
pub const CONTROL: i16 = 1 << 5;

/// Bytes before the part that the length counts.
pub(super) const LENGTH_END: usize = 12;
/// Where the CRC lies, and where the bytes that it covers begin.
const CRC_AT: usize = 17;
pub(super) const CRC_END: usize = 21;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
const LEADER_EPOCH_AT: usize = 12;
/// Writes another codec into a header.
pub(super) fn put_codec(batch: &mut [u8], codec: Codec) {
    let at = ATTRIBUTES_AT..ATTRIBUTES_AT + 2;
    let old = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]);
    batch[at].copy_from_slice(&(old & !CODEC_BITS | codec.bits()).to_be_bytes());
}

/// Writes a CRC into a header.
pub(super) fn put_crc(batch: &mut [u8], crc: u32) {
    batch[CRC_AT..CRC_END].copy_from_slice(&crc.to_be_bytes());
}

/// Attribute bit of LogAppendTime.
const APPEND_TIME_BIT: i16 = 1 << 3;
/// Attribute bit of a base timestamp that says when tombstones and markers may go (KIP-534).
const HORIZON_BIT: i16 = 1 << 6;
const CODEC_BITS: i16 = 7;

/// How a batch's records are compressed: the low three attribute bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// As they are.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in xerial's framing or raw.
    Snappy,
    /// LZ4 frames (KIP-57).
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

impl Codec {
    /// The codec with this number.
    #[must_use]
    pub const fn from_bits(attributes: i16) -> Option<Codec> {
        match attributes & 7 {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Its attribute bits.
    #[must_use]
    pub const fn bits(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }
}

/// A batch's header as values. What the log and the partition machine need to know of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMeta {
    /// Offset of the first record (a client's batch says 0; the leader writes it).
    pub base_offset: Offset,
    /// Bytes of the whole batch.
    pub bytes: usize,
    /// Epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// Format version; 2.
    pub magic: i8,
    /// CRC-32C from the attributes to the end.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Offset of the last record minus the first's; compaction may leave gaps.
    pub last_offset_delta: i32,
    /// Timestamp of the first record in ms.
    pub base_timestamp: i64,
    /// Largest timestamp in ms.
    pub max_timestamp: i64,
    /// -1 if the producer isn't idempotent.
    pub producer_id: ProducerId,
    /// Incarnation of the producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record, -1 if the producer isn't idempotent.
    pub base_sequence: i32,
    /// Records in the batch.
    pub count: i32,
}

impl BatchMeta {
    /// Reads the header at the start of `bytes`; `None` if they are too few or its length is senseless.
    /// Checks nothing else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<BatchMeta> {
        let (raw, _) = Raw::ref_from_prefix(bytes).ok()?;
        let length = usize::try_from(raw.length.get()).ok()?;
        let whole = length.checked_add(LENGTH_END).filter(|whole| *whole >= BATCH_HEADER_BYTES)?;
        Some(BatchMeta {
            base_offset: raw.base_offset.get(),
            bytes: whole,
            leader_epoch: LeaderEpoch(raw.leader_epoch.get()),
            magic: raw.magic,
            crc: raw.crc.get(),
            attributes: raw.attributes.get(),
            last_offset_delta: raw.last_offset_delta.get(),
            base_timestamp: raw.base_timestamp.get(),
            max_timestamp: raw.max_timestamp.get(),
            producer_id: ProducerId(raw.producer_id.get()),
            producer_epoch: ProducerEpoch(raw.producer_epoch.get()),
            base_sequence: raw.base_sequence.get(),
            count: raw.count.get(),
        })
    }

    /// Offset of the last record; the largest there is, if the header claims one beyond it.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Sequence number of the last record; wraps from 2^31-1 to 0.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        (self.base_sequence.wrapping_add(self.last_offset_delta)) & i32::MAX
    }

    /// The codec, if the bits name one.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_bits(self.attributes)
    }

    /// Whether the timestamps are the broker's.
    #[must_use]
    pub fn is_append_time(&self) -> bool {
        self.attributes & APPEND_TIME_BIT != 0
    }

    /// A record's timestamp in ms, from its distance to the batch's first.
    #[must_use]
    pub fn timestamp_of(&self, delta: i64) -> i64 {
        if self.is_append_time() { self.max_timestamp } else { self.base_timestamp.wrapping_add(delta) }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it is a marker that the broker wrote, not data.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// When the batch's tombstones, or its marker, may go, in ms (KIP-534); `None` until compaction has met them. The
    /// base timestamp then says so, and records' distances count from there.
    #[must_use]
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// Whether the producer is idempotent.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// Whether the CRC fits a whole batch that lies in several slices.
    #[must_use]
    pub fn crc_fits_slices(&self, slices: &[Bytes]) -> bool {
        let (mut skip, mut left, mut crc) = (CRC_END, self.bytes.saturating_sub(CRC_END), 0);
        for slice in slices {
            let covered = slice.get(skip..).unwrap_or_default();
            let covered = &covered[..covered.len().min(left)];
            crc = crc32c::crc32c_append(crc, covered);
            skip = skip.saturating_sub(slice.len());
            left -= covered.len();
        }
        left == 0 && crc == self.crc
    }

    /// Whether the CRC fits the bytes, which must be the whole batch.
    #[must_use]
    pub fn crc_fits(&self, batch: &[u8]) -> bool {
        batch.get(CRC_END..self.bytes).is_some_and(|covered| crc32c::crc32c(covered) == self.crc)
    }
}

/// Writes the offset and the leader's epoch into a batch. Both lie outside the CRC.
pub fn patch_offsets(header: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    header[..8].copy_from_slice(&base_offset.to_be_bytes());
    header[LEADER_EPOCH_AT..LEADER_EPOCH_AT + 4].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// What a batch says of its timestamps as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// They are the broker's (LogAppendTime).
    pub append_time: bool,
    /// The largest.
    pub max_timestamp: i64,
}

/// Writes a stamp into a batch: attribute bit, largest timestamp, CRC.
pub fn rewrite_stamp(batch: &mut [u8], stamp: Stamp) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]);
    let bit = if stamp.append_time { APPEND_TIME_BIT } else { 0 };
    let attributes = attributes & !APPEND_TIME_BIT | bit;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&stamp.max_timestamp.to_be_bytes());
    seal(batch);
}

/// What compaction changes of a batch's header. Offsets, sequence numbers and all else stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remains {
    /// Bytes of the records that are left.
    pub(super) payload_bytes: usize,
    /// How many they are.
    pub(super) count: i32,
    /// How they are compressed.
    pub(super) codec: Codec,
    /// From where their timestamps count.
    pub(super) base_timestamp: i64,
    /// Whether that is the delete horizon.
    pub(super) horizon: bool,
    /// The largest timestamp.
    pub(super) max_timestamp: i64,
}

/// The header of what is left of a batch. The CRC isn't there yet: see `seal`.
pub(super) fn header_of_remains(header: &[u8], remains: &Remains) -> [u8; BATCH_HEADER_BYTES] {
    let (mut raw, _) = Raw::read_from_prefix(header).expect("a whole header");
    let length = BATCH_HEADER_BYTES - LENGTH_END + remains.payload_bytes;
    raw.length = I32::new(i32::try_from(length).expect("a batch is below 2 GiB"));
    let kept = raw.attributes.get() & !(CODEC_BITS | HORIZON_BIT);
    let horizon = if remains.horizon { HORIZON_BIT } else { 0 };
    raw.attributes = I16::new(kept | horizon | remains.codec.bits());
    raw.base_timestamp = I64::new(remains.base_timestamp);
    raw.max_timestamp = I64::new(remains.max_timestamp);
    raw.count = I32::new(remains.count);
    let mut out = [0; BATCH_HEADER_BYTES];
    out.copy_from_slice(raw.as_bytes());
    out
}

/// Writes the CRC into a whole batch.
pub(super) fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_END..]);
    batch[CRC_AT..CRC_END].copy_from_slice(&crc.to_be_bytes());
}
