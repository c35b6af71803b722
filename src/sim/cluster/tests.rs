//! Seeds of clusters, and faults that they must find.

use super::{run, run_changing};
use crate::base::mutant::{Mutant, plant};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tracing::Level;

/// Seeds of one `cargo test`.
const SEEDS: u64 = 60;

/// Seeds of it in which voters join and leave.
const CHANGING_SEEDS: u64 = 25;

/// Seeds within which every planted fault must be noticed.
const MUTANT_SEEDS: u64 = 400;

/// Seeds that are known to notice a fault; tried first.
fn seeds_that_noticed(mutant: Mutant) -> impl Iterator<Item = u64> {
    let lines = include_str!("../../../tests/cluster-mutants.txt").lines();
    let name = format!("{mutant:?}");
    let seed = move |line: &str| line.strip_prefix(&name)?.strip_prefix(' ')?.trim().parse().ok();
    lines.filter_map(seed)
}

/// A number that a person gave.
fn asked(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a person names the seed")]
    std::env::var(name).ok()?.parse().ok()
}

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

fn seeds_that_failed() -> impl Iterator<Item = u64> {
    let lines = include_str!("../../../tests/cluster-seeds.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

#[test]
fn acknowledged_records_survive_every_seed() {
    let mut acknowledged = 0;
    for seed in seeds_that_failed().chain(0..SEEDS) {
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
    plant(Some(mutant));
    let mut seeds = seeds_that_noticed(mutant).chain(0..MUTANT_SEEDS);
    let found = seeds.find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err());
    plant(None);
    found
}

/// Plants one fault: `RINGLOG_CLUSTER_MUTANT=NAME cargo test --lib sim::cluster::tests::one_mutant -- --nocapture`.
#[test]
fn one_mutant() {
    #[expect(clippy::disallowed_methods, reason = "a person names the fault")]
    let Ok(name) = std::env::var("RINGLOG_CLUSTER_MUTANT") else { return };
    let known =
        [Mutant::OF_CLUSTERS, Mutant::OF_REPLICATION, Mutant::OF_ELECTIONS, Mutant::OF_QUORUM].concat();
    let mutant = known.iter().find(|mutant| format!("{mutant:?}") == name).expect("a fault's name");
    println!("{mutant:?}: seed {:?}", caught(*mutant));
}

#[test]
fn every_planted_fault_is_caught() {
    let missed: Vec<_> = Mutant::OF_CLUSTERS
        .iter()
        .filter(|mutant| {
            let seed = caught(**mutant);
            println!("{mutant:?}: seed {seed:?}");
            seed.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "no seed notices {missed:?}");
}
