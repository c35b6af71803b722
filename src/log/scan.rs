//! What recovery accepts: batch after batch, until one doesn't fit.
//!
//! Kafka's CRC doesn't cover a batch's offset, length, epoch and magic; they are checked by what must be so: the
//! offset follows the batch before, the epoch doesn't fall, the length lies within the file.

use crate::base::limits::BATCH_HEADER_BYTES;
use crate::base::{LeaderEpoch, Offset};
use crate::wire::batch::BatchMeta;

/// Why a scan stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Zeros or the end: nothing was ever written there.
    End,
    /// More bytes are needed to decide.
    More,
    /// What is there is no whole, good batch that follows.
    Bad,
}

/// A scan over one segment's batches.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// Offset that the next batch must have.
    pub next_offset: Offset,
    /// Epoch that it must not fall below.
    pub epoch: LeaderEpoch,
    /// The segment was copied from a compacted one: there may be gaps, and batches that lost all their records.
    pub holes: bool,
}

impl Scan {
    /// Takes the batch at the start of `bytes`; `at_end` if no more bytes will follow them.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(&mut self, bytes: &[u8], at_end: bool) -> Result<BatchMeta, Stop> {
        let short = if at_end { Stop::Bad } else { Stop::More };
        let Some(head) = bytes.get(..BATCH_HEADER_BYTES) else {
            let blank = bytes.iter().all(|byte| *byte == 0);
            return Err(if at_end && blank { Stop::End } else { short });
        };
        if head.iter().all(|byte| *byte == 0) {
            return Err(Stop::End);
        }
        let meta = BatchMeta::read(bytes).ok_or(Stop::Bad)?;
        let next_offset = meta.last_offset().checked_add(1).ok_or(Stop::Bad)?;
        let follows = meta.magic == 2
            && (meta.base_offset == self.next_offset || self.holes && meta.base_offset > self.next_offset)
            && meta.leader_epoch >= self.epoch
            && meta.last_offset_delta >= 0
            && meta.count >= i32::from(!self.holes);
        if !follows {
            return Err(Stop::Bad);
        }
        if meta.bytes > bytes.len() {
            return Err(short);
        }
        if !meta.crc_fits(bytes) {
            return Err(Stop::Bad);
        }
        self.next_offset = next_offset;
        self.epoch = meta.leader_epoch;
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{BatchBuilder, Codec};

    fn log() -> Vec<u8> {
        let batch = |offset| {
            BatchBuilder::new(Codec::None, 1)
                .record(1, Some(b"k"), Some(b"value"))
                .build_at(offset, LeaderEpoch(2))
        };
        (0..3).flat_map(|offset| batch(offset).to_vec()).collect()
    }

    fn scan(bytes: &[u8]) -> (Offset, usize, Stop) {
        let mut scan = Scan { next_offset: 0, epoch: LeaderEpoch(2), holes: false };
        let mut position = 0;
        loop {
            match scan.take(&bytes[position..], true) {
                Ok(meta) => position += meta.bytes,
                Err(stop) => return (scan.next_offset, position, stop),
            }
        }
    }

    #[test]
    fn a_good_log_is_accepted_to_its_zeros() {
        let mut bytes = log();
        let end = bytes.len();
        assert_eq!(scan(&bytes), (3, end, Stop::End));
        bytes.extend([0; 100]);
        assert_eq!(scan(&bytes), (3, end, Stop::End));
    }

    #[test]
    fn the_last_offset_there_is_has_none_after_it() {
        let batch =
            BatchBuilder::new(Codec::None, 1).record(1, None, None).build_at(i64::MAX, LeaderEpoch(2));
        let mut scan = Scan { next_offset: i64::MAX, epoch: LeaderEpoch(2), holes: false };
        assert_eq!(scan.take(&batch, true), Err(Stop::Bad));
    }

    #[test]
    fn gaps_are_accepted_where_they_may_be() {
        let bytes = log();
        let one = bytes.len() / 3;
        let gapped = [&bytes[..one], &bytes[2 * one..]].concat();
        assert_eq!(scan(&gapped), (1, one, Stop::Bad));
        let mut scan = Scan { next_offset: 0, epoch: LeaderEpoch(2), holes: true };
        assert!(scan.take(&gapped, true).is_ok() && scan.take(&gapped[one..], true).is_ok());
        assert_eq!(scan.next_offset, 3);
        assert_eq!(scan.take(&gapped[one..], true), Err(Stop::Bad), "offsets never fall");
    }

    #[test]
    fn every_truncation_keeps_the_whole_batches() {
        let bytes = log();
        let one = bytes.len() / 3;
        for end in 0..bytes.len() {
            let (next, position, stop) = scan(&bytes[..end]);
            assert_eq!((usize::try_from(next).unwrap(), position), (end / one, end / one * one));
            // A piece that is all zeros looks like the end, and cutting it loses nothing.
            assert!(stop == Stop::Bad || end % one <= 11, "{end}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_but_for_a_rising_epoch() {
        let bytes = log();
        let one = bytes.len() / 3;
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (next, ..) = scan(&bad);
            let batch = bit / 8 / one;
            let in_epoch = (12..16).contains(&(bit / 8 % one));
            // A flipped epoch that rises passes for this batch; then the next one falls below it,
            // unless it is the last.
            assert!(usize::try_from(next).unwrap() <= batch + usize::from(in_epoch), "bit {bit}");
        }
    }
}
