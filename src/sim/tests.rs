//! Seeds, and faults that they must find.

use super::workload::run;
use crate::base::mutant::{Mutant, plant};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds of one `cargo test`.
const SEEDS: u64 = 500;

fn seeds_that_failed() -> impl Iterator<Item = u64> {
    let lines = include_str!("../../tests/seeds.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

/// Runs one seed with its story told: `RINGLOG_SEED=7 cargo test --lib sim::tests::one_seed -- --nocapture`.
#[test]
fn one_seed() {
    #[expect(clippy::disallowed_methods, reason = "a person names the seed")]
    if let Some(seed) = std::env::var("RINGLOG_SEED").ok().and_then(|seed| seed.parse().ok()) {
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).without_time().init();
        println!("{:?}", run(seed));
    }
}

#[test]
fn acknowledged_records_survive_every_seed() {
    let mut acknowledged = 0;
    for seed in seeds_that_failed().chain(0..SEEDS) {
        println!("seed {seed}");
        acknowledged += run(seed).acknowledged;
    }
    assert!(acknowledged > 50 * 500, "the runs do something: {acknowledged} records");
}

#[test]
fn a_seed_is_a_run_and_another_seed_another() {
    let first: Vec<_> = (0..8).map(run).collect();
    assert_eq!(first, (0..8).map(run).collect::<Vec<_>>());
    assert!(first.windows(2).all(|pair| pair[0].trace != pair[1].trace));
}

/// The first of `SEEDS` that notices the fault.
fn caught(mutant: Mutant) -> Option<u64> {
    plant(Some(mutant));
    let found = (0..SEEDS).find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err());
    plant(None);
    found
}

#[test]
fn every_planted_fault_is_caught() {
    let missed: Vec<_> = Mutant::ALL
        .iter()
        .filter(|mutant| {
            let seed = caught(**mutant);
            println!("{mutant:?}: seed {seed:?}");
            seed.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "no seed notices {missed:?}");
}
