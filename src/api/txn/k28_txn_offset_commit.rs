//! TxnOffsetCommit (key 28), versions 0 to 6: offsets that count once the transaction is committed. Rules: rows 68, 74,
//! 75. Up to version 4 the client has added the group to its transaction; from 5 on that is done here (KIP-890).
//! No deviations.

use super::{Api, Context, Plan, failure, home};
use crate::api::group::{home_here, home_of};
use crate::base::{ErrorCode, Guard, PartitionIndex, ProducerEpoch, ProducerId};
use crate::group::OFFSETS_TOPIC;
use crate::group::call::{GroupCall, GroupOp, GroupReply};
use crate::replica::call::{PartitionCall, PartitionOp, PartitionReply};
use crate::txn::call::{Identity, Protocol, TxnCall, TxnOp, TxnReply};
use crate::wire::generated::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::wire::generated::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use crate::wire::{Decode, DecodeError, Reader, Str};

/// The API's entry in the registry.
pub(in crate::api) const API: Api =
    Api { key: 28, name: "TxnOffsetCommit", min: 0, served_min: 0, max: 6, plan };

/// First version whose clients leave it to the broker to add the group to the transaction.
const IMPLICIT_FROM: i16 = 5;
/// First version whose clients know error 120.
const ABORTABLE_FROM: i16 = 4;
/// First version that names topics by their ids.
const IDS_FROM: i16 = 6;

/// Where each asked partition ends up: an error known here, or the coordinator's answer.
type Asked = Vec<(Str, crate::base::TopicId, Vec<(i32, ErrorCode)>)>;

fn plan(context: &Context<'_>, mut body: Reader) -> Result<Plan, DecodeError> {
    let version = context.header.version;
    let mut request = TxnOffsetCommitRequest::decode(&mut body, version)?;
    let asked = resolve_topics(context, &mut request);
    if request.topics.is_empty() {
        return Ok(answer(context, asked, &Told::Nothing));
    }
    // Only plain commits may be kept under no name, as clients of long ago did.
    if request.group_id.is_empty() {
        return Ok(answer(context, asked, &Told::Whole(ErrorCode::InvalidGroupId)));
    }
    let Ok(partition) = home_here(context, &request.group_id) else {
        return Ok(answer(context, asked, &Told::Whole(ErrorCode::NotCoordinator)));
    };
    let op = PartitionOp::Guard {
        producer_id: ProducerId(request.producer_id),
        producer_epoch: ProducerEpoch(request.producer_epoch),
    };
    Ok(Plan::Partitions(
        vec![PartitionCall { partition, op }],
        Box::new(move |context, replies| match replies.first() {
            // The transaction is open there already.
            Some(PartitionReply::Guarded { error: ErrorCode::None, guard: None }) => {
                commit(context, request, asked, None)
            }
            Some(PartitionReply::Guarded { error: ErrorCode::None, guard: Some(guard) }) => {
                vouch(context, request, asked, *guard)
            }
            _ => answer(context, asked, &Told::Whole(ErrorCode::CoordinatorNotAvailable)),
        }),
    ))
}

fn resolve_topics(context: &Context<'_>, request: &mut TxnOffsetCommitRequest) -> Asked {
    let by_id = context.header.version >= IDS_FROM;
    let mut asked = Vec::with_capacity(request.topics.len());
    for topic in &mut request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let mut name = topic.name.clone();
        topic.partitions.retain(|partition| {
            let index = PartitionIndex(partition.partition_index);
            let found = crate::api::resolve(context, &topic.name, topic.topic_id, by_id, index);
            let error = found.as_ref().err().copied().unwrap_or_default();
            if let Ok((found, _)) = found {
                name = found.name.clone();
            }
            partitions.push((partition.partition_index, error));
            error.is_ok()
        });
        asked.push((topic.name.clone(), topic.topic_id, partitions));
        topic.name = name;
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    asked
}

