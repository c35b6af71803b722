//! Everything that is known of a run, as it is written to JSON and read back.

use super::latency::Latency;
use crate::load::client::{About, code_name};
use crate::load::engine::PhaseRun;
use crate::load::gate::Judged;
use crate::load::job::Phase;
use crate::load::measure::{Flow, Pace, Part, Row, saturation};
use crate::load::observe::{Machine, STAGE_NAMES, Spent, Stages, Watched};
use crate::load::verify::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// All is well.
    #[default]
    Good = 0,
    /// It couldn't run.
    Failed = 1,
    /// It was told wrongly.
    Usage = 2,
    /// A gate doesn't hold.
    Gate = 3,
    /// The broker broke its word.
    Broken = 4,
    /// The generator was the limit: the figures say little of the broker.
    Saturated = 5,
    /// Somebody ended it.
    Interrupted = 130,
}

/// The machine of the generator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of observe::Machine")]
pub struct Host {
    pub host: String,
    pub processor: String,
    pub processors: String,
    pub governor: String,
    pub kernel: String,
    pub memory_bytes: u64,
    pub load: String,
}

/// What the cluster says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of client::About")]
pub struct Cluster {
    pub id: String,
    pub brokers: BTreeMap<String, String>,
    pub versions: Vec<(i16, i16, i16)>,
    pub config: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// Records, bytes of their values, and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of measure::Flow")]
pub struct Flowed {
    pub records: u64,
    pub bytes: u64,
    pub requests: u64,
}

/// What was seen of the brokers while it was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Broker {
    /// CPU time.
    pub cpu_seconds: f64,
    /// CPU time per GB of values, acknowledged and received.
    pub cpu_seconds_per_gb: f64,
    /// CPU time per second.
    pub cpu_share: f64,
    /// The most memory.
    pub rss_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Flushes of the disk.
    pub flushes: u64,
    /// Writes to the disk.
    pub disk_writes: u64,
    /// Bytes written to the disk.
    pub disk_bytes: u64,
}

/// What one stage of one kind of request took, by the broker's own clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOutcome {
    /// The kind of request: produce or fetch.
    pub api: String,
    /// The stage's name; `total` is the whole way.
    pub stage: String,
    /// Requests that were timed and passed it.
    pub count: u64,
    /// Their time in it, together.
    pub sum_ns: u64,
    /// An estimate: the broker tells powers of two.
    pub p50_ns: u64,
    /// An estimate, too.
    pub p99_ns: u64,
}

/// One interval.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it; units are in them")]
pub struct Moment {
    pub start: f64,
    pub seconds: f64,
    /// warmup, measured or drain.
    pub part: String,
    pub acked: Flowed,
    pub received: Flowed,
    pub failures: u64,
    pub churned: u64,
    #[serde(default)]
    pub transactions: u64,
    pub service_p50_ns: u64,
    pub service_p99_ns: u64,
    pub ack_p50_ns: u64,
    pub ack_p99_ns: u64,
    pub ack_p999_ns: u64,
    pub ack_max_ns: u64,
    pub e2e_p50_ns: u64,
    pub e2e_p99_ns: u64,
    pub e2e_max_ns: u64,
    pub lag_p99_ns: u64,
    pub generator_cpu_share: f64,
    /// Row of the heat map and records in it.
    pub heat: Vec<(u16, u32)>,
    pub broker_cpu_seconds: Option<f64>,
    pub broker_rss_bytes: Option<u64>,
    pub flushes: Option<u64>,
    pub disk_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageOutcome>,
}

