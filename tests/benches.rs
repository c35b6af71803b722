//! The benches, small and untimed, so that they don't rot; what they assert holds here too: reading a Produce request's
//! header reads no byte of its records and takes the same memory whatever their size, and a Fetch response shares its
//! record sets.

mod counting;
#[path = "../benches/wire/harness.rs"]
mod harness;
#[path = "../benches/wire/suite/mod.rs"]
mod suite;

use harness::Harness;
use suite::Sizes;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

#[test]
fn the_wire_benches_run() {
    let sizes = Sizes {
        record_sets: &[1 << 10, 64 << 10, 1 << 20],
        crcs: &[100, 4 << 10],
        records: &[1, 10],
        topics: &[1, 10],
        partitions: &[1, 3],
    };
    suite::all(&mut Harness::once(), sizes);
}
