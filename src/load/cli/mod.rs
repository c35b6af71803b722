//! The command line: what each subcommand does, and the exit code.
//!
//! | file | duty |
//! |---|---|
//! | `args` | subcommands and flags, from the table of keys |
//! | `runner` | runs a job: phases, verification, gates, files |
//! | `find_max` | the highest rate that keeps a goal |
//! | `versus` | one job against two clusters in turn, or files of earlier runs side by side |

mod args;
mod find_max;
mod runner;
mod versus;

use crate::load::job::{BUILTIN, Job, Settings, builtin};
use crate::load::report::{Exit, Outcome};
use args::Invocation;
use std::fmt::Write as _;
use std::io::Write as _;

/// Something that ends the program, in words, with its exit code.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    fn usage(problems: &[String]) -> Self {
        Failure { exit: Exit::Usage, text: problems.join("\n") }
    }

    fn run(error: &impl ToString) -> Self {
        Failure { exit: Exit::Failed, text: error.to_string() }
    }
}

/// Runs the program with the arguments that it was started with; its exit code.
#[must_use]
pub fn run() -> u8 {
    let invocation = args::parse(std::env::args_os());
    match dispatch(&invocation) {
        Ok(exit) => exit as u8,
        Err(failure) => {
            for line in failure.text.lines() {
                let _ = writeln!(std::io::stderr(), "ringlog-load: {line}");
            }
            if failure.exit == Exit::Usage {
                let _ = writeln!(
                    std::io::stderr(),
                    "ringlog-load: try `ringlog-load {} --help`",
                    invocation.command
                );
            }
            failure.exit as u8
        }
    }
}

fn dispatch(invocation: &Invocation) -> Result<Exit, Failure> {
    match invocation.command.as_str() {
        "jobs" => jobs(invocation),
        "compare" => versus::compare(invocation),
        "report" => report(invocation),
        "find-max" => find_max::find_max(invocation),
        _ => {
            let outcome = runner::run(&job_of(invocation)?, &invocation.line)?;
            Ok(outcome.exit)
        }
    }
}

/// The job that an invocation stands for.
fn job_of(invocation: &Invocation) -> Result<Job, Failure> {
    let flags = &invocation.settings;
    let parsed = match invocation.command.as_str() {
        "run" => {
            let name = invocation.positional.first().map_or("", String::as_str);
            return job_file(name, flags, &invocation.overrides);
        }
        "drain" => {
            let job = builtin("backlog").expect("a job that is built in");
            Job::parse("drain", job.text, flags, &invocation.overrides)
        }
        name => Job::single(name, &args::preset(name).with(flags)),
    };
    parsed.map_err(|problems| Failure::usage(&problems))
}

fn job_file(name: &str, flags: &Settings, overrides: &[String]) -> Result<Job, Failure> {
    let text = match builtin(name) {
        Some(job) => job.text.to_owned(),
        None => read(name).map_err(|error| {
            let known: Vec<&str> = BUILTIN.iter().map(|job| job.name).collect();
            let hint = format!(
                "give the path of a file, or one of the jobs that are built in: {}",
                known.join(", ")
            );
            Failure::usage(&[format!("job {name:?}: {error}; {hint}")])
        })?,
    };
    Job::parse(name, &text, flags, overrides).map_err(|problems| Failure::usage(&problems))
}

#[expect(clippy::disallowed_methods, reason = "files are read before and after a run, by no shard")]
fn read(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

fn jobs(invocation: &Invocation) -> Result<Exit, Failure> {
    let mut text = String::new();
    match invocation.positional.first() {
        None => {
            for job in BUILTIN {
                let parsed = Job::parse(job.name, job.text, &Settings::default(), &[]);
                let about = parsed.map(|job| job.about).unwrap_or_default();
                let _ = writeln!(text, "{:<16} {about}", job.name);
            }
            text.push_str("\n`ringlog-load run NAME` runs one, `ringlog-load jobs NAME` prints it.\n");
        }
        Some(name) => match builtin(name) {
            Some(job) => text.push_str(job.text),
            None => {
                return Err(Failure::usage(&[format!(
                    "there is no job {name:?}; `ringlog-load jobs` lists them"
                )]));
            }
        },
    }
    print(&text);
    Ok(Exit::Good)
}

/// Makes the HTML page of an earlier run again.
fn report(invocation: &Invocation) -> Result<Exit, Failure> {
    for path in &invocation.positional {
        let outcome = Outcome::read(path).map_err(|error| Failure::run(&error))?;
        let page = format!("{}.html", path.trim_end_matches(".json"));
        crate::load::sink::write(&page, crate::load::report::page(&outcome).as_bytes())
            .map_err(|error| Failure::run(&error))?;
        print(&format!("{}\n{page}\n", crate::load::report::summary(&outcome)));
    }
    Ok(Exit::Good)
}

/// Prints to the standard output; a reader that is gone is no reason to fail.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
