//! What must hold of a run: `p99<5ms`, `e2e.p99.9<50ms`, `rate>100k`, `loss=0`. Pure.

mod junit;

pub(crate) use junit::escape;
pub use junit::junit;

use crate::load::job::{parse_bytes, parse_count, parse_duration};
use crate::load::report::{LATENCIES, PhaseOutcome, Verification};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
enum Metric {
    /// A value of a latency histogram: its name, and the value's.
    Latency(&'static str, Value),
    Rate,
    BytesRate,
    Errors,
    Retries,
    CpuPerGb,
    Rss,
    Loss,
    Duplicates,
    Reordered,
    Corrupt,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Quantile(f64),
    Mean,
    Max,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    text: String,
    metric: Metric,
    op: Op,
    value: f64,
}

/// Whether a gate held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The gate.
    pub gate: String,
    /// The phase that it was held against; empty for the whole run.
    pub phase: String,
    /// Whether it held.
    pub holds: bool,
    /// What was found, in words.
    pub found: String,
}

/// What may stand before the sign, for messages.
const FORMS: &str = "[service.|ack.|e2e.|lag.]p50…p99.99|mean|max, rate, throughput, errors, retries, \
                     cpu (seconds per GB), rss, loss, duplicates, reordered or corrupt; \
                     then <, <=, >, >= or =; then a value";

