//! A walk over one batch for compaction: each record's key as a digest, and whether it has a value. In steps, since a
//! batch of a few KiB may decompress to `limits::DECOMPRESSED_BYTES_MAX`; no key or value is held in memory.

use super::header::BatchMeta;
use super::records::RecordError;
use super::skim::{Head, Source};
use crate::base::Offset;
use crate::base::digest::{Digest, DigestKey};
use crate::base::limits::{BATCH_HEADER_BYTES, STEP_BYTES};
use crate::wire::compress::{Decompressing, decompressing};
use bytes::Bytes;

/// What compaction looks at in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Its offset.
    pub offset: Offset,
    /// Digest of its key, if it has one.
    pub key: Option<u128>,
    /// False for a tombstone.
    pub has_value: bool,
}

/// Where a walk is.
enum At {
    /// Before a record.
    Record,
    /// In a key: the record's offset, bytes of the key to come, bytes of the record after the key, what was digested.
    Key(Offset, usize, usize, Digest),
    /// In what nobody looks at: bytes of it to come.
    Rest(usize),
}

/// The walk.
pub struct KeyWalk {
    meta: BatchMeta,
    digest: DigestKey,
    source: Source<Decompressing<'static>>,
    at: At,
}

impl KeyWalk {
    /// A walk over a whole batch.
    ///
    /// # Errors
    /// It isn't a batch, or doesn't begin to decompress.
    pub fn new(batch: &Bytes, digest: DigestKey) -> Result<Self, RecordError> {
        let (meta, source) = opened(batch)?;
        Ok(KeyWalk { meta, digest, source, at: At::Record })
    }

    /// Gives the next records to `each`, until it says to stop; true once there are no more.
    ///
    /// # Errors
    /// A record is malformed, or the data doesn't decompress within the limits.
    pub fn step(&mut self, mut each: impl FnMut(Keyed) -> bool) -> Result<bool, RecordError> {
        let begin = self.source.left();
        while begin - self.source.left() < STEP_BYTES {
            let seen = match std::mem::replace(&mut self.at, At::Record) {
                At::Record if self.source.is_at_end()? => return Ok(true),
                At::Record => {
                    let Head { offset_delta, mut rest, .. } = self.source.head()?;
                    let offset = self.meta.base_offset.wrapping_add(offset_delta);
                    match self.length(&mut rest)? {
                        Some(key) => {
                            let after = rest.checked_sub(key).ok_or(RecordError::Malformed)?;
                            self.at = At::Key(offset, key, after, self.digest.begin());
                            None
                        }
                        None => Some(self.value(offset, None, rest)?),
                    }
                }
                At::Key(offset, 0, after, digest) => Some(self.value(offset, Some(digest.end()), after)?),
                At::Key(offset, left, after, mut digest) => {
                    let room = left.min(STEP_BYTES - (begin - self.source.left()));
                    let taken = self.source.piece(room, |bytes| digest.update(bytes))?;
                    self.at = At::Key(offset, left - taken, after, digest);
                    None
                }
                At::Rest(left) => {
                    let now = left.min(STEP_BYTES - (begin - self.source.left()));
                    self.source.skip(now)?;
                    self.at = if now < left { At::Rest(left - now) } else { At::Record };
                    None
                }
            };
            if seen.is_some_and(|keyed| !each(keyed)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A length in front of bytes; `None` for null.
    fn length(&mut self, rest: &mut usize) -> Result<Option<usize>, RecordError> {
        match self.source.varint(rest)? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| RecordError::Malformed),
        }
    }

    /// Looks at a record's value, of which `rest` bytes and its length are still to come.
    fn value(&mut self, offset: Offset, key: Option<u128>, mut rest: usize) -> Result<Keyed, RecordError> {
        let has_value = self.length(&mut rest)?.is_some();
        self.at = At::Rest(rest);
        Ok(Keyed { offset, key, has_value })
    }
}

/// A batch's header, and its records as they decompress.
pub(super) fn opened(batch: &Bytes) -> Result<(BatchMeta, Source<Decompressing<'static>>), RecordError> {
    let meta = BatchMeta::read(batch).filter(|meta| meta.bytes <= batch.len());
    let meta = meta.ok_or(RecordError::Malformed)?;
    let codec = meta.codec().ok_or(RecordError::Malformed)?;
    let records = batch.slice(BATCH_HEADER_BYTES..meta.bytes);
    // What compaction has emptied has no data, whatever its codec was.
    let codec = if records.is_empty() { super::Codec::None } else { codec };
    let source = decompressing(codec, records).map_err(RecordError::Compression)?;
    Ok((meta, Source::new(source)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LeaderEpoch;
    use crate::wire::batch::{BatchBuilder, Codec, records};

    fn walked(batch: &Bytes, key: DigestKey) -> (Vec<Keyed>, usize) {
        let (mut walk, mut list) = (KeyWalk::new(batch, key).unwrap(), Vec::new());
        for steps in 1.. {
            let done = walk.step(|keyed| {
                list.push(keyed);
                true
            });
            if done.unwrap() {
                return (list, steps);
            }
        }
        unreachable!("a batch ends")
    }

    #[test]
    fn every_record_is_seen_with_its_key_in_every_codec() {
        let key = DigestKey::new([3, 4]);
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut builder = BatchBuilder::new(codec, 0);
            for nth in 0..50_usize {
                let text = vec![u8::try_from(nth).unwrap(); nth * 997 % 5003];
                let value = vec![1; nth * 4001 % 30_011];
                let (key, value) =
                    ((nth % 7 != 0).then_some(&text[..]), (nth % 3 != 0).then_some(&value[..]));
                builder = builder.record(0, key, value);
            }
            let batch = builder.build_at(77, LeaderEpoch(0));
            let expected = records(&batch).unwrap().into_iter().map(|record| Keyed {
                offset: record.offset,
                key: record.key.map(|text| key.of(&text)),
                has_value: record.value.is_some(),
            });
            let (found, steps) = walked(&batch, key);
            assert_eq!(found, expected.collect::<Vec<_>>(), "{codec:?}");
            assert!(steps >= 5, "much data takes many steps: {steps}");
        }
    }

    #[test]
    fn no_damage_makes_it_panic() {
        let mut builder = BatchBuilder::new(Codec::None, 0);
        for _ in 0..5 {
            builder = builder.record(0, Some(b"key"), Some(&[1; 20]));
        }
        let batch = builder.build();
        for at in BATCH_HEADER_BYTES..batch.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = batch.to_vec();
                bad[at] = value;
                let mut walk = KeyWalk::new(&bad.into(), DigestKey::new([0, 0])).unwrap();
                while let Ok(false) = walk.step(|_| true) {}
            }
        }
    }
}
