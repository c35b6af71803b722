//! What a leader answered about one partition: records are appended as they are, a log that parts is cut.

use crate::base::{ErrorCode, NodeId, TopicPartition};
use crate::peer::ReplicaData;
use crate::replica::{Effects, Event, FetchPosition};
use crate::seam::World;
use crate::shard::owner::{Outbox, Owner};
use crate::shard::partition::PartitionState;
use crate::shard::{Broker, Shard};
use crate::wire::batch::{BatchMeta, EndMarker};
use bytes::Bytes;

impl<B: Broker> Shard<B> {
    /// Takes what a leader answered, if the replica still wants what was asked; how many bytes of records it brought.
    ///
    /// # Errors
    /// Why there is nothing: it is to be asked again a little later.
    pub(super) fn take_data(
        &self,
        leader: NodeId,
        asked: FetchPosition,
        data: ReplicaData,
    ) -> Result<usize, ErrorCode> {
        let key = data.partition;
        if self.is_draining() {
            // What is appended after the last flush would make the stop an unclean one.
            return Ok(0);
        }
        let mut outbox = Outbox::default();
        let mut owner = self.owner().borrow_mut();
        let Some(partition) = owner.partitions.get(&key) else { return Ok(0) };
        let now = partition.replica.fetch_position().filter(|_| partition.state == PartitionState::Online);
        let place = |at: &FetchPosition| (at.leader, at.leader_epoch, at.offset);
        if now.as_ref().map(place) != Some(place(&asked)) || leader != asked.leader {
            return Ok(0);
        }
        let outcome = match (data.error, data.diverging) {
            (ErrorCode::None, None) => {
                let copied = owner.copy(key, data.records, self.world().wall_ms());
                let (high_watermark, log_start) = (data.high_watermark, data.log_start);
                owner.follow(key, Event::LeaderSaid { high_watermark, log_start }, &mut outbox);
                copied
            }
            (ErrorCode::None, Some((epoch, end_offset))) => {
                let cut = owner.cut(key, Event::Diverged { epoch, end_offset });
                drop(owner);
                self.begin_cut(key, leader, cut);
                return Ok(0);
            }
            (ErrorCode::OffsetOutOfRange, _) => {
                let cut = owner.cut(key, Event::OutOfRange { log_start: data.log_start });
                drop(owner);
                self.begin_cut(key, leader, cut);
                return Err(ErrorCode::OffsetOutOfRange);
            }
            (error, _) => Err(error),
        };
        drop(owner);
        self.metrics().copied(outcome.unwrap_or(0));
        self.deliver(outbox);
        outcome
    }
}

impl<B: Broker> Owner<B> {
    /// Appends batches as they are, up to the first that doesn't fit; how many bytes they were.
    ///
    /// # Errors
    /// The first one is damaged.
    fn copy(&mut self, key: TopicPartition, records: Vec<Bytes>, now_ms: i64) -> Result<usize, ErrorCode> {
        let Some(partition) = self.partitions.get_mut(&key) else { return Ok(0) };
        let mut damaged = false;
        let records = joined(records);
        let mut effects = Effects::default();
        let mut at = 0;
        while let Some(meta) = records.get(at..).and_then(BatchMeta::read) {
            let Some(batch) = records.get(at..at + meta.bytes) else { break };
            if meta.magic != 2 || !meta.crc_fits(batch) {
                tracing::error!(partition = %key, offset = meta.base_offset, "a leader sent a damaged batch");
                damaged = true;
                break;
            }
            if partition.replica.is_empty_inside(&meta) {
                // The leader's log starts inside of this batch.
                partition.replica.step(Event::Restarted { at: meta.base_offset }, &mut effects);
                partition.log.end_anew(meta.base_offset, now_ms);
            }
            let marker = if meta.is_control() { EndMarker::read(batch) } else { None };
            partition.replica.step(Event::Copied { meta, marker, now_ms }, &mut effects);
            if effects.append.take().is_none() {
                break;
            }
            partition.log.append_copy(batch, &meta, now_ms);
            at += meta.bytes;
        }
        if at > 0 {
            self.dirty.insert(key);
        }
        if damaged && at == 0 { Err(ErrorCode::CorruptMessage) } else { Ok(at) }
    }

    /// Steps a follower with what its leader said; the log follows its start.
    fn follow(&mut self, key: TopicPartition, event: Event, outbox: &mut Outbox) {
        self.step(key, event, outbox);
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.log.set_log_start(partition.replica.log_start());
        }
    }
}

/// One slice of all: as a rule it is one already.
fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 { pieces.swap_remove(0) } else { pieces.concat().into() }
}
