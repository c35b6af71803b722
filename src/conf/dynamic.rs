//! Settings of brokers that change while they run: which ones, and what is in force.
//!
//! From the last word to the first: this broker's own change, the change for all brokers, what it was started with, the
//! default. The first two are in the cluster's metadata; a changed setting survives a restart.

use super::broker::BrokerConf;
use super::keys::{Kind, key};
use super::layers::Source;
use std::collections::BTreeMap;

/// Keys that may change while the broker runs. The first ones are defaults of topics, which follow at once.
pub const DYNAMIC: &[&str] = &[
    "compression.type",
    "log.cleanup.policy",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "message.max.bytes",
    "min.insync.replicas",
    "producer.id.expiration.ms",
];

/// Bytes a second that replicas which topics name may copy to this broker.
pub const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
/// Bytes a second that followers may copy from replicas here which topics name.
pub const LEADER_RATE: &str = "leader.replication.throttled.rate";

/// Rates that `kafka-reassign-partitions --throttle` sets and takes back. Between directories of a broker, of which
/// there is one, nothing moves: the last one has no effect (row 123).
pub const RATES: &[&str] = &[FOLLOWER_RATE, LEADER_RATE, "replica.alter.log.dirs.io.max.bytes.per.second"];

/// What a rate may be.
pub(super) const RATE: Kind = Kind::Int { min: 0, max: i64::MAX };

/// A default that Apache Kafka gives under another name, and so not under the key's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// The key.
    pub(super) key: &'static str,
    /// Where the default is.
    pub(super) name: &'static str,
    /// Milliseconds in its unit.
    pub(super) unit_ms: i64,
}

/// All of them.
pub(super) const ELSEWHERE: &[Elsewhere] = &[
    Elsewhere { key: "log.flush.interval.ms", name: "log.flush.scheduler.interval.ms", unit_ms: 1 },
    Elsewhere { key: "log.retention.ms", name: "log.retention.hours", unit_ms: HOUR_MS },
    Elsewhere { key: "log.roll.ms", name: "log.roll.hours", unit_ms: HOUR_MS },
];

const HOUR_MS: i64 = 3_600_000;

impl Elsewhere {
    /// The default in its unit.
    pub(super) fn value(&self) -> String {
        let ms = key(self.key).map_or("", |key| key.default);
        ms.parse::<i64>().map_or_else(|_| ms.to_owned(), |ms| (ms / self.unit_ms).to_string())
    }
}

/// One layer's value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// Its name in that layer.
    pub name: &'static str,
    /// The value there.
    pub value: String,
    /// The layer, as Kafka numbers them: 1 topic, 2 this broker, 3 all brokers, 4 what it was started with, 5 default.
    pub source: i8,
}

pub(super) const OF_TOPIC: i8 = 1;
pub(super) const OF_THIS_BROKER: i8 = 2;
pub(super) const OF_ALL_BROKERS: i8 = 3;
pub(super) const AT_START: i8 = 4;
pub(super) const BY_DEFAULT: i8 = 5;

/// A broker's settings as they are in force.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    /// What it was started with.
    pub start: &'a BrokerConf,
    /// Changes for all brokers.
    pub of_all: &'a BTreeMap<String, String>,
    /// Changes for this broker.
    pub of_this: &'a BTreeMap<String, String>,
}

impl<'a> InForce<'a> {
    /// A key's value. A change that this build doesn't understand is passed over.
    #[must_use]
    pub fn value(&self, name: &str) -> &'a str {
        self.change(name).unwrap_or_else(|| self.start.layers.value(name).0)
    }

    /// What a key was changed to while running, if it was: next to no work where nothing is.
    #[must_use]
    pub fn change(&self, name: &str) -> Option<&'a str> {
        let fits = |value: &&String| kind(name).is_some_and(|kind| kind.check(value).is_ok());
        let changed =
            [self.of_this, self.of_all].into_iter().find_map(|changes| changes.get(name).filter(fits));
        changed.map(String::as_str)
    }

    /// Every layer's value of a key, the last word first. Empty where Kafka has no default of that name.
    pub(super) fn layers(&self, name: &'static str) -> Vec<Synonym> {
        let mut list = self.changes(name);
        let (value, source) = self.start.layers.value(name);
        if source != Source::Default {
            list.push(Synonym { name, value: value.to_owned(), source: AT_START });
        }
        match ELSEWHERE.iter().find(|elsewhere| elsewhere.key == name) {
            None => {
                let value = key(name).map_or("", |key| key.default).to_owned();
                list.push(Synonym { name, value, source: BY_DEFAULT });
            }
            Some(_) if list.is_empty() => {}
            Some(there) => {
                list.push(Synonym { name: there.name, value: there.value(), source: BY_DEFAULT });
            }
        }
        list
    }

    /// What was changed of a key while running.
    pub(super) fn changes(&self, name: &'static str) -> Vec<Synonym> {
        let layers = [(self.of_this, OF_THIS_BROKER), (self.of_all, OF_ALL_BROKERS)];
        let change = |(changes, source): (&BTreeMap<String, String>, i8)| {
            changes.get(name).map(|value| Synonym { name, value: value.clone(), source })
        };
        layers.into_iter().filter_map(change).collect()
    }
}

