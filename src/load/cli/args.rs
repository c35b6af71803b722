//! Subcommands and flags. Every key of a job is a flag of the subcommands that it is for.

use crate::load::job::{KEYS, Key, Kind, Settings, Uses};
use clap::{Arg, ArgAction, ArgMatches, Command, builder::styling};
use std::ffi::OsString;

const ABOUT: &str = "\
A load generator for anything that speaks the Kafka protocol: Ringlog, Apache Kafka, Redpanda and others.

It sends records at given times whatever the broker does (an open loop), writes each record's intended send time into \
it, and measures from that time on: a broker that stops for a second shows a second. It verifies what comes back.";

const EXAMPLES: &str = "\
Try it:
  ringlog-load produce --bootstrap 127.0.0.1:9092                          as fast as the broker takes it
  ringlog-load e2e --rate 5k --size 1KiB --duration 30s --out runs/e2e     latency, with JSON, HTML and histograms
  ringlog-load produce --rate 50k --gate 'p99<5ms' --gate loss=0           for CI: exit code 3 if it doesn't hold
  ringlog-load run small-requests                                          a well-known job; `jobs` lists them
  ringlog-load find-max --goal 'p99<10ms'                                  the highest rate that keeps a goal
  ringlog-load compare 127.0.0.1:9092 127.0.0.1:19092 --job throughput     two clusters, in turn, side by side

Without --topic a run makes a topic of its own and deletes it at the end.

Latencies: service is from sending to acknowledgement, as closed-loop tools report it. ack is from the intended send \
time to the acknowledgement, e2e from the intended send time to the receipt by a consumer: both are corrected for \
coordinated omission. lag is how late the generator itself was; if it is large, the verdict is \"generator saturated\" \
and the run is void.

Exit codes: 0 good, 1 failed, 2 wrong usage, 3 a gate doesn't hold, 4 the broker broke its word (loss, duplicates, \
order, damage), 5 the generator was saturated, 130 interrupted.";

/// What the program was asked to do.
pub(super) struct Invocation {
    pub(super) command: String,
    pub(super) positional: Vec<String>,
    pub(super) settings: Settings,
    pub(super) overrides: Vec<String>,
    /// Flags of one subcommand only.
    pub(super) own: Vec<(String, String)>,
    /// The command line as it was given.
    pub(super) line: Vec<String>,
}

