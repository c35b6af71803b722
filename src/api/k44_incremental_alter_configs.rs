//! IncrementalAlterConfigs (key 44), versions 0 and 1: changes single settings of a topic (KIP-339).
//!
//! Set, delete, append, subtract. Checked before anything changes (row 27). Settings of brokers: as in AlterConfigs.

use super::k33_alter_configs::{Change as Checked, Item, Refusal, check, commit, topic_of};
use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::conf::topic::{Change, alter};
use crate::wire::generated::incremental_alter_configs_request::AlterConfigsResource;
use crate::wire::generated::incremental_alter_configs_response::AlterConfigsResourceResponse;
use crate::wire::generated::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(super) const API: Api =
    Api { key: 44, name: "IncrementalAlterConfigs", min: 0, served_min: 0, max: 1, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = IncrementalAlterConfigsRequest::decode(&mut body, context.header.version)?;
    let items = request.resources.iter().map(|resource| {
        let change = changed(context, resource);
        let checked = change.as_ref().map(drop).map_err(Clone::clone);
        let item = Item { kind: resource.resource_type, name: resource.resource_name.clone(), checked };
        (item, change.ok())
    });
    Ok(commit(items.collect(), request.validate_only, |context, answers| {
        let response =
            |(item, error, message): (Item, ErrorCode, Option<String>)| AlterConfigsResourceResponse {
                error_code: error.code(),
                error_message: message.map(Str::from),
                resource_type: item.kind,
                resource_name: item.name,
            };
        let responses = answers.into_iter().map(response).collect();
        context.respond(&IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses })
    }))
}

fn changed(context: &Context<'_>, resource: &AlterConfigsResource) -> Result<Checked, Refusal> {
    let (topic, mut configs) = topic_of(context, resource.resource_type, &resource.resource_name)?;
    for config in &resource.configs {
        let change = Change::from_wire(config.config_operation).ok_or_else(|| {
            (
                ErrorCode::InvalidRequest,
                format!("Unknown operation {} for {}", config.config_operation, config.name),
            )
        })?;
        let applied = alter(&mut configs, (&config.name, change, config.value.as_deref()), context.conf);
        applied.map_err(|why| (ErrorCode::InvalidConfig, why))?;
    }
    check(context, &configs)?;
    Ok((topic, configs))
}
