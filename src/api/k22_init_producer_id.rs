//! InitProducerId (key 22), versions 0 to 5: an id for an idempotent producer.
//!
//! Ids come from a block that this shard got from the coordinator, which never hands one out twice (row 57).
//!
//! Deviation: a transactional id is refused with error 53, fatal to the client, until this broker has a transaction
//! coordinator; a retriable error would let the client wait for ever.

use super::{Api, Context, Plan};
use crate::base::ErrorCode;
use crate::cluster::{Command, Outcome};
use crate::wire::generated::{InitProducerIdRequest, InitProducerIdResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(super) const API: Api = Api { key: 22, name: "InitProducerId", min: 0, served_min: 0, max: 5, plan };

/// Ids that a shard takes from the coordinator at a time (Kafka: 1,000).
const BLOCK: i64 = 1000;

/// Kafka's default of `transaction.max.timeout.ms`.
const TRANSACTION_TIMEOUT_MAX_MS: i32 = 900_000;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = InitProducerIdRequest::decode(&mut body, context.header.version)?;
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return Ok(refuse(context, ErrorCode::InvalidRequest));
    }
    match request.transactional_id.as_deref() {
        Some("") => return Ok(refuse(context, ErrorCode::InvalidRequest)),
        Some(_) if !(1..=TRANSACTION_TIMEOUT_MAX_MS).contains(&request.transaction_timeout_ms) => {
            return Ok(refuse(context, ErrorCode::InvalidTransactionTimeout));
        }
        Some(_) => return Ok(refuse(context, ErrorCode::TransactionalIdAuthorizationFailed)),
        None => {}
    }
    let id = context.producer_ids.borrow_mut().take();
    if let Some(id) = id {
        return Ok(grant(context, id));
    }
    Ok(Plan::Cluster(
        vec![Command::AllocateProducerIds { count: BLOCK }],
        Box::new(|context, outcomes| {
            let Some(Outcome::ProducerIds { first, count }) = outcomes.first() else {
                return refuse(context, ErrorCode::CoordinatorLoadInProgress);
            };
            // Two requests may have asked for a block at once; what is left of the other one is given up.
            let mut block = context.producer_ids.borrow_mut();
            (block.next, block.end) = (*first, first + count);
            let id = block.take().expect("a fresh block isn't empty");
            drop(block);
            grant(context, id)
        }),
    ))
}

fn grant(context: &Context<'_>, producer_id: i64) -> Plan {
    context.respond(&InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() })
}

fn refuse(context: &Context<'_>, error: ErrorCode) -> Plan {
    let (error_code, producer_id, producer_epoch) = (error.code(), -1, -1);
    context.respond(&InitProducerIdResponse { error_code, producer_id, producer_epoch, ..Default::default() })
}
