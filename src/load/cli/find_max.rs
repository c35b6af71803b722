//! `find-max`: the highest rate that keeps a goal, by bisection between a rate that does and one that doesn't.

use super::args::Invocation;
use super::runner::{self, run_quietly};
use super::{Failure, print};
use crate::load::gate::Gate;
use crate::load::job::{Job, Settings, parse_count};
use crate::load::report::{Exit, Outcome, PhaseOutcome, count, ms};
use crate::load::sink::write;
use crate::rt::Stop;
use std::fmt::Write as _;
use std::io::Write as _;

/// The goal unless told otherwise.
const GOAL: &str = "p99<10ms";

/// Bounds that are this close end the search, unless told otherwise.
const PRECISION: f64 = 0.05;

/// Steps at most, whatever the precision.
const STEPS_MAX: u32 = 16;

/// A rate is reached if this part of it was acknowledged.
const REACHED: f64 = 0.98;

/// One step of the search.
struct Step {
    rate: f64,
    why: Result<(), String>,
    outcome: Outcome,
}

/// The search, apart from what it measures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    /// A rate that keeps the goal; 0 if none is known.
    good: f64,
    /// One that doesn't.
    bad: f64,
}

impl Bounds {
    /// The next rate to try.
    fn next(self) -> f64 {
        // Far below, one factor after the other is found sooner than by halving what is between.
        if self.good > 0.0 && self.bad / self.good > 4.0 {
            (self.good * self.bad).sqrt()
        } else {
            f64::midpoint(self.good, self.bad)
        }
    }

    fn learn(&mut self, rate: f64, keeps: bool) {
        if keeps {
            self.good = self.good.max(rate);
        } else {
            self.bad = self.bad.min(rate);
        }
    }

    fn is_close(self, precision: f64) -> bool {
        self.bad - self.good <= precision * self.bad
    }
}

/// Finds it.
pub(super) fn find_max(invocation: &Invocation) -> Result<Exit, Failure> {
    let mut goals: Vec<String> = invocation.own("goal").map(str::to_owned).collect();
    if goals.is_empty() {
        goals.push(GOAL.to_owned());
    }
    let gates = Gate::parse_all(&goals).map_err(|problems| Failure::usage(&problems))?;
    let precision = share(invocation)?;
    let stop = Stop::default();
    let mut steps: Vec<Step> = Vec::new();
    let upper = match invocation.own("upper").last() {
        Some(text) => parse_count(text).map_err(|why| Failure::usage(&[format!("--upper {text}: {why}")]))?,
        None => ceiling(invocation, &stop)?,
    };
    // Twice what a closed loop reaches can't be reached by an open one.
    let mut bounds =
        Bounds { good: 0.0, bad: upper * if invocation.own("upper").next().is_some() { 1.0 } else { 2.0 } };
    let mut rate = upper;
    for _ in 0..STEPS_MAX {
        let step = measure(invocation, rate, &gates, &stop)?;
        let _ = writeln!(std::io::stderr(), "  {}", line(&step));
        bounds.learn(rate, step.why.is_ok());
        steps.push(step);
        if bounds.is_close(precision) || stop.requests() > 0 || bounds.bad < 1.0 {
            break;
        }
        rate = bounds.next();
    }
    finish(invocation, &goals, bounds, steps, &stop)
}

fn share(invocation: &Invocation) -> Result<f64, Failure> {
    let Some(text) = invocation.own("precision").last() else { return Ok(PRECISION) };
    let number = text.trim_end_matches('%').parse::<f64>().ok();
    let number = number.map(|number| if text.ends_with('%') { number / 100.0 } else { number });
    number
        .filter(|share| (0.001..=0.5).contains(share))
        .ok_or_else(|| Failure::usage(&[format!("--precision {text}: write a share between 0.1% and 50%")]))
}

fn job(invocation: &Invocation, rate: &str) -> Result<Job, Failure> {
    let mut settings: Settings = invocation.settings.clone();
    settings.set("rate", rate, "find-max");
    if !settings.is_set("allow-saturated") {
        settings.set("allow-saturated", "true", "find-max");
    }
    settings.set("quiet", "true", "find-max");
    let job = Job::single("find-max", &settings).map_err(|problems| Failure::usage(&problems))?;
    runner::gates_of(&job)?;
    Ok(job)
}

/// What a closed loop reaches.
fn ceiling(invocation: &Invocation, stop: &Stop) -> Result<f64, Failure> {
    let _ = writeln!(std::io::stderr(), "a closed loop first, for where to begin");
    let ran = run_quietly(&job(invocation, "max")?, &invocation.line, stop)?;
    let rate = ran.outcome.judged().next().map_or(0.0, |phase| phase.rate);
    let _ = writeln!(std::io::stderr(), "  it reaches {} records/s", count(rate as u64));
    if rate < 1.0 {
        return Err(Failure::run(
            &"the closed loop got nothing acknowledged; try `ringlog-load produce` to see why",
        ));
    }
    Ok(rate)
}

