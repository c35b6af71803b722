//! Values with where they come from; every problem is named with its place, and a mistyped key with its neighbour.

use super::keys::{KEYS, key};
use crate::conf::nearest;
use std::collections::BTreeMap;

/// Values by key; a later layer replaces an earlier one's.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    problems: Vec<String>,
}

impl Settings {
    /// Sets one value. `source` says where it comes from, for messages.
    pub fn set(&mut self, name: &str, value: &str, source: &str) {
        match key(name) {
            None => self.problems.push(unknown(name, source)),
            Some(key) => match key.kind.check(value) {
                Ok(()) => drop(self.values.insert(key.name, value.to_owned())),
                Err(why) => self.problems.push(format!("{name} = {value:?} ({source}): {why}")),
            },
        }
    }

    /// Sets what a TOML table says. Numbers and truth values may stand without quotes.
    pub fn toml(&mut self, table: &toml::Table, source: &str) {
        for (name, value) in table {
            match value {
                toml::Value::String(text) => self.set(name, text, source),
                toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
                    self.set(name, &value.to_string(), source);
                }
                toml::Value::Array(list) if list.iter().all(toml::Value::is_str) => {
                    let texts: Vec<&str> = list.iter().filter_map(toml::Value::as_str).collect();
                    self.set(name, &texts.join(","), source);
                }
                _ => {
                    self.problems.push(format!("{name} ({source}): must be a text, a number, true or false"))
                }
            }
        }
    }

    /// What holds for a key: the last value set, or its default.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        let default = || key(name).map_or("", |key| key.default);
        self.values.get(name).map_or_else(default, String::as_str)
    }

    /// Whether somebody has set the key.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Another layer over this one.
    #[must_use]
    pub fn with(&self, over: &Settings) -> Settings {
        let mut all = self.clone();
        all.values.extend(over.values.clone());
        all.problems.extend(over.problems.iter().cloned());
        all
    }

    /// All values that aren't defaults, for reports.
    pub fn set_values(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(name, value)| (*name, value.as_str()))
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

fn unknown(name: &str, source: &str) -> String {
    let hint = nearest(name, KEYS.iter().map(|key| key.name));
    let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("{name} ({source}): unknown key{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_values_win_and_problems_have_places() {
        let mut base = Settings::default();
        let text = "rate = 5000\nbatchh = \"1KiB\"\nacks = \"2\"\ngate = [\"p99<5ms\", \"loss=0\"]\n[x]\n";
        base.toml(&text.parse().unwrap(), "job.toml");
        let mut flags = Settings::default();
        flags.set("rate", "10k", "--rate");
        let all = base.with(&flags);
        assert_eq!((all.value("rate"), all.value("in-flight")), ("10k", "5"));
        assert_eq!(all.value("gate"), "p99<5ms,loss=0");
        let problems = all.problems().join("\n");
        for part in ["batchh (job.toml): unknown key; did you mean batch?", "acks = \"2\"", "x (job.toml)"] {
            assert!(problems.contains(part), "{problems}");
        }
    }
}