/// What came of one phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PhaseOutcome {
    /// Its name.
    pub name: String,
    /// Whether its figures are those of the job.
    pub judged: bool,
    /// Keys that were set, with their values.
    pub settings: BTreeMap<String, String>,
    /// How long the warm-up took.
    pub warmup_seconds: f64,
    /// Whether the warm-up ended because nothing changed any more.
    pub steady: bool,
    /// How long was measured.
    pub seconds: f64,
    /// Records a second: acknowledged ones, or received ones where nothing is sent, or visits of churn, or
    /// transactions.
    pub rate: f64,
    /// Bytes of their values a second.
    pub bytes_per_second: f64,
    /// Records a second that were due, on average; none for a closed loop.
    pub target_rate: Option<f64>,
    /// Sent.
    pub sent: Flowed,
    /// Acknowledged.
    pub acked: Flowed,
    /// Bytes of acknowledged batches on the wire.
    pub acked_wire_bytes: u64,
    /// Received.
    pub received: Flowed,
    /// Error answers by name.
    pub errors: BTreeMap<String, u64>,
    /// Errors, lost connections and records given up, together.
    pub failures: u64,
    /// Batches that were sent again.
    pub retries: u64,
    /// Connections that were lost or couldn't be made.
    pub disconnects: u64,
    /// Records that were given up.
    pub given_up: u64,
    /// Batches that the broker knew already.
    pub known_already: u64,
    /// Connections that came and went.
    pub churned: u64,
    /// Transactions that were committed.
    #[serde(default)]
    pub committed: u64,
    /// Transactions that were aborted, as they should be.
    #[serde(default)]
    pub aborted: u64,
    /// Times that a group member has joined again.
    pub rejoined: u64,
    /// For how many ms brokers wanted to be left alone.
    pub throttled_ms: u64,
    /// The part of its time that the generator's busiest thread used.
    pub generator_cpu_share: f64,
    /// Why the generator was the limit, if it was.
    pub saturated: Option<String>,
    /// Histograms by name.
    pub latencies: BTreeMap<String, Latency>,
    /// What was seen of the brokers.
    pub broker: Option<Broker>,
    /// Where the brokers' time went, as far as they tell: `--broker-metrics`.
    #[serde(default)]
    pub stages: Vec<StageOutcome>,
    /// The intervals.
    pub moments: Vec<Moment>,
}

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of verify::Verdict")]
pub struct Verification {
    pub good: bool,
    pub acknowledged: u64,
    pub received: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub reordered: u64,
    pub corrupt: u64,
    pub unacknowledged: u64,
    pub foreign: u64,
    pub examples: Vec<String>,
    /// Why it couldn't be done, if it couldn't.
    pub failed: Option<String>,
}

/// A whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Version of this form.
    pub format: u32,
    /// The program and its version.
    pub tool: String,
    /// When it began, UTC.
    pub started: String,
    /// What its user calls it.
    pub label: String,
    /// The job's name.
    pub job: String,
    /// What the job measures.
    pub about: String,
    /// The command line.
    pub command: Vec<String>,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// The generator's machine.
    pub host: Host,
    /// The cluster.
    pub cluster: Cluster,
    /// The phases.
    pub phases: Vec<PhaseOutcome>,
    /// What verification found, if there was any.
    pub verification: Option<Verification>,
    /// The gates.
    pub gates: Vec<Judged>,
    /// How it ended.
    pub exit: Exit,
}

/// Why a file is no outcome.
#[derive(Debug)]
pub struct OutcomeError(String);

impl fmt::Display for OutcomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OutcomeError {}

/// The version of the form that is written here.
const FORMAT: u32 = 1;

impl Outcome {
    /// An outcome of nothing yet.
    #[must_use]
    pub fn new(job: &str, about: &str, command: &[String]) -> Self {
        Outcome {
            format: FORMAT,
            tool: format!("ringlog-load {}", env!("CARGO_PKG_VERSION")),
            job: job.to_owned(),
            about: about.to_owned(),
            command: command.to_vec(),
            host: Machine::look().into(),
            ..Outcome::default()
        }
    }

    /// Phases whose figures count.
    pub fn judged(&self) -> impl Iterator<Item = &PhaseOutcome> {
        self.phases.iter().filter(|phase| phase.judged)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// From a JSON file.
    ///
    /// # Errors
    /// It isn't there, or isn't one.
    #[expect(clippy::disallowed_methods, reason = "files are read before a run, by no shard")]
    pub fn read(path: &str) -> Result<Outcome, OutcomeError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            OutcomeError(format!("{path}: {error}; give a JSON file that --out has written"))
        })?;
        let outcome: Outcome = serde_json::from_str(&text).map_err(|error| {
            OutcomeError(format!(
                "{path} isn't a result of ringlog-load: {error}; give a JSON file that --out has written"
            ))
        })?;
        match outcome.format {
            FORMAT => Ok(outcome),
            other => Err(OutcomeError(format!("{path} has format {other}, this program reads {FORMAT}"))),
        }
    }
}

