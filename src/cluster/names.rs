//! Which names a topic may have (row 14).

use crate::base::limits::TOPIC_NAME_MAX;

/// Checks a topic's name by Kafka's rules.
///
/// # Errors
/// What is wrong, in Kafka's words, for the client's log.
pub fn check_topic_name(name: &str) -> Result<(), String> {
    broken_rule(name).map_or(Ok(()), |why| Err(format!("Topic name is invalid: {why}")))
}

fn broken_rule(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return Some(format!("'{name}' is not allowed"));
    }
    if name.len() > TOPIC_NAME_MAX {
        return Some(format!(
            "the length of '{name}' is longer than the max allowed length {TOPIC_NAME_MAX}"
        ));
    }
    if !name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-')) {
        return Some(format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    None
}

/// Whether the broker itself keeps the topic; clients can't write to it.
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

/// Names that differ in '.' and '_' only would share a metric's name, so the second is refused. `None` for a name that
/// has neither and so collides with none but itself.
#[must_use]
pub(super) fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::check_topic_name;

    #[test]
    fn names_obey_kafkas_rules() {
        for good in ["a", "a.b", "A_b-9", &"x".repeat(249)] {
            assert_eq!(check_topic_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(250)] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
    }
}
