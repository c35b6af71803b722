//! AlterConfigs (key 33), versions 0 to 2: replaces all settings of a topic.
//!
//! Checked before anything changes (row 27). Settings of brokers can't change while they run yet: error 42.

use super::k32_describe_configs::TOPIC;
use super::{Api, Context, Plan};
use crate::base::{ErrorCode, TopicId};
use crate::cluster::{Command, Outcome};
use crate::conf::TopicConf;
use crate::wire::generated::alter_configs_request::AlterConfigsResource;
use crate::wire::generated::alter_configs_response::AlterConfigsResourceResponse;
use crate::wire::generated::{AlterConfigsRequest, AlterConfigsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};
use std::collections::BTreeMap;

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 33, name: "AlterConfigs", min: 0, served_min: 0, max: 2, plan };

/// Why a change is refused.
pub(super) type Refusal = (ErrorCode, String);

/// A change that passed its checks: the topic and its new settings.
pub(super) type Change = (TopicId, BTreeMap<String, String>);

/// One resource of a request, and whether its change goes on to the coordinator.
pub(super) struct Item {
    /// Kafka's number of its type.
    pub(super) kind: i8,
    /// Its name.
    pub(super) name: Str,
    /// Refused already, or not.
    pub(super) checked: Result<(), Refusal>,
}

/// Commits the checked changes and answers with `finish`, which gets each resource with its error.
pub(super) fn commit(
    items: Vec<(Item, Option<Change>)>,
    validate_only: bool,
    finish: impl FnOnce(&Context<'_>, Vec<(Item, ErrorCode, Option<String>)>) -> Plan + 'static,
) -> Plan {
    let mut commands = Vec::new();
    let mut sent = Vec::new();
    for (item, change) in items {
        let send = change.filter(|_| !validate_only);
        sent.push((item, send.is_some()));
        commands.extend(send.map(|(topic, configs)| Command::SetTopicConfigs { topic, configs }));
    }
    Plan::Cluster(
        commands,
        Box::new(move |context, outcomes| {
            let mut outcomes = outcomes.into_iter();
            let mut answers = Vec::new();
            for (item, sent) in sent {
                let outcome = if sent { outcomes.next() } else { None };
                let refusal = match (&item.checked, outcome) {
                    (Err(refusal), _) => Some(refusal.clone()),
                    (Ok(()), Some(Outcome::Refused(refusal))) => Some(refusal),
                    _ => None,
                };
                let (error, message) =
                    refusal.map_or((ErrorCode::None, None), |(error, why)| (error, Some(why)));
                answers.push((item, error, message));
            }
            finish(context, answers)
        }),
    )
}

/// Finds the topic whose settings a resource names.
pub(super) fn topic_of(context: &Context<'_>, kind: i8, name: &str) -> Result<Change, Refusal> {
    if kind != TOPIC {
        let why = "The settings of brokers can't be changed while they run; edit the configuration file.";
        return Err((ErrorCode::InvalidRequest, why.to_owned()));
    }
    match context.cluster.topic(name) {
        Some(topic) => Ok((topic.id, topic.configs.clone())),
        None => Err((ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))),
    }
}

/// Checks new settings as a whole.
pub(super) fn check(context: &Context<'_>, configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let checked = TopicConf::check(configs, context.conf).map(drop);
    checked.map_err(|problems| (ErrorCode::InvalidConfig, problems.join("; ")))
}

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = AlterConfigsRequest::decode(&mut body, context.header.version)?;
    let items = request.resources.iter().map(|resource| {
        let change = replaced(context, resource);
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
        context.respond(&AlterConfigsResponse { throttle_time_ms: 0, responses })
    }))
}

fn replaced(context: &Context<'_>, resource: &AlterConfigsResource) -> Result<Change, Refusal> {
    let (topic, _) = topic_of(context, resource.resource_type, &resource.resource_name)?;
    let mut configs = BTreeMap::new();
    for config in &resource.configs {
        let value = config.value.as_ref().ok_or_else(|| {
            (ErrorCode::InvalidConfig, format!("Null value not supported for : {}", config.name))
        })?;
        configs.insert(config.name.to_string(), value.to_string());
    }
    check(context, &configs)?;
    Ok((topic, configs))
}
