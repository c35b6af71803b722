//! IncrementalAlterConfigs (key 44), versions 0 and 1: changes single settings of topics and brokers (KIP-339).
//!
//! Set, delete, append, subtract. Checked before anything changes (row 27); changes of the same resource by several
//! clients add up.
//!
//! Deviations: a broker's setting that this broker doesn't know is refused, where Kafka keeps it for a plugin; there
//! are no loggers whose level could be set; client metrics and groups come later; an unknown operation is error 42
//! instead of -1.

use super::config_resource::{
    Answer, LOGGER, Refusal, check, check_logger, check_names, commit, invalid, normal, target,
};
use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::cluster::{Command, Edit, Target, edit};
use crate::conf::topic::list_default;
use crate::wire::generated::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use crate::wire::generated::incremental_alter_configs_response::AlterConfigsResourceResponse;
use crate::wire::generated::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 44, name: "IncrementalAlterConfigs", min: 0, served_min: 0, max: 1, plan };

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = IncrementalAlterConfigsRequest::decode(&mut body, context.header.version)?;
    let items = request.resources.iter().map(|resource| {
        let named = (resource.resource_type, resource.resource_name.clone());
        (named, changed(context, resource))
    });
    Ok(commit(items.collect(), request.validate_only, |context, answers| {
        let response = |Answer { kind, name, error, message }| AlterConfigsResourceResponse {
            error_code: error.code(),
            error_message: message,
            resource_type: kind,
            resource_name: name,
        };
        let responses = answers.into_iter().map(response).collect();
        context.respond(&IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses })
    }))
}

fn changed(context: &Context<'_>, resource: &AlterConfigsResource) -> Result<Option<Command>, Refusal> {
    let missing = |config: &AlterableConfig| config.config_operation != DELETE && config.value.is_none();
    check_names(resource.configs.iter().map(|config| (&config.name, missing(config))))?;
    if resource.resource_type == LOGGER {
        let changes = resource.configs.iter().map(|config| (config.name.clone(), config.value.clone()));
        check_logger(context, &resource.resource_name, changes)?;
        return Ok(None);
    }
    let target = target(context, resource.resource_type, &resource.resource_name)?;
    let mut after = context.cluster.configs_of(target).cloned().unwrap_or_default();
    let mut edits = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        let change = change(context, target, config)?;
        edit(&mut after, &config.name, &change);
        edits.push((config.name.to_string(), change));
    }
    check(context, target, &after)?;
    Ok(Some(Command::EditConfigs { target, edits }))
}

