//! Which version of an API is spoken with a broker.

use super::error::ClientError;
use crate::wire::generated::{ApiVersionsResponse, SCHEMAS};
use std::collections::BTreeMap;

/// An API with the versions that are spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its key.
    pub key: i16,
    /// Its name.
    pub name: &'static str,
    /// The oldest version spoken here.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

const fn spoken(key: i16, name: &'static str, min: i16, max: i16) -> Api {
    Api { key, name, min, max }
}

/// The APIs that are used.
#[expect(missing_docs, reason = "the names are the protocol's")]
pub mod api {
    use super::{Api, spoken};

    /// By topic name: later versions name topics by id.
    pub const PRODUCE: Api = spoken(0, "Produce", 3, 12);
    /// By topic name, as well.
    pub const FETCH: Api = spoken(1, "Fetch", 4, 12);
    pub const LIST_OFFSETS: Api = spoken(2, "ListOffsets", 1, 9);
    pub const METADATA: Api = spoken(3, "Metadata", 4, 12);
    /// By one key at a time.
    pub const FIND_COORDINATOR: Api = spoken(10, "FindCoordinator", 0, 3);
    pub const JOIN_GROUP: Api = spoken(11, "JoinGroup", 0, 9);
    pub const HEARTBEAT: Api = spoken(12, "Heartbeat", 0, 4);
    pub const LEAVE_GROUP: Api = spoken(13, "LeaveGroup", 0, 5);
    pub const SYNC_GROUP: Api = spoken(14, "SyncGroup", 0, 5);
    pub const API_VERSIONS: Api = spoken(18, "ApiVersions", 0, 3);
    pub const CREATE_TOPICS: Api = spoken(19, "CreateTopics", 2, 7);
    pub const DELETE_TOPICS: Api = spoken(20, "DeleteTopics", 1, 5);
    pub const INIT_PRODUCER_ID: Api = spoken(22, "InitProducerId", 0, 4);
    /// For clients; later versions are for brokers.
    pub const ADD_PARTITIONS_TO_TXN: Api = spoken(24, "AddPartitionsToTxn", 0, 3);
    pub const END_TXN: Api = spoken(26, "EndTxn", 0, 5);
    pub const DESCRIBE_CONFIGS: Api = spoken(32, "DescribeConfigs", 1, 4);
    pub const DESCRIBE_CLUSTER: Api = spoken(60, "DescribeCluster", 0, 1);
}

impl Api {
    /// Whether a version has compact strings and tagged fields.
    #[must_use]
    pub fn is_flexible(self, version: i16) -> bool {
        SCHEMAS.iter().any(|schema| schema.key == self.key && version >= schema.flexible_from)
    }
}

/// What one broker speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    /// From a broker's answer.
    #[must_use]
    pub fn new(answer: &ApiVersionsResponse) -> Self {
        let keys = answer.api_keys.iter();
        Versions(keys.map(|key| (key.api_key, (key.min_version, key.max_version))).collect())
    }

    /// The newest version that both sides know.
    ///
    /// # Errors
    /// There is none; `broker` is named.
    pub fn pick(&self, api: Api, broker: &str) -> Result<i16, ClientError> {
        let theirs = self.0.get(&api.key).copied();
        let picked = theirs.map(|(min, max)| (api.min.max(min), api.max.min(max)));
        match picked {
            Some((low, high)) if low <= high => Ok(high),
            _ => Err(ClientError::Unsupported { broker: broker.to_owned(), api: api.name, theirs }),
        }
    }

    /// Whether the broker has an API in a version known here.
    #[must_use]
    pub fn has(&self, api: Api) -> bool {
        self.pick(api, "").is_ok()
    }

    /// All of it, as (key, oldest, newest).
    pub fn iter(&self) -> impl Iterator<Item = (i16, i16, i16)> + '_ {
        self.0.iter().map(|(key, (min, max))| (*key, *min, *max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        let versions = Versions([(0, (0, 9)), (1, (13, 18))].into());
        assert_eq!(versions.pick(api::PRODUCE, "b"), Ok(9));
        let told = versions.pick(api::FETCH, "b:1").unwrap_err().to_string();
        assert!(told.contains("b:1") && told.contains("13 to 18"), "{told}");
        assert!(!versions.has(api::METADATA));
        assert!(api::PRODUCE.is_flexible(9) && !api::PRODUCE.is_flexible(8));
    }
}
