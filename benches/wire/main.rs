//! What the wire costs: `cargo bench --bench wire`. `tests/benches.rs` runs the same, small and untimed.

#[path = "../../tests/counting/mod.rs"]
mod counting;

mod harness;
mod suite;

use harness::Harness;
use suite::Sizes;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const FULL: Sizes = Sizes {
    record_sets: &[1 << 10, 1 << 20, 16 << 20],
    crcs: &[4 << 10, 64 << 10, 1 << 20],
    records: &[1, 100, 10_000],
    topics: &[10, 1000],
    partitions: &[1, 50],
};

fn main() {
    suite::all(&mut Harness::timed(), FULL);
}
