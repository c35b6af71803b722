//! Changes of settings. They are decided by the coordinator, one after the other: two clients that each change one
//! setting of a topic at the same time must both get their way.

use super::record::Record;
use super::state::ClusterState;
use crate::base::{NodeId, TopicId};
use std::collections::BTreeMap;

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A topic's.
    Topic(TopicId),
    /// All brokers'.
    Brokers,
    /// One broker's.
    Broker(NodeId),
}

/// One change of one setting (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It becomes this.
    Set(String),
    /// It goes back to what it is otherwise.
    Remove,
    /// Words are added to a list.
    Append {
        /// Separated by commas.
        words: String,
        /// The list where the target doesn't say.
        otherwise: String,
    },
    /// Words are taken from a list.
    Subtract {
        /// Separated by commas.
        words: String,
        /// The list where the target doesn't say.
        otherwise: String,
    },
}

/// Applies one change.
pub fn edit(configs: &mut BTreeMap<String, String>, name: &str, edit: &Edit) {
    let list = |text: &str| -> Vec<String> {
        text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    let now = |otherwise: &String| list(configs.get(name).unwrap_or(otherwise));
    let value = match edit {
        Edit::Remove => {
            configs.remove(name);
            return;
        }
        Edit::Set(value) => value.clone(),
        Edit::Append { words, otherwise } => {
            let mut all = now(otherwise);
            for word in list(words) {
                if !all.contains(&word) {
                    all.push(word);
                }
            }
            all.join(",")
        }
        Edit::Subtract { words, otherwise } => {
            let gone = list(words);
            let mut all = now(otherwise);
            all.retain(|word| !gone.contains(word));
            all.join(",")
        }
    };
    configs.insert(name.to_owned(), value);
}

impl ClusterState {
    /// What a target sets itself; `None` if there is no such target.
    #[must_use]
    pub fn configs_of(&self, target: Target) -> Option<&BTreeMap<String, String>> {
        match target {
            Target::Topic(id) => self.topic_by_id(id).map(|topic| &topic.configs),
            Target::Brokers => Some(self.broker_configs()),
            Target::Broker(id) => Some(self.node_configs(id)),
        }
    }
}

/// The record that gives a target all its settings anew.
pub(super) fn record(target: Target, configs: BTreeMap<String, String>) -> Record {
    match target {
        Target::Topic(topic) => Record::TopicConfigs { topic, configs },
        Target::Brokers => Record::BrokerConfigs { configs },
        Target::Broker(id) => Record::NodeConfigs { id, configs },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_set_remove_and_edit_lists() {
        let mut configs = BTreeMap::new();
        let words = |words: &str| (words.to_owned(), "delete".to_owned());
        let append = |list| {
            let (words, otherwise) = words(list);
            Edit::Append { words, otherwise }
        };
        let subtract = |list| {
            let (words, otherwise) = words(list);
            Edit::Subtract { words, otherwise }
        };
        for (change, after) in [
            (append("compact"), Some("delete,compact")),
            (append("compact, compact"), Some("delete,compact")),
            (subtract("delete"), Some("compact")),
            (subtract("delete"), Some("compact")),
            (subtract("compact"), Some("")),
            (Edit::Set("delete".to_owned()), Some("delete")),
            (Edit::Remove, None),
            (subtract("compact"), Some("delete")),
        ] {
            edit(&mut configs, "cleanup.policy", &change);
            assert_eq!(configs.get("cleanup.policy").map(String::as_str), after, "{change:?}");
        }
    }
}
