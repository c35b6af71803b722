//! The few figures that people look for first, at the top of a phase on the page of a run.

use super::outcome::{Exit, Outcome, PhaseOutcome};
use super::summary::{is_churn, is_transacting};
use super::units::{bytes, count, ms};
use crate::load::gate::escape;
use std::fmt::Write as _;

/// How a run ended, in words; nothing where there is nothing to say.
pub(super) fn verdict(outcome: &Outcome) -> String {
    let (class, words) = match outcome.exit {
        Exit::Good => ("good", "all is well"),
        Exit::Gate => ("bad", "a gate doesn't hold"),
        Exit::Broken => ("bad", "the broker broke its word"),
        Exit::Saturated => ("bad", "void: the generator was saturated"),
        Exit::Failed => ("bad", "nothing was measured"),
        Exit::Interrupted => ("bad", "interrupted"),
        Exit::Usage => return String::new(),
    };
    format!("<p class=\"verdict {class}\">{words}</p>")
}

/// The cards of a phase.
pub(super) fn cards(phase: &PhaseOutcome) -> String {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut card = |value: String, what: &str| all.push((value, what.to_owned()));
    let per_second = |records: u64| format!("{}/s", count((records as f64 / phase.seconds.max(1e-9)) as u64));
    if phase.acked.records > 0 {
        card(per_second(phase.acked.records), "records acknowledged");
        card(format!("{}/s", bytes(phase.acked.bytes as f64 / phase.seconds.max(1e-9))), "acknowledged");
    } else if phase.received.records > 0 {
        card(per_second(phase.received.records), "records received");
        card(format!("{}/s", bytes(phase.received.bytes as f64 / phase.seconds.max(1e-9))), "received");
    }
    if phase.churned > 0 {
        card(per_second(phase.churned), "connections");
    }
    if is_transacting(phase) {
        card(per_second(phase.committed + phase.aborted), "transactions");
    }
    let names = match (is_transacting(phase), is_churn(phase)) {
        (true, _) => [("ack", "transaction"), ("service", "commit")],
        (_, true) => [("ack", "visit"), ("e2e", "join")],
        _ => [("ack", "ack"), ("e2e", "e2e")],
    };
    for (name, shown) in names {
        let Some(latency) = phase.latencies.get(name) else { continue };
        for (ns, what) in [(latency.p50_ns, "p50"), (latency.p99_ns, "p99"), (latency.p999_ns, "p99.9")] {
            card(ms(ns as f64), &format!("{shown} {what}"));
        }
    }
    if let Some(broker) = &phase.broker {
        card(format!("{:.0} %", broker.cpu_share * 100.0), "broker's CPU");
        card(bytes(broker.rss_bytes as f64), "broker's RSS");
    }
    if phase.failures > 0 {
        card(count(phase.failures), "failures");
    }
    let mut html = String::from("<div class=\"cards\">");
    for (value, what) in all {
        let _ = write!(html, "<div><b>{}</b>{}</div>", escape(&value), escape(&what));
    }
    html + "</div>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::new_hist;
    use crate::load::report::{Flowed, Latency};

    #[test]
    fn cards_have_what_was_measured_and_no_more() {
        let mut hist = new_hist();
        hist.saturating_record(2_000_000);
        let mut phase = PhaseOutcome { seconds: 2.0, ..PhaseOutcome::default() };
        phase.acked = Flowed { records: 5000, bytes: 5_000_000, requests: 1 };
        phase.latencies.insert("ack".to_owned(), Latency::of(&hist));
        let html = cards(&phase);
        for part in ["<b>2,500/s</b>records acknowledged", "<b>2.5 MB/s</b>", "<b>2.00 ms</b>ack p99.9"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("e2e") && !html.contains("CPU") && !html.contains("failures"), "{html}");
    }

    #[test]
    fn a_verdict_is_told() {
        let told = |exit| verdict(&Outcome { exit, ..Outcome::default() });
        assert!(told(Exit::Good).contains("good") && told(Exit::Broken).contains("broke its word"));
    }
}
