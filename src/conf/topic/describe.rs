//! Settings as DescribeConfigs tells them: value, where it comes from, and what it would be otherwise (row 25).

use super::table::{TOPIC_KEYS, TopicKey};
use crate::conf::dynamic::{
    BY_DEFAULT, DYNAMIC, ELSEWHERE, Elsewhere, InForce, OF_TOPIC, RATE, RATES, Synonym,
};
use crate::conf::shown::{SHOWN, Value};
use crate::conf::{KEYS, Key, Kind};
use std::collections::BTreeMap;

/// One setting as told to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its value; `None` where there is none.
    pub value: Option<String>,
    /// The layer it comes from.
    pub source: i8,
    /// Can't be changed while running.
    pub read_only: bool,
    /// Kafka's number of its type: 1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list.
    pub kind: i8,
    /// What it does.
    pub doc: &'static str,
    /// All layers, the winning one first.
    pub synonyms: Vec<Synonym>,
}

fn kind_number(kind: Kind) -> i8 {
    match kind {
        Kind::Bool => 1,
        Kind::Text | Kind::Address | Kind::OneOf(_) => 2,
        Kind::Int { max, .. } | Kind::IntOr { max, .. } if max <= i64::from(i32::MAX) => 3,
        Kind::Int { .. } | Kind::IntOr { .. } => 5,
        Kind::Ratio => 6,
        Kind::ListOf(_) | Kind::Replicas | Kind::Voters => 7,
    }
}

/// A setting's value for a topic with these overrides.
pub(super) fn effective(
    key: &TopicKey,
    overrides: &BTreeMap<String, String>,
    broker: &InForce<'_>,
) -> String {
    let own = || key.broker.map_or(key.default, |name| broker.value(name)).to_owned();
    overrides.get(key.name).cloned().unwrap_or_else(own)
}

/// All settings of a topic.
#[must_use]
pub fn describe(overrides: &BTreeMap<String, String>, broker: &InForce<'_>) -> Vec<Described> {
    let one = |key: &TopicKey| {
        let own = |value: &String| Synonym { name: key.name, value: value.clone(), source: OF_TOPIC };
        let mut synonyms: Vec<Synonym> = overrides.get(key.name).map(own).into_iter().collect();
        if let Some(name) = key.broker {
            synonyms.extend(broker.layers(name));
        }
        if let Some(name) = key.shown {
            synonyms.push(Synonym { name, value: key.default.to_owned(), source: BY_DEFAULT });
        }
        Described {
            name: key.name,
            value: Some(effective(key, overrides, broker)),
            source: synonyms.first().map_or(BY_DEFAULT, |first| first.source),
            read_only: false,
            kind: kind_number(key.kind),
            doc: key.doc,
            synonyms,
        }
    };
    TOPIC_KEYS.iter().map(one).collect()
}

/// All settings of this broker: its own keys, and what Kafka's tools look for under other names.
#[must_use]
pub fn describe_broker(broker: &InForce<'_>) -> Vec<Described> {
    let mut list: Vec<Described> = KEYS.iter().map(|key| own_key(key, broker)).collect();
    list.extend(TOPIC_KEYS.iter().filter_map(behind_topics));
    let elsewhere = |there: &Elsewhere| {
        let kind = if there.unit_ms == 1 { 5 } else { 3 };
        let doc = "The default of a key in milliseconds, which goes before it.";
        fixed(there.name, kind, Some(there.value()), doc)
    };
    list.extend(ELSEWHERE.iter().map(elsewhere));
    list.extend(SHOWN.iter().map(|shown| {
        let value = |name: &str| Some(broker.value(name).to_owned()).filter(|value| !value.is_empty());
        let value = match shown.value {
            Value::Fixed(text) => Some(text.to_owned()),
            Value::None => None,
            Value::Of(name) => value(name),
            Value::Listener(names) => {
                names.iter().find_map(|name| value(name)).map(|a| format!("PLAINTEXT://{a}"))
            }
        };
        fixed(shown.name, shown.kind, value, shown.doc)
    }));
    list.extend(RATES.iter().filter_map(|name| changed(name, RATE, broker)));
    list
}

fn own_key(key: &Key, broker: &InForce<'_>) -> Described {
    let synonyms: Vec<Synonym> =
        broker.layers(key.name).into_iter().filter(|layer| !layer.value.is_empty()).collect();
    Described {
        name: key.name,
        value: synonyms.first().map(|first| first.value.clone()),
        source: synonyms.first().map_or(BY_DEFAULT, |first| first.source),
        read_only: !DYNAMIC.contains(&key.name),
        kind: kind_number(key.kind),
        doc: key.doc,
        synonyms,
    }
}

/// The broker key that Kafka has behind a topic's setting and that can't differ from its default here.
fn behind_topics(key: &TopicKey) -> Option<Described> {
    Some(fixed(key.shown?, kind_number(key.kind), Some(key.default.to_owned()), key.doc))
}

