//! The APIs of transactions: producers and their ids, what transactions write to, how they end, and what tools ask.
//!
//! Every request about a transactional id goes to the coordinator that has the id's partition of `__transaction_state`;
//! what it can't look at is answered here: 16 where nobody has the partition, 14 while its log is being read.

pub(super) mod k22_init_producer_id;
pub(super) mod k24_add_partitions_to_txn;
pub(super) mod k25_add_offsets_to_txn;
pub(super) mod k26_end_txn;
pub(super) mod k27_write_txn_markers;
pub(super) mod k28_txn_offset_commit;
pub(super) mod k61_describe_producers;
pub(super) mod k65_describe_transactions;
pub(super) mod k66_list_transactions;
#[cfg(test)]
mod tests;

use super::{Api, Context, Plan};
use crate::api::admin::k19_create_topics::command;
use crate::base::{ErrorCode, PartitionIndex, ProducerId, TopicPartition, partition_for};
use crate::cluster::{Command, NewTopic, Outcome};
use crate::txn::TRANSACTIONS_TOPIC;
use crate::txn::call::{TxnCall, TxnOp, TxnReply};
use std::collections::BTreeMap;

/// Ids that a shard takes from the cluster's coordinator at a time (Kafka: 1,000).
const BLOCK: i64 = 1000;

/// The partition of `__transaction_state` that has this transactional id.
///
/// # Errors
/// 16: nothing keeps transactions yet, so there is nothing to know of this one.
pub(super) fn home(context: &Context<'_>, id: &str) -> Result<TopicPartition, ErrorCode> {
    let topic = context.cluster.topic(TRANSACTIONS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    Ok(TopicPartition { topic: topic.id, partition: PartitionIndex(partition_for(id, count)) })
}

/// The partition of `__transaction_state` that has this transactional id, if this broker leads it.
///
/// # Errors
/// 16: another broker has the coordinator, or none.
fn home_here(context: &Context<'_>, id: &str) -> Result<TopicPartition, ErrorCode> {
    home(context, id)
        .and_then(|home| if context.leads(home) { Ok(home) } else { Err(ErrorCode::NotCoordinator) })
}

/// Asks one coordinator; `finish` makes an answer of its reply.
fn ask_one(
    context: &Context<'_>,
    id: &str,
    op: TxnOp,
    finish: impl FnOnce(&Context<'_>, TxnReply) -> Plan + 'static,
) -> Plan {
    match home_here(context, id) {
        Err(error) => finish(context, TxnReply::Failed(error)),
        Ok(partition) => Plan::Txns(
            vec![TxnCall { partition, op }],
            Box::new(move |context, replies| {
                let reply = replies.into_iter().next();
                finish(context, reply.unwrap_or(TxnReply::Failed(ErrorCode::UnknownServerError)))
            }),
        ),
    }
}

/// Asks the coordinators of several transactional ids; each question has its answer, in order, or an error.
fn ask_each(
    context: &Context<'_>,
    questions: Vec<(crate::wire::Str, TxnOp)>,
    finish: impl FnOnce(&Context<'_>, Vec<TxnReply>) -> Plan + 'static,
) -> Plan {
    let mut calls = Vec::new();
    let mut places = Vec::with_capacity(questions.len());
    for (id, op) in questions {
        places.push(home_here(context, &id).map(|partition| calls.push(TxnCall { partition, op })));
    }
    Plan::Txns(
        calls,
        Box::new(move |context, replies| {
            let mut replies = replies.into_iter();
            let replies = places.into_iter().map(|place| match place {
                Err(error) => TxnReply::Failed(error),
                Ok(()) => replies.next().unwrap_or(TxnReply::Failed(ErrorCode::UnknownServerError)),
            });
            let replies = replies.collect();
            finish(context, replies)
        }),
    )
}

/// The error of a reply, if it is one; what isn't an answer to the question is one too.
fn failure(reply: &TxnReply) -> ErrorCode {
    match reply {
        TxnReply::Failed(error) => *error,
        _ => ErrorCode::UnknownServerError,
    }
}

/// What a client of an old version knows a fenced producer by (row 62).
fn fenced_before(version: i16, current: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if current < version => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}

/// Goes on with a producer id that nobody has; `None` if there is none to be had now. Ids come from a block that this
/// shard got from the cluster's coordinator, which never hands one out twice (row 57).
fn with_fresh_id(
    context: &Context<'_>,
    go_on: impl FnOnce(&Context<'_>, Option<ProducerId>) -> Plan + 'static,
) -> Plan {
    let id = context.producer_ids.borrow_mut().take();
    if let Some(id) = id {
        return go_on(context, Some(ProducerId(id)));
    }
    Plan::Cluster(
        vec![Command::AllocateProducerIds { count: BLOCK }],
        Box::new(|context, outcomes| {
            let Some(Outcome::ProducerIds { first, count }) = outcomes.first() else {
                return go_on(context, None);
            };
            // Two requests may have asked for a block at once; what is left of the other one is given up.
            let mut block = context.producer_ids.borrow_mut();
            (block.next, block.end) = (*first, first + count);
            let id = block.take().expect("a fresh block isn't empty");
            drop(block);
            go_on(context, Some(ProducerId(id)))
        }),
    )
}

/// Creates the topic that keeps transactions, with Apache Kafka's settings.
pub(super) fn create_topic(context: &Context<'_>) -> Command {
    let conf = &context.conf.transactions;
    let replication_factor = context.internal_factor(conf.topic_replication_factor);
    let configs = BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("min.insync.replicas".to_owned(), conf.topic_min_isr.min(replication_factor).to_string()),
        ("segment.bytes".to_owned(), conf.topic_segment_bytes.to_string()),
        ("unclean.leader.election.enable".to_owned(), "false".to_owned()),
    ]);
    let topic = NewTopic {
        name: TRANSACTIONS_TOPIC.into(),
        id: context.new_topic_id(),
        partitions: conf.topic_partitions,
        replication_factor,
        assignment: BTreeMap::new(),
        configs,
    };
    command(topic, false)
}
