//! Where batches come from: prepared variants, their buffers, and the batches that are being filled. One per thread.

use crate::base::random::Random;
use crate::load::job::{Load, Stamps};
use crate::load::shape::{Keys, fill_payload, write_key};
use crate::load::verify::{STAMP_BYTES, Stamp};
use crate::wire::batch::{
    BatchStamp, BatchTemplate, Codec, CompressedRecords, RecordShape, restamp, seal_compressed,
};
use crate::wire::compress::compress;
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Prepared variants: enough that sizes follow their distribution, few enough for the processor's cache.
const VARIANTS: usize = 8;

/// Records of one batch at most, however small they are.
const RECORDS_MAX: usize = 100_000;

/// Free buffers of one variant that are kept.
const FREE_MAX: usize = 256;

/// A prepared batch.
struct Variant {
    template: BatchTemplate,
    /// Checksums of the payloads.
    sums: Vec<u32>,
    /// Compressed forms by number of records, where batches are prepared once.
    packed: RefCell<BTreeMap<usize, Rc<CompressedRecords>>>,
    free: RefCell<Vec<BytesMut>>,
}

/// Batches for all lanes of one thread.
pub(super) struct Supply {
    variants: Vec<Variant>,
    codec: Codec,
    stamps: Stamps,
    next: Cell<usize>,
    spare_dues: RefCell<Vec<Vec<u64>>>,
}

/// A batch that is being filled.
pub(super) struct Open {
    variant: usize,
    /// `None` where batches are prepared once and compressed.
    copy: Option<BytesMut>,
    count: usize,
    /// When it was opened; also when its records were due, if that isn't noted for each.
    pub(super) opened: u64,
    /// By how much the generator took its latest record too late.
    pub(super) late: u64,
    dues: Vec<u64>,
}

impl Open {
    /// Records in it.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// A batch on its way.
pub(super) struct Batch {
    /// The lane's partition.
    pub(super) part: usize,
    pub(super) pieces: [Bytes; 2],
    pub(super) count: usize,
    pub(super) value_bytes: u64,
    /// Sequence number of its first record in the stamps.
    pub(super) first: u64,
    /// Sequence number of its first record for the broker.
    pub(super) sequence: i32,
    /// When its records were due: all at once, or each.
    pub(super) created: u64,
    pub(super) dues: Vec<u64>,
    pub(super) attempts: u32,
    pub(super) first_sent: u64,
    /// When it was complete, or had waited long enough.
    pub(super) ready: u64,
    /// By how much the generator took its latest record too late.
    pub(super) late: u64,
    variant: usize,
    /// The whole buffer, for its next use.
    whole: Bytes,
}

impl Batch {
    /// Its pieces that aren't empty.
    pub(super) fn pieces(&self) -> &[Bytes] {
        let count = if self.pieces[1].is_empty() { 1 } else { 2 };
        &self.pieces[..count]
    }

    /// Bytes on the wire.
    pub(super) fn wire_bytes(&self) -> usize {
        self.pieces[0].len() + self.pieces[1].len()
    }

    /// Gives it another producer id, epoch and sequence.
    pub(super) fn restamp(&mut self, id: i64, epoch: i16, sequence: i32) {
        let mut whole = self.pieces.concat();
        restamp(&mut whole, (id, epoch, sequence));
        (self.pieces, self.sequence) = ([whole.into(), Bytes::new()], sequence);
    }
}

/// A record that goes into a batch.
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    pub(super) key: Option<u64>,
    /// When it is due, on the thread's clock; `None` if that is when its batch was opened.
    pub(super) due: Option<u64>,
}

impl Supply {
    /// As a phase wants it.
    pub(super) fn new(load: &Load) -> Self {
        let mut random = Random::stream(load.seed, 0x5128);
        let key_bytes = (load.keys != Keys::None).then_some(load.key_bytes);
        let variants = (0..VARIANTS).map(|_| variant(load, key_bytes, &mut random)).collect();
        Supply {
            variants,
            codec: load.codec,
            stamps: load.stamps,
            next: Cell::new(0),
            spare_dues: RefCell::default(),
        }
    }

