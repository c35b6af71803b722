//! DescribeConfigs (key 32), versions 1 to 4: settings of topics and of this broker, with where they come from.
//!
//! Rules: rows 25 and 26. Resource types: 2 topic, 4 broker. Others are error 42.

use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::cluster::check_topic_name;
use crate::conf::topic::{Described, describe, describe_broker};
use crate::wire::generated::describe_configs_request::DescribeConfigsResource;
use crate::wire::generated::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::generated::{DescribeConfigsRequest, DescribeConfigsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 32, name: "DescribeConfigs", min: 1, served_min: 1, max: 4, plan };

/// Kafka's number of the topic resource.
pub(super) const TOPIC: i8 = 2;
/// Kafka's number of the broker resource.
pub(super) const BROKER: i8 = 4;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeConfigsRequest::decode(&mut body, context.header.version)?;
    let result = |resource: &DescribeConfigsResource| match settings(context, resource) {
        Ok(all) => described(resource, all, &request),
        Err((error, message)) => DescribeConfigsResult {
            error_code: error.code(),
            error_message: Some(message.into()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: Vec::new(),
        },
    };
    let results = request.resources.iter().map(result).collect();
    Ok(context.respond(&DescribeConfigsResponse { throttle_time_ms: 0, results }))
}

fn settings(
    context: &Context<'_>,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Described>, (ErrorCode, String)> {
    let name = &resource.resource_name;
    match resource.resource_type {
        TOPIC => match context.cluster.topic(name) {
            Some(topic) => Ok(describe(&topic.configs, context.conf)),
            None => match check_topic_name(name) {
                Ok(()) => Err((ErrorCode::UnknownTopicOrPartition, String::new())),
                Err(why) => Err((ErrorCode::InvalidTopicException, why)),
            },
        },
        // An empty name asks for the settings of all brokers that were changed while running; there are none.
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER if **name == *context.node.id.to_string() => Ok(describe_broker(context.conf)),
        BROKER => {
            Err((ErrorCode::InvalidRequest, format!("Unexpected broker id {name}: ask the broker itself")))
        }
        kind => Err((
            ErrorCode::InvalidRequest,
            format!("This broker has no settings for resources of type {kind}"),
        )),
    }
}

fn described(
    resource: &DescribeConfigsResource,
    all: Vec<Described>,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResult {
    let wanted = |one: &Described| {
        resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| *key == *one.name))
    };
    let synonym = |s: crate::conf::topic::Synonym| DescribeConfigsSynonym {
        name: Str::from_static(s.name),
        value: Some(s.value.into()),
        source: s.source,
    };
    let config = |one: Described| DescribeConfigsResourceResult {
        name: Str::from_static(one.name),
        value: Some(one.value.into()),
        read_only: one.read_only,
        config_source: one.source,
        is_sensitive: false,
        synonyms: if request.include_synonyms {
            one.synonyms.into_iter().map(synonym).collect()
        } else {
            Vec::new()
        },
        config_type: one.kind,
        documentation: request.include_documentation.then(|| Str::from_static(one.doc)),
    };
    DescribeConfigsResult {
        error_code: 0,
        error_message: Some(Str::EMPTY),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: all.into_iter().filter(wanted).map(config).collect(),
    }
}
