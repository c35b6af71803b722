//! Batches of which only a few bytes change from use to use, for programs that send many of them.
//!
//! A template holds a batch's records once, with an open part in each: the key and the beginning of the value. Whoever
//! uses it copies it once, fills the open parts of the copy as often as it likes, and seals it: header and CRC. Where
//! records are long, sealing reads the open parts only (`shift`), so a batch of 128 KiB costs as much as its 128 open
//! parts. What is sealed may be any number of the first records.

use super::header::{CRC_END, Codec, LENGTH_END, TRANSACTIONAL};
use super::records::put_varint;
use super::shift::{Shift, advance};
use crate::base::limits::BATCH_HEADER_BYTES;
use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// Different distances between open parts up to which they get tables; each costs 4 KiB of the processor's cache.
const SHIFTS_MAX: usize = 12;

/// Constant bytes for one open part from which the tables pay.
const CONSTANT_BYTES_MIN: usize = 256;

/// One record of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordShape {
    /// Bytes of its key, which is open; `None` for no key.
    pub key_bytes: Option<usize>,
    /// Bytes of its value.
    pub value_bytes: usize,
    /// How many of them, from the first, are open.
    pub open_bytes: usize,
}

/// What a header says of a batch besides its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchStamp {
    /// Timestamp of every record, in ms.
    pub timestamp: i64,
    /// Producer id, epoch and first sequence number; -1 each if the producer isn't idempotent.
    pub producer: (i64, i16, i32),
    /// Part of a transaction.
    pub transactional: bool,
}

/// Where a record lies in the batch.
#[derive(Clone, Debug)]
struct Slot {
    key: Option<Range<usize>>,
    head: Range<usize>,
    value_end: usize,
    end: usize,
    /// State over all constant bytes up to its end, with zeros for the header and the open parts.
    constant: u32,
    /// Indices of the shifts from the open part before (or the header) to this one, and from this one to the end.
    gap: usize,
    tail: usize,
}

impl Slot {
    fn open(&self) -> Range<usize> {
        self.key.as_ref().map_or(self.head.start, |key| key.start)..self.head.end
    }
}

/// A batch with open parts.
pub struct BatchTemplate {
    bytes: Box<[u8]>,
    slots: Vec<Slot>,
    /// Empty where reading the whole batch is cheaper.
    shifts: Vec<Shift>,
}

impl BatchTemplate {
    /// A template of these records. `fill` writes the constant part of each value.
    ///
    /// # Panics
    /// There are no records, or an open part is longer than its value.
    #[must_use]
    pub fn new(shapes: &[RecordShape], mut fill: impl FnMut(usize, &mut [u8])) -> Self {
        assert!(!shapes.is_empty(), "a batch has at least one record");
        let mut bytes = vec![0; BATCH_HEADER_BYTES];
        let mut slots = Vec::with_capacity(shapes.len());
        for (nth, shape) in shapes.iter().enumerate() {
            assert!(shape.open_bytes <= shape.value_bytes, "what is open is a part of the value");
            let slot = add_record(&mut bytes, nth, shape);
            fill(nth, &mut bytes[slot.head.end..slot.value_end]);
            slots.push(slot);
        }
        let mut closed = bytes.clone();
        slots.iter().for_each(|slot| closed[slot.open()].fill(0));
        // Zeros leave a state of zero as it is, so the header needs no step.
        let (mut state, mut at) = (0, BATCH_HEADER_BYTES);
        for slot in &mut slots {
            state = advance(state, &closed[at..slot.end]);
            (slot.constant, at) = (state, slot.end);
        }
        let shifts = find_shifts(&mut slots).unwrap_or_default();
        BatchTemplate { bytes: bytes.into(), slots, shifts }
    }

    /// Records of the whole template.
    #[must_use]
    pub fn records(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of a batch of the first `count` records.
    #[must_use]
    pub fn bytes_of(&self, count: usize) -> usize {
        self.slots[count - 1].end
    }

    /// A copy to fill, seal and send.
    #[must_use]
    pub fn copy(&self) -> BytesMut {
        BytesMut::from(&self.bytes[..])
    }

    /// Where a record's key lies.
    #[must_use]
    pub fn key(&self, nth: usize) -> Option<Range<usize>> {
        self.slots[nth].key.clone()
    }

    /// Where the open part of a record's value lies.
    #[must_use]
    pub fn head(&self, nth: usize) -> Range<usize> {
        self.slots[nth].head.clone()
    }

    /// The constant part of a record's value.
    #[must_use]
    pub fn constant(&self, nth: usize) -> &[u8] {
        let slot = &self.slots[nth];
        &self.bytes[slot.head.end..slot.value_end]
    }

    /// Value bytes of the first `count` records.
    #[must_use]
    pub fn value_bytes(&self, count: usize) -> usize {
        self.slots[..count].iter().map(|slot| slot.value_end - slot.head.start).sum()
    }

    /// Writes the header of an uncompressed batch of the first `count` records of a filled copy.
    pub fn seal(&self, copy: &mut [u8], count: usize, stamp: &BatchStamp) {
        let end = self.bytes_of(count);
        write_header(copy, end - BATCH_HEADER_BYTES, count, Codec::None, stamp);
        let state = if self.shifts.is_empty() {
            advance(u32::MAX, &copy[CRC_END..end])
        } else {
            self.sparse_state(copy, count)
        };
        write_crc(copy, !state);
    }

    /// The state over a filled copy, from the open parts alone.
    fn sparse_state(&self, copy: &[u8], count: usize) -> u32 {
        let mut state = advance(u32::MAX, &copy[CRC_END..BATCH_HEADER_BYTES]);
        for slot in &self.slots[..count] {
            state = advance(self.shifts[slot.gap].apply(state), &copy[slot.open()]);
        }
        let last = &self.slots[count - 1];
        self.shifts[last.tail].apply(state) ^ last.constant
    }

    /// The first `count` records of a filled copy, as they go into a codec.
    #[must_use]
    pub fn records_of<'a>(&self, copy: &'a [u8], count: usize) -> &'a [u8] {
        &copy[BATCH_HEADER_BYTES..self.bytes_of(count)]
    }
}

