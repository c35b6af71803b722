//! ApiVersions (key 18), versions 0 to 5: which APIs and features there are.
//!
//! A version above 5 gets error 35 in version 0 with this API's own range, so that the client can ask again (row 3).
//! Version 5 checks that the client reached the cluster and node it meant (KIP-1242); it names both or neither.
//!
//! Features: metadata.version alone; the others come with what they stand for.

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
    let (min_version, max_version) = METADATA_VERSIONS;
    let name = || "metadata.version".into();
    let response = ApiVersionsResponse {
        api_keys: API_TABLE.iter().map(entry).collect(),
        supported_features: vec![SupportedFeatureKey { name: name(), min_version, max_version }],
        finalized_features_epoch: i64::try_from(context.cluster.applied()).unwrap_or(i64::MAX),
        finalized_features: vec![FinalizedFeatureKey {
            name: name(),
            max_version_level: max_version,
            min_version_level: max_version,
        }],
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