    /// A batch to fill.
    pub(super) fn open(&self, now: u64) -> Open {
        let at = self.next.get();
        self.next.set((at + 1) % self.variants.len());
        let variant = &self.variants[at];
        let prepared = self.stamps == Stamps::None && self.codec != Codec::None;
        let copy =
            (!prepared).then(|| variant.free.borrow_mut().pop().unwrap_or_else(|| variant.template.copy()));
        let dues = self.spare_dues.borrow_mut().pop().unwrap_or_default();
        Open { variant: at, copy, count: 0, opened: now, late: 0, dues }
    }

    /// Adds a record; true if the batch is full now.
    pub(super) fn push(&self, open: &mut Open, entry: &Entry) -> bool {
        let variant = &self.variants[open.variant];
        if let Some(copy) = &mut open.copy {
            if let (Some(range), Some(number)) = (variant.template.key(open.count), entry.key) {
                write_key(number, &mut copy[range]);
            }
            if self.stamps == Stamps::Every {
                entry.stamp.write(&mut copy[variant.template.head(open.count)], variant.sums[open.count]);
            }
        }
        open.dues.extend(entry.due);
        open.count += 1;
        open.count == variant.template.records()
    }

    /// How many records are still missing.
    pub(super) fn room(&self, open: &Open) -> usize {
        self.variants[open.variant].template.records() - open.count
    }

    /// Ends the filling.
    pub(super) fn seal(&self, open: Open, part: usize, first: u64, stamp: &BatchStamp) -> Batch {
        let variant = &self.variants[open.variant];
        let (pieces, whole) = self.pieces(variant, open.copy, open.count, stamp);
        Batch {
            part,
            pieces,
            count: open.count,
            value_bytes: variant.template.value_bytes(open.count) as u64,
            first,
            sequence: stamp.producer.2,
            created: open.opened,
            dues: open.dues,
            attempts: 0,
            first_sent: 0,
            ready: 0,
            late: open.late,
            variant: open.variant,
            whole,
        }
    }

    fn pieces(
        &self,
        variant: &Variant,
        copy: Option<BytesMut>,
        count: usize,
        stamp: &BatchStamp,
    ) -> ([Bytes; 2], Bytes) {
        let Some(mut copy) = copy else {
            let packed = self.packed(variant, count);
            let head = Bytes::copy_from_slice(&packed.header(stamp));
            return ([head, packed.bytes().clone()], Bytes::new());
        };
        if self.codec == Codec::None {
            variant.template.seal(&mut copy, count, stamp);
            let whole = copy.freeze();
            return ([whole.slice(..variant.template.bytes_of(count)), Bytes::new()], whole);
        }
        let packed = compress(self.codec, variant.template.records_of(&copy, count));
        variant.give_back(copy);
        ([seal_compressed(self.codec, &packed, count, stamp), Bytes::new()], Bytes::new())
    }

    fn packed(&self, variant: &Variant, count: usize) -> Rc<CompressedRecords> {
        let mut known = variant.packed.borrow_mut();
        let made = known.entry(count).or_insert_with(|| {
            let template = &variant.template;
            let packed = compress(self.codec, template.records_of(&template.copy(), count));
            Rc::new(CompressedRecords::new(self.codec, packed.into(), count))
        });
        Rc::clone(made)
    }

    /// Takes a batch's memory back.
    pub(super) fn recycle(&self, batch: Batch) {
        let Batch { pieces, mut dues, variant, whole, .. } = batch;
        drop(pieces);
        if dues.capacity() > 0 {
            dues.clear();
            self.spare_dues.borrow_mut().push(dues);
        }
        // Still shared only if a connection that is being closed holds it.
        if let Ok(copy) = whole.try_into_mut()
            && !copy.is_empty()
        {
            self.variants[variant].give_back(copy);
        }
    }
}

impl Variant {
    fn give_back(&self, copy: BytesMut) {
        let mut free = self.free.borrow_mut();
        if free.len() < FREE_MAX {
            free.push(copy);
        }
    }
}

