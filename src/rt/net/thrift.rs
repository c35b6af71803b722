//! Whether splicing is worth what it costs.
//!
//! A byte that is spliced instead of copied saves 0.1 CPU seconds per GB; the region that it lies in has to be
//! replaced once for that, which costs a little more than to copy all of it (`memory::renewal`). So it pays where most
//! of a region is read in bulk, and more than once; it doesn't where readers pick few bytes out of many regions, or
//! one reader reads each once. One can't know which it will be, but one sees which it was.

use std::cell::Cell;

/// The smallest piece that is spliced: below it the system calls cost more than the copy.
pub(super) const PIECE_BYTES_MIN: usize = 32 * 1024;

/// What replacing a region costs, in bytes that could be copied for it.
const REGION_COST: i64 = 2560 * 1024;

/// What may be lost before it is noticed that splicing doesn't pay, and how much of a gain is remembered.
const CREDIT_MAX: i64 = 16 * 1024 * 1024;

/// The part of what is copied meanwhile that goes into trying again.
const RETRY_SHARE: i64 = 16;

/// The account of one shard.
pub(super) struct Thrift {
    credit: Cell<i64>,
}

impl Default for Thrift {
    fn default() -> Self {
        Thrift { credit: Cell::new(CREDIT_MAX) }
    }
}

impl Thrift {
    /// Whether to splice a piece of so many bytes.
    pub(super) fn allows(&self, bytes: usize) -> bool {
        bytes >= PIECE_BYTES_MIN && self.credit.get() > 0
    }

    /// Bytes were spliced, and for them so many more regions have to be replaced.
    pub(super) fn spliced(&self, bytes: usize, regions: usize) {
        let (gain, cost) = (signed(bytes), signed(regions).saturating_mul(REGION_COST));
        self.credit.set((self.credit.get() + gain - cost).clamp(-CREDIT_MAX, CREDIT_MAX));
    }

    /// Bytes were copied that could have been spliced.
    pub(super) fn copied(&self, bytes: usize) {
        if self.credit.get() <= 0 {
            self.credit.set(self.credit.get() + signed(bytes) / RETRY_SHARE);
        }
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn regions_that_are_read_twice_are_spliced_on_and_on() {
        let thrift = Thrift::default();
        for nth in 0..10_000 {
            assert!(thrift.allows(MIB));
            thrift.spliced(MIB, usize::from(nth % 4 == 0));
        }
        assert!(!thrift.allows(PIECE_BYTES_MIN - 1));
    }

    #[test]
    fn a_few_bytes_of_each_region_are_not_for_long() {
        let thrift = Thrift::default();
        let (mut spliced, mut copied) = (0, 0);
        for _ in 0..10_000 {
            if thrift.allows(MIB / 8) {
                spliced += 1;
                thrift.spliced(MIB / 8, 1);
            } else {
                copied += 1;
                thrift.copied(MIB / 8);
            }
        }
        assert!(spliced > 20 && copied > 200 * (spliced - 10), "{spliced} spliced, {copied} copied");
        // As soon as it pays again, it goes on.
        (0..500).for_each(|_| thrift.copied(MIB / 8));
        (0..100).for_each(|_| thrift.spliced(MIB, 0));
        assert!(thrift.allows(MIB) && thrift.credit.get() > 8 << 20);
    }
}
