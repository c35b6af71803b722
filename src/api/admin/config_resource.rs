//! Whose settings a request names, and whether it may change them. Shared by DescribeConfigs, AlterConfigs and
//! IncrementalAlterConfigs; the words are Apache Kafka's (`ConfigAdminManager`, `ConfigHelper`).

use super::{Context, Plan};
use crate::base::{ErrorCode, NodeId};
use crate::cluster::{Command, Outcome, Target, check_topic_name};
use crate::conf::TopicConf;
use crate::conf::dynamic::{check_change, unchangeable};
use crate::wire::Str;
use std::collections::{BTreeMap, BTreeSet};

/// Kafka's numbers of the resource types.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const LOGGER: i8 = 8;

/// Why a change is refused.
pub(super) type Refusal = (ErrorCode, String);

/// One resource of a request, and what became of its change.
pub(super) struct Answer {
    /// Kafka's number of its type.
    pub(super) kind: i8,
    /// Its name.
    pub(super) name: Str,
    /// None if it is done.
    pub(super) error: ErrorCode,
    /// What to tell a person.
    pub(super) message: Option<Str>,
}

/// A resource's type and name.
type Resource = (i8, Str);
/// The command that changes it, if one does.
type Checked = Result<Option<Command>, Refusal>;

pub(super) fn invalid(why: impl Into<String>) -> Refusal {
    (ErrorCode::InvalidRequest, why.into())
}

/// Finds whose settings a resource names.
pub(super) fn target(context: &Context<'_>, kind: i8, name: &str) -> Result<Target, Refusal> {
    let this = context.node.id;
    match kind {
        TOPIC if name.is_empty() => Err(invalid("Default topic resources are not allowed.")),
        TOPIC => {
            check_topic_name(name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
            let unknown =
                || (ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."));
            context.cluster.topic(name).map(|topic| Target::Topic(topic.id)).ok_or_else(unknown)
        }
        BROKER if name.is_empty() => Ok(Target::Brokers),
        BROKER => match name.parse::<i32>() {
            Ok(id) if id == this => Ok(Target::Broker(NodeId(id))),
            Ok(id) => Err(invalid(format!("Unexpected broker id, expected {this}, but received {id}"))),
            Err(_) => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
        },
        _ => Err(invalid(format!("Unknown resource type {kind}"))),
    }
}

/// Refuses settings that are named twice, and values that are missing.
pub(super) fn check_names<'a>(configs: impl Iterator<Item = (&'a Str, bool)> + Clone) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    if configs.clone().any(|(name, _)| !seen.insert(name)) {
        return Err(invalid("Error due to duplicate config keys"));
    }
    let missing: Vec<&str> = configs.filter(|(_, missing)| *missing).map(|(name, _)| name.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("Null value not supported for : {}", missing.join(", "))))
}

/// Checks a target's settings as they would be.
pub(super) fn check(
    context: &Context<'_>,
    target: Target,
    configs: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    if let Target::Topic(_) = target {
        let checked = TopicConf::check(configs, &context.in_force()).map(drop);
        return checked.map_err(|problems| (ErrorCode::InvalidConfig, problems.join("; ")));
    }
    let fixed = unchangeable(configs.keys().map(String::as_str));
    if !fixed.is_empty() {
        let why = format!("Cannot update these configs dynamically: [{}]", fixed.join(", "));
        return Err(invalid(why));
    }
    let problem = configs.iter().find_map(|(name, value)| check_change(name, value).err());
    problem.map_or(Ok(()), |why| Err(invalid(why)))
}

/// A value as it is kept.
pub(super) fn normal(target: Target, name: &str, value: &str) -> String {
    match target {
        Target::Topic(_) => crate::conf::topic::normal(name, value),
        Target::Brokers | Target::Broker(_) => check_change(name, value).unwrap_or_else(|_| value.to_owned()),
    }
}

/// Commits the changes that passed their checks, and answers with `finish`. A resource that is named twice is refused.
pub(super) fn commit(
    items: Vec<(Resource, Checked)>,
    validate_only: bool,
    finish: impl FnOnce(&Context<'_>, Vec<Answer>) -> Plan + 'static,
) -> Plan {
    let twice = repeated(&items);
    let mut commands = Vec::new();
    let mut decided = Vec::with_capacity(items.len());
    for ((resource, checked), twice) in items.into_iter().zip(twice) {
        let sent = match checked {
            _ if twice => Err(invalid("Each resource must appear at most once.")),
            Ok(command) => {
                let command = command.filter(|_| !validate_only);
                let sent = command.is_some();
                commands.extend(command);
                Ok(sent)
            }
            Err(refusal) => Err(refusal),
        };
        decided.push((resource, sent));
    }
    Plan::Cluster(
        commands,
        Box::new(move |context, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let answer = |((kind, name), sent): (Resource, Result<bool, Refusal>)| {
                let refusal = match sent.map(|sent| if sent { outcomes.next() } else { None }) {
                    Err(refusal) | Ok(Some(Outcome::Refused(refusal))) => Some(refusal),
                    Ok(_) => None,
                };
                let (error, message) =
                    refusal.map_or((ErrorCode::None, None), |(error, why)| (error, Some(why.into())));
                Answer { kind, name, error, message }
            };
            let answers = decided.into_iter().map(answer).collect();
            finish(context, answers)
        }),
    )
}

/// Which resources are named more than once.
fn repeated<T>(items: &[(Resource, T)]) -> Vec<bool> {
    let mut counts: BTreeMap<&Resource, usize> = BTreeMap::new();
    items.iter().for_each(|(resource, _)| *counts.entry(resource).or_default() += 1);
    items.iter().map(|(resource, _)| counts[resource] > 1).collect()
}

/// Refuses a change of a logger's level. This broker logs by the environment variable that it was started with, so
/// there is no logger that a client could name.
pub(super) fn check_logger(
    context: &Context<'_>,
    id: &str,
    mut changes: impl Iterator<Item = (Str, Option<Str>)>,
) -> Result<(), Refusal> {
    const LEVELS: [&str; 6] = ["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"];
    let this = context.node.id;
    match id.parse::<i32>() {
        Ok(id) if id == this => {}
        Ok(id) => return Err(invalid(format!("Unexpected node id. Expected {this}, but received {id}"))),
        Err(_) => return Err(invalid(format!("Node id must be an integer, but it is: {id}"))),
    }
    let Some((name, level)) = changes.next() else { return Ok(()) };
    let why = match level {
        Some(level) if !LEVELS.contains(&level.as_str()) => format!(
            "Cannot set the log level of {name} to {level} as it is not a supported log level. Valid log levels are {}",
            LEVELS.join(", ")
        ),
        _ => format!("Logger {name} does not exist!"),
    };
    Err((ErrorCode::InvalidConfig, why))
}