fn variant(load: &Load, key_bytes: Option<usize>, random: &mut Random) -> Variant {
    let open_bytes = if load.stamps == Stamps::Every { STAMP_BYTES } else { 0 };
    let mut shapes = Vec::new();
    // A record's own overhead is at most 20 bytes; a batch is never larger than it may be, but holds one record.
    let mut bytes = crate::base::limits::BATCH_HEADER_BYTES;
    loop {
        let value_bytes = load.sizes.draw(random, open_bytes);
        bytes += value_bytes + key_bytes.unwrap_or(0) + 20;
        if !shapes.is_empty() && (bytes > load.batch_bytes || shapes.len() == RECORDS_MAX) {
            break;
        }
        shapes.push(RecordShape { key_bytes, value_bytes, open_bytes });
    }
    let template = BatchTemplate::new(&shapes, |_, payload| fill_payload(payload, load.ratio, random));
    let sums = (0..shapes.len()).map(|nth| Stamp::payload_sum(template.constant(nth))).collect();
    Variant { template, sums, packed: RefCell::default(), free: RefCell::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::job::Settings;
    use crate::wire::batch::{ClientRules, records, validate_client_batch};

    fn load(text: &str) -> Load {
        let mut settings = Settings::default();
        settings.toml(&text.parse().unwrap(), "test");
        Load::check(&settings).unwrap()
    }

    fn entry(sequence: u64) -> Entry {
        let stamp = Stamp { run: 1, lane: 2, sequence, due_ns: 5 + sequence };
        Entry { stamp, key: Some(sequence % 3), due: Some(5 + sequence) }
    }

    const STAMP: BatchStamp = BatchStamp { timestamp: 1000, producer: (4, 0, 9), transactional: false };

    #[test]
    fn every_kind_of_batch_is_valid_and_carries_its_stamps() {
        for (text, stamped) in [
            ("size = 200\nbatch = \"4KiB\"", true),
            ("size = \"100..900\"\nbatch = \"8KiB\"\nkeys = \"uniform 9\"", true),
            ("size = 100\nbatch = 0", true),
            ("size = 300\ncompression = \"lz4\"\nconsumers = 1\nratio = 3", true),
            ("size = 300\ncompression = \"zstd\"\nratio = 3", false),
            ("size = 20\nstamps = \"none\"", false),
        ] {
            let supply = Supply::new(&load(text));
            for round in 0..20 {
                let mut open = supply.open(0);
                let room = supply.room(&open);
                let wanted = if round % 2 == 0 { room } else { 1 + room / 2 };
                for sequence in 0..wanted {
                    let full = supply.push(&mut open, &entry(sequence as u64));
                    assert_eq!(full, sequence + 1 == room, "{text}");
                }
                let batch = supply.seal(open, 0, 0, &STAMP);
                let bytes = Bytes::from(batch.pieces.concat());
                assert_eq!(bytes.len(), batch.wire_bytes());
                validate_client_batch(&bytes, &ClientRules { zstd_allowed: true }).expect(text);
                let found = records(&bytes).unwrap();
                assert_eq!((found.len(), batch.count), (wanted, wanted));
                let values: u64 =
                    found.iter().map(|record| record.value.as_ref().unwrap().len() as u64).sum();
                assert_eq!(values, batch.value_bytes);
                for (nth, record) in found.iter().enumerate().filter(|_| stamped) {
                    let value = record.value.as_ref().unwrap();
                    assert!(Stamp::sum_fits(value), "{text}: record {nth}");
                    assert_eq!(Stamp::read(value).unwrap().sequence, nth as u64);
                }
                supply.recycle(batch);
            }
        }
    }

    #[test]
    fn buffers_are_used_again() {
        let supply = Supply::new(&load("size = 1000\nbatch = \"16KiB\""));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5 * VARIANTS {
            let mut open = supply.open(0);
            supply.push(&mut open, &entry(0));
            let batch = supply.seal(open, 0, 0, &STAMP);
            seen.insert(batch.pieces[0].as_ptr() as usize);
            supply.recycle(batch);
        }
        assert_eq!(seen.len(), VARIANTS);
    }

    #[test]
    fn a_batch_gets_another_producer() {
        let supply = Supply::new(&load("size = 100"));
        let mut open = supply.open(0);
        supply.push(&mut open, &entry(0));
        let mut batch = supply.seal(open, 0, 0, &STAMP);
        batch.restamp(77, 3, 5);
        let valid = validate_client_batch(&batch.pieces[0], &ClientRules { zstd_allowed: true }).unwrap();
        assert_eq!((valid.meta.producer_id.0, valid.meta.base_sequence, batch.sequence), (77, 5, 5));
    }
}
