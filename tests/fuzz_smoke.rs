//! Every fuzz target on its seeds and on mutations of them, within `cargo test`: so that the targets keep compiling,
//! their seeds keep meaning something, and what a fuzzer once found stays found. `ci/fuzz` runs the real fuzzer.
#![expect(
    clippy::disallowed_methods,
    reason = "the seeds are read from the golden frames that lie beside this test"
)]

mod counting;
#[expect(unreachable_pub, reason = "the fuzz package is a library too, and its targets are in other crates")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use counting::{Counting, measure};
use fuzz::mutate::mutate;
use fuzz::{TARGETS, Target, seeds::seeds};
use ringlog::base::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SEED: u64 = 1;
/// Mutations of each target. The decompressors are slower than the rest.
const MUTATIONS: u64 = 20_000;

fn run(target: &Target, input: &[u8], name: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| measure(|| (target.body)(input))));
    let Ok(((), taken)) = outcome else { panic!("{name} panicked on {input:02x?}") };
    let (per_byte, at_least) = target.memory;
    let bound = at_least + per_byte * input.len();
    assert!(taken.peak_bytes <= bound, "{name} held {} bytes for {input:02x?}", taken.peak_bytes);
}

fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let seeds = seeds(name, &golden);
    seeds.iter().for_each(|seed| run(target, seed, name));
    let mut random = Random::new(SEED);
    let pick = |random: &mut Random| usize::try_from(random.below(seeds.len() as u64)).expect("an index");
    for _ in 0..MUTATIONS {
        let (one, other) = (pick(&mut random), pick(&mut random));
        let input = mutate(&seeds[one], &seeds[other], &mut random);
        run(target, &input, name);
    }
}

#[test]
fn batch_survives() {
    hold("batch");
}

#[test]
fn checkpoint_survives() {
    hold("checkpoint");
}

#[test]
fn config_survives() {
    hold("config");
}

#[test]
fn decompress_gzip_survives() {
    hold("decompress_gzip");
}

#[test]
fn decompress_lz4_survives() {
    hold("decompress_lz4");
}

#[test]
fn decompress_snappy_survives() {
    hold("decompress_snappy");
}

#[test]
fn decompress_zstd_survives() {
    hold("decompress_zstd");
}

#[test]
fn journal_survives() {
    hold("journal");
}

#[test]
fn peer_survives() {
    hold("peer");
}

#[test]
fn record_survives() {
    hold("record");
}

#[test]
fn request_survives() {
    hold("request");
}

#[test]
fn response_survives() {
    hold("response");
}

#[test]
fn scan_survives() {
    hold("scan");
}

#[test]
fn segment_header_survives() {
    hold("segment_header");
}