impl PhaseOutcome {
    /// A histogram by its name; consumers alone measure their fetches, so that is what stands for an acknowledgement.
    #[must_use]
    pub fn latency(&self, name: &str) -> Option<&Latency> {
        let found = self.latencies.get(name);
        if name == "ack" { found.or_else(|| self.latencies.get("service")) } else { found }
    }

    /// What a phase came to.
    #[must_use]
    pub fn of(input: &PhaseInput<'_>) -> Self {
        let PhaseInput { phase, run } = *input;
        let (load, totals, seconds) = (&phase.load, &run.totals, run.totals.seconds.max(1e-9));
        let counts = &totals.counts;
        let watched = watched(run);
        let main = if load.produces() { counts.acked } else { counts.received };
        let visits = match (load.churn, load.transact) {
            (true, _) => counts.churned,
            (_, true) => counts.committed + counts.aborted,
            _ => main.records,
        };
        let hists = totals.measures.hists();
        let latencies = hists.iter().filter(|(_, hist)| !hist.is_empty());
        let latencies: BTreeMap<String, Latency> =
            latencies.map(|(name, hist)| ((*name).to_owned(), Latency::of(hist))).collect();
        let value = |name: &str| latencies.get(name).map_or(0, |latency| latency.p99_ns);
        let latency_p99 = value("ack").max(value("e2e")).max(value("service"));
        let pace = Pace {
            open_loop: load.rate.is_open() && load.produces() || load.churn,
            cpu_share: totals.cpu_share,
            spins: !load.spin.is_zero(),
            lag_p99_ns: value("lag"),
            latency_p99_ns: latency_p99,
            lag_max: load.lag_max,
        };
        PhaseOutcome {
            name: phase.name.clone(),
            judged: phase.judged,
            settings: phase
                .settings
                .set_values()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            warmup_seconds: run.warmup_seconds,
            steady: run.steady,
            seconds: totals.seconds,
            rate: visits as f64 / seconds,
            bytes_per_second: main.bytes as f64 / seconds,
            target_rate: load.rate.mean(load.duration).filter(|_| load.produces()),
            sent: counts.sent.into(),
            acked: counts.acked.into(),
            acked_wire_bytes: counts.acked_wire_bytes,
            received: counts.received.into(),
            errors: counts.errors.iter().map(|(code, count)| (code_name(*code), *count)).collect(),
            failures: counts.failures() + totals.drained.failures(),
            retries: counts.retries,
            disconnects: counts.disconnects + totals.drained.disconnects,
            given_up: counts.given_up + totals.drained.given_up,
            known_already: counts.known_already,
            churned: counts.churned,
            committed: counts.committed,
            aborted: counts.aborted,
            rejoined: counts.rejoined,
            throttled_ms: counts.throttled_ms,
            generator_cpu_share: totals.cpu_share,
            saturated: saturation(&pace),
            broker: watched.as_ref().filter(|_| !load.pids.is_empty() || !load.disk.is_empty()).map(
                |watched| {
                    broker(watched, totals.seconds, (counts.acked.bytes + counts.received.bytes) as f64)
                },
            ),
            stages: watched.map(|watched| stages(&watched.stages)).unwrap_or_default(),
            moments: run.rows.iter().map(Moment::from).collect(),
            latencies,
        }
    }
}

/// A phase and what its run brought.
#[derive(Clone, Copy)]
pub struct PhaseInput<'a> {
    /// What it was told.
    pub phase: &'a Phase,
    /// What came of it.
    pub run: &'a PhaseRun,
}

/// What was seen of the brokers while it was measured.
fn watched(run: &PhaseRun) -> Option<Watched> {
    let mut sum: Option<Watched> = None;
    for row in run.rows.iter().filter(|row| row.part == Part::Measured) {
        if let Some(watched) = &row.watched {
            sum.get_or_insert_with(Watched::default).merge(watched);
        }
    }
    sum
}

fn broker(sum: &Watched, seconds: f64, bytes: f64) -> Broker {
    Broker {
        cpu_seconds: sum.cpu_seconds,
        cpu_seconds_per_gb: if bytes > 0.0 { sum.cpu_seconds / (bytes / 1e9) } else { 0.0 },
        cpu_share: sum.cpu_seconds / seconds.max(1e-9),
        rss_bytes: sum.rss_bytes,
        threads: sum.threads,
        flushes: sum.flushes,
        disk_writes: sum.disk_writes,
        disk_bytes: sum.disk_bytes,
    }
}

