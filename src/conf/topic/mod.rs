//! Topic settings. What is accepted is enforced; what isn't implemented is refused.

mod describe;
mod table;

pub use describe::{Described, Synonym, describe, describe_broker};
pub use table::{TOPIC_KEYS, TopicKey};

use super::broker::BrokerConf;
use super::keys::nearest;
use std::collections::BTreeMap;

/// A topic's checked settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConf {
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `segment.bytes`.
    pub segment_bytes: usize,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `retention.ms`; `None`: for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None`: no bound.
    pub retention_bytes: Option<u64>,
    /// `message.timestamp.type` is LogAppendTime.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` has delete.
    pub cleanup_delete: bool,
    /// `cleanup.policy` has compact.
    pub cleanup_compact: bool,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
}

/// Checks one setting.
///
/// # Errors
/// What is wrong with it, in Kafka's words.
pub fn check_one(name: &str, value: &str) -> Result<(), String> {
    let Some(key) = table::topic_key(name) else {
        let hint = nearest(name, TOPIC_KEYS.iter().map(|key| key.name));
        let hint = hint.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
        return Err(format!("Unknown topic config name: {name}{hint}"));
    };
    key.kind.check(value).map_err(|why| format!("Invalid value {value} for configuration {name}: {why}"))?;
    match key.refused {
        Some(why) if value != key.default => {
            Err(format!("Invalid value {value} for configuration {name}: {why}"))
        }
        _ => Ok(()),
    }
}

impl TopicConf {
    /// Checks a topic's overrides on top of the broker's settings.
    ///
    /// # Errors
    /// Every problem.
    pub fn check(overrides: &BTreeMap<String, String>, broker: &BrokerConf) -> Result<Self, Vec<String>> {
        let checked = overrides.iter().filter_map(|(name, value)| check_one(name, value).err());
        let problems: Vec<String> = checked.collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let value = |name: &str| describe::effective(name, overrides, broker);
        let int = |name: &str| value(name).parse::<i64>().expect("checked");
        let size = |name: &str| usize::try_from(int(name)).unwrap_or(0);
        let policy = value("cleanup.policy");
        let has = |word: &str| policy.split(',').any(|part| part.trim() == word);
        Ok(TopicConf {
            max_message_bytes: size("max.message.bytes"),
            segment_bytes: size("segment.bytes"),
            segment_ms: int("segment.ms"),
            retention_ms: Some(int("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(int("retention.bytes")).ok(),
            log_append_time: value("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: int("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: int("message.timestamp.after.max.ms"),
            cleanup_delete: has("delete"),
            cleanup_compact: has("compact"),
            min_insync_replicas: size("min.insync.replicas"),
        })
    }

    /// The settings of a topic that sets nothing itself.
    ///
    /// # Panics
    /// Never: the broker's settings were checked.
    #[must_use]
    pub fn defaults(broker: &BrokerConf) -> Self {
        TopicConf::check(&BTreeMap::new(), broker).expect("nothing is overridden")
    }
}

/// What an incremental change does to a setting (KIP-339).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replace it.
    Set,
    /// Back to the default.
    Delete,
    /// Add to a list.
    Append,
    /// Take from a list.
    Subtract,
}

impl Change {
    /// The change with this number on the wire.
    #[must_use]
    pub fn from_wire(code: i8) -> Option<Change> {
        [Change::Set, Change::Delete, Change::Append, Change::Subtract]
            .get(usize::try_from(code).ok()?)
            .copied()
    }
}

/// Applies one incremental change to a topic's overrides.
///
/// # Errors
/// The change doesn't fit the setting.
pub fn alter(
    overrides: &mut BTreeMap<String, String>,
    (name, change, value): (&str, Change, Option<&str>),
    broker: &BrokerConf,
) -> Result<(), String> {
    let is_list = table::topic_key(name).is_some_and(|key| matches!(key.kind, super::Kind::ListOf(_)));
    let needed = || value.ok_or_else(|| format!("Null value not supported for : {name}"));
    match change {
        Change::Delete => drop(overrides.remove(name)),
        Change::Set => drop(overrides.insert(name.to_owned(), needed()?.to_owned())),
        Change::Append | Change::Subtract if !is_list => {
            return Err(format!("Config value append is not allowed for config key: {name}"));
        }
        Change::Append | Change::Subtract => {
            let now = describe::effective(name, overrides, broker);
            let given: Vec<&str> = needed()?.split(',').map(str::trim).collect();
            let mut words: Vec<String> =
                now.split(',').map(|word| word.trim().to_owned()).filter(|w| !w.is_empty()).collect();
            if change == Change::Append {
                words.extend(
                    given
                        .iter()
                        .filter(|word| !now.split(',').any(|n| n.trim() == **word))
                        .map(|w| (*w).to_owned()),
                );
            } else {
                words.retain(|word| !given.contains(&word.as_str()));
            }
            overrides.insert(name.to_owned(), words.join(","));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn unknown_and_invalid_settings_are_refused_in_kafkas_words() {
        assert!(check_one("no.such", "1").unwrap_err().starts_with("Unknown topic config name: no.such"));
        let wrong = check_one("cleanup.policy", "zzz").unwrap_err();
        assert_eq!(
            wrong,
            "Invalid value zzz for configuration cleanup.policy: String must be one of: delete, compact"
        );
        assert!(check_one("remote.storage.enable", "true").is_err());
        assert_eq!(check_one("remote.storage.enable", "false"), Ok(()));
    }

    #[test]
    fn overrides_win_over_the_broker() {
        let broker = BrokerConf::defaults();
        let conf = TopicConf::check(
            &overrides(&[("retention.ms", "-1"), ("cleanup.policy", "compact,delete")]),
            &broker,
        )
        .unwrap();
        assert_eq!((conf.retention_ms, conf.cleanup_compact, conf.cleanup_delete), (None, true, true));
        assert_eq!(TopicConf::defaults(&broker).retention_ms, Some(604_800_000));
        assert_eq!(TopicConf::defaults(&broker).max_message_bytes, 1_048_588);
    }

    #[test]
    fn incremental_changes_edit_lists() {
        let broker = BrokerConf::defaults();
        let mut conf = overrides(&[]);
        alter(&mut conf, ("cleanup.policy", Change::Append, Some("compact")), &broker).unwrap();
        assert_eq!(conf["cleanup.policy"], "delete,compact");
        alter(&mut conf, ("cleanup.policy", Change::Subtract, Some("delete")), &broker).unwrap();
        assert_eq!(conf["cleanup.policy"], "compact");
        alter(&mut conf, ("cleanup.policy", Change::Delete, None), &broker).unwrap();
        assert!(conf.is_empty());
        assert!(alter(&mut conf, ("retention.ms", Change::Append, Some("1")), &broker).is_err());
        assert!(alter(&mut conf, ("retention.ms", Change::Set, None), &broker).is_err());
    }
}
