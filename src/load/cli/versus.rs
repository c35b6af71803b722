//! `compare`: one job against two clusters in turn, or files of earlier runs side by side.

use super::args::Invocation;
use super::runner::{self, run_quietly};
use super::{Failure, job_file, print};
use crate::load::compare::{Side, table};
use crate::load::job::{Job, Settings};
use crate::load::report::{Exit, Outcome, overlay_page};
use crate::load::sink::write;
use crate::rt::Stop;
use std::io::Write as _;

/// Rounds unless told otherwise.
const ROUNDS: u32 = 5;

/// Compares two sides.
pub(super) fn compare(invocation: &Invocation) -> Result<Exit, Failure> {
    let [a, b] = &invocation.positional[..] else {
        return Err(Failure::usage(&["name two sides".to_owned()]));
    };
    let files = [a, b].map(|side| side.split(',').all(|path| path.trim_end_matches('/').ends_with(".json")));
    let (first, second) = match files {
        [true, true] => (from_files(a)?, from_files(b)?),
        [false, false] => run_both(invocation, [a, b])?,
        _ => {
            let text = format!("{a} and {b}: name two clusters as HOST:PORT, or JSON files on both sides");
            return Err(Failure::usage(&[text]));
        }
    };
    let text = table(&first, &second);
    print(&text);
    let out = invocation.settings.value("out");
    if !out.is_empty() {
        let all = [("A", &first), ("B", &second)];
        let runs = all.iter().flat_map(|(name, side)| {
            let number = move |nth: usize| {
                if side.runs.len() > 1 { format!("{name} {}", nth + 1) } else { (*name).to_owned() }
            };
            side.runs.iter().enumerate().map(move |(nth, run)| (number(nth), run))
        });
        let runs: Vec<(String, &Outcome)> = runs.collect();
        let title = format!("{} and {}", first.name, second.name);
        let page = overlay_page(&title, &text, &runs);
        write(&format!("{out}.html"), page.as_bytes()).map_err(|error| Failure::run(&error))?;
        let _ = writeln!(std::io::stderr(), "written: {out}.html");
    }
    Ok(exit_of(&first, &second))
}

/// Comparing is void if a run that it rests on is.
fn exit_of(a: &Side, b: &Side) -> Exit {
    let mut exits = a.runs.iter().chain(&b.runs).map(|run| run.exit);
    exits.find(|exit| *exit != Exit::Good && *exit != Exit::Gate).unwrap_or(Exit::Good)
}

fn from_files(paths: &str) -> Result<Side, Failure> {
    let runs = paths.split(',').map(Outcome::read).collect::<Result<Vec<_>, _>>();
    let runs = runs.map_err(|error| Failure::run(&error))?;
    let label = runs.first().map_or("", |run| run.label.as_str());
    let name = if label.is_empty() { paths.to_owned() } else { label.to_owned() };
    Ok(Side { name, runs })
}

/// Runs the job against both, in turn, beginning with the other one in every second round.
fn run_both(invocation: &Invocation, sides: [&String; 2]) -> Result<(Side, Side), Failure> {
    let rounds = match invocation.own("rounds").last().map(str::parse::<u32>) {
        None => ROUNDS,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => return Err(Failure::usage(&["--rounds must be a whole number of at least 1".to_owned()])),
    };
    let jobs = [job(invocation, sides[0], "pid-a")?, job(invocation, sides[1], "pid-b")?];
    let mut both = sides.map(|name| Side { name: name.clone(), runs: Vec::new() });
    let stop = Stop::default();
    for round in 0..rounds {
        let first = (round % 2) as usize;
        for nth in [first, 1 - first] {
            let _ = writeln!(std::io::stderr(), "\nround {} of {rounds}: {}", round + 1, sides[nth]);
            let ran = run_quietly(&jobs[nth], &invocation.line, &stop)?;
            let out = invocation.settings.value("out");
            if !out.is_empty() {
                let path = format!("{out}.{}{}.json", ["a", "b"][nth], round + 1);
                write(&path, ran.outcome.json().as_bytes()).map_err(|error| Failure::run(&error))?;
            }
            both[nth].runs.push(ran.outcome);
            if stop.requests() > 0 {
                return Err(Failure { exit: Exit::Interrupted, text: "interrupted".to_owned() });
            }
        }
    }
    let [a, b] = both;
    Ok((a, b))
}

/// The job against one side.
fn job(invocation: &Invocation, side: &str, pid_flag: &str) -> Result<Job, Failure> {
    let mut settings: Settings = invocation.settings.clone();
    settings.set("bootstrap", side, "compare");
    if let Some(pid) = invocation.own(pid_flag).last() {
        settings.set("broker-pid", pid, &format!("--{pid_flag}"));
    }
    let job = match invocation.own("job").last() {
        Some(name) => job_file(name, &settings, &[])?,
        None => Job::single("produce", &settings).map_err(|problems| Failure::usage(&problems))?,
    };
    runner::gates_of(&job)?;
    Ok(job)
}
