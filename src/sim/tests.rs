//! Seeds, and faults that they must find.

use super::broker::End;
use super::exec::Exec;
use super::keyed;
use super::seeds::{asked, failed, mutant_asked, noticed};
use super::workload::{Run, run};
use crate::base::mutant::{Mutant, all_noticed, first_noticing};
use crate::conf::{Layers, Source};

/// Seeds of one `cargo test`.
const SEEDS: u64 = 500;

/// Seeds within which every planted fault must be noticed.
const MUTANT_SEEDS: u64 = 3000;

/// Seeds that failed once.
const FAILED: &str = include_str!("../../tests/seeds.txt");

/// Seeds that notice a planted fault.
const NOTICED: &str = include_str!("../../tests/mutants.txt");

/// Runs one seed with its story told: `RINGLOG_SEED=7 cargo test --lib sim::tests::one_seed -- --nocapture`.
#[test]
fn one_seed() {
    if let Some(seed) = asked("RINGLOG_SEED") {
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).without_time().init();
        println!("{:?}", run(seed));
    }
}

/// Runs as many further seeds: `RINGLOG_SEEDS=10000 cargo test --release --lib sim::tests::more_seeds -- --nocapture`.
#[test]
fn more_seeds() {
    for seed in (SEEDS..SEEDS + asked("RINGLOG_SEEDS").unwrap_or(0)).inspect(|seed| println!("seed {seed}")) {
        let _ = run(seed);
    }
}

#[test]
fn acknowledged_records_survive_every_seed() {
    let (mut acknowledged, mut commits, mut mixed_commits, mut transactions) = (0, 0, 0, 0);
    for seed in failed(FAILED).chain(0..SEEDS) {
        println!("seed {seed}");
        let outcome = run(seed);
        acknowledged += outcome.acknowledged;
        commits += outcome.commits;
        mixed_commits += outcome.mixed_commits;
        transactions += outcome.transactions;
    }
    assert!(transactions > 2 * 500, "transactions are committed: {transactions}");
    assert!(commits > 4 * 500, "groups do something: {commits} commits");
    assert!(mixed_commits > 4 * 500, "groups of both protocols do something: {mixed_commits} commits");
    assert!(acknowledged > 50 * 500, "the runs do something: {acknowledged} records");
}

#[test]
fn a_seed_is_a_run_and_another_seed_another() {
    let first: Vec<_> = (0..8).map(run).collect();
    assert_eq!(first, (0..8).map(run).collect::<Vec<_>>());
    assert!(first.windows(2).all(|pair| pair[0].trace != pair[1].trace));
}

/// The process ends, or the power fails, at every operation of the disk that a round of compaction takes.
#[test]
fn compaction_survives_a_crash_at_every_step() {
    for (operation, seed) in (0..70).flat_map(|operation| (0..3).map(move |seed| (operation, seed))) {
        for how in [End::Kill, End::PowerCut] {
            println!("operation {operation}, seed {seed}, {how:?}");
            let exec = Exec::new(seed);
            let mut layers = Layers::default();
            layers.set("log.cleaner.backoff.ms", "500", Source::Flag("the run".to_owned()));
            let run = Run::new(&exec, layers);
            run.live_through(keyed::crash_in_round(run.clone(), operation, how));
        }
    }
}

/// The first seed that notices the fault.
fn caught(mutant: Mutant) -> Option<u64> {
    first_noticing(mutant, noticed(NOTICED, mutant).chain(0..MUTANT_SEEDS), run)
}

/// Plants one fault: `RINGLOG_MUTANT=LoseCarry cargo test --lib sim::tests::one_mutant -- --nocapture`.
#[test]
fn one_mutant() {
    if let Some(mutant) = mutant_asked("RINGLOG_MUTANT") {
        println!("{mutant:?}: seed {:?}", caught(mutant));
    }
}

#[test]
fn every_planted_fault_is_caught() {
    all_noticed(Mutant::ALL, caught);
}