impl Invocation {
    /// Values of a flag that only this subcommand has.
    pub(super) fn own(&self, name: &str) -> impl Iterator<Item = &str> {
        self.own.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Subcommands: name, what it does, and which keys it has.
const COMMANDS: &[(&str, &str, Uses)] = &[
    ("produce", "Send records: as fast as they are taken, or at a given rate", Uses::PRODUCE),
    ("consume", "Read a topic: as fast as it goes, again and again or once (--until end)", Uses::CONSUME),
    (
        "e2e",
        "Send and read at the same time: latency from the intended send time to the receipt",
        PRODUCE_AND_READ,
    ),
    (
        "drain",
        "Build a backlog, then drain it while others produce: does their latency suffer?",
        PRODUCE_AND_READ,
    ),
    ("churn", "Connections and group members that come and go", Uses::CHURN),
    ("transact", "Transactions, one after the other on every producer", Uses::TRANSACT),
    ("find-max", "Find the highest rate that keeps a latency goal, by bisection", PRODUCE_AND_READ),
    (
        "compare",
        "Compare two clusters (HOST:PORT, in turn), or results of earlier runs (JSON files)",
        Uses::ALL,
    ),
    ("run", "Run a job file, or a job that is built in", Uses::ALL),
    ("jobs", "List the jobs that are built in, or print one", Uses::NONE),
    ("report", "Make the HTML pages of earlier runs again from their JSON files", Uses::NONE),
];

const PRODUCE_AND_READ: Uses = Uses::PRODUCE.and(Uses::CONSUME);

/// What a subcommand sets before flags do.
pub(super) fn preset(command: &str) -> Settings {
    let pairs: &[(&str, &str)] = match command {
        "consume" => &[("producers", "0"), ("consumers", "1")],
        "e2e" => &[("consumers", "1"), ("rate", "1k")],
        "churn" => &[("churn", "true"), ("producers", "0")],
        "transact" => &[("transact", "true"), ("batch", "0"), ("size", "100"), ("idempotence", "false")],
        _ => &[],
    };
    let mut settings = Settings::default();
    pairs.iter().for_each(|(key, value)| settings.set(key, value, command));
    settings
}

/// Reads the command line; prints help or an error and ends the program where that is all there is to do.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Invocation {
    let line: Vec<OsString> = arguments.into_iter().collect();
    let matches = program().get_matches_from(&line);
    let (command, matches) = matches.subcommand().expect("clap asks for one");
    invocation(command, matches, line.iter().map(|word| word.to_string_lossy().into_owned()).collect())
}

fn program() -> Command {
    let bold = styling::AnsiColor::White.on_default().bold();
    let styles =
        styling::Styles::styled().header(bold).usage(bold).literal(styling::AnsiColor::Cyan.on_default());
    let mut program = Command::new("ringlog-load")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .styles(styles)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(120)
        .disable_help_subcommand(true);
    for (name, about, uses) in COMMANDS {
        program = program.subcommand(subcommand(name, about, *uses));
    }
    program
}

fn subcommand(name: &'static str, about: &'static str, uses: Uses) -> Command {
    let mut command = Command::new(name).about(about).max_term_width(120).next_line_help(true);
    command = match name {
        "run" => command
            .arg(Arg::new("JOB").required(true).help("Path of a job file, or the name of a job that is built in"))
            .arg(own("set", "PHASE.KEY=VALUE", "Set one key of one phase.")),
        "jobs" => command.arg(Arg::new("JOB").help("Print this one")),
        "report" => command.arg(Arg::new("JSON").required(true).num_args(1..).help("Files that --out has written")),
        "drain" => command.arg(own("backlog", "BYTES", "How much is written before it is drained. [default: 1GB]")),
        "find-max" => command
            .arg(own("goal", "GATE", "What must hold, as for --gate; may be repeated. [default: p99<10ms]"))
            .arg(own("upper", "N", "Records per second to begin with. [default: what a closed loop reaches]"))
            .arg(own("precision", "SHARE", "Ends when the bounds are this close. [default: 5%]")),
        "compare" => command
            .arg(Arg::new("SIDE").required(true).num_args(2).help(
                "HOST:PORT of a cluster each, or JSON files of earlier runs each (several of one side, separated by \
                 commas, are repeats)",
            ))
            .arg(own("job", "JOB", "A job file or a job's name. [default: `produce` with the flags]"))
            .arg(own("rounds", "N", "How often both are run, in turn. [default: 5]"))
            .arg(own("pid-a", "PID", "Process of the first side's broker on this machine."))
            .arg(own("pid-b", "PID", "Process of the second side's broker on this machine.")),
        _ => command,
    };
    let preset = preset(name);
    for key in KEYS.iter().filter(|key| key.uses.meets(uses) && !["churn", "transact"].contains(&key.name)) {
        command = command.arg(flag(key, &preset));
    }
    command
}

fn own(name: &'static str, form: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(form).help(help).action(ArgAction::Append)
}

fn flag(key: &'static Key, preset: &Settings) -> Arg {
    let default = preset.value(key.name);
    let mut help = key.doc.to_owned();
    if let Some(forms) = key.kind.forms() {
        help = format!("{help} One of: {forms}.");
    }
    if !default.is_empty() {
        help = format!("{help} [default: {default}]");
    }
    let arg = Arg::new(key.name)
        .long(key.name)
        .help(help)
        .value_name(key.kind.form())
        .help_heading(key.group.heading())
        .allow_negative_numbers(true)
        .action(ArgAction::Append);
    match key.kind {
        Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg.num_args(1),
    }
}

fn invocation(command: &str, matches: &ArgMatches, line: Vec<String>) -> Invocation {
    let mut settings = Settings::default();
    let mut found = Invocation {
        command: command.to_owned(),
        positional: Vec::new(),
        settings: Settings::default(),
        overrides: Vec::new(),
        own: Vec::new(),
        line,
    };
    for id in matches.ids() {
        let name = id.as_str();
        let Ok(Some(values)) = matches.try_get_many::<String>(name) else { continue };
        let values: Vec<String> = values.cloned().collect();
        match KEYS.iter().find(|key| key.name == name) {
            Some(key) => {
                let value =
                    if key.kind == Kind::List { Some(values.join(",")) } else { values.last().cloned() };
                settings.set(name, &value.unwrap_or_default(), &format!("--{name}"));
            }
            None if name == "set" => found.overrides = values,
            None if name == "backlog" => {
                found.overrides = values.iter().map(|value| format!("fill.bytes={value}")).collect();
            }
            None if name.chars().all(char::is_uppercase) => found.positional = values,
            None => found.own.extend(values.into_iter().map(|value| (name.to_owned(), value))),
        }
    }
    found.settings = settings;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Invocation {
        let words: Vec<String> = line.split('|').map(str::to_owned).collect();
        let matches = program().try_get_matches_from(&words).expect("a valid line");
        let (command, matches) = matches.subcommand().unwrap();
        invocation(command, matches, words)
    }

    #[test]
    fn the_program_is_well_formed() {
        program().debug_assert();
    }

    #[test]
    fn flags_become_settings() {
        let line =
            "ringlog-load|produce|--rate|poisson 10k|--gate|p99<5ms|--gate|loss=0|--verify|--replication|-1";
        let found = parsed(line);
        assert_eq!(found.settings.value("rate"), "poisson 10k");
        assert_eq!(found.settings.value("gate"), "p99<5ms,loss=0");
        assert_eq!(found.settings.value("verify"), "true");
        assert!(found.settings.problems().is_empty(), "{:?}", found.settings.problems());
    }

    #[test]
    fn subcommands_have_their_own() {
        let found = parsed("ringlog-load|drain|--backlog|2GB");
        assert_eq!(found.overrides, ["fill.bytes=2GB"]);
        let found = parsed("ringlog-load|compare|a:1|b:2|--rounds|3");
        assert_eq!((found.positional.len(), found.own("rounds").next()), (2, Some("3")));
        let found = parsed("ringlog-load|run|durable|--set|a.rate=5");
        assert_eq!((found.positional[0].as_str(), found.overrides.len()), ("durable", 1));
        assert!(program().try_get_matches_from(["ringlog-load", "consume", "--rate", "5"]).is_err());
    }
}