/// What may be said of a setting, of those that are known.
fn kind(name: &str) -> Option<Kind> {
    if RATES.contains(&name) { Some(RATE) } else { key(name).map(|key| key.kind) }
}

/// Checks a change of a broker's setting; gives the value as it is kept.
///
/// # Errors
/// What is wrong with it, in Kafka's words.
pub fn check_change(name: &str, value: &str) -> Result<String, String> {
    let kind = kind(name).unwrap_or(Kind::Text);
    let normal = kind.normal(value);
    match (name, normal.as_str()) {
        // Apache Kafka checks these two by hand, in words of their own.
        ("log.retention.ms", "0") => {
            Err("requirement failed: log.retention.ms must be unlimited (-1) or, greater \
                                          than or equal to 1"
                .to_owned())
        }
        ("log.roll.ms", "0") => {
            Err("requirement failed: log.roll.ms must be greater than or equal to 1".to_owned())
        }
        _ => match kind.check(&normal) {
            Ok(()) => Ok(normal),
            Err(why) => Err(format!("Invalid value {value} for configuration {name}: {why}")),
        },
    }
}

/// Which of these keys can't change while the broker runs.
pub fn unchangeable<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.filter(|name| !DYNAMIC.contains(name) && !RATES.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::KEYS;

    #[test]
    fn every_dynamic_key_exists() {
        for name in DYNAMIC.iter().chain(ELSEWHERE.iter().map(|there| &there.key)) {
            assert!(KEYS.iter().any(|key| key.name == *name), "{name}");
        }
    }

    #[test]
    fn the_last_word_wins_and_every_layer_is_told() {
        let start = BrokerConf::defaults();
        let change = |value: &str| BTreeMap::from([("log.retention.ms".to_owned(), value.to_owned())]);
        let (of_all, of_this, none) = (change("3000"), change("2000"), BTreeMap::new());
        let told = |of_this, of_all| {
            let in_force = InForce { start: &start, of_all, of_this };
            let layers = in_force.layers("log.retention.ms");
            let layers: Vec<_> = layers.into_iter().map(|l| (l.name, l.value, l.source)).collect();
            (in_force.value("log.retention.ms").to_owned(), layers)
        };
        let hours = ("log.retention.hours", "168".to_owned(), BY_DEFAULT);
        let all = ("log.retention.ms", "3000".to_owned(), OF_ALL_BROKERS);
        let this = ("log.retention.ms", "2000".to_owned(), OF_THIS_BROKER);
        assert_eq!(told(&none, &none), ("604800000".to_owned(), vec![]));
        assert_eq!(told(&none, &of_all), ("3000".to_owned(), vec![all.clone(), hours.clone()]));
        assert_eq!(told(&of_this, &of_all), ("2000".to_owned(), vec![this, all, hours]));
        let nonsense = change("soon");
        assert_eq!(
            InForce { start: &start, of_all: &of_all, of_this: &nonsense }.value("log.retention.ms"),
            "3000"
        );
    }

    #[test]
    fn changes_are_checked_in_kafkas_words() {
        assert_eq!(check_change("message.max.bytes", " 5000 "), Ok("5000".to_owned()));
        assert_eq!(
            check_change("message.max.bytes", "x"),
            Err("Invalid value x for configuration message.max.bytes: Not a number of type INT".to_owned())
        );
        assert!(
            check_change("log.retention.ms", "0")
                .unwrap_err()
                .starts_with("requirement failed: log.retention.ms")
        );
        assert_eq!(check_change("log.retention.ms", "-1"), Ok("-1".to_owned()));
        assert_eq!(check_change("leader.replication.throttled.rate", "7"), Ok("7".to_owned()));
        assert_eq!(unchangeable(["node.id", "log.roll.ms", "no.such"].into_iter()), ["node.id", "no.such"]);
    }
}
