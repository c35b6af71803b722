//! DescribeCluster (key 60), versions 0 to 2: cluster id, controller, brokers (row 31).
//!
//! Asked for controllers (endpoint type 2) a broker's listener answers error 114, as Kafka's does.

use super::k03_metadata::{CLUSTER_OPERATIONS, OPERATIONS_UNASKED};
use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::wire::generated::describe_cluster_response::DescribeClusterBroker;
use crate::wire::generated::{DescribeClusterRequest, DescribeClusterResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 60, name: "DescribeCluster", min: 0, served_min: 0, max: 2, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeClusterRequest::decode(&mut body, context.header.version)?;
    if request.endpoint_type != 1 {
        let (error, why) = if request.endpoint_type == 2 {
            let why = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
                       CONTROLLER";
            (ErrorCode::MismatchedEndpointType, why.to_owned())
        } else {
            let why = format!("Unsupported endpoint type {}", request.endpoint_type);
            (ErrorCode::UnsupportedEndpointType, why)
        };
        let (error_code, error_message) = (error.code(), Some(why.into()));
        return Ok(context.respond(&DescribeClusterResponse {
            error_code,
            error_message,
            ..Default::default()
        }));
    }
    // From version 2 on a client may ask for brokers that are fenced, too.
    let shown =
        context.cluster.brokers().filter(|(_, broker)| !broker.fenced || request.include_fenced_brokers);
    let brokers = shown.map(|(id, broker)| DescribeClusterBroker {
        broker_id: id.0,
        host: broker.host.clone(),
        port: i32::from(broker.port),
        rack: broker.rack.clone(),
        is_fenced: broker.fenced,
    });
    let asked = request.include_cluster_authorized_operations;
    let response = DescribeClusterResponse {
        cluster_id: context.cluster.cluster_id().into(),
        controller_id: context.controller(),
        brokers: brokers.collect(),
        cluster_authorized_operations: if asked { CLUSTER_OPERATIONS } else { OPERATIONS_UNASKED },
        ..Default::default()
    };
    Ok(context.respond(&response))
}
