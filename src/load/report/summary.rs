//! The text at the end of a run.

use super::outcome::{Outcome, PhaseOutcome, Verification};
use super::units::{bytes, count, ms};
use std::fmt::Write as _;

/// Names of the histograms, in the order in which they are shown, with what they are where records are sent.
const SENT: [(&str, &str); 4] = [
    ("service", "service (send to ack, as closed-loop tools tell it)"),
    ("ack", "ack (from the intended send time, corrected)"),
    ("e2e", "e2e (from the intended send time to receipt, corrected)"),
    ("lag", "lag (the generator's own lateness)"),
];

/// What they are where records are only read.
const READ: [(&str, &str); 1] = [("service", "fetch (from asking to its answer, wait included)")];

/// What they are where connections and group members come and go.
const CHURNED: [(&str, &str); 4] = [
    ("service", "visit (from connecting to the last answer)"),
    ("ack", "visit, from when it was due, corrected"),
    ("e2e", "join (a member, from asking to its assignment)"),
    ("lag", "lag (the generator's own lateness)"),
];

/// What they are where transactions run.
const TRANSACTED: [(&str, &str); 2] = [
    ("service", "commit (EndTxn, from asking to its answer)"),
    ("ack", "transaction (from its first batch to the answer to its end)"),
];

/// Whether transactions ran.
pub(super) fn is_transacting(phase: &PhaseOutcome) -> bool {
    phase.committed + phase.aborted > 0
}

/// Whether connections or group members came and went, rather than records.
pub(super) fn is_churn(phase: &PhaseOutcome) -> bool {
    phase.churned > 0 || phase.rejoined > 0
}

/// The histograms of a phase with what they are.
fn rows(phase: &PhaseOutcome) -> &'static [(&'static str, &'static str)] {
    if is_transacting(phase) {
        &TRANSACTED
    } else if is_churn(phase) {
        &CHURNED
    } else if phase.sent.records == 0 && phase.received.records > 0 {
        &READ
    } else {
        &SENT
    }
}

/// What a whole run came to.
#[must_use]
pub fn summary(outcome: &Outcome) -> String {
    let mut text = String::new();
    for phase in &outcome.phases {
        text.push_str(&phase_text(phase));
    }
    if let Some(verification) = &outcome.verification {
        verification_text(&mut text, verification);
    }
    for gate in &outcome.gates {
        let verdict = if gate.holds { "holds " } else { "BROKEN" };
        let place = if gate.phase.is_empty() { String::new() } else { format!(" in {}", gate.phase) };
        let _ = writeln!(text, "gate {verdict} {}{place}: {}", gate.gate, gate.found);
    }
    text
}

/// What one phase came to.
#[must_use]
pub fn phase_text(phase: &PhaseOutcome) -> String {
    let mut text = String::new();
    let aside = if phase.judged { "" } else { " (not judged)" };
    let warmup = if phase.steady { "" } else { ", when it still changed" };
    let _ = writeln!(
        text,
        "\n{}{aside}: measured {:.1} s, after {:.1} s of warm-up{warmup}",
        phase.name, phase.seconds, phase.warmup_seconds
    );
    flow_lines(&mut text, phase);
    latency_lines(&mut text, phase);
    let _ = writeln!(
        text,
        "  generator      {:.0} % of a processor (busiest thread)",
        phase.generator_cpu_share * 100.0
    );
    if let Some(broker) = &phase.broker {
        let _ = writeln!(
            text,
            "  broker         {:.0} % CPU, {:.3} CPU s/GB, RSS {}, {} flushes, {} written to disk",
            broker.cpu_share * 100.0,
            broker.cpu_seconds_per_gb,
            bytes(broker.rss_bytes as f64),
            count(broker.flushes),
            bytes(broker.disk_bytes as f64)
        );
    }
    stage_lines(&mut text, phase);
    failure_lines(&mut text, phase);
    if let Some(why) = &phase.saturated {
        let _ = writeln!(text, "  VOID           generator saturated: {why}");
    }
    text
}

