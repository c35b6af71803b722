//! AddPartitionsToTxn (key 24), versions 0 to 5: partitions that a transaction will write to. Versions 0 to 3 are for
//! clients, 4 and 5 for brokers that verify or add for many transactions at once (KIP-890). Rules: rows 63, 65, 67.
//! No deviations.

use super::{Api, Context, Plan, ask_each, ask_one, failure, fenced_before};
use crate::api::resolve_name;
use crate::base::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId};
use crate::txn::call::{Identity, NamedPartition, Protocol, TxnOp, TxnReply};
use crate::wire::generated::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use crate::wire::generated::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use crate::wire::generated::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 24, name: "AddPartitionsToTxn", min: 0, served_min: 0, max: 5, plan };

/// First version with several transactions.
const BATCHED_FROM: i16 = 4;
/// First version whose clients know error 90.
const FENCED_FROM: i16 = 2;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let request = AddPartitionsToTxnRequest::decode(&mut body, context.header.version)?;
    if context.header.version >= BATCHED_FROM {
        return Ok(batched(context, request.transactions));
    }
    let transactional_id = request.v3_and_below_transactional_id;
    let producer = Identity {
        id: ProducerId(request.v3_and_below_producer_id),
        epoch: ProducerEpoch(request.v3_and_below_producer_epoch),
    };
    let partitions = named(&request.v3_and_below_topics);
    let checked = check(context, &partitions);
    if checked.iter().any(|error| !error.is_ok()) {
        return Ok(respond_one(context, &results(&partitions, &checked)));
    }
    let asked = partitions.clone();
    let (protocol, patient) = (Protocol::V1, false);
    let op =
        TxnOp::Add { transactional_id: transactional_id.clone(), producer, partitions, protocol, patient };
    Ok(ask_one(context, &transactional_id, op, move |context, reply| {
        respond_one(context, &results(&asked, &errors(context, &reply, asked.len())))
    }))
}

/// Transactions of several producers, as brokers ask.
fn batched(context: &Context<'_>, transactions: Vec<AddPartitionsToTxnTransaction>) -> Plan {
    let mut asked = Vec::with_capacity(transactions.len());
    let mut questions = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        let producer = Identity {
            id: ProducerId(transaction.producer_id),
            epoch: ProducerEpoch(transaction.producer_epoch),
        };
        let (id, partitions) = (transaction.transactional_id, named(&transaction.topics));
        let checked = check(context, &partitions);
        let whole = checked.iter().all(|error| error.is_ok());
        asked.push((id.clone(), partitions.clone(), (!whole).then_some(checked)));
        let transactional_id = id.clone();
        let op = if transaction.verify_only {
            TxnOp::Verify { transactional_id, producer, partitions }
        } else {
            let (protocol, patient) = (Protocol::V2, false);
            TxnOp::Add { transactional_id, producer, partitions, protocol, patient }
        };
        questions.extend(whole.then_some((id, op)));
    }
    ask_each(context, questions, move |context, replies| {
        let mut replies = replies.into_iter();
        let results = asked.into_iter().map(|(transactional_id, partitions, refused)| {
            let errors = refused.unwrap_or_else(|| {
                let reply = replies.next().unwrap_or(TxnReply::Failed(ErrorCode::UnknownServerError));
                errors(context, &reply, partitions.len())
            });
            AddPartitionsToTxnResult { transactional_id, topic_results: results(&partitions, &errors) }
        });
        let results_by_transaction = results.collect();
        context.respond(&AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() })
    })
}

fn named(topics: &[AddPartitionsToTxnTopic]) -> Vec<NamedPartition> {
    let topics =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.name.clone(), *index)));
    topics.collect()
}

/// One partition that isn't there spoils it for all.
fn check(context: &Context<'_>, partitions: &[NamedPartition]) -> Vec<ErrorCode> {
    let known = |(topic, index): &NamedPartition| resolve_name(context, topic, PartitionIndex(*index));
    let found: Vec<ErrorCode> =
        partitions.iter().map(|partition| known(partition).err().unwrap_or_default()).collect();
    if found.iter().all(|error| error.is_ok()) {
        return found;
    }
    let spoiled = |error: ErrorCode| if error.is_ok() { ErrorCode::OperationNotAttempted } else { error };
    found.into_iter().map(spoiled).collect()
}

fn errors(context: &Context<'_>, reply: &TxnReply, count: usize) -> Vec<ErrorCode> {
    let version = context.header.version;
    let told = |error: ErrorCode| fenced_before(FENCED_FROM, version, error);
    match reply {
        TxnReply::Partitions(errors) => errors.iter().copied().map(told).collect(),
        other => vec![told(failure(other)); count],
    }
}

/// Errors by topic, in the order of the request.
fn results(partitions: &[NamedPartition], errors: &[ErrorCode]) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut topics: Vec<AddPartitionsToTxnTopicResult> = Vec::new();
    for ((topic, partition_index), error) in partitions.iter().zip(errors) {
        let (partition_index, partition_error_code) = (*partition_index, error.code());
        let result = AddPartitionsToTxnPartitionResult { partition_index, partition_error_code };
        match topics.last_mut().filter(|last| last.name == *topic) {
            Some(last) => last.results_by_partition.push(result),
            None => {
                let name: Str = topic.clone();
                topics.push(AddPartitionsToTxnTopicResult { name, results_by_partition: vec![result] });
            }
        }
    }
    topics
}

fn respond_one(context: &Context<'_>, results: &[AddPartitionsToTxnTopicResult]) -> Plan {
    let results_by_topic_v3_and_below = results.to_vec();
    context.respond(&AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() })
}
