//! Runs a job: its phases one after the other, verification, gates, and the files that tell of it.

use super::{Failure, print};
use crate::load::engine::{Engine, Keep, PhaseRun, Target};
use crate::load::gate::{Gate, junit};
use crate::load::job::{Check, Job, Load, Phase, Until, Warmup};
use crate::load::measure::Measures;
use crate::load::observe::try_stages;
use crate::load::report::{
    Cluster, Exit, Outcome, PhaseInput, PhaseOutcome, Verification, page, summary, utc,
};
use crate::load::sink::{IntervalLog, Progress, Sinks, hgrm, write};
use crate::rt::Stop;
use std::io::Write as _;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Consumers that read back what was acknowledged.
const READERS_MAX: u32 = 4;

/// How long reading back may take.
const READ_BACK_TIME_MAX: Duration = Duration::from_hours(4);

/// What a run leaves besides its outcome.
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    /// Histograms by phase.
    measures: Vec<(String, Box<Measures>)>,
    interval_log: Vec<u8>,
}

/// Runs a job, prints what came of it and writes its files.
pub(super) fn run(job: &Job, line: &[String]) -> Result<Outcome, Failure> {
    let gates = gates_of(job)?;
    let mut ran = run_quietly(job, line, &Stop::default())?;
    judge(&mut ran.outcome, &gates);
    let load = &job.phases[0].load;
    print(&summary(&ran.outcome));
    write_files(load, &ran)?;
    Ok(ran.outcome)
}

/// The gates of a job.
pub(super) fn gates_of(job: &Job) -> Result<Vec<Gate>, Failure> {
    let mut texts: Vec<String> = job.phases.iter().flat_map(|phase| phase.load.gates.clone()).collect();
    texts.sort();
    texts.dedup();
    Gate::parse_all(&texts).map_err(|problems| Failure::usage(&problems))
}

/// Runs a job without gates, files and the closing text.
pub(super) fn run_quietly(job: &Job, line: &[String], stop: &Stop) -> Result<Ran, Failure> {
    let mut phases = job.phases.clone();
    phases.iter_mut().for_each(|phase| phase.load.stop = stop.clone());
    let first = widest(&phases);
    let untold: Vec<String> = first.metrics.iter().filter_map(|place| try_stages(place).err()).collect();
    if !untold.is_empty() {
        return Err(Failure::run(&untold.join("\n")));
    }
    let mut outcome = Outcome::new(&job.name, &job.about, line);
    let start_ms = wall_ms();
    outcome.started = utc(start_ms);
    (outcome.label, outcome.seed) = (first.label.clone(), first.seed);
    let mut engine = Engine::prepare(&first).map_err(|error| Failure::run(&error))?;
    outcome.cluster = Cluster::from(&engine.target().about);
    let mut ran = Ran { outcome, measures: Vec::new(), interval_log: Vec::new() };
    let result = run_phases(&mut engine, &phases, &mut ran);
    let cleaned =
        if first.keep_topic { Ok(()) } else { engine.clean(&Load { stop: Stop::default(), ..first }) };
    result?;
    if let Err(error) = cleaned {
        ran.outcome.cluster.notes.push(format!("the topic of this run is still there: {error}"));
    }
    ran.outcome.exit = exit_of(&ran.outcome, &phases, stop);
    Ok(ran)
}

/// The load that topics are made for: any phase that produces makes the run one that does.
fn widest(phases: &[Phase]) -> Load {
    let producing = phases.iter().find(|phase| phase.load.produces());
    producing.unwrap_or(&phases[0]).load.clone()
}

fn run_phases(engine: &mut Engine, phases: &[Phase], ran: &mut Ran) -> Result<(), Failure> {
    let verify = phases.iter().any(|phase| phase.load.verify);
    // What live consumers read is all there is to read only if one phase does everything.
    let live = phases.len() == 1 && phases[0].load.consumes() && phases[0].load.produces();
    let keep = Keep { acks: verify || phases.len() > 1, receipts: verify && live };
    for phase in phases {
        let run = run_phase(engine, phase, keep, ran)?;
        let interrupted = run.interrupted;
        ran.outcome.phases.push(PhaseOutcome::of(&PhaseInput { phase, run: &run }));
        ran.measures.push((phase.name.clone(), Box::new(run.totals.measures)));
        if interrupted {
            break;
        }
    }
    if verify {
        let failed = if live { None } else { read_back(engine, phases).err().map(|failure| failure.text) };
        let verdict = engine.ledger().verdict();
        ran.outcome.verification = Some(Verification { failed, ..verdict.into() });
    }
    Ok(())
}

fn run_phase(engine: &mut Engine, phase: &Phase, keep: Keep, ran: &mut Ran) -> Result<PhaseRun, Failure> {
    let load = &phase.load;
    let (done, log) = channel();
    let mut sinks = Sinks::default();
    if !load.quiet {
        sinks.0.push(Box::new(Progress::new(&phase.name, &about(load, engine.target()))));
    }
    if !load.out.is_empty() {
        sinks.0.push(Box::new(IntervalLog::new(&phase.name, wall_ms(), done)));
    }
    let run = engine.phase(load, keep, Box::new(sinks)).map_err(|error| Failure::run(&error))?;
    ran.interval_log.extend(log.try_iter().flatten());
    Ok(run)
}

