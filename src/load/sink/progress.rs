//! A line per interval while a phase runs.

use crate::load::engine::Sink;
use crate::load::measure::{Measures, Part, Row};
use crate::load::report::{bytes, count, ms};
use std::io::Write as _;

/// Writes progress to the standard error output.
pub struct Progress {
    failures: u64,
}

impl Progress {
    /// For a phase; tells its name.
    #[must_use]
    pub fn new(phase: &str, about: &str) -> Self {
        let _ = writeln!(std::io::stderr(), "{phase}: {about}");
        Progress { failures: 0 }
    }
}

impl Sink for Progress {
    fn take(&mut self, row: &Row, _: &Measures) {
        self.failures += row.counts.failures();
        let _ = writeln!(std::io::stderr(), "{}", line(row, self.failures));
    }
}

fn line(row: &Row, failures: u64) -> String {
    let part = match row.part {
        Part::Warmup => "warm-up",
        Part::Measured => "measure",
        Part::Drain => "finish ",
    };
    let seconds = row.seconds.max(1e-9);
    let mut cells = vec![format!("{:7.1}s {part}", row.start + row.seconds)];
    let rate = |records: u64| count((records as f64 / seconds) as u64);
    let (acked, received) = (&row.counts.acked, &row.counts.received);
    if row.counts.churned > 0 {
        cells.push(format!("{} connections/s", rate(row.counts.churned)));
    }
    let ended = row.counts.committed + row.counts.aborted;
    if ended > 0 {
        cells.push(format!("{} transactions/s", rate(ended)));
    }
    if acked.records > 0 || row.counts.churned == 0 && received.records == 0 {
        cells.push(format!(
            "{:>11} rec/s {:>10}/s",
            rate(acked.records),
            bytes(acked.bytes as f64 / seconds)
        ));
    }
    if received.records > 0 {
        cells.push(format!(
            "read {} rec/s {}/s",
            rate(received.records),
            bytes(received.bytes as f64 / seconds)
        ));
    }
    let churns = row.counts.churned > 0 || row.counts.rejoined > 0;
    let names = if churns { ["visit", "join"] } else { ["ack", "e2e"] };
    for (name, shown) in names.into_iter().zip([&row.ack, &row.e2e]) {
        if shown.count > 0 {
            cells.push(format!("{name} p50 {} p99 {}", ms(shown.p50 as f64), ms(shown.p99 as f64)));
        }
    }
    if row.ack.count == 0 && row.service.count > 0 {
        cells.push(format!("fetch p50 {} p99 {}", ms(row.service.p50 as f64), ms(row.service.p99 as f64)));
    }
    cells.push(format!("errors {failures}"));
    if row.lag.count > 0 && row.lag.p99 > 1_000_000 {
        cells.push(format!("lag p99 {}", ms(row.lag.p99 as f64)));
    }
    if let Some(watched) = &row.watched {
        cells.push(format!(
            "broker {:.0} % {}",
            watched.cpu_seconds / seconds * 100.0,
            bytes(watched.rss_bytes as f64)
        ));
    }
    cells.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::{Counts, Quantiles};

    #[test]
    fn a_line_tells_rate_latency_and_errors() {
        let mut counts = Counts::default();
        counts.acked.add(50_000, 51_200_000);
        let row = Row {
            part: Part::Measured,
            start: 1.0,
            seconds: 0.5,
            counts,
            service: Quantiles::default(),
            ack: Quantiles { count: 9, p50: 2_000_000, p99: 7_000_000, ..Quantiles::default() },
            e2e: Quantiles::default(),
            lag: Quantiles::default(),
            cpu_share: 0.2,
            heat: Vec::new(),
            watched: None,
        };
        let line = line(&row, 3);
        for part in ["1.5s measure", "100,000 rec/s", "102.4 MB/s", "p99 7.00 ms", "errors 3"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
