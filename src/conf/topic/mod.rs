//! Topic settings. What is accepted is kept to; what isn't implemented is refused.

mod describe;
mod table;

pub use describe::{Described, describe, describe_broker, describe_changes};
pub use table::{TOPIC_KEYS, TopicKey};

use super::dynamic::InForce;
use super::keys::{Kind, nearest};
use crate::base::limits::CONFIG_VALUE_BYTES_MAX;
use std::collections::BTreeMap;

/// Problems that a refusal tells of.
const PROBLEMS_MAX: usize = 10;

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
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_dirty_millionths: u32,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
}

/// Checks one setting.
///
/// # Errors
/// What is wrong with it, in Kafka's words.
pub fn check_one(name: &str, value: &str) -> Result<(), String> {
    let Some(key) = table::topic_key(name) else { return Err(unknown(name)) };
    if value.len() > CONFIG_VALUE_BYTES_MAX {
        let most = CONFIG_VALUE_BYTES_MAX;
        return Err(format!("The value for configuration {name} is longer than {most} bytes"));
    }
    let invalid = |why: String| format!("Invalid value {value} for configuration {name}: {why}");
    match key.kind.check(value) {
        Err(why) if key.kind == Kind::Replicas => {
            Err(format!("Invalid value [{value}] for configuration {name}: {name} {why}"))
        }
        Err(why) => Err(invalid(why)),
        Ok(()) => match key.refused {
            Some(why) if value != default_of(key) => Err(invalid(why.to_owned())),
            _ => Ok(()),
        },
    }
}

/// A setting's default where nobody changed anything.
fn default_of(key: &TopicKey) -> &'static str {
    key.broker.and_then(super::keys::key).map_or(key.default, |broker| broker.default)
}

fn unknown(name: &str) -> String {
    let hint = nearest(name, TOPIC_KEYS.iter().map(|key| key.name));
    let hint = hint.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
    format!("Unknown topic config name: {name}{hint}")
}

/// A setting's value as it is kept and shown.
#[must_use]
pub fn normal(name: &str, value: &str) -> String {
    table::topic_key(name).map_or_else(|| value.to_owned(), |key| key.kind.normal(value))
}

/// Whether a setting is a list, and what it is where the topic doesn't say.
#[must_use]
pub fn list_default(name: &str, broker: &InForce<'_>) -> Option<String> {
    let key = table::topic_key(name).filter(|key| matches!(key.kind, Kind::ListOf(_) | Kind::Replicas))?;
    Some(describe::effective(key, &BTreeMap::new(), broker))
}

/// A ratio that was checked, in millionths: settings are compared, and numbers with a fraction don't compare well.
fn millionths(ratio: &str) -> u32 {
    let ratio = ratio.parse::<f64>().expect("checked");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 1")]
    let millionths = (ratio * 1e6).round() as u32;
    millionths
}

impl TopicConf {
    /// Checks a topic's overrides on top of the broker's settings.
    ///
    /// # Errors
    /// The first problems.
    pub fn check(overrides: &BTreeMap<String, String>, broker: &InForce<'_>) -> Result<Self, Vec<String>> {
        let strangers = overrides.keys().filter(|name| table::topic_key(name).is_none());
        let mut problems: Vec<String> = strangers.map(|name| unknown(name)).take(PROBLEMS_MAX).collect();
        if problems.is_empty() {
            let checked = overrides.iter().filter_map(|(name, value)| check_one(name, value).err());
            problems.extend(checked.take(PROBLEMS_MAX));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let value = |name: &str| {
            let key = table::topic_key(name).expect("asked for a known setting");
            describe::effective(key, overrides, broker)
        };
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
            min_dirty_millionths: millionths(&value("min.cleanable.dirty.ratio")),
            min_compaction_lag_ms: int("min.compaction.lag.ms"),
            max_compaction_lag_ms: int("max.compaction.lag.ms"),
            delete_retention_ms: int("delete.retention.ms"),
            min_insync_replicas: size("min.insync.replicas"),
        })
    }

    /// The settings of a topic that sets nothing itself.
    ///
    /// # Panics
    /// Never: the broker's settings were checked.
    #[must_use]
    pub fn defaults(broker: &InForce<'_>) -> Self {
        TopicConf::check(&BTreeMap::new(), broker).expect("nothing is overridden")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::BrokerConf;

    fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn unknown_and_invalid_settings_are_refused_in_kafkas_words() {
        assert!(check_one("no.such", "1").unwrap_err().starts_with("Unknown topic config name: no.such"));
        let wrong = check_one("cleanup.policy", "zzz").unwrap_err();
        assert_eq!(
            wrong,
            "Invalid value zzz for configuration cleanup.policy: String must be one of: compact, delete"
        );
        assert_eq!(check_one("compression.type", "producer"), Ok(()), "a default may be said");
        assert!(check_one("compression.lz4.level", "12").is_err(), "lz4 has one level here");
        assert!(check_one("remote.storage.enable", "true").is_err());
        assert_eq!(check_one("remote.storage.enable", "false"), Ok(()));
        assert!(check_one("leader.replication.throttled.replicas", &"0:1,".repeat(2000)).is_err());
        let wrong = check_one("leader.replication.throttled.replicas", "zz").unwrap_err();
        assert!(wrong.starts_with(
            "Invalid value [zz] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas"
        ));
    }

    #[test]
    fn overrides_win_over_the_broker() {
        let (start, none) = (BrokerConf::defaults(), BTreeMap::new());
        let changed = overrides(&[("message.max.bytes", "5000"), ("log.retention.ms", "77")]);
        let plain = InForce { start: &start, of_all: &none, of_this: &none };
        let later = InForce { of_all: &changed, ..plain };
        let given = overrides(&[("retention.ms", "-1"), ("cleanup.policy", "compact,delete")]);
        let conf = TopicConf::check(&given, &later).unwrap();
        assert_eq!((conf.retention_ms, conf.cleanup_compact, conf.cleanup_delete), (None, true, true));
        assert_eq!(conf.max_message_bytes, 5000);
        assert_eq!(TopicConf::defaults(&plain).retention_ms, Some(604_800_000));
        assert_eq!(TopicConf::defaults(&later).retention_ms, Some(77));
        assert_eq!(TopicConf::defaults(&plain).max_message_bytes, 1_048_588);
        let kept = TopicConf::check(&overrides(&[("cleanup.policy", "")]), &plain).unwrap();
        assert_eq!((kept.cleanup_compact, kept.cleanup_delete), (false, false));
    }

    #[test]
    fn a_list_has_a_default_to_edit() {
        let (start, none) = (BrokerConf::defaults(), BTreeMap::new());
        let in_force = InForce { start: &start, of_all: &none, of_this: &none };
        assert_eq!(list_default("cleanup.policy", &in_force), Some("delete".to_owned()));
        assert_eq!(list_default("leader.replication.throttled.replicas", &in_force), Some(String::new()));
        assert_eq!(list_default("retention.ms", &in_force), None);
    }
}