fn flow_lines(text: &mut String, phase: &PhaseOutcome) {
    if is_churn(phase) {
        let _ =
            writeln!(text, "  connections    {} came and went, {:.0}/s", count(phase.churned), phase.rate);
        if phase.rejoined > 0 {
            let _ =
                writeln!(text, "  groups         {} times a member joined or joined again", phase.rejoined);
        }
    }
    if is_transacting(phase) {
        let _ = writeln!(
            text,
            "  transactions   {}/s, {} committed, {} aborted",
            count(phase.rate as u64),
            count(phase.committed),
            count(phase.aborted)
        );
    }
    if phase.sent.records > 0 {
        let target = phase.target_rate.map_or_else(String::new, |rate| format!(" of {rate:.0} due"));
        let per_request = phase.acked.records as f64 / phase.acked.requests.max(1) as f64;
        let _ = writeln!(
            text,
            "  acknowledged   {} records/s{target}, {}/s, {} records in {} batches ({per_request:.1} each)",
            count((phase.acked.records as f64 / phase.seconds.max(1e-9)) as u64),
            bytes(phase.bytes_per_second),
            count(phase.acked.records),
            count(phase.acked.requests)
        );
    }
    if phase.received.records > 0 {
        let seconds = phase.seconds.max(1e-9);
        let _ = writeln!(
            text,
            "  received       {} records/s, {}/s, {} records in {} fetches",
            count((phase.received.records as f64 / seconds) as u64),
            bytes(phase.received.bytes as f64 / seconds),
            count(phase.received.records),
            count(phase.received.requests)
        );
    }
}

fn latency_lines(text: &mut String, phase: &PhaseOutcome) {
    let shown: Vec<_> =
        rows(phase).iter().filter_map(|(name, about)| Some((*about, phase.latencies.get(*name)?))).collect();
    if shown.is_empty() {
        return;
    }
    let width = 56;
    let _ = writeln!(
        text,
        "  {:<width$} {:>11} {:>11} {:>11} {:>11} {:>11}",
        "latency", "p50", "p99", "p99.9", "p99.99", "max"
    );
    for (about, latency) in shown {
        let values = [latency.p50_ns, latency.p99_ns, latency.p999_ns, latency.p9999_ns, latency.max_ns];
        let cells: Vec<String> = values.iter().map(|value| format!("{:>11}", ms(*value as f64))).collect();
        let _ = writeln!(text, "  {about:<width$} {}", cells.join(" "));
    }
}

/// A stage with less of a request's time than one part in so many isn't worth a place in a line.
const WORTH_TELLING: u64 = 50;

/// Where a broker's own time goes, on average, for each kind of request.
fn stage_lines(text: &mut String, phase: &PhaseOutcome) {
    for whole in phase.stages.iter().filter(|stage| stage.stage == "total") {
        let mean = |sum_ns: u64| ms(sum_ns as f64 / whole.count.max(1) as f64);
        let parts: Vec<String> = phase
            .stages
            .iter()
            .filter(|part| part.api == whole.api && part.stage != "total")
            .filter(|part| part.sum_ns.saturating_mul(WORTH_TELLING) >= whole.sum_ns)
            .map(|part| format!("{} {}", part.stage, mean(part.sum_ns)))
            .collect();
        let label = format!("in the broker, {}", whole.api);
        let _ = writeln!(text, "  {label:<22} {} on average: {}", mean(whole.sum_ns), parts.join(", "));
    }
}

fn failure_lines(text: &mut String, phase: &PhaseOutcome) {
    let errors: Vec<String> = phase.errors.iter().map(|(name, times)| format!("{name} {times}")).collect();
    if !errors.is_empty() {
        let _ = writeln!(text, "  error answers  {}", errors.join(", "));
    }
    for (what, number) in [
        ("batches sent again", phase.retries),
        ("batches known already", phase.known_already),
        ("connections lost", phase.disconnects),
        ("records given up", phase.given_up),
        ("ms of throttling", phase.throttled_ms),
    ] {
        if number > 0 {
            let _ = writeln!(text, "  {what:<14} {}", count(number));
        }
    }
}

fn verification_text(text: &mut String, found: &Verification) {
    if let Some(why) = &found.failed {
        let _ = writeln!(text, "\nverification   failed: {why}");
        return;
    }
    let verdict = if found.good { "the broker kept its word" } else { "THE BROKER BROKE ITS WORD" };
    let _ = writeln!(
        text,
        "\nverification   {verdict}: {} acknowledged, {} read back; {} lost, {} duplicates, {} out of order, \
         {} damaged",
        count(found.acknowledged),
        count(found.received),
        count(found.lost),
        count(found.duplicates),
        count(found.reordered),
        count(found.corrupt)
    );
    if found.unacknowledged > 0 {
        let _ = writeln!(
            text,
            "  {} records are there that were never acknowledged, which is allowed",
            count(found.unacknowledged)
        );
    }
    for example in &found.examples {
        let _ = writeln!(text, "  {example}");
    }
}
