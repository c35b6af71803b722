//! What clients were promised, and whether the log keeps it.

use crate::base::Offset;
use crate::wire::batch::{records, walk};
use crate::wire::generated::fetch_response::PartitionData;
use std::collections::{BTreeMap, BTreeSet};

/// What clients know of one partition.
#[derive(Debug, Default)]
pub struct History {
    /// Values by who sent them: producer, and a number that rises with each value it sends.
    sent: BTreeSet<(u32, u64)>,
    acknowledged: BTreeMap<Offset, (u32, u64)>,
    seen: BTreeMap<Offset, (u32, u64)>,
    /// Records below may be deleted, and those below the other are.
    deleting: Offset,
    deleted: Offset,
}

/// A record's value: its producer and number, then filling.
#[must_use]
pub fn value(producer: u32, number: u64, filling: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(12 + filling);
    value.extend(producer.to_be_bytes());
    value.extend(number.to_be_bytes());
    value.extend((0..filling).map(|i| u8::try_from((number as usize + i) % 251).expect("below 251")));
    value
}

fn parse(bytes: &[u8]) -> (u32, u64) {
    let producer = u32::from_be_bytes(*bytes.first_chunk().expect("a value has its producer"));
    let number = u64::from_be_bytes(*bytes[4..].first_chunk().expect("a value has its number"));
    assert_eq!(bytes, value(producer, number, bytes.len() - 12), "a value is as it was sent");
    (producer, number)
}

impl History {
    /// A value is about to be sent.
    pub fn sends(&mut self, producer: u32, number: u64) {
        assert!(self.sent.insert((producer, number)), "values are sent once");
    }

    /// A value was acknowledged at an offset.
    pub fn acknowledge(&mut self, offset: Offset, producer: u32, number: u64) {
        let before = self.acknowledged.insert(offset, (producer, number));
        assert!(
            before.is_none_or(|before| before == (producer, number)),
            "offset {offset} was given to two records"
        );
    }

    /// A consumer read a record.
    pub fn sees(&mut self, offset: Offset, bytes: &[u8]) {
        let record = parse(bytes);
        assert!(self.sent.contains(&record), "offset {offset} holds a record that nobody sent");
        let before = self.seen.insert(offset, record);
        assert!(before.is_none_or(|before| before == record), "offset {offset} changed under its readers");
    }

    /// Takes what a fetch at `position` brought; returns where the next one begins.
    ///
    /// # Panics
    /// It isn't whole, leaves something out, or shows what isn't committed.
    pub fn takes(&mut self, position: Offset, data: &PartitionData) -> Offset {
        let whole = data.records.as_ref().map(|records| records.0.concat()).unwrap_or_default();
        let mut next = position;
        for (at, meta) in walk(&whole) {
            assert!(meta.crc_fits(&whole[at..at + meta.bytes]), "a batch is whole");
            assert!(meta.base_offset <= next || next == position, "batches follow each other");
            for record in records(&whole[at..at + meta.bytes]).expect("a batch that can be read") {
                if record.offset >= position {
                    assert_eq!(record.offset, next, "no record is left out");
                    assert!(
                        record.offset < data.high_watermark,
                        "nothing beyond the high watermark is shown"
                    );
                    self.sees(record.offset, &record.value.expect("every record has a value"));
                    next = record.offset + 1;
                }
            }
        }
        next
    }

    /// Where the acknowledged records end.
    #[must_use]
    pub fn acknowledged_end(&self) -> Offset {
        self.acknowledged.last_key_value().map_or(0, |(offset, _)| offset + 1)
    }

    /// Offsets below which nothing may be missed any more, because somebody has asked for its deletion.
    #[must_use]
    pub fn deleting(&self) -> Offset {
        self.deleting
    }

    /// Somebody asks to delete records below an offset, of which clients know that it is there.
    pub fn deletes(&mut self, before: Offset) {
        self.deleting = self.deleting.max(before);
    }

    /// That was done, for good.
    pub fn deleted(&mut self, before: Offset) {
        self.deleted = self.deleted.max(before);
    }

    /// An offset that was read, or 0.
    #[must_use]
    pub fn last_seen(&self) -> Offset {
        self.seen.last_key_value().map_or(0, |(offset, _)| *offset)
    }

    /// Where the records end that were read or acknowledged.
    #[must_use]
    pub fn known_end(&self) -> Offset {
        self.seen_end().max(self.acknowledged_end())
    }

    /// Where the records end that were read.
    fn seen_end(&self) -> Offset {
        self.seen.last_key_value().map_or(0, |(offset, _)| offset + 1)
    }

    /// Records acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Judges the log as it is in the end: where it starts and ends, all of it having been read through `sees`.
    ///
    /// # Panics
    /// A promise is broken.
    pub fn judge(&self, start: Offset, end: Offset) {
        assert!(start <= self.deleting, "only what somebody asked to delete is gone");
        assert!(start >= self.deleted, "what was deleted stays so");
        for (expected, offset) in (start..).zip(self.seen.range(start..).map(|(offset, _)| *offset)) {
            assert_eq!(expected, offset, "offsets follow each other");
        }
        assert_eq!(self.seen_end().max(start), end, "no record that was seen is gone");
        for (offset, record) in self.acknowledged.range(start..) {
            assert_eq!(self.seen.get(offset), Some(record), "acknowledged at {offset}, but not there");
        }
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        for (offset, (producer, number)) in &self.seen {
            let before = last.insert(*producer, *number);
            assert!(
                before.is_none_or(|before| before < *number),
                "producer {producer}: {number} at {offset} after {before:?}: twice or out of order"
            );
        }
    }
}
