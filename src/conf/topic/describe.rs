//! Settings as DescribeConfigs tells them: value, where it comes from, and what it would be otherwise (row 25).

use super::table::{TOPIC_KEYS, topic_key};
use crate::conf::{BrokerConf, KEYS, Kind, Source};
use std::collections::BTreeMap;

/// Kafka's numbers for where a value comes from.
const TOPIC: i8 = 1;
const BROKER_FILE: i8 = 4;
const DEFAULT: i8 = 5;

/// What a value would be without the layer above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// Its name in that layer.
    pub name: &'static str,
    /// The value there.
    pub value: String,
    /// The layer: 1 topic, 4 broker's file, 5 default.
    pub source: i8,
}

/// One setting as told to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The layer it comes from.
    pub source: i8,
    /// Can't be changed while running.
    pub read_only: bool,
    /// Kafka's number of its type: 1 boolean, 2 string, 3 int, 5 long, 7 list.
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
        Kind::Int { max, .. } if max <= i64::from(i32::MAX) => 3,
        Kind::Int { .. } => 5,
        Kind::ListOf(_) => 7,
    }
}

/// A setting's value for a topic with these overrides.
pub(super) fn effective(name: &str, overrides: &BTreeMap<String, String>, broker: &BrokerConf) -> String {
    if let Some(value) = overrides.get(name) {
        return value.clone();
    }
    let key = topic_key(name).expect("asked for a known setting");
    key.broker
        .map_or_else(|| key.default.to_owned(), |broker_key| broker.layers.value(broker_key).0.to_owned())
}

fn broker_synonyms(name: &'static str, broker: &BrokerConf) -> Vec<Synonym> {
    let (value, source) = broker.layers.value(name);
    let default = KEYS.iter().find(|key| key.name == name).map_or("", |key| key.default);
    let mut list = Vec::new();
    if source != Source::Default {
        list.push(Synonym { name, value: value.to_owned(), source: BROKER_FILE });
    }
    list.push(Synonym { name, value: default.to_owned(), source: DEFAULT });
    list
}

/// All settings of a topic.
#[must_use]
pub fn describe(overrides: &BTreeMap<String, String>, broker: &BrokerConf) -> Vec<Described> {
    let one = |key: &super::table::TopicKey| {
        let mut synonyms = Vec::new();
        if let Some(value) = overrides.get(key.name) {
            synonyms.push(Synonym { name: key.name, value: value.clone(), source: TOPIC });
        }
        match key.broker {
            Some(broker_key) => synonyms.extend(broker_synonyms(broker_key, broker)),
            None => synonyms.push(Synonym { name: key.name, value: key.default.to_owned(), source: DEFAULT }),
        }
        let (value, source) = (synonyms[0].value.clone(), synonyms[0].source);
        Described {
            name: key.name,
            value,
            source,
            read_only: false,
            kind: kind_number(key.kind),
            doc: key.doc,
            synonyms,
        }
    };
    TOPIC_KEYS.iter().map(one).collect()
}

/// All settings of this broker. None can change while it runs yet.
#[must_use]
pub fn describe_broker(broker: &BrokerConf) -> Vec<Described> {
    let one = |key: &crate::conf::Key| {
        let synonyms = broker_synonyms(key.name, broker);
        let (value, source) = (synonyms[0].value.clone(), synonyms[0].source);
        Described {
            name: key.name,
            value,
            source,
            read_only: true,
            kind: kind_number(key.kind),
            doc: key.doc,
            synonyms,
        }
    };
    KEYS.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synonyms_name_every_layer() {
        let overrides = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let all = describe(&overrides, &BrokerConf::defaults());
        let policy = all.iter().find(|one| one.name == "cleanup.policy").unwrap();
        assert_eq!((policy.value.as_str(), policy.source), ("compact", 1));
        let names: Vec<_> = policy.synonyms.iter().map(|s| (s.name, s.value.as_str(), s.source)).collect();
        assert_eq!(names, [("cleanup.policy", "compact", 1), ("log.cleanup.policy", "delete", 5)]);
        assert_eq!(all.len(), TOPIC_KEYS.len());
    }

    #[test]
    fn every_broker_key_behind_a_setting_exists() {
        for key in TOPIC_KEYS {
            assert!(
                key.broker.is_none_or(|name| KEYS.iter().any(|known| known.name == name)),
                "{}",
                key.name
            );
        }
    }
}
