//! DescribeConfigs (key 32), versions 1 to 4: settings of topics and of this broker, with where they come from.
//!
//! Rules: rows 25 and 26. Resource types: 2 topic, 4 broker, 8 loggers (of which there are none). Others are error 42.
//!
//! Deviations: a broker tells its own keys and those of Kafka's that mean something here, not all of Kafka's; client
//! metrics and groups come later.

use super::config_resource::{BROKER, LOGGER, Refusal, TOPIC, invalid};
use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::cluster::check_topic_name;
use crate::conf::Synonym;
use crate::conf::topic::{Described, describe, describe_broker, describe_changes};
use crate::wire::generated::describe_configs_request::DescribeConfigsResource;
use crate::wire::generated::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::generated::{DescribeConfigsRequest, DescribeConfigsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeSet;

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 32, name: "DescribeConfigs", min: 1, served_min: 1, max: 4, plan };

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
    // What is asked for twice is answered once: each answer is a hundred times as long as its question.
    let mut seen = BTreeSet::new();
    let asked = request.resources.iter();
    let asked =
        asked.filter(|resource| seen.insert((resource.resource_type, resource.resource_name.clone())));
    let results = asked.map(result).collect();
    Ok(context.respond(&DescribeConfigsResponse { throttle_time_ms: 0, results }))
}

fn settings(context: &Context<'_>, resource: &DescribeConfigsResource) -> Result<Vec<Described>, Refusal> {
    let name = &resource.resource_name;
    let this = context.node.id;
    let id = || {
        name.parse::<i32>().map_err(|_| invalid(format!("Broker id must be an integer, but it is: {name}")))
    };
    match resource.resource_type {
        TOPIC => match context.cluster.topic(name) {
            Some(topic) => Ok(describe(&topic.configs, &context.in_force())),
            None => match check_topic_name(name) {
                Ok(()) => Err((ErrorCode::UnknownTopicOrPartition, String::new())),
                Err(why) => Err((ErrorCode::InvalidTopicException, why)),
            },
        },
        // An empty name asks for what was changed of all brokers.
        BROKER if name.is_empty() => Ok(describe_changes(&context.in_force())),
        BROKER => match id()? {
            id if id == this => Ok(describe_broker(&context.in_force())),
            id => {
                let why = format!("Unexpected broker id, expected {this} or empty string, but received {id}");
                Err(invalid(why))
            }
        },
        LOGGER if name.is_empty() => Err(invalid("Broker id must not be empty")),
        LOGGER => match id()? {
            id if id == this => Ok(Vec::new()),
            id => Err(invalid(format!("Unexpected broker id, expected {this} but received {id}"))),
        },
        _ => Err(invalid(
            "This most likely occurs because of a request being malformed by the client library or the message was \
             sent to an incompatible broker. See the broker logs for more details.",
        )),
    }
}

fn described(
    resource: &DescribeConfigsResource,
    all: Vec<Described>,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResult {
    // No key at all asks for every key, as Kafka has it.
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    let wanted = |one: &Described| keys.is_empty() || keys.iter().any(|key| *key == *one.name);
    let synonym = |s: Synonym| DescribeConfigsSynonym {
        name: Str::from_static(s.name),
        value: Some(s.value.into()),
        source: s.source,
    };
    let config = |one: Described| DescribeConfigsResourceResult {
        name: Str::from_static(one.name),
        value: one.value.map(Str::from),
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