fn fixed(name: &'static str, kind: i8, value: Option<String>, doc: &'static str) -> Described {
    let synonyms =
        value.iter().map(|value| Synonym { name, value: value.clone(), source: BY_DEFAULT }).collect();
    Described { name, value, source: BY_DEFAULT, read_only: true, kind, doc, synonyms }
}

/// What was changed of all brokers' settings while they run, and nothing else.
#[must_use]
pub fn describe_changes(broker: &InForce<'_>) -> Vec<Described> {
    let nobody = BTreeMap::new();
    let of_all = InForce { of_this: &nobody, ..*broker };
    let known = KEYS.iter().map(|key| (key.name, key.kind)).chain(RATES.iter().map(|name| (*name, RATE)));
    known.filter_map(|(name, kind)| changed(name, kind, &of_all)).collect()
}

fn changed(name: &'static str, kind: Kind, broker: &InForce<'_>) -> Option<Described> {
    let synonyms = broker.changes(name);
    let first = synonyms.first()?;
    let (value, source) = (Some(first.value.clone()), first.source);
    let doc = KEYS
        .iter()
        .find(|key| key.name == name)
        .map_or("A rate of replication, in bytes per second.", |k| k.doc);
    Some(Described { name, value, source, read_only: false, kind: kind_number(kind), doc, synonyms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::BrokerConf;

    fn with<T>(of_all: &[(&str, &str)], look: impl FnOnce(&InForce<'_>) -> T) -> T {
        let (start, nobody) = (BrokerConf::defaults(), BTreeMap::new());
        let of_all = of_all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        look(&InForce { start: &start, of_all: &of_all, of_this: &nobody })
    }

    /// Value, source, and the synonyms with theirs.
    type Told = (Option<String>, i8, Vec<(&'static str, String, i8)>);

    fn told(all: &[Described], name: &str) -> Told {
        let one = all.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{name} is told"));
        let synonyms = one.synonyms.iter().map(|s| (s.name, s.value.clone(), s.source)).collect();
        (one.value.clone(), one.source, synonyms)
    }

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    #[test]
    fn synonyms_name_every_layer_as_kafka_does() {
        let overrides = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let all = with(&[("log.roll.ms", "5")], |broker| describe(&overrides, broker));
        assert_eq!(all.len(), TOPIC_KEYS.len());
        let policy =
            vec![("cleanup.policy", "compact".to_owned(), 1), ("log.cleanup.policy", "delete".to_owned(), 5)];
        assert_eq!(told(&all, "cleanup.policy"), (text("compact"), 1, policy));
        assert_eq!(told(&all, "retention.ms"), (text("604800000"), 5, vec![]));
        let roll = vec![("log.roll.ms", "5".to_owned(), 3), ("log.roll.hours", "168".to_owned(), 5)];
        assert_eq!(told(&all, "segment.ms"), (text("5"), 3, roll));
        let flush = vec![("log.flush.interval.messages", "9223372036854775807".to_owned(), 5)];
        assert_eq!(told(&all, "flush.messages"), (text("9223372036854775807"), 5, flush));
        let ratio = vec![("log.cleaner.min.cleanable.ratio", "0.5".to_owned(), 5)];
        assert_eq!(told(&all, "min.cleanable.dirty.ratio"), (text("0.5"), 5, ratio));
        assert_eq!(told(&all, "flush.ms"), (text("9223372036854775807"), 5, vec![]));
    }

    #[test]
    fn a_brokers_settings_have_kafkas_names_too() {
        let all = with(&[("message.max.bytes", "5")], describe_broker);
        let mut names: Vec<_> = all.iter().map(|one| one.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each name once: {names:?}");
        assert_eq!(told(&all, "log.retention.ms"), (None, 5, vec![]));
        assert_eq!(told(&all, "log.retention.hours").0, text("168"));
        assert_eq!(told(&all, "broker.id").0, text("1"));
        assert_eq!(told(&all, "listeners").0, text("PLAINTEXT://127.0.0.1:9092"));
        assert_eq!(told(&all, "advertised.listeners").0, text("PLAINTEXT://127.0.0.1:9092"));
        assert_eq!(told(&all, "broker.rack"), (None, 5, vec![]));
        assert_eq!(told(&all, "message.max.bytes").0, text("5"));
        assert!(all.iter().any(|one| one.name == "message.max.bytes" && !one.read_only));
        let changes = with(&[("message.max.bytes", "5")], describe_changes);
        assert_eq!(changes.len(), 1);
        assert_eq!(told(&changes, "message.max.bytes").2, [("message.max.bytes", "5".to_owned(), 3)]);
    }

    #[test]
    fn every_broker_key_behind_a_setting_exists() {
        for key in TOPIC_KEYS {
            let known = |name: &str| KEYS.iter().any(|known| known.name == name);
            assert!(key.broker.is_none_or(known), "{}", key.name);
        }
    }
}
