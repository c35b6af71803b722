//! The benches of the wire, in a size that is asked for.

mod codec;
mod guarded;
mod produce_header;
mod stages;

use crate::harness::Harness;

/// How large the inputs are.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Bytes of the record sets whose headers alone are read; they must cost the same.
    pub(crate) record_sets: &'static [usize],
    /// Bytes that a CRC is taken over.
    pub(crate) crcs: &'static [usize],
    /// Records in a batch.
    pub(crate) records: &'static [usize],
    /// Topics in a metadata response, of three partitions each.
    pub(crate) topics: &'static [usize],
    /// Partitions in a fetch response, of 64 KiB each.
    pub(crate) partitions: &'static [usize],
}

/// Runs every bench.
pub(crate) fn all(harness: &mut Harness, sizes: Sizes) {
    produce_header::run(harness, sizes.record_sets);
    codec::crc(harness, sizes.crcs);
    codec::validation(harness, sizes.records);
    codec::metadata(harness, sizes.topics);
    codec::fetch(harness, sizes.partitions);
    stages::run(harness);
}