fn stages(stages: &Stages) -> Vec<StageOutcome> {
    let told = |((api, stage), spent): (&(String, usize), &Spent)| StageOutcome {
        api: api.clone(),
        stage: STAGE_NAMES[*stage].to_owned(),
        count: spent.count,
        sum_ns: spent.sum_ns,
        p50_ns: spent.quantile(0.5),
        p99_ns: spent.quantile(0.99),
    };
    stages.iter().map(told).collect()
}

impl From<Flow> for Flowed {
    fn from(flow: Flow) -> Self {
        Flowed { records: flow.records, bytes: flow.bytes, requests: flow.requests }
    }
}

impl From<Machine> for Host {
    fn from(machine: Machine) -> Self {
        Host {
            host: machine.host,
            processor: machine.processor,
            processors: machine.processors,
            governor: machine.governor,
            kernel: machine.kernel,
            memory_bytes: machine.memory_bytes,
            load: machine.load,
        }
    }
}

impl From<&About> for Cluster {
    fn from(about: &About) -> Self {
        Cluster {
            id: about.cluster_id.clone(),
            brokers: about.brokers.iter().map(|(id, address)| (id.to_string(), address.clone())).collect(),
            versions: about.versions.clone(),
            config: about.config.clone(),
            notes: about.notes.clone(),
        }
    }
}

impl From<Verdict> for Verification {
    fn from(verdict: Verdict) -> Self {
        Verification {
            good: verdict.is_good(),
            acknowledged: verdict.acknowledged,
            received: verdict.received,
            lost: verdict.lost,
            duplicates: verdict.duplicates,
            reordered: verdict.reordered,
            corrupt: verdict.corrupt,
            unacknowledged: verdict.unacknowledged,
            foreign: verdict.foreign,
            examples: verdict.examples,
            failed: None,
        }
    }
}

impl From<&Row> for Moment {
    fn from(row: &Row) -> Self {
        let watched = row.watched.as_ref();
        let part = match row.part {
            Part::Warmup => "warmup",
            Part::Measured => "measured",
            Part::Drain => "drain",
        };
        let heat = row.heat.iter().zip(0..).filter(|(count, _)| **count > 0).map(|(count, at)| (at, *count));
        Moment {
            start: row.start,
            seconds: row.seconds,
            part: part.to_owned(),
            acked: row.counts.acked.into(),
            received: row.counts.received.into(),
            failures: row.counts.failures(),
            churned: row.counts.churned,
            transactions: row.counts.committed + row.counts.aborted,
            service_p50_ns: row.service.p50,
            service_p99_ns: row.service.p99,
            ack_p50_ns: row.ack.p50,
            ack_p99_ns: row.ack.p99,
            ack_p999_ns: row.ack.p999,
            ack_max_ns: row.ack.max,
            e2e_p50_ns: row.e2e.p50,
            e2e_p99_ns: row.e2e.p99,
            e2e_max_ns: row.e2e.max,
            lag_p99_ns: row.lag.p99,
            generator_cpu_share: row.cpu_share,
            heat: heat.collect(),
            broker_cpu_seconds: watched.map(|watched| watched.cpu_seconds),
            broker_rss_bytes: watched.map(|watched| watched.rss_bytes),
            flushes: watched.map(|watched| watched.flushes),
            disk_bytes: watched.map(|watched| watched.disk_bytes),
            stages: watched.map(|watched| stages(&watched.stages)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_its_json() {
        let mut outcome = Outcome::new("job", "about", &["ringlog-load".to_owned()]);
        outcome.phases.push(PhaseOutcome {
            name: "p".to_owned(),
            judged: true,
            rate: 12.5,
            ..PhaseOutcome::default()
        });
        outcome.verification = Some(Verification { lost: 3, ..Verification::default() });
        outcome.exit = Exit::Broken;
        let back: Outcome = serde_json::from_str(&outcome.json()).unwrap();
        assert_eq!((back.exit, back.judged().count(), back.phases[0].rate), (Exit::Broken, 1, 12.5));
        assert_eq!(back.verification.unwrap().lost, 3);
        assert!(!back.host.kernel.is_empty());
    }
}