/// Asks the transaction's coordinator whether the group is part of it, or makes it so.
fn vouch(context: &Context<'_>, request: TxnOffsetCommitRequest, asked: Asked, guard: Guard) -> Plan {
    let homes = home(context, &request.transactional_id).and_then(|coordinator| {
        home_of(context, &request.group_id).map(|offsets| (coordinator, offsets.partition.0))
    });
    let (partition, index) = match homes {
        Ok(homes) => homes,
        Err(error) => return answer(context, asked, &Told::Whole(error)),
    };
    let transactional_id = request.transactional_id.clone();
    let producer =
        Identity { id: ProducerId(request.producer_id), epoch: ProducerEpoch(request.producer_epoch) };
    let partitions = vec![(Str::from_static(OFFSETS_TOPIC), index)];
    let op = if context.header.version >= IMPLICIT_FROM {
        let (protocol, patient) = (Protocol::V2, true);
        TxnOp::Add { transactional_id, producer, partitions, protocol, patient }
    } else {
        TxnOp::Verify { transactional_id, producer, partitions }
    };
    Plan::Txns(
        vec![TxnCall { partition, op }],
        Box::new(move |context, replies| {
            let error = match replies.first() {
                Some(TxnReply::Partitions(errors)) => errors.first().copied().unwrap_or_default(),
                Some(other) => failure(other),
                None => ErrorCode::UnknownServerError,
            };
            match refusal(error, context.header.version) {
                ErrorCode::None => commit(context, request, asked, Some(guard)),
                error => answer(context, asked, &Told::Whole(error)),
            }
        }),
    )
}

/// What a client is told of the transaction's coordinator: it asked the group's.
fn refusal(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < ABORTABLE_FROM => ErrorCode::InvalidTxnState,
        ErrorCode::ConcurrentTransactions if version < IMPLICIT_FROM => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
            ErrorCode::CoordinatorLoadInProgress
        }
        other => other,
    }
}

fn commit(
    context: &Context<'_>,
    request: TxnOffsetCommitRequest,
    asked: Asked,
    guard: Option<Guard>,
) -> Plan {
    let Ok(partition) = home_here(context, &request.group_id) else {
        return answer(context, asked, &Told::Whole(ErrorCode::NotCoordinator));
    };
    let op = GroupOp::CommitInTransaction { request, version: context.header.version, guard };
    Plan::Groups(
        vec![GroupCall { partition, op }],
        Box::new(move |context, replies| match replies.into_iter().next() {
            Some(GroupReply::CommitInTransaction(response)) => {
                let flat = response.topics.into_iter().flat_map(|topic| topic.partitions);
                let errors = flat.map(|partition| partition.error_code).collect();
                answer(context, asked, &Told::Each(errors))
            }
            Some(GroupReply::Failed(error)) => answer(context, asked, &Told::Whole(error)),
            _ => answer(context, asked, &Told::Whole(ErrorCode::UnknownServerError)),
        }),
    )
}

/// What the coordinators said.
enum Told {
    /// They weren't asked.
    Nothing,
    /// The same for all partitions that exist.
    Whole(ErrorCode),
    /// For each of them, in order.
    Each(Vec<i16>),
}

/// Every partition in the order of the request.
fn answer(context: &Context<'_>, asked: Asked, told: &Told) -> Plan {
    let mut each = match told {
        Told::Each(errors) => errors.iter(),
        Told::Nothing | Told::Whole(_) => [].iter(),
    };
    let whole = if let Told::Whole(error) = told { error.code() } else { 0 };
    let mut partition = |(partition_index, error): (i32, ErrorCode)| {
        let error_code = match error {
            ErrorCode::None => each.next().copied().unwrap_or(whole),
            error => error.code(),
        };
        TxnOffsetCommitResponsePartition { partition_index, error_code }
    };
    let topics = asked.into_iter().map(|(name, topic_id, partitions)| TxnOffsetCommitResponseTopic {
        name,
        topic_id,
        partitions: partitions.into_iter().map(&mut partition).collect(),
    });
    let topics = topics.collect();
    context.respond(&TxnOffsetCommitResponse { topics, ..Default::default() })
}