fn add_record(bytes: &mut Vec<u8>, nth: usize, shape: &RecordShape) -> Slot {
    let mut front = vec![0, 0];
    put_varint(&mut front, i64::try_from(nth).expect("a batch is small"));
    let length = |bytes: Option<usize>| bytes.map_or(-1, |bytes| i64::try_from(bytes).expect("small"));
    put_varint(&mut front, length(shape.key_bytes));
    let mut between = Vec::new();
    put_varint(&mut between, length(Some(shape.value_bytes)));
    let key_bytes = shape.key_bytes.unwrap_or(0);
    // The last byte counts no headers.
    let body = front.len() + key_bytes + between.len() + shape.value_bytes + 1;
    put_varint(bytes, i64::try_from(body).expect("a batch is small"));
    bytes.append(&mut front);
    let key = bytes.len()..bytes.len() + key_bytes;
    bytes.resize(key.end, 0);
    bytes.append(&mut between);
    let start = bytes.len();
    let (head, value_end) = (start..start + shape.open_bytes, start + shape.value_bytes);
    bytes.resize(value_end + 1, 0);
    // Between key and value lies the value's length: it is constant, and read as if it were open.
    let key = shape.key_bytes.map(|_| key);
    Slot { key, head, value_end, end: value_end + 1, constant: 0, gap: 0, tail: 0 }
}

/// The shifts that the slots need, with their indices written into the slots; `None` where there are too many, or the
/// open parts are too close.
fn find_shifts(slots: &mut [Slot]) -> Option<Vec<Shift>> {
    let end = slots.last()?.end;
    if end / slots.len() < CONSTANT_BYTES_MIN {
        return None;
    }
    let mut found: Vec<Shift> = Vec::new();
    let mut index = |bytes: usize| {
        let known = found.iter().position(|shift| shift.bytes() == bytes);
        known.or_else(|| {
            (found.len() < SHIFTS_MAX).then(|| {
                found.push(Shift::new(bytes));
                found.len() - 1
            })
        })
    };
    let mut at = BATCH_HEADER_BYTES;
    for slot in slots {
        let open = slot.open();
        slot.gap = index(open.start - at)?;
        slot.tail = index(slot.end - open.end)?;
        at = open.end;
    }
    Some(found)
}

/// Compressed records that are sent behind more than one header.
pub struct CompressedRecords {
    bytes: Bytes,
    codec: Codec,
    count: usize,
    /// State over the bytes from zero, and what their number of zeros does to the header's state.
    state: u32,
    shift: Shift,
}

impl CompressedRecords {
    /// Records in a codec's form.
    #[must_use]
    pub fn new(codec: Codec, bytes: Bytes, count: usize) -> Self {
        let (state, shift) = (advance(0, &bytes), Shift::new(bytes.len()));
        CompressedRecords { bytes, codec, count, state, shift }
    }

    /// The bytes that follow the header.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// A header for them.
    #[must_use]
    pub fn header(&self, stamp: &BatchStamp) -> [u8; BATCH_HEADER_BYTES] {
        let mut header = [0; BATCH_HEADER_BYTES];
        write_header(&mut header, self.bytes.len(), self.count, self.codec, stamp);
        let state = advance(u32::MAX, &header[CRC_END..]);
        write_crc(&mut header, !(self.shift.apply(state) ^ self.state));
        header
    }
}

/// A batch of records that a codec has just made.
#[must_use]
pub fn seal_compressed(codec: Codec, records: &[u8], count: usize, stamp: &BatchStamp) -> Bytes {
    let mut batch = vec![0; BATCH_HEADER_BYTES];
    batch.extend_from_slice(records);
    write_header(&mut batch, records.len(), count, codec, stamp);
    let state = advance(u32::MAX, &batch[CRC_END..]);
    write_crc(&mut batch, !state);
    batch.into()
}