impl Gate {
    /// Reads a gate.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Gate, String> {
        let wrong = |why: &str| format!("gate {text:?}: {why}; write {FORMS}, e.g. p99<5ms or loss=0");
        let at = text.find(['<', '>', '=']).ok_or_else(|| wrong("it has no <, > or ="))?;
        let (name, rest) = text.split_at(at);
        let (op, value) = [
            ("<=", Op::AtMost),
            (">=", Op::AtLeast),
            ("==", Op::Equal),
            ("<", Op::Less),
            (">", Op::More),
            ("=", Op::Equal),
        ]
        .into_iter()
        .find_map(|(sign, op)| Some((op, rest.strip_prefix(sign)?)))
        .ok_or_else(|| wrong("it has no sign"))?;
        let metric = metric(name.trim()).ok_or_else(|| wrong("what it looks at is unknown"))?;
        let value = value_of(&metric, value.trim()).map_err(|why| wrong(&why))?;
        Ok(Gate { text: text.to_owned(), metric, op, value })
    }

    /// Reads several.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Gate>, Vec<String>> {
        let (mut gates, mut problems) = (Vec::new(), Vec::new());
        for text in texts {
            match Gate::parse(text) {
                Ok(gate) => gates.push(gate),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(gates) } else { Err(problems) }
    }

    /// Whether it looks at what verification found rather than at a phase.
    #[must_use]
    pub fn is_of_verification(&self) -> bool {
        matches!(self.metric, Metric::Loss | Metric::Duplicates | Metric::Reordered | Metric::Corrupt)
    }

    /// Holds it against a phase.
    #[must_use]
    pub fn judge(&self, phase: &PhaseOutcome) -> Judged {
        let found = match &self.metric {
            Metric::Latency(name, value) => latency(phase, name, *value),
            Metric::Rate => Some(phase.rate),
            Metric::BytesRate => Some(phase.bytes_per_second),
            Metric::Errors => Some(phase.failures as f64),
            Metric::Retries => Some(phase.retries as f64),
            Metric::CpuPerGb => phase.broker.as_ref().map(|broker| broker.cpu_seconds_per_gb),
            Metric::Rss => phase.broker.as_ref().map(|broker| broker.rss_bytes as f64),
            _ => None,
        };
        self.verdict(&phase.name, found)
    }

    /// Holds it against what verification found; nothing, if there was none.
    #[must_use]
    pub fn judge_verification(&self, verification: Option<&Verification>) -> Judged {
        let found = verification.map(|found| match self.metric {
            Metric::Loss => found.lost,
            Metric::Duplicates => found.duplicates,
            Metric::Reordered => found.reordered,
            _ => found.corrupt,
        });
        self.verdict("", found.map(|count| count as f64))
    }

    fn verdict(&self, phase: &str, found: Option<f64>) -> Judged {
        let holds = found.is_some_and(|found| match self.op {
            Op::Less => found < self.value,
            Op::AtMost => found <= self.value,
            Op::More => found > self.value,
            Op::AtLeast => found >= self.value,
            Op::Equal => (found - self.value).abs() < f64::EPSILON,
        });
        let found = found.map_or_else(|| "nothing was measured".to_owned(), |found| self.shown(found));
        Judged { gate: self.text.clone(), phase: phase.to_owned(), holds, found }
    }

    fn shown(&self, value: f64) -> String {
        match self.metric {
            Metric::Latency(..) => format!("{:.3} ms", value / 1e6),
            Metric::Rate => format!("{value:.0} records/s"),
            Metric::BytesRate => format!("{:.1} MB/s", value / 1e6),
            Metric::CpuPerGb => format!("{value:.3} s/GB"),
            Metric::Rss => format!("{:.1} MB", value / 1e6),
            _ => format!("{value:.0}"),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn metric(name: &str) -> Option<Metric> {
    Some(match name {
        "rate" => Metric::Rate,
        "throughput" => Metric::BytesRate,
        "errors" => Metric::Errors,
        "retries" => Metric::Retries,
        "cpu" => Metric::CpuPerGb,
        "rss" => Metric::Rss,
        "loss" => Metric::Loss,
        "duplicates" => Metric::Duplicates,
        "reordered" => Metric::Reordered,
        "corrupt" => Metric::Corrupt,
        _ => {
            let of = |name: &str| LATENCIES.iter().find(|known| **known == name).copied();
            // `p99.9` has a point of its own.
            let (hist, value) = match name.split_once('.') {
                Some((hist, value)) if of(hist).is_some() => (of(hist)?, value),
                _ => ("ack", name),
            };
            let value = match value {
                "mean" => Value::Mean,
                "max" => Value::Max,
                _ => {
                    let percent: f64 = value.strip_prefix('p')?.parse().ok()?;
                    (0.0..=100.0).contains(&percent).then_some(Value::Quantile(percent / 100.0))?
                }
            };
            Metric::Latency(hist, value)
        }
    })
}

fn value_of(metric: &Metric, text: &str) -> Result<f64, String> {
    match metric {
        Metric::Latency(..) => parse_duration(text).map(|value| value.as_nanos() as f64),
        Metric::BytesRate => parse_bytes(text.trim_end_matches("/s")).map(|bytes| bytes as f64),
        Metric::Rss => parse_bytes(text).map(|bytes| bytes as f64),
        _ => parse_count(text.trim_end_matches("/s")),
    }
}

/// Consumers without producers have no acknowledgements: what they measure is the fetch.
fn latency(phase: &PhaseOutcome, name: &str, value: Value) -> Option<f64> {
    let found = phase.latency(name)?;
    Some(match value {
        Value::Mean => found.mean_ns,
        Value::Max => found.max_ns as f64,
        Value::Quantile(quantile) => found.at(quantile),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::new_hist;
    use crate::load::report::Latency;

    fn phase() -> PhaseOutcome {
        let mut hist = new_hist();
        (1..=1000_u64).for_each(|n| hist.saturating_record(n * 10_000));
        let mut phase =
            PhaseOutcome { name: "p".to_owned(), rate: 5000.0, failures: 2, ..PhaseOutcome::default() };
        phase.latencies.insert("ack".to_owned(), Latency::of(&hist));
        phase
    }

    #[test]
    fn gates_hold_or_dont() {
        for (text, holds) in [
            ("p99<10ms", true),
            ("p99<9ms", false),
            ("ack.p99.9<=10.5ms", true),
            ("max<9ms", false),
            ("mean<6ms", true),
            ("rate>4k", true),
            ("rate>=5001", false),
            ("errors=0", false),
            ("errors<=2", true),
            ("e2e.p99<1s", false),
            ("cpu<1", false),
        ] {
            let judged = Gate::parse(text).unwrap().judge(&phase());
            assert_eq!(judged.holds, holds, "{text}: {judged:?}");
        }
    }

    #[test]
    fn what_wasnt_measured_doesnt_hold() {
        let gate = Gate::parse("loss=0").unwrap();
        assert!(gate.is_of_verification() && !gate.judge_verification(None).holds);
        let lost = Verification { lost: 3, ..Verification::default() };
        assert!(!gate.judge_verification(Some(&lost)).holds);
        assert!(gate.judge_verification(Some(&Verification::default())).holds);
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, part) in
            [("p99", "no <"), ("speed>3", "unknown"), ("p99<5", "unit of time"), ("p101<1ms", "unknown")]
        {
            let told = Gate::parse(text).unwrap_err();
            assert!(told.contains(part) && told.contains("p99<5ms"), "{told}");
        }
    }
}