/// What a phase is about to do, in a line.
fn about(load: &Load, target: &Target) -> String {
    let topics = match &target.topics[..] {
        [] => String::new(),
        [one] => format!(", topic {one}"),
        many => format!(", {} topics", many.len()),
    };
    let who = if load.churn {
        format!("{} connections/s, {}", load.connections, number(load.groups, "group"))
    } else if load.transact {
        format!("{} with transactions", number(load.producers, "producer"))
    } else {
        format!("{}, {}", number(load.producers, "producer"), number(load.consumers, "consumer"))
    };
    let measured = if load.duration < Duration::from_hours(24) {
        format!("{} s measured", load.duration.as_secs_f64())
    } else {
        "until its bound".to_owned()
    };
    format!(
        "{who}{topics}, {}, {measured}; broker {}",
        number(u32::try_from(target.parts.len()).unwrap_or(u32::MAX), "partition"),
        load.bootstrap.join(",")
    )
}

/// "1 group", "2 groups".
fn number(count: u32, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// Reads everything back that was acknowledged.
fn read_back(engine: &mut Engine, phases: &[Phase]) -> Result<(), Failure> {
    let base = &phases[phases.len() - 1].load;
    let consumers = READERS_MAX.min(u32::try_from(engine.target().parts.len()).unwrap_or(1)).max(1);
    let load = Load {
        producers: 0,
        consumers,
        until: Until::End,
        from: crate::load::job::From::Beginning,
        check: Check::Records,
        warmup: Warmup::Fixed(Duration::ZERO),
        duration: READ_BACK_TIME_MAX,
        records: 0,
        bytes: 0,
        stop: Stop::default(),
        ..base.clone()
    };
    let mut sinks = Sinks::default();
    if !load.quiet {
        sinks.0.push(Box::new(Progress::new("verify", "reading back all that was acknowledged")));
    }
    engine.ledger().forget_receipts();
    let keep = Keep { acks: false, receipts: true };
    engine.phase(&load, keep, Box::new(sinks)).map(drop).map_err(|error| Failure::run(&error))
}

/// How a run ended, before its gates are looked at.
fn exit_of(outcome: &Outcome, phases: &[Phase], stop: &Stop) -> Exit {
    let allowed = phases.iter().any(|phase| phase.load.allow_saturated);
    let broken = outcome.verification.as_ref().is_some_and(|found| !found.good || found.failed.is_some());
    if broken {
        Exit::Broken
    } else if stop.requests() > 0 {
        Exit::Interrupted
    } else if !allowed && outcome.judged().any(|phase| phase.saturated.is_some()) {
        Exit::Saturated
    } else if outcome.judged().all(|phase| phase.rate <= 0.0) {
        Exit::Failed
    } else {
        Exit::Good
    }
}

/// Holds the gates against an outcome.
pub(super) fn judge(outcome: &mut Outcome, gates: &[Gate]) {
    let mut judged = Vec::new();
    for gate in gates {
        if gate.is_of_verification() {
            judged.push(gate.judge_verification(outcome.verification.as_ref()));
        } else {
            judged.extend(outcome.judged().map(|phase| gate.judge(phase)));
        }
    }
    if outcome.exit == Exit::Good && judged.iter().any(|gate| !gate.holds) {
        outcome.exit = Exit::Gate;
    }
    outcome.gates = judged;
}

/// Writes JSON, HTML, interval log, percentile files and JUnit, as far as they are wanted.
pub(super) fn write_files(load: &Load, ran: &Ran) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::run(&error);
    let outcome = &ran.outcome;
    if !load.junit.is_empty() {
        let seconds: f64 = outcome.phases.iter().map(|phase| phase.seconds).sum();
        write(&load.junit, junit(&outcome.job, seconds, &outcome.gates).as_bytes()).map_err(failed)?;
    }
    if load.out.is_empty() {
        return Ok(());
    }
    let out = load.out.trim_end_matches(".json");
    write(&format!("{out}.json"), outcome.json().as_bytes()).map_err(failed)?;
    write(&format!("{out}.html"), page(outcome).as_bytes()).map_err(failed)?;
    write(&format!("{out}.hlog"), &ran.interval_log).map_err(failed)?;
    for (phase, measures) in &ran.measures {
        for (name, hist) in measures.hists().into_iter().filter(|(_, hist)| !hist.is_empty()) {
            let middle = if ran.measures.len() > 1 { format!("{phase}.{name}") } else { name.to_owned() };
            write(&format!("{out}.{middle}.hgrm"), hgrm(hist).as_bytes()).map_err(failed)?;
        }
    }
    let _ = writeln!(
        std::io::stderr(),
        "\nwritten: {out}.json, {out}.html, {out}.hlog and percentiles in {out}.*.hgrm"
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the time of a run for its report, taken by no shard")]
fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0)
}
