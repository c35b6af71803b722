//! Seeds of clusters, and faults that they must find.

use super::{run, run_changing};
use crate::base::mutant::{Mutant, all_noticed, first_noticing};
use crate::sim::seeds::{asked, failed, mutant_asked, noticed};
use tracing::Level;

/// Seeds of one `cargo test`.
const SEEDS: u64 = 60;

/// Seeds of it in which voters join and leave.
const CHANGING_SEEDS: u64 = 25;

/// Seeds within which every planted fault must be noticed.
const MUTANT_SEEDS: u64 = 400;

/// Seeds that failed once.
const FAILED: &str = include_str!("../../../tests/cluster-seeds.txt");

/// Seeds that notice a planted fault.
const NOTICED: &str = include_str!("../../../tests/cluster-mutants.txt");

/// Runs one seed with its story told: `RINGLOG_CLUSTER_SEED=7 cargo test --lib sim::cluster::tests::one_seed --
/// --nocapture`. With `RINGLOG_DEBUG=1`, more of it; with `RINGLOG_CLUSTER_CHANGING=1`, the seed's run in which voters
/// change.
#[test]
fn one_seed() {
    if let Some(seed) = asked("RINGLOG_CLUSTER_SEED") {
        let level = if asked("RINGLOG_DEBUG").is_some() { Level::DEBUG } else { Level::INFO };
        tracing_subscriber::fmt().with_max_level(level).without_time().init();
        let changing = asked("RINGLOG_CLUSTER_CHANGING").is_some();
        println!("{:?}", if changing { run_changing(seed) } else { run(seed) });
    }
}

#[test]
fn acknowledged_records_survive_every_seed() {
    let mut acknowledged = 0;
    for seed in failed(FAILED).chain(0..SEEDS) {
        println!("seed {seed}");
        acknowledged += run(seed).acknowledged;
    }
    assert!(acknowledged > 300 * 60, "the runs do something: {acknowledged} records");
}

#[test]
fn they_survive_while_voters_join_and_leave() {
    let mut changes = 0;
    let from = asked("RINGLOG_CLUSTER_FROM").unwrap_or(0);
    for seed in from..from + asked("RINGLOG_CLUSTER_SEEDS").unwrap_or(CHANGING_SEEDS) {
        println!("seed {seed}");
        changes += u64::from(run_changing(seed).changes);
    }
    assert!(changes > CHANGING_SEEDS, "voters come and go: {changes} times");
}

#[test]
fn a_seed_is_a_run_and_another_seed_another() {
    let first: Vec<_> = (0..6).map(run).collect();
    assert_eq!(first, (0..6).map(run).collect::<Vec<_>>());
    assert!(first.windows(2).all(|pair| pair[0].trace != pair[1].trace));
}

/// Runs as many seeds: `RINGLOG_CLUSTER_SEEDS=100 cargo test --lib sim::cluster::tests::more_seeds -- --nocapture`.
/// `RINGLOG_CLUSTER_FROM` says where to begin. Every tenth runs twice.
#[test]
fn more_seeds() {
    let from = asked("RINGLOG_CLUSTER_FROM").unwrap_or(0);
    for seed in from..from + asked("RINGLOG_CLUSTER_SEEDS").unwrap_or(0) {
        let outcome = run(seed);
        println!("seed {seed}: {outcome:?}");
        assert!(!seed.is_multiple_of(10) || run(seed) == outcome, "a seed is a run");
    }
}

/// The first seed that notices the fault.
fn caught(mutant: Mutant) -> Option<u64> {
    first_noticing(mutant, noticed(NOTICED, mutant).chain(0..MUTANT_SEEDS), run)
}

/// Plants one fault: `RINGLOG_CLUSTER_MUTANT=NAME cargo test --lib sim::cluster::tests::one_mutant -- --nocapture`.
#[test]
fn one_mutant() {
    if let Some(mutant) = mutant_asked("RINGLOG_CLUSTER_MUTANT") {
        println!("{mutant:?}: seed {:?}", caught(mutant));
    }
}

#[test]
fn every_planted_fault_is_caught() {
    all_noticed(Mutant::OF_CLUSTERS, caught);
}
