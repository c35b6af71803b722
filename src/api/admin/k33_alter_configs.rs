//! AlterConfigs (key 33), versions 0 to 2: replaces all settings of a topic, or all that were changed of a broker.
//!
//! Checked before anything changes (row 27). No deviations but those of IncrementalAlterConfigs.

use super::config_resource::{Answer, Refusal, check, check_names, commit, normal, target};
use super::{Api, Context, Plan};
use crate::cluster::Command;
use crate::wire::generated::alter_configs_request::AlterConfigsResource;
use crate::wire::generated::alter_configs_response::AlterConfigsResourceResponse;
use crate::wire::generated::{AlterConfigsRequest, AlterConfigsResponse};
use crate::wire::{Decode, DecodeError, Reader};
use std::collections::BTreeMap;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 33, name: "AlterConfigs", min: 0, served_min: 0, max: 2, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = AlterConfigsRequest::decode(&mut body, context.header.version)?;
    let items = request.resources.iter().map(|resource| {
        let named = (resource.resource_type, resource.resource_name.clone());
        (named, replaced(context, resource).map(Some))
    });
    Ok(commit(items.collect(), request.validate_only, |context, answers| {
        let response = |Answer { kind, name, error, message }| AlterConfigsResourceResponse {
            error_code: error.code(),
            error_message: message,
            resource_type: kind,
            resource_name: name,
        };
        let responses = answers.into_iter().map(response).collect();
        context.respond(&AlterConfigsResponse { throttle_time_ms: 0, responses })
    }))
}

fn replaced(context: &Context<'_>, resource: &AlterConfigsResource) -> Result<Command, Refusal> {
    check_names(resource.configs.iter().map(|config| (&config.name, config.value.is_none())))?;
    let target = target(context, resource.resource_type, &resource.resource_name)?;
    let mut configs = BTreeMap::new();
    for config in &resource.configs {
        let value = config.value.as_deref().unwrap_or_default();
        configs.insert(config.name.to_string(), normal(target, &config.name, value));
    }
    check(context, target, &configs)?;
    Ok(Command::SetConfigs { target, configs })
}
