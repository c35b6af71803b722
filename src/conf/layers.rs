//! Where values come from, and which one wins: default < profile < file < environment < flag.

use super::keys::{KEYS, key, nearest};
use std::collections::BTreeMap;
use std::fmt;

/// Where a value comes from. Later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table of keys.
    Default,
    /// A named profile.
    Profile(String),
    /// A file.
    File(String),
    /// An environment variable.
    Environment(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Profile(name) => write!(f, "profile {name}"),
            Source::File(path) => write!(f, "file {path}"),
            Source::Environment(name) => write!(f, "environment variable {name}"),
            Source::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The profiles of this build: name and TOML.
pub const PROFILES: &[(&str, &str)] = &[
    ("balanced", include_str!("../../config/profiles/balanced.toml")),
    ("dev", include_str!("../../config/profiles/dev.toml")),
    ("durable", include_str!("../../config/profiles/durable.toml")),
    ("latency", include_str!("../../config/profiles/latency.toml")),
    ("throughput", include_str!("../../config/profiles/throughput.toml")),
];

/// Values with their sources; a later layer replaces an earlier one's.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    values: BTreeMap<&'static str, (String, Source)>,
    problems: Vec<String>,
}

impl Layers {
    /// Adds a named profile.
    pub fn profile(&mut self, name: &str) {
        match PROFILES.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => self.toml(text, &Source::Profile(name.to_owned())),
            None => {
                let known: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
                self.problems.push(format!("profile {name}: unknown; the profiles are {}", known.join(", ")));
            }
        }
    }

    /// Adds a file's text. Dotted keys and nested tables are the same thing.
    pub fn toml(&mut self, text: &str, source: &Source) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.table("", &table, source),
            Err(error) => self.problems.push(format!("{source}: {error}")),
        }
    }

    fn table(&mut self, prefix: &str, table: &toml::Table, source: &Source) {
        for (name, value) in table {
            let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(inner) => self.table(&name, inner, source),
                toml::Value::String(text) => self.set(&name, text, source.clone()),
                toml::Value::Integer(_) | toml::Value::Boolean(_) => {
                    self.set(&name, &value.to_string(), source.clone())
                }
                _ => self
                    .problems
                    .push(format!("{name} ({source}): must be a text, a whole number, true or false")),
            }
        }
    }

    /// Adds one value.
    pub fn set(&mut self, name: &str, value: &str, source: Source) {
        match key(name) {
            None => {
                let hint = nearest(name, KEYS.iter().map(|key| key.name));
                let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                self.problems.push(format!("{name} ({source}): unknown key{hint}"));
            }
            Some(key) => match key.kind.check(value) {
                Ok(()) => drop(self.values.insert(key.name, (value.to_owned(), source))),
                Err(why) => self.problems.push(format!("{name} = {value} ({source}): {why}")),
            },
        }
    }

    /// Adds what the environment sets: RINGLOG_ and the key in capitals with _ for dots.
    pub fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (variable, value) in variables.filter(|(name, _)| name.starts_with("RINGLOG_")) {
            let spelled = |key: &&super::keys::Key| {
                format!("RINGLOG_{}", key.name.to_uppercase().replace('.', "_")) == variable
            };
            if let Some(key) = KEYS.iter().find(spelled) {
                self.set(key.name, &value, Source::Environment(variable));
            }
        }
    }

    /// A key's value and where it comes from.
    #[must_use]
    pub fn value(&self, name: &str) -> (&str, Source) {
        match self.values.get(name) {
            Some((value, source)) => (value, source.clone()),
            None => (key(name).map_or("", |key| key.default), Source::Default),
        }
    }

    /// Notes a problem of a source itself.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Everything that is wrong, all at once.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win() {
        let mut layers = Layers::default();
        assert_eq!(layers.value("num.partitions"), ("1", Source::Default));
        layers.toml("[num]\npartitions = 3\n", &Source::File("f".into()));
        assert_eq!(layers.value("num.partitions"), ("3", Source::File("f".into())));
        layers.environment([("RINGLOG_NUM_PARTITIONS".to_owned(), "4".to_owned())].into_iter());
        layers.set("num.partitions", "5", Source::Flag("--set".into()));
        assert_eq!(layers.value("num.partitions"), ("5", Source::Flag("--set".into())));
        assert!(layers.problems().is_empty());
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let mut layers = Layers::default();
        layers.toml("num.partition = 3\nshards = 9999\nlisten = \"x\"\n", &Source::File("f.toml".into()));
        let problems = layers.problems().join("\n");
        for part in [
            "num.partition (file f.toml): unknown key; did you mean num.partitions?",
            "no more than 256",
            "HOST:PORT",
        ] {
            assert!(problems.contains(part), "{problems}");
        }
    }

    #[test]
    fn every_profile_loads() {
        for (name, _) in PROFILES {
            let mut layers = Layers::default();
            layers.profile(name);
            assert_eq!(layers.problems(), [] as [String; 0], "{name}");
        }
    }
}
