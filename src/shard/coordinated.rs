//! What coordinators of groups and of transactions have in common: a partition's log that is read back into a machine,
//! and records of the machine that are appended to it.

use super::partition::PartitionState;
use super::storage::StorageError;
use super::{Broker, Shard};
use crate::base::limits::{BATCH_HEADER_BYTES, READ_BYTES_MAX};
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::replica::{self, Source, Waiter};
use crate::seam::World;
use crate::wire::batch::{
    BatchBuilder, BatchMeta, ClientRules, Codec, Contents, TRANSACTIONAL, Valid, records,
    validate_client_batch,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Length, attributes, deltas, lengths of key and value, count of headers, each at its longest.
const RECORD_OVERHEAD: usize = 32;

/// A record to append: its key, and its value or `None` for a tombstone.
pub(super) type Entry<'a> = (&'a Bytes, Option<&'a Bytes>);

/// As whose records are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pen {
    /// The coordinator's own.
    Own,
    /// A producer's, as part of its transaction.
    Transaction(ProducerId, ProducerEpoch, Source),
}

/// The coordinator of one partition.
pub(super) enum Hosted<M> {
    /// Its log is being read; requests are told to come back.
    Loading,
    /// It answers.
    Ready(Box<M>),
}

/// The coordinators of this shard by the partition that has their log.
pub(super) struct Hosts<M>(pub(super) BTreeMap<TopicPartition, Hosted<M>>);

impl<M> Default for Hosts<M> {
    fn default() -> Self {
        Hosts(BTreeMap::new())
    }
}

impl<M> Hosts<M> {
    /// Their partitions.
    pub(super) fn keys(&self) -> Vec<TopicPartition> {
        self.0.keys().copied().collect()
    }

    /// One that answers.
    pub(super) fn ready(&mut self, key: TopicPartition) -> Option<&mut M> {
        match self.0.get_mut(&key)? {
            Hosted::Loading => None,
            Hosted::Ready(coordinator) => Some(coordinator),
        }
    }

    /// All that answer.
    pub(super) fn all_ready(&self) -> impl Iterator<Item = (TopicPartition, &M)> {
        self.0.iter().filter_map(|(key, hosted)| match hosted {
            Hosted::Loading => None,
            Hosted::Ready(coordinator) => Some((*key, &**coordinator)),
        })
    }

    /// Why a coordinator can't be asked, if it can't.
    pub(super) fn absence(&self, key: TopicPartition) -> Option<ErrorCode> {
        match self.0.get(&key) {
            None => Some(ErrorCode::NotCoordinator),
            Some(Hosted::Loading) => Some(ErrorCode::CoordinatorLoadInProgress),
            Some(Hosted::Ready(_)) => None,
        }
    }

    /// Those that something is due for, and when the next timer of any ends; `deadline` tells one's.
    pub(super) fn due(
        &self,
        now_ms: u64,
        deadline: impl Fn(&M) -> Option<u64>,
    ) -> (Vec<TopicPartition>, Option<u64>) {
        let timed = self.all_ready().filter_map(|(key, coordinator)| Some((key, deadline(coordinator)?)));
        let all: Vec<(TopicPartition, u64)> = timed.collect();
        let due = all.iter().filter(|(_, at)| *at <= now_ms).map(|(key, _)| *key).collect();
        (due, all.iter().map(|(_, at)| *at).min())
    }
}

/// Feeds the records of one batch of a coordinator's log to it. A record that can't be read loses what it tells and
/// nothing else.
pub(super) fn replay_records<E: Display>(
    (key, what): (TopicPartition, &str),
    batch: &[u8],
    mut replay: impl FnMut(Bytes, Option<Bytes>) -> Result<(), E>,
) {
    let list = match records(batch) {
        Ok(list) => list,
        Err(error) => {
            tracing::error!(partition = %key, %error, "a batch of {what} can't be read: passed over");
            return;
        }
    };
    for record in list {
        let (offset, value) = (record.offset, record.value.map(Bytes::from));
        let told = record.key.map(|key| replay(key.into(), value));
        if let Some(Err(error)) = told {
            tracing::error!(partition = %key, offset, %error, "a record of {what} can't be read: passed over");
        }
    }
}

impl<B: Broker> Shard<B> {
    pub(super) fn now(&self) -> Now {
        let mono_ms = u64::try_from(self.world().mono().as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms, wall_ms: self.world().wall_ms() }
    }

    /// Bytes of one batch in this partition, at most.
    pub(super) fn batch_bytes_max(&self, key: TopicPartition) -> usize {
        let owner = self.owner().borrow();
        let rules = owner.partitions.get(&key).map(|partition| partition.replica.rules());
        rules.map_or(0, |rules| rules.max_message_bytes.min(rules.segment_bytes)).max(2 * BATCH_HEADER_BYTES)
    }