fn measure(invocation: &Invocation, rate: f64, gates: &[Gate], stop: &Stop) -> Result<Step, Failure> {
    let rate = rate.max(1.0).round();
    let ran = run_quietly(&job(invocation, &format!("{rate}"))?, &invocation.line, stop)?;
    let outcome = ran.outcome;
    let why = match outcome.judged().next() {
        Some(phase) => keeps(phase, gates, &outcome),
        None => Err("nothing was measured".to_owned()),
    };
    Ok(Step { rate, why, outcome })
}

/// Whether a run kept the goal; why not. The generator's own lateness is part of the corrected latencies, so a goal
/// that holds does so even if the generator was late; only where it doesn't, the generator may be the reason.
fn keeps(phase: &PhaseOutcome, gates: &[Gate], outcome: &Outcome) -> Result<(), String> {
    let kept = goal_holds(phase, gates, outcome);
    match (kept, &phase.saturated) {
        (Err(_), Some(why)) => Err(format!("generator saturated: {why}")),
        (kept, _) => kept,
    }
}

fn goal_holds(phase: &PhaseOutcome, gates: &[Gate], outcome: &Outcome) -> Result<(), String> {
    let target = phase.target_rate.unwrap_or(0.0);
    if phase.rate < REACHED * target {
        return Err(format!(
            "only {} of {} records/s were acknowledged",
            count(phase.rate as u64),
            count(target as u64)
        ));
    }
    for gate in gates {
        let judged = if gate.is_of_verification() {
            gate.judge_verification(outcome.verification.as_ref())
        } else {
            gate.judge(phase)
        };
        if !judged.holds {
            return Err(format!("{}: {}", judged.gate, judged.found));
        }
    }
    Ok(())
}

fn line(step: &Step) -> String {
    let p99 = step.outcome.judged().next().and_then(|phase| phase.latency("ack")).map_or(0, |ack| ack.p99_ns);
    let verdict = match &step.why {
        Ok(()) => "keeps it".to_owned(),
        Err(why) => format!("no: {why}"),
    };
    format!("{:>12} records/s  ack p99 {:>10}  {verdict}", count(step.rate as u64), ms(p99 as f64))
}

fn finish(
    invocation: &Invocation,
    goals: &[String],
    bounds: Bounds,
    steps: Vec<Step>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let mut text = String::new();
    let goal = goals.join(" and ");
    let best = steps.iter().filter(|step| step.why.is_ok()).max_by(|a, b| a.rate.total_cmp(&b.rate));
    match best {
        Some(best) => {
            let bytes = best.outcome.judged().next().map_or(0.0, |phase| phase.bytes_per_second);
            let _ = writeln!(
                text,
                "{} records/s ({:.1} MB/s) is the highest rate found that keeps {goal}; {} doesn't.",
                count(best.rate as u64),
                bytes / 1e6,
                count(bounds.bad as u64)
            );
        }
        None => {
            let _ = writeln!(text, "no rate down to {} records/s keeps {goal}.", count(bounds.bad as u64));
        }
    }
    let limit = steps.iter().filter(|step| step.why.is_err()).min_by(|a, b| a.rate.total_cmp(&b.rate));
    let own_limit =
        limit.is_some_and(|step| step.why.as_ref().is_err_and(|why| why.starts_with("generator")));
    if own_limit {
        text.push_str("The generator itself was the limit: this says little of the broker.\n");
    }
    print(&text);
    let out = invocation.settings.value("out");
    if let (false, Some(best)) = (out.is_empty(), best) {
        let path = format!("{out}.json");
        write(&path, best.outcome.json().as_bytes()).map_err(|error| Failure::run(&error))?;
        let _ = writeln!(std::io::stderr(), "written: {path}, the run at that rate");
    }
    Ok(match best {
        _ if stop.requests() > 0 => Exit::Interrupted,
        _ if own_limit => Exit::Saturated,
        Some(_) => Exit::Good,
        None => Exit::Gate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the search finds if rates up to this one keep the goal.
    fn found(limit: f64, upper: f64) -> (f64, u32) {
        let (mut bounds, mut rate, mut steps) = (Bounds { good: 0.0, bad: 2.0 * upper }, upper, 0);
        while !bounds.is_close(PRECISION) && steps < STEPS_MAX {
            bounds.learn(rate, rate <= limit);
            rate = bounds.next();
            steps += 1;
        }
        (bounds.good, steps)
    }

    #[test]
    fn the_search_comes_close_from_below_in_a_few_steps() {
        for limit in [95_000.0, 40_000.0, 7_000.0, 120_000.0] {
            let (rate, steps) = found(limit, 100_000.0);
            assert!(rate <= limit && rate >= 0.94 * limit, "{rate} for {limit}");
            assert!(steps <= 10, "{steps} steps for {limit}");
        }
    }
}