fn change(context: &Context<'_>, target: Target, config: &AlterableConfig) -> Result<Edit, Refusal> {
    let (name, operation) = (&config.name, config.config_operation);
    let value = config.value.as_deref().unwrap_or_default();
    let list = |verb: &str| {
        let otherwise = match target {
            Target::Topic(_) => list_default(name, &context.in_force()),
            // The one list among the keys of brokers.
            _ if **name == *"log.cleanup.policy" => Some(context.in_force().value(name).to_owned()),
            _ => None,
        };
        let why = format!("Can't {verb} to key {name} because its type is not LIST.");
        otherwise.ok_or((ErrorCode::InvalidConfig, why))
    };
    let words = || value.to_owned();
    match operation {
        SET => Ok(Edit::Set(normal(target, name, value))),
        DELETE => Ok(Edit::Remove),
        APPEND => Ok(Edit::Append { words: words(), otherwise: list("APPEND")? }),
        SUBTRACT => Ok(Edit::Subtract { words: words(), otherwise: list("SUBTRACT")? }),
        _ => Err(invalid(format!("Unknown operation {operation} for {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::admin::config_resource::{BROKER, TOPIC};
    use crate::api::testing::Fixture;
    use crate::base::NodeId;
    use std::collections::BTreeMap;

    type Change = (&'static str, i8, Option<&'static str>);

    fn resource(kind: i8, name: &str, changes: &[Change]) -> AlterConfigsResource {
        let config = |(name, operation, value): &Change| AlterableConfig {
            name: (*name).into(),
            config_operation: *operation,
            value: value.map(Into::into),
        };
        AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: changes.iter().map(config).collect(),
        }
    }

    fn alter(fixture: &mut Fixture, kind: i8, name: &str, changes: &[Change]) -> i16 {
        let resources = vec![resource(kind, name, changes)];
        let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
        let response: IncrementalAlterConfigsResponse = fixture.ask(44, 1, &request).message();
        response.responses[0].error_code
    }

    fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_topics_settings_change_one_by_one() {
        let mut fixture = Fixture::new();
        let target = Target::Topic(fixture.topic("t"));
        assert_eq!(alter(&mut fixture, TOPIC, "t", &[("retention.ms", SET, Some(" 5 "))]), 0);
        assert_eq!(alter(&mut fixture, TOPIC, "t", &[("cleanup.policy", APPEND, Some("compact"))]), 0);
        let both = set(&[("retention.ms", "5"), ("cleanup.policy", "delete,compact")]);
        assert_eq!(fixture.cluster.configs_of(target), Some(&both));
        let (invalid, refused) = (ErrorCode::InvalidConfig.code(), ErrorCode::InvalidRequest.code());
        for (changes, error) in [
            (&[("retention.ms", SET, Some("soon"))][..], invalid),
            (&[("retention.ms", APPEND, Some("1"))], invalid),
            (&[("no.such", SET, Some("1"))], invalid),
            (&[("retention.bytes", SET, Some("1")), ("retention.ms", SET, Some("x"))], invalid),
            (&[("retention.ms", SET, None)], refused),
            (&[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))], refused),
            (&[("retention.ms", 9, Some("1"))], refused),
        ] {
            assert_eq!(alter(&mut fixture, TOPIC, "t", changes), error, "{changes:?}");
        }
        assert_eq!(fixture.cluster.configs_of(target), Some(&both), "nothing of it changed anything");
        assert_eq!(
            alter(&mut fixture, TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("delete,compact"))]),
            0
        );
        assert_eq!(alter(&mut fixture, TOPIC, "t", &[("retention.ms", DELETE, None)]), 0);
        assert_eq!(fixture.cluster.configs_of(target), Some(&set(&[("cleanup.policy", "")])));
    }

    #[test]
    fn brokers_settings_change_for_all_or_one() {
        let mut fixture = Fixture::new();
        assert_eq!(alter(&mut fixture, BROKER, "", &[("log.retention.ms", SET, Some("5"))]), 0);
        assert_eq!(alter(&mut fixture, BROKER, "1", &[("message.max.bytes", SET, Some("7"))]), 0);
        let of = |fixture: &Fixture, target| fixture.cluster.configs_of(target).cloned();
        assert_eq!(of(&fixture, Target::Brokers), Some(set(&[("log.retention.ms", "5")])));
        assert_eq!(of(&fixture, Target::Broker(NodeId(1))), Some(set(&[("message.max.bytes", "7")])));
        let refused = ErrorCode::InvalidRequest.code();
        for (name, key, value) in [
            ("1", "node.id", "5"),
            ("1", "no.such", "5"),
            ("1", "message.max.bytes", "x"),
            ("7", "message.max.bytes", "5"),
            ("x", "message.max.bytes", "5"),
        ] {
            assert_eq!(
                alter(&mut fixture, BROKER, name, &[(key, SET, Some(value))]),
                refused,
                "{name} {key}"
            );
        }
        let rate = [("leader.replication.throttled.rate", SET, Some("1000"))];
        assert_eq!(alter(&mut fixture, BROKER, "1", &rate), 0, "tools set it and take it back");
    }

    #[test]
    fn a_resource_named_twice_changes_nothing() {
        let mut fixture = Fixture::new();
        let target = Target::Topic(fixture.topic("t"));
        let once = |value| resource(TOPIC, "t", &[("retention.ms", SET, Some(value))]);
        let request =
            IncrementalAlterConfigsRequest { resources: vec![once("1"), once("2")], validate_only: false };
        let response: IncrementalAlterConfigsResponse = fixture.ask(44, 1, &request).message();
        let codes: Vec<_> = response.responses.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, [42, 42]);
        let request = IncrementalAlterConfigsRequest { resources: vec![once("1")], validate_only: true };
        let response: IncrementalAlterConfigsResponse = fixture.ask(44, 1, &request).message();
        assert_eq!(response.responses[0].error_code, 0);
        assert_eq!(fixture.cluster.configs_of(target), Some(&BTreeMap::new()));
    }
}