/// Gives a whole batch another producer id, epoch and sequence: what an idempotent producer does with batches that it
/// still has when the broker no longer knows it.
pub fn restamp(batch: &mut [u8], (id, epoch, sequence): (i64, i16, i32)) {
    batch[43..51].copy_from_slice(&id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.to_be_bytes());
    let state = advance(u32::MAX, &batch[CRC_END..]);
    write_crc(batch, !state);
}

fn write_header(batch: &mut [u8], records_bytes: usize, count: usize, codec: Codec, stamp: &BatchStamp) {
    let length = i32::try_from(records_bytes + BATCH_HEADER_BYTES - LENGTH_END).expect("below 2 GiB");
    let count = i32::try_from(count).expect("a batch is small");
    let (id, epoch, sequence) = stamp.producer;
    batch[..8].fill(0);
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[12..17].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 2]);
    let attributes = codec.bits() | if stamp.transactional { TRANSACTIONAL } else { 0 };
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[27..35].copy_from_slice(&stamp.timestamp.to_be_bytes());
    batch[35..43].copy_from_slice(&stamp.timestamp.to_be_bytes());
    batch[43..51].copy_from_slice(&id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
}

fn write_crc(batch: &mut [u8], crc: u32) {
    batch[CRC_END - 4..CRC_END].copy_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::wire::batch::{ClientRules, records, validate_client_batch};
    use crate::wire::compress::compress;

    const STAMP: BatchStamp =
        BatchStamp { timestamp: 1_767_225_600_000, producer: (7, 1, 40), transactional: false };

    fn template(
        records: usize,
        value_bytes: impl Fn(usize) -> usize,
        key_bytes: Option<usize>,
    ) -> BatchTemplate {
        let shape = |nth| RecordShape { key_bytes, value_bytes: value_bytes(nth), open_bytes: 28 };
        let shapes: Vec<RecordShape> = (0..records).map(shape).collect();
        BatchTemplate::new(&shapes, |nth, part| part.fill(u8::try_from(nth % 250).unwrap() + 1))
    }

    fn fill(template: &BatchTemplate, copy: &mut [u8], seed: u64) {
        let mut random = Random::new(seed);
        for nth in 0..template.records() {
            for range in template.key(nth).into_iter().chain([template.head(nth)]) {
                copy[range].fill_with(|| u8::try_from(random.below(256)).unwrap());
            }
        }
    }

    #[test]
    fn every_prefix_of_every_template_is_a_valid_batch() {
        type Case = (usize, fn(usize) -> usize, Option<usize>);
        let cases: [Case; 5] = [
            (130, |_| 1024, None),
            (130, |_| 1024, Some(16)),
            (70, |_| 100, Some(8)),
            (50, |nth| 28 + nth * 37, None),
            (1, |_| 28, None),
        ];
        let rules = ClientRules { zstd_allowed: true };
        for (count, value_bytes, key_bytes) in cases {
            let template = template(count, value_bytes, key_bytes);
            let mut copy = template.copy();
            for (round, prefix) in [1, count / 2, count - 1, count].into_iter().filter(|n| *n > 0).enumerate()
            {
                fill(&template, &mut copy, round as u64);
                template.seal(&mut copy, prefix, &STAMP);
                let batch = Bytes::copy_from_slice(&copy[..template.bytes_of(prefix)]);
                let valid = validate_client_batch(&batch, &rules).expect("a valid batch");
                assert_eq!(valid.meta.count, i32::try_from(prefix).unwrap());
                assert_eq!((valid.meta.producer_id.0, valid.meta.base_sequence), (7, 40));
                let last = records(&batch).unwrap().pop().unwrap();
                assert_eq!(last.key.map(|key| key.len()), key_bytes);
                let value = last.value.unwrap();
                assert_eq!(value.len(), value_bytes(prefix - 1));
                assert_eq!(value[28..], *template.constant(prefix - 1));
                assert_eq!(value[..28], copy[template.head(prefix - 1)]);
            }
        }
    }

    #[test]
    fn long_records_are_sealed_by_their_open_parts() {
        assert!(!template(130, |_| 1024, None).shifts.is_empty());
        assert!(template(130, |_| 100, None).shifts.is_empty(), "reading 100 bytes is cheaper");
        assert!(template(50, |nth| 300 + nth * 7, None).shifts.is_empty(), "too many distances");
    }

    #[test]
    fn compressed_records_get_valid_headers() {
        let template = template(20, |_| 500, None);
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec, template.records_of(&template.copy(), 20));
            let once = seal_compressed(codec, &packed, 20, &STAMP);
            let many = CompressedRecords::new(codec, packed.into(), 20);
            assert_eq!([&many.header(&STAMP), &many.bytes()[..]].concat(), once);
            let mut again = once.to_vec();
            restamp(&mut again, (8, 2, 0));
            let other = BatchStamp { producer: (8, 2, 0), ..STAMP };
            assert_eq!(again, seal_compressed(codec, many.bytes(), 20, &other));
            assert_eq!(records(&once).unwrap().len(), 20);
        }
    }
}
