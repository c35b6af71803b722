//! ListTransactions (key 66), versions 0 to 2: the transactional ids of this broker, by state, producer, age and
//! pattern. While a coordinator reads its log the answer is error 14: a list that lacks some would be taken for the
//! truth. No deviations.

use super::{Api, Context, Plan, failure};
use crate::base::{ErrorCode, PartitionIndex, TopicPartition};
use crate::txn::TRANSACTIONS_TOPIC;
use crate::txn::call::{Filter, STATE_NAMES, TxnCall, TxnOp, TxnReply};
use crate::wire::generated::{ListTransactionsRequest, ListTransactionsResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 66, name: "ListTransactions", min: 0, served_min: 0, max: 2, plan };

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = ListTransactionsRequest::decode(&mut body, context.header.version)?;
    let known = |name: &Str| STATE_NAMES.contains(&name.as_str());
    let (states, unknown): (Vec<Str>, Vec<Str>) = request.state_filters.into_iter().partition(known);
    // A filter of which nothing is known matches nothing.
    let nothing = states.is_empty() && !unknown.is_empty();
    let filter = Filter {
        states,
        producer_ids: request.producer_id_filters,
        duration_ms: request.duration_filter,
        pattern: request.transactional_id_pattern,
    };
    let topic = context.cluster.topic(TRANSACTIONS_TOPIC).filter(|_| !nothing);
    let partitions = topic.into_iter().flat_map(|topic| {
        let id = topic.id;
        (0i32..)
            .take(topic.partitions.len())
            .map(move |index| TopicPartition { topic: id, partition: PartitionIndex(index) })
    });
    let call = |partition| TxnCall { partition, op: TxnOp::List(filter.clone()) };
    // Other brokers list the transactions of the partitions that they lead.
    let calls = partitions.filter(|partition| context.leads(*partition)).map(call).collect();
    Ok(Plan::Txns(
        calls,
        Box::new(|context, replies| {
            let mut response =
                ListTransactionsResponse { unknown_state_filters: unknown, ..Default::default() };
            for reply in replies {
                match reply {
                    TxnReply::Listed(listed) => response.transaction_states.extend(listed),
                    // Another broker has that partition, and lists its transactions itself.
                    TxnReply::Failed(ErrorCode::NotCoordinator) => {}
                    other => response.error_code = failure(&other).code(),
                }
            }
            if response.error_code != 0 {
                response.transaction_states.clear();
            }
            context.respond(&response)
        }),
    ))
}