    /// Why a partition takes no records now, if it doesn't.
    pub(super) fn unwritable(&self, key: TopicPartition) -> Option<ErrorCode> {
        let owner = self.owner().borrow();
        let Some(partition) = owner.partitions.get(&key) else { return Some(ErrorCode::NotCoordinator) };
        match partition.state {
            PartitionState::Offline => Some(ErrorCode::NotCoordinator),
            _ if !partition.replica.is_leading() => Some(ErrorCode::NotCoordinator),
            PartitionState::Online if partition.replica.has_enough() => None,
            PartitionState::Online | PartitionState::Short => Some(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Feeds a log to a machine, batch by batch; answers where it ends, or nothing if it isn't led here under this
    /// epoch any more.
    pub(super) async fn replay_log(
        &self,
        key: TopicPartition,
        epoch: LeaderEpoch,
        mut feed: impl FnMut(&BatchMeta, &Bytes),
    ) -> Result<Option<Offset>, StorageError> {
        let mut from = None;
        if !self.established(key, epoch).await {
            return Ok(None);
        }
        loop {
            if self.leads(key) != Some(epoch) {
                return Ok(None);
            }
            let plan = {
                let owner = self.owner().borrow();
                let Some(partition) = owner.partitions.get(&key) else { return Ok(None) };
                let from = *from.get_or_insert(partition.replica.log_start());
                let upto = partition.replica.high_watermark();
                if from >= upto {
                    return Ok(Some(upto));
                }
                partition.log.plan_read(from, upto, READ_BYTES_MAX, true)
            };
            let bytes = Bytes::from(plan.run().await?.concat());
            let mut at = 0;
            while let Some(meta) = bytes.get(at..).and_then(BatchMeta::read) {
                let batch = bytes.slice(at..(at + meta.bytes).min(bytes.len()));
                from = Some(meta.last_offset() + 1);
                at += meta.bytes;
                feed(&meta, &batch);
                if planted(Mutant::ReadGroupsInPart) {
                    break;
                }
            }
            if at == 0 || planted(Mutant::ReadGroupsInPart) {
                return Ok(from);
            }
            self.world().yield_now().await;
        }
    }

    /// Appends records in as few batches as they fit in; answers where the log ends then.
    pub(super) fn append_records(
        &self,
        key: TopicPartition,
        list: &[Entry<'_>],
        pen: Pen,
    ) -> Result<Offset, ErrorCode> {
        let bound = self.batch_bytes_max(key) - BATCH_HEADER_BYTES;
        let now_ms = self.world().wall_ms();
        let mut rest = list;
        let mut end = 0;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|(key, value)| {
                bytes += key.len() + value.map_or(0, Bytes::len) + RECORD_OVERHEAD;
                bytes <= bound
            });
            let count = fits.count().max(1);
            let (these, others) = rest.split_at(count);
            let mut batch = BatchBuilder::new(Codec::None, now_ms);
            if let Pen::Transaction(ProducerId(id), ProducerEpoch(epoch), _) = pen {
                batch = batch.producer(id, epoch, 0).attributes(TRANSACTIONAL);
            }
            for (key, value) in these {
                batch = batch.record(now_ms, Some(key), value.map(|value| &value[..]));
            }
            end = self.append_own(key, &batch.build(), pen, now_ms)?;
            rest = others;
        }
        self.flush_due().notify();
        Ok(end)
    }

    /// Appends a batch of the broker's own; answers where the log ends then.
    fn append_own(
        &self,
        key: TopicPartition,
        batch: &Bytes,
        pen: Pen,
        now_ms: i64,
    ) -> Result<Offset, ErrorCode> {
        let meta = BatchMeta::read(batch).expect("the broker writes good batches");
        // What a client's batch must be looked through for is known of one's own.
        let contents = Contents { keyless: false, timestamps: Some((now_ms, now_ms)) };
        debug_assert_eq!(
            validate_client_batch(batch, &ClientRules { zstd_allowed: true }),
            Ok(Valid { meta, contents }),
            "the broker writes good batches"
        );
        let mut owner = self.owner().borrow_mut();
        let partition = owner.partitions.get_mut(&key).ok_or(ErrorCode::NotCoordinator)?;
        let mut effects = replica::Effects::default();
        let event = replica::Event::Produce {
            waiter: Waiter { shard: self.this(), set: 0, index: 0 },
            source: match pen {
                Pen::Own => Source::Client,
                Pen::Transaction(_, _, source) => source,
            },
            acks: 0,
            meta,
            bytes: batch.len(),
            contents,
            now_ms,
            deadline_ms: i64::MAX,
        };
        partition.replica.step(event, &mut effects);
        let Some(append) = effects.append else {
            let refusal = effects.replies.first().map(|(_, produced)| produced.error);
            return Err(refusal.unwrap_or(ErrorCode::UnknownServerError));
        };
        let copied = partition.log.append(batch, &meta, append, now_ms);
        owner.dirty.insert(key);
        self.metrics().appended(batch.len(), copied);
        Ok(append.base_offset + i64::from(meta.last_offset_delta) + 1)
    }
}
