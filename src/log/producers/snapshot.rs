//! Producers as a checkpoint tells of them.

use super::{Batch, Before, Mutant, Producer, ProducerStates, planted};
use crate::base::limits::PRODUCER_BATCHES_KEPT;
use crate::base::{Offset, ProducerEpoch, ProducerId};
use crate::log::transactions::Transactions;
use crate::wire::{DecodeError, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl ProducerStates {
    /// What is known without batches at or beyond an offset, which may yet be lost: a producer that is told its batch
    /// is a duplicate never sends it again, and a transaction whose marker is lost is open.
    #[must_use]
    pub fn as_of(&self, offset: Offset) -> Self {
        let mut producers = self.producers.clone();
        for before in self.unsettled.iter().rev().take_while(|before| before.at >= offset) {
            match &before.producer {
                Some(producer) => drop(producers.insert(before.id, producer.clone())),
                None => drop(producers.remove(&before.id)),
            }
        }
        for producer in producers.values_mut() {
            producer.batches.retain(|batch| batch.base_offset < offset);
            if planted(Mutant::ForgetOpenTransactions) {
                producer.open = None;
            }
        }
        let transactions = self.transactions.as_of(offset, open(&producers));
        let unsettled = self.unsettled.iter().filter(|before| before.at < offset).cloned().collect();
        ProducerStates { producers, transactions, unsettled }
    }

    /// Appends all state, for a checkpoint.
    pub fn encode(&self, w: &mut Writer) {
        w.array_len(Some(self.producers.len()), true);
        for (id, producer) in &self.producers {
            encode_producer(*id, producer, w);
        }
        self.transactions.encode(w);
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are something else, or a producer has more batches than are ever kept.
    pub fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut producers = BTreeMap::new();
        for _ in 0..r.array_len(true)?.ok_or(DecodeError::Length)? {
            let (id, producer) = decode_producer(r)?;
            producers.insert(id, producer);
        }
        let transactions = Transactions::decode(r, open(&producers))?;
        Ok(ProducerStates { producers, transactions, unsettled: VecDeque::new() })
    }

    /// Appends what it takes to go back to before what other replicas may not have.
    pub fn encode_unsettled(&self, w: &mut Writer) {
        w.array_len(Some(self.unsettled.len()), true);
        for before in &self.unsettled {
            w.i64(before.at);
            w.i64(before.id.0);
            w.bool(before.producer.is_some());
            if let Some(producer) = &before.producer {
                encode_producer(before.id, producer, w);
            }
        }
        self.transactions.encode_ending(w);
    }

    /// Reads what `encode_unsettled` wrote.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn decode_unsettled(&mut self, r: &mut Reader) -> Result<(), DecodeError> {
        for _ in 0..r.array_len(true)?.ok_or(DecodeError::Length)? {
            let (at, id) = (r.i64()?, ProducerId(r.i64()?));
            let producer = if r.bool()? { Some(decode_producer(r)?.1) } else { None };
            self.unsettled.push_back(Before { at, id, producer });
        }
        self.transactions.decode_ending(r)
    }
}

fn encode_producer(id: ProducerId, producer: &Producer, w: &mut Writer) {
    w.i64(id.0);
    w.i16(producer.epoch.0);
    w.i64(producer.seen_ms);
    w.i64(producer.open.unwrap_or(-1));
    w.i64(producer.marker.unwrap_or(-1));
    w.i32(producer.coordinator_epoch);
    w.array_len(Some(producer.batches.len()), true);
    for batch in &producer.batches {
        w.i32(batch.first_sequence);
        w.i32(batch.last_sequence);
        w.i64(batch.base_offset);
        w.i64(batch.timestamp);
    }
}

fn decode_producer(r: &mut Reader) -> Result<(ProducerId, Producer), DecodeError> {
    let id = ProducerId(r.i64()?);
    let mut producer = Producer::new(ProducerEpoch(r.i16()?));
    producer.seen_ms = r.i64()?;
    producer.open = offset(r.i64()?);
    producer.marker = offset(r.i64()?);
    producer.coordinator_epoch = r.i32()?;
    let count = r.array_len(true)?.ok_or(DecodeError::Length)?;
    if count > PRODUCER_BATCHES_KEPT {
        return Err(DecodeError::Value);
    }
    for _ in 0..count {
        let (first_sequence, last_sequence) = (r.i32()?, r.i32()?);
        producer.batches.push_back(Batch {
            first_sequence,
            last_sequence,
            base_offset: r.i64()?,
            timestamp: r.i64()?,
        });
    }
    Ok((id, producer))
}

/// -1 stands for none.
fn offset(number: i64) -> Option<Offset> {
    (number >= 0).then_some(number)
}

fn open(producers: &BTreeMap<ProducerId, Producer>) -> BTreeSet<Offset> {
    producers.values().filter_map(|producer| producer.open).collect()
}
