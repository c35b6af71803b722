//! UnregisterBroker (key 64), version 0: forgets a broker that is gone for good (KIP-631). No deviations.

use super::{Api, Context, Plan, result};
use crate::base::NodeId;
use crate::cluster::Command;
use crate::wire::generated::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 64, name: "UnregisterBroker", min: 0, served_min: 0, max: 0, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = UnregisterBrokerRequest::decode(&mut body, context.header.version)?;
    let command = Command::UnregisterBroker { id: NodeId(request.broker_id) };
    Ok(Plan::Cluster(
        vec![command],
        Box::new(|context, outcomes| {
            let (error, error_message) = result(outcomes);
            let error_code = error.code();
            context.respond(&UnregisterBrokerResponse { error_code, error_message, ..Default::default() })
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Fixture;
    use crate::base::ErrorCode;

    #[test]
    fn a_broker_is_forgotten_once() {
        let mut fixture = Fixture::cluster(3);
        let mut unregister = |broker_id| {
            let response: UnregisterBrokerResponse =
                fixture.ask(64, 0, &UnregisterBrokerRequest { broker_id }).message();
            (response.error_code, response.error_message.map(|why| why.to_string()))
        };
        assert_eq!(unregister(3), (0, None));
        let unknown = ErrorCode::BrokerIdNotRegistered.code();
        assert_eq!(unregister(3), (unknown, Some("Broker ID 3 is not currently registered".to_owned())));
    }
}
