//! DescribeTransactions (key 65), version 0: where the transactions of some transactional ids stand (KIP-664). No
//! deviations.

use super::{Api, Context, Plan, ask_each, failure};
use crate::base::ErrorCode;
use crate::txn::call::{TxnOp, TxnReply};
use crate::wire::generated::describe_transactions_response::TransactionState;
use crate::wire::generated::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use crate::wire::{Decode, DecodeError, Reader};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 65, name: "DescribeTransactions", min: 0, served_min: 0, max: 0, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = DescribeTransactionsRequest::decode(&mut body, context.header.version)?;
    let ids = request.transactional_ids;
    let asked = ids.clone();
    let question = |id: crate::wire::Str| (id.clone(), TxnOp::Describe { transactional_id: id });
    Ok(ask_each(context, ids.into_iter().map(question).collect(), move |context, replies| {
        let states = asked.into_iter().zip(replies).map(|(transactional_id, reply)| match reply {
            _ if transactional_id.is_empty() => refused(transactional_id, ErrorCode::InvalidRequest),
            TxnReply::Described(state) => state,
            other => refused(transactional_id, failure(&other)),
        });
        let transaction_states = states.collect();
        context.respond(&DescribeTransactionsResponse { transaction_states, ..Default::default() })
    }))
}

fn refused(transactional_id: crate::wire::Str, error: ErrorCode) -> TransactionState {
    TransactionState { error_code: error.code(), transactional_id, ..Default::default() }
}
