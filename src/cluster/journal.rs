//! The metadata journal: committed records in frames, each chained to the one before.
//!
//! A frame is: length (u32, of what follows the CRC), CRC-32C (u32, over the previous frame's CRC and what follows),
//! records. Frames are padded to whole blocks, because direct writes are; padding is zeros and lies between a frame's
//! end and the block's.

use super::record::Record;
use crate::base::limits::BLOCK_BYTES;
use crate::wire::{Reader, Writer};
use bytes::Bytes;
use std::fmt;

/// Why a journal can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// A frame is damaged and a good one follows: this is no torn tail, and cutting it off would lose
    /// committed records.
    Damaged {
        /// Where the damaged frame begins.
        position: usize,
    },
    /// A frame whose CRC fits holds what this build doesn't know.
    Unknown {
        /// Where the frame begins.
        position: usize,
    },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Damaged { position } => {
                write!(f, "the frame at byte {position} is damaged, later ones are not")
            }
            JournalError::Unknown { position } => {
                write!(f, "the frame at byte {position} is of a newer build")
            }
        }
    }
}

/// What a journal's bytes hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// The committed records.
    pub records: Vec<Record>,
    /// Where the next frame goes.
    pub end: usize,
    /// CRC of the last frame, which the next one is chained to.
    pub chain: u32,
}

/// One frame with these records, padded to whole blocks, and its CRC.
#[must_use]
pub fn frame(records: &[Record], chain: u32) -> (Vec<u8>, u32) {
    let mut writer = Writer::new();
    writer.array_len(Some(records.len()), true);
    for record in records {
        record.encode(&mut writer);
    }
    let body = writer.into_pieces().concat();
    let crc = chained(chain, &body);
    let mut bytes = Vec::with_capacity((body.len() + 8).next_multiple_of(BLOCK_BYTES));
    bytes.extend_from_slice(&u32::try_from(body.len()).expect("a frame is small").to_be_bytes());
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    (bytes, crc)
}

fn chained(chain: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&chain.to_be_bytes()), body)
}

/// One whole frame at a position: its body and CRC, if the CRC fits.
fn read_frame(bytes: &Bytes, position: usize, chain: Option<u32>) -> Option<(Bytes, u32)> {
    let head = bytes.get(position..position.checked_add(8)?)?;
    let length = usize::try_from(u32::from_be_bytes([head[0], head[1], head[2], head[3]])).ok()?;
    let crc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let start = position + 8;
    let body = bytes.get(start..start.checked_add(length)?)?;
    let fits = length > 0 && chain.is_none_or(|chain| chained(chain, body) == crc);
    fits.then(|| (bytes.slice(start..start + length), crc))
}

impl Journal {
    /// Reads a journal. A torn last frame is left out: it was never acknowledged.
    ///
    /// # Errors
    /// Damage before the end, which is never cut off silently.
    pub fn read(bytes: &Bytes) -> Result<Journal, JournalError> {
        let mut journal = Journal::default();
        while let Some((body, crc)) = read_frame(bytes, journal.end, Some(journal.chain)) {
            let position = journal.end;
            let mut reader = Reader::new(body.clone());
            let unknown = JournalError::Unknown { position };
            let count = reader.array_len(true).ok().flatten().ok_or(unknown)?;
            for _ in 0..count {
                journal.records.push(Record::decode(&mut reader).map_err(|_| unknown)?);
            }
            reader.finish().map_err(|_| unknown)?;
            journal.chain = crc;
            journal.end = (position + 8 + body.len()).next_multiple_of(BLOCK_BYTES);
        }
        if Self::continues_after(bytes, journal.end) {
            return Err(JournalError::Damaged { position: journal.end });
        }
        Ok(journal)
    }

    /// Whether some block after a bad frame begins a frame that chains to the (unverifiable) one before it: then the
    /// bad one isn't a torn tail. A tear leaves at most one unfinished frame, since a frame is written after the one
    /// before it is durable.
    fn continues_after(bytes: &Bytes, bad: usize) -> bool {
        let Some(head) = bytes.get(bad..bad + 8) else { return false };
        let claimed = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let stated_crc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        (bad + BLOCK_BYTES..bytes.len())
            .step_by(BLOCK_BYTES)
            .any(|position| claimed > 0 && read_frame(bytes, position, Some(stated_crc)).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(frames: usize) -> (Vec<u8>, Vec<Record>) {
        let (mut bytes, mut all, mut chain) = (Vec::new(), Vec::new(), 0);
        for next in 1..=frames {
            let records = vec![Record::ProducerIds { next: i64::try_from(next).unwrap() * 1000 }];
            let (frame, crc) = frame(&records, chain);
            chain = crc;
            bytes.extend(frame);
            all.extend(records);
        }
        (bytes, all)
    }

    #[test]
    fn a_good_frame_with_more_than_its_records_is_of_another_build() {
        let (mut bytes, _) = journal(1);
        let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize + 1;
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        let crc = chained(0, &bytes[8..8 + length]);
        bytes[4..8].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(Journal::read(&bytes.into()), Err(JournalError::Unknown { position: 0 }));
    }

    #[test]
    fn a_journal_reads_back_and_may_be_followed_by_zeros() {
        let (mut bytes, records) = journal(3);
        let end = bytes.len();
        bytes.resize(end + 8 * BLOCK_BYTES, 0);
        let read = Journal::read(&bytes.into()).unwrap();
        assert_eq!((read.records, read.end), (records, end));
    }

    #[test]
    fn every_torn_tail_is_cut_and_no_more() {
        let (bytes, records) = journal(2);
        for end in BLOCK_BYTES..BLOCK_BYTES + 18 {
            let read = Journal::read(&bytes[..end].to_vec().into()).unwrap();
            assert_eq!((read.records.as_slice(), read.end), (&records[..1], BLOCK_BYTES));
        }
    }

    #[test]
    fn damage_before_the_end_is_an_error() {
        let (bytes, _) = journal(3);
        for position in (0..18).chain(BLOCK_BYTES..BLOCK_BYTES + 18) {
            let mut bad = bytes.clone();
            bad[position] ^= 0x10;
            match Journal::read(&bad.into()) {
                // The chain field itself flipped: nothing ties the next frame to this one, but its body still says so.
                Ok(read) => assert!((4..8).contains(&(position % BLOCK_BYTES)), "{position}: {read:?}"),
                Err(error) => assert_eq!(
                    error,
                    JournalError::Damaged { position: position / BLOCK_BYTES * BLOCK_BYTES }
                ),
            }
        }
    }
}
