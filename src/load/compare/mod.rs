//! Two sides of one or more runs each, side by side: medians, spread, ratios, and whether the difference is one. Pure.

mod rank;

pub use rank::p_value;

use crate::load::report::{Outcome, PhaseOutcome, bytes, count, ms};
use std::fmt::Write as _;

/// Runs of one side.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Its name.
    pub name: String,
    /// Its runs.
    pub runs: Vec<Outcome>,
}

/// A figure that is compared.
struct Figure {
    name: &'static str,
    more_is_better: bool,
    value: fn(&PhaseOutcome) -> Option<f64>,
    text: fn(f64) -> String,
}

fn of(phase: &PhaseOutcome, name: &str, quantile: f64) -> Option<f64> {
    phase.latencies.get(name).map(|latency| latency.at(quantile))
}

fn some(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}

const fn more(
    name: &'static str,
    value: fn(&PhaseOutcome) -> Option<f64>,
    text: fn(f64) -> String,
) -> Figure {
    Figure { name, more_is_better: true, value, text }
}

const fn less(
    name: &'static str,
    value: fn(&PhaseOutcome) -> Option<f64>,
    text: fn(f64) -> String,
) -> Figure {
    Figure { name, more_is_better: false, value, text }
}

fn whole(value: f64) -> String {
    count(value as u64)
}

const FIGURES: &[Figure] = &[
    more("records/s", |phase| some(phase.rate), whole),
    more("bytes/s", |phase| some(phase.bytes_per_second), bytes),
    more("received bytes/s", |phase| some(phase.received.bytes as f64 / phase.seconds.max(1e-9)), bytes),
    less("service p50", |phase| of(phase, "service", 0.5), ms),
    less("service p99", |phase| of(phase, "service", 0.99), ms),
    less("ack p50", |phase| of(phase, "ack", 0.5), ms),
    less("ack p99", |phase| of(phase, "ack", 0.99), ms),
    less("ack p99.9", |phase| of(phase, "ack", 0.999), ms),
    less("ack max", |phase| of(phase, "ack", 1.0), ms),
    less("e2e p50", |phase| of(phase, "e2e", 0.5), ms),
    less("e2e p99", |phase| of(phase, "e2e", 0.99), ms),
    less("e2e p99.9", |phase| of(phase, "e2e", 0.999), ms),
    less(
        "broker CPU s/GB",
        |phase| some(phase.broker.as_ref()?.cpu_seconds_per_gb),
        |value| format!("{value:.3}"),
    ),
    less(
        "broker CPU share",
        |phase| some(phase.broker.as_ref()?.cpu_share),
        |value| format!("{:.0} %", value * 100.0),
    ),
    less("broker RSS", |phase| some(phase.broker.as_ref()?.rss_bytes as f64), bytes),
    less("failures", |phase| some(phase.failures as f64), whole),
];

/// Smallest, median and largest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    (sorted[0], median, sorted[sorted.len() - 1])
}

/// Phases that both sides have, by name.
fn shared_phases(a: &Side, b: &Side) -> Vec<String> {
    let names = |side: &Side| -> Vec<String> {
        side.runs
            .first()
            .map(|run| run.judged().map(|phase| phase.name.clone()).collect())
            .unwrap_or_default()
    };
    let (first, second) = (names(a), names(b));
    first.into_iter().filter(|name| second.contains(name)).collect()
}

fn values(side: &Side, phase: &str, figure: &Figure) -> Vec<f64> {
    let found = side.runs.iter().filter_map(|run| run.judged().find(|own| own.name == phase));
    found.filter_map(|own| (figure.value)(own)).collect()
}

/// The table. A ratio above 1 says that the second side has more of it.
#[must_use]
pub fn table(a: &Side, b: &Side) -> String {
    let mut text = String::new();
    for (letter, side) in [("A", a), ("B", b)] {
        let ending = if side.runs.len() == 1 { "" } else { "s" };
        let _ = writeln!(text, "{letter}: {} ({} run{ending})", side.name, side.runs.len());
    }
    let mut phases = shared_phases(a, b);
    if phases.is_empty() {
        // Runs of different jobs: their last judged phases.
        text.push_str("no phase has the same name on both sides: nothing to compare\n");
    }
    for phase in phases.drain(..) {
        let _ = writeln!(
            text,
            "\n{phase:<18} {:>12} {:>23} {:>12} {:>23} {:>8}  better (p)",
            "A median", "A min … max", "B median", "B min … max", "B / A"
        );
        for figure in FIGURES {
            line(&mut text, figure, &values(a, &phase, figure), &values(b, &phase, figure));
        }
        let void = |side: &Side| {
            let phases = side.runs.iter().filter_map(|run| run.judged().find(|own| own.name == phase));
            phases.filter(|own| own.saturated.is_some()).count()
        };
        for (name, side) in [("A", a), ("B", b)] {
            if void(side) > 0 {
                let _ = writeln!(
                    text,
                    "  {} of {} runs of {name} are void: generator saturated",
                    void(side),
                    side.runs.len()
                );
            }
        }
    }
    text
}

fn line(text: &mut String, figure: &Figure, a: &[f64], b: &[f64]) {
    if a.is_empty() || b.is_empty() {
        return;
    }
    let (low_a, median_a, high_a) = spread(a);
    let (low_b, median_b, high_b) = spread(b);
    let range = |low: f64, high: f64| format!("{} … {}", (figure.text)(low), (figure.text)(high));
    let p = p_value(a, b);
    let verdict = match p {
        Some(p) if p < 0.05 => {
            let b_is = (median_b > median_a) == figure.more_is_better;
            format!("{} ({p:.3})", if b_is { "B" } else { "A" })
        }
        Some(p) => format!("– ({p:.2})"),
        None => String::new(),
    };
    let _ = writeln!(
        text,
        "{:<18} {:>12} {:>23} {:>12} {:>23} {:>8.3}  {verdict}",
        figure.name,
        (figure.text)(median_a),
        range(low_a, high_a),
        (figure.text)(median_b),
        range(low_b, high_b),
        median_b / median_a
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, rates: &[f64]) -> Side {
        let run = |rate: &f64| {
            let mut outcome = Outcome::new("job", "", &[]);
            let phase =
                PhaseOutcome { name: "p".to_owned(), judged: true, rate: *rate, ..PhaseOutcome::default() };
            outcome.phases.push(phase);
            outcome
        };
        Side { name: name.to_owned(), runs: rates.iter().map(run).collect() }
    }

    #[test]
    fn medians_ratios_and_the_winner_are_told() {
        let text =
            table(&side("old", &[100.0, 110.0, 90.0, 105.0]), &side("new", &[300.0, 310.0, 290.0, 305.0]));
        let line = text.lines().find(|line| line.starts_with("records/s")).unwrap();
        assert!(
            line.contains("102")
                && line.contains("302")
                && line.contains("2.951")
                && line.contains("B (0.029)"),
            "{line}"
        );
    }

    #[test]
    fn one_run_each_has_a_ratio_and_no_verdict() {
        let text = table(&side("a", &[100.0]), &side("b", &[50.0]));
        let line = text.lines().find(|line| line.starts_with("records/s")).unwrap();
        assert!(line.trim_end().ends_with("0.500"), "{line}");
        let other = Side { runs: vec![Outcome::default()], ..Side::default() };
        assert!(table(&side("a", &[1.0]), &other).contains("nothing to compare"));
    }
}
