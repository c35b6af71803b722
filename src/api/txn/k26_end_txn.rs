//! EndTxn (key 26), versions 0 to 5: a transaction is committed or aborted. From version 5 on the producer's epoch
//! rises with it, and the answer says who the producer is from now on (KIP-890). Rules: rows 63, 64, 76. No deviations.

use super::{Api, Context, Plan, ask_one, failure, fenced_before, with_fresh_id};
use crate::base::{ErrorCode, ProducerEpoch, ProducerId};
use crate::txn::call::{Identity, Protocol, TxnOp, TxnReply};
use crate::wire::generated::{EndTxnRequest, EndTxnResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api = Api { key: 26, name: "EndTxn", min: 0, served_min: 0, max: 5, plan };

/// First version whose clients know error 90.
const FENCED_FROM: i16 = 2;
/// First version of clients whose epoch rises with every transaction.
const RISING_FROM: i16 = 5;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let request = EndTxnRequest::decode(&mut body, version)?;
    let used_up = version >= RISING_FROM && request.producer_epoch >= i16::MAX - 1;
    if used_up {
        return Ok(with_fresh_id(context, |context, fresh| end(context, request, fresh)));
    }
    Ok(end(context, request, None))
}

fn end(context: &Context<'_>, request: EndTxnRequest, fresh: Option<ProducerId>) -> Plan {
    let version = context.header.version;
    let op = TxnOp::End {
        transactional_id: request.transactional_id.clone(),
        producer: Identity {
            id: ProducerId(request.producer_id),
            epoch: ProducerEpoch(request.producer_epoch),
        },
        commit: request.committed,
        protocol: if version >= RISING_FROM { Protocol::V2 } else { Protocol::V1 },
        fresh,
    };
    ask_one(context, &request.transactional_id, op, move |context, reply| {
        let (error, producer) = match reply {
            TxnReply::Producer(producer) => (ErrorCode::None, Some(producer)),
            other => (fenced_before(FENCED_FROM, version, failure(&other)), None),
        };
        let producer = producer.filter(|_| version >= RISING_FROM);
        context.respond(&EndTxnResponse {
            error_code: error.code(),
            producer_id: producer.map_or(-1, |producer| producer.id.0),
            producer_epoch: producer.map_or(-1, |producer| producer.epoch.0),
            ..Default::default()
        })
    })
}
