//! AddOffsetsToTxn (key 25), versions 0 to 4: a transaction will commit offsets of a group. It adds the group's
//! partition of `__consumer_offsets` to the transaction.
//!
//! Deviation: where that topic isn't there yet it is created, where Apache Kafka answers error 15 and lets the client
//! ask again.

use super::{Api, Context, Plan, ask_one, failure, fenced_before};
use crate::api::group::{create_topic, home_of};
use crate::base::{ErrorCode, ProducerEpoch, ProducerId};
use crate::group::OFFSETS_TOPIC;
use crate::txn::call::{Identity, Protocol, TxnOp, TxnReply};
use crate::wire::generated::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 25, name: "AddOffsetsToTxn", min: 0, served_min: 0, max: 4, plan };

/// First version whose clients know error 90.
const FENCED_FROM: i16 = 2;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = AddOffsetsToTxnRequest::decode(&mut body, context.header.version)?;
    if context.cluster.topic(OFFSETS_TOPIC).is_none() {
        let create = vec![create_topic(context)];
        return Ok(Plan::Cluster(create, Box::new(move |context, _| add(context, request))));
    }
    Ok(add(context, request))
}

fn add(context: &Context<'_>, request: AddOffsetsToTxnRequest) -> Plan {
    let Ok(home) = home_of(context, &request.group_id) else {
        return answer(context, ErrorCode::CoordinatorNotAvailable);
    };
    let producer =
        Identity { id: ProducerId(request.producer_id), epoch: ProducerEpoch(request.producer_epoch) };
    let op = TxnOp::Add {
        transactional_id: request.transactional_id.clone(),
        producer,
        partitions: vec![(Str::from_static(OFFSETS_TOPIC), home.partition.0)],
        protocol: Protocol::V1,
        patient: false,
    };
    ask_one(context, &request.transactional_id, op, |context, reply| {
        let error = match reply {
            TxnReply::Partitions(_) => ErrorCode::None,
            other => failure(&other),
        };
        answer(context, fenced_before(FENCED_FROM, context.header.version, error))
    })
}

fn answer(context: &Context<'_>, error: ErrorCode) -> Plan {
    context.respond(&AddOffsetsToTxnResponse { error_code: error.code(), ..Default::default() })
}
