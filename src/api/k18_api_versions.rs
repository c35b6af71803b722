//! ApiVersions (key 18), versions 0 to 5: which APIs and features there are.
//!
//! A version above 5 gets error 35 in version 0 with this API's own range, so that the client can ask again (row 3).
//! Version 5 checks that the client reached the cluster and node it meant (KIP-1242); it names both or neither.
//!
//! Features: metadata.version, eligible.leader.replicas.version (KIP-966), group.version (KIP-848) and
//! transaction.version (KIP-890); the others come with what they stand for.

use super::registry::API_TABLE;
use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::wire::generated::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use crate::wire::generated::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 18, name: "ApiVersions", min: 0, served_min: 0, max: 5, plan };

/// Levels of `metadata.version` that Apache Kafka 4.4 supports, and the one it runs at. Tools print it; clients
/// don't act on it.
const METADATA_VERSIONS: (i16, i16) = (7, 33);

/// Levels of `eligible.leader.replicas.version`: 1 is that there are such replicas.
const ELIGIBLE_VERSIONS: (i16, i16) = (0, 1);

/// Levels of `group.version`: 1 is the consumer protocol.
const GROUP_VERSIONS: (i16, i16) = (0, 1);

/// Levels of `transaction.version`: from 1 on records of `__transaction_state` have tagged fields, from 2 on produce
/// requests add their partitions to transactions, and every transaction raises its producer's epoch.
const TRANSACTION_VERSIONS: (i16, i16) = (0, 2);

/// What is supported, and at its highest level in force.
const FEATURES: [(&str, (i16, i16)); 4] = [
    ("eligible.leader.replicas.version", ELIGIBLE_VERSIONS),
    ("group.version", GROUP_VERSIONS),
    ("metadata.version", METADATA_VERSIONS),
    ("transaction.version", TRANSACTION_VERSIONS),
];

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = ApiVersionsRequest::decode(&mut body, version)?;
    let named =
        is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version);
    let half = request.cluster_id.is_none() != (request.node_id == -1);
    let meant = |id: &str| id == context.cluster.cluster_id() && request.node_id == context.node.id;
    let elsewhere = request.cluster_id.as_deref().is_some_and(|id| !meant(id));
    let error = match version {
        3.. if !named => ErrorCode::InvalidRequest,
        5.. if half => ErrorCode::InvalidRequest,
        5.. if elsewhere => ErrorCode::RebootstrapRequired,
        _ => ErrorCode::None,
    };
    if !error.is_ok() {
        return Ok(context.respond(&ApiVersionsResponse { error_code: error.code(), ..Default::default() }));
    }
    let supported = |(name, (min_version, max_version)): (&'static str, (i16, i16))| SupportedFeatureKey {
        name: name.into(),
        min_version,
        max_version,
    };
    let finalized = |(name, (_, level)): (&'static str, (i16, i16))| FinalizedFeatureKey {
        name: name.into(),
        max_version_level: level,
        min_version_level: level,
    };
    let response = ApiVersionsResponse {
        api_keys: API_TABLE.iter().map(entry).collect(),
        supported_features: FEATURES.into_iter().map(supported).collect(),
        finalized_features_epoch: i64::try_from(context.cluster.applied()).unwrap_or(i64::MAX),
        finalized_features: FEATURES.into_iter().map(finalized).collect(),
        ..Default::default()
    };
    Ok(context.respond(&response))
}

fn entry(api: &Api) -> ApiVersion {
    ApiVersion { api_key: api.key, min_version: api.min, max_version: api.max }
}

/// Letters and digits at both ends, dots and dashes between (KIP-511).
fn is_software_name(name: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric();
    let bytes = name.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            word(first) && word(last) && bytes.iter().all(|&c| word(c) || c == b'-' || c == b'.')
        }
        _ => false,
    }
}

/// The answer to a version that isn't served.
pub(super) fn unsupported(context: &Context<'_>) -> Plan {
    let error_code = ErrorCode::UnsupportedVersion.code();
    context
        .respond_in(&ApiVersionsResponse { error_code, api_keys: vec![entry(&API)], ..Default::default() }, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;

    fn request() -> ApiVersionsRequest {
        let (name, version) = ("test".into(), "1.0".into());
        ApiVersionsRequest {
            client_software_name: name,
            client_software_version: version,
            ..Default::default()
        }
    }

    fn ask(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
        Fixture::new().ask(18, version, request).message()
    }

    #[test]
    fn every_api_of_the_registry_is_told_and_no_other() {
        for version in 0..=5 {
            let response = ask(version, &request());
            let told: Vec<_> = response.api_keys.iter().map(|key| key.api_key).collect();
            assert_eq!(told, API_TABLE.iter().map(|api| api.key).collect::<Vec<_>>());
        }
    }

    #[test]
    fn clients_have_decent_names() {
        for name in ["", " ", "a b", "-a", "a-", "a_b", "ä"] {
            let named = ApiVersionsRequest { client_software_name: name.into(), ..request() };
            assert_eq!(ask(3, &named).error_code, ErrorCode::InvalidRequest.code(), "{name}");
        }
        assert_eq!(
            ask(3, &ApiVersionsRequest { client_software_name: "a-b.c9".into(), ..request() }).error_code,
            0
        );
    }

    #[test]
    fn a_client_names_cluster_and_node_or_neither() {
        let meant = |cluster: Option<&str>, node_id| {
            let cluster_id = cluster.map(Into::into);
            ask(5, &ApiVersionsRequest { cluster_id, node_id, ..request() }).error_code
        };
        let this = "abcdefghijklmnopqrstuv";
        let (half, elsewhere) = (ErrorCode::InvalidRequest.code(), ErrorCode::RebootstrapRequired.code());
        assert_eq!((meant(None, -1), meant(Some(this), 1)), (0, 0));
        assert_eq!((meant(None, 1), meant(Some(this), -1)), (half, half));
        assert_eq!((meant(Some(this), 7), meant(Some("another"), 1)), (elsewhere, elsewhere));
    }
}
