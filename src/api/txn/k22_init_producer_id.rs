//! InitProducerId (key 22), versions 0 to 5: an id for an idempotent producer; for a transactional one, its id and an
//! epoch that fences whoever was it before. Rules: rows 57 and 60 to 62. Version 6 (two-phase commit, KIP-939) isn't
//! stable in Apache Kafka. No deviations.

use super::{Api, Context, Plan, ask_one, failure, fenced_before, with_fresh_id};
use crate::base::{ErrorCode, ProducerEpoch, ProducerId};
use crate::txn::call::{Identity, TxnOp, TxnReply};
use crate::wire::generated::{InitProducerIdRequest, InitProducerIdResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 22, name: "InitProducerId", min: 0, served_min: 0, max: 5, plan };

/// First version whose clients know error 90.
const FENCED_FROM: i16 = 4;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = InitProducerIdRequest::decode(&mut body, context.header.version)?;
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return Ok(refuse(context, ErrorCode::InvalidRequest));
    }
    let timeout_max_ms = context.conf.transactions.timeout_max_ms;
    match request.transactional_id.as_deref() {
        Some("") => return Ok(refuse(context, ErrorCode::InvalidRequest)),
        Some(_) if !(1..=timeout_max_ms).contains(&request.transaction_timeout_ms) => {
            return Ok(refuse(context, ErrorCode::InvalidTransactionTimeout));
        }
        _ => {}
    }
    Ok(with_fresh_id(context, |context, fresh| match (fresh, &request.transactional_id) {
        (None, _) => refuse(context, ErrorCode::CoordinatorLoadInProgress),
        (Some(id), None) => grant(context, Identity { id, epoch: ProducerEpoch(0) }),
        (Some(fresh), Some(_)) => init(context, request, fresh),
    }))
}

fn init(context: &Context<'_>, request: InitProducerIdRequest, fresh: ProducerId) -> Plan {
    let transactional_id = request.transactional_id.unwrap_or_default();
    let said = Identity { id: ProducerId(request.producer_id), epoch: ProducerEpoch(request.producer_epoch) };
    let op = TxnOp::Init {
        transactional_id: transactional_id.clone(),
        timeout_ms: request.transaction_timeout_ms,
        expected: (request.producer_id != -1).then_some(said),
        fresh,
    };
    ask_one(context, &transactional_id, op, |context, reply| match reply {
        TxnReply::Producer(identity) => grant(context, identity),
        other => refuse(context, fenced_before(FENCED_FROM, context.header.version, failure(&other))),
    })
}

fn grant(context: &Context<'_>, Identity { id, epoch }: Identity) -> Plan {
    let (producer_id, producer_epoch) = (id.0, epoch.0);
    context.respond(&InitProducerIdResponse { producer_id, producer_epoch, ..Default::default() })
}

fn refuse(context: &Context<'_>, error: ErrorCode) -> Plan {
    let (error_code, producer_id, producer_epoch) = (error.code(), -1, -1);
    context.respond(&InitProducerIdResponse { error_code, producer_id, producer_epoch, ..Default::default() })
}
