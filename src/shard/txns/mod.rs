//! Coordinators of transactions on the shard that owns their partitions: their logs are read, they are stepped, their
//! records are appended, their answers are sent, and the markers that they order are written.

pub(super) mod parked;

use super::coordinated::{Entry, Hosted, Hosts, Pen, replay_records};
use super::message::{Calls, Message};
use super::origin::Marks;
use super::{Broker, Shard};
use crate::base::limits::BATCH_HEADER_BYTES;
use crate::base::{Asker, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ShardId, TopicPartition};
use crate::replica::call::{MarkOp, PartitionCall, PartitionOp};
use crate::seam::World;
use crate::txn::call::{TxnCall, TxnReply};
use crate::txn::{Coordinator, Effects, Event, MarkerOrder, Settings, TRANSACTIONS_TOPIC};
use crate::wire::Str;
use crate::wire::batch::{BatchMeta, EndMarker};
use futures_lite::future::or;
use std::collections::BTreeMap;
use std::time::Duration;

/// Timers of transactions that are closer together than this are one wake-up.
const TIMER_SLACK: Duration = Duration::from_millis(1);

/// The coordinators of this shard.
#[derive(Default)]
pub(super) struct Txns {
    hosted: Hosts<Coordinator>,
    /// Calls that came before their partitions.
    early: Vec<Calls<TxnCall>>,
    effects: Effects,
    /// The broker stops: nothing new begins.
    closing: bool,
}

/// What steps of coordinators ask the shard to send.
#[derive(Default)]
struct Outgoing {
    answers: BTreeMap<ShardId, Vec<(Asker, TxnReply)>>,
    /// Orders, with the partition of their coordinator.
    orders: Vec<(TopicPartition, MarkerOrder)>,
}

impl Outgoing {
    fn answer(&mut self, asker: Asker, reply: TxnReply) {
        self.answers.entry(asker.shard).or_default().push((asker, reply));
    }
}

impl<B: Broker> Shard<B> {
    fn txn_settings(&self, key: TopicPartition) -> Settings {
        let conf = &self.conf().transactions;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Settings {
            id_expiration_ms: i64::try_from(millis(conf.id_expiration)).unwrap_or(i64::MAX),
            expiration_check_ms: millis(conf.expiration_check),
            record_bytes_max: self.batch_bytes_max(key) - BATCH_HEADER_BYTES,
        }
    }

    /// A partition is led here: if it keeps transactions, its coordinator begins with its log.
    pub(super) fn host_txns(&self, key: TopicPartition, topic: &Str, epoch: LeaderEpoch) {
        if topic.as_str() != TRANSACTIONS_TOPIC {
            return;
        }
        self.0.txns.borrow_mut().hosted.0.insert(key, Hosted::Loading);
        self.world().spawn(self.clone().load_txns(key, epoch));
    }

    async fn load_txns(self, key: TopicPartition, epoch: LeaderEpoch) {
        let mut coordinator = Coordinator::new(self.txn_settings(key), epoch);
        let read =
            self.replay_log(key, epoch, |meta, batch| replay_batch(key, meta, batch, &mut coordinator)).await;
        match read {
            Ok(Some(end)) => self.take_txns_into_service(key, coordinator, end),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(partition = %key, %error, "the log of transactions can't be read: they are not served");
                self.0.txns.borrow_mut().hosted.0.remove(&key);
            }
        }
    }

    fn take_txns_into_service(&self, key: TopicPartition, mut coordinator: Coordinator, end: Offset) {
        let mut out = Outgoing::default();
        {
            let mut txns = self.0.txns.borrow_mut();
            let Txns { hosted, effects, closing, .. } = &mut *txns;
            // The topic may have been deleted meanwhile.
            let Some(slot) = hosted.0.get_mut(&key) else { return };
            if *closing {
                coordinator.step(self.now(), Event::Close, effects);
            }
            coordinator.loaded(end, self.now(), effects);
            self.perform_txns(key, &mut coordinator, effects, &mut out);
            *slot = Hosted::Ready(Box::new(coordinator));
        }
        self.0.txn_timers_due.notify();
        self.deliver_txns(out);
    }

    /// Answers calls to coordinators of this shard, now or when their time comes.
    pub(super) fn answer_txn_calls(&self, Calls { from, seen, calls }: Calls<TxnCall>) {
        let behind = seen > self.0.followed.get();
        let mut out = Outgoing::default();
        let mut early = Vec::new();
        for (index, call) in calls {
            let asker = Asker { shard: from.shard, set: from.set, index };
            if behind && !self.0.txns.borrow().hosted.0.contains_key(&call.partition) {
                early.push((index, call));
                continue;
            }
            let TxnCall { partition: key, op } = call;
            let refused = match self.0.txns.borrow().hosted.absence(key) {
                None if !op.only_reads() => self.unwritable(key),
                absence => absence,
            };
            match refused {
                Some(error) => out.answer(asker, TxnReply::Failed(error)),
                None => self.step_txns(key, Event::Request { asker, op: Box::new(op) }, &mut out),
            }
        }
        if !early.is_empty() {
            self.0.txns.borrow_mut().early.push(Calls { from, seen, calls: early });
        }
        self.deliver_txns(out);
    }

    /// Answers calls that came before their partitions.
    pub(super) fn answer_early_txn_calls(&self) {
        let early = std::mem::take(&mut self.0.txns.borrow_mut().early);
        early.into_iter().for_each(|calls| self.answer_txn_calls(calls));
    }

    fn step_txns(&self, key: TopicPartition, event: Event, out: &mut Outgoing) {
        let mut txns = self.0.txns.borrow_mut();
        let Txns { hosted, effects, .. } = &mut *txns;
        let Some(coordinator) = hosted.ready(key) else { return };
        let deadline = coordinator.deadline_ms();
        coordinator.step(self.now(), event, effects);
        let placed = self.perform_txns(key, coordinator, effects, out);
        if coordinator.deadline_ms() < deadline || deadline.is_none() {
            self.0.txn_timers_due.notify();
        }
        if !placed {
            hosted.0.remove(&key);
        }
    }

    /// Appends what a step brought forth and collects what it sends; false if the log refused: what the machine knows
    /// is ahead of its log, and it must go.
    fn perform_txns(
        &self,
        key: TopicPartition,
        coordinator: &mut Coordinator,
        effects: &mut Effects,
        out: &mut Outgoing,
    ) -> bool {
        let mut placed = true;
        if !effects.records.is_empty() {
            let list = std::mem::take(&mut effects.records);
            let entries: Vec<Entry<'_>> =
                list.iter().map(|record| (&record.key, record.value.as_ref())).collect();
            match self.append_records(key, &entries, Pen::Own) {
                Ok(end) => coordinator.placed(end, effects),
                Err(error) => {
                    let what = "the log of transactions takes no records: they are not served";
                    tracing::error!(partition = %key, %error, "{what}");
                    coordinator.step(self.now(), Event::Resign(ErrorCode::NotCoordinator), effects);
                    placed = false;
                }
            }
        }
        effects.replies.drain(..).for_each(|(asker, reply)| out.answer(asker, reply));
        out.orders.extend(effects.orders.drain(..).map(|order| (key, order)));
        placed
    }

    fn deliver_txns(&self, out: Outgoing) {
        for (shard, replies) in out.answers {
            if shard == self.this() {
                self.take_txn_replies(replies);
            } else {
                self.send(shard, Message::TxnReplies(replies));
            }
        }
        for (coordinator, order) in out.orders {
            self.write_markers(coordinator, order);
        }
    }

    /// Has markers written wherever their partitions live.
    fn write_markers(&self, coordinator: TopicPartition, order: MarkerOrder) {
        let marker = EndMarker { committed: order.committed, coordinator_epoch: order.coordinator_epoch };
        let (producer_id, producer_epoch, raised) = (order.producer_id, order.producer_epoch, order.raised);
        let op = MarkOp { producer_id, producer_epoch, marker, raised };
        let mut calls = Vec::with_capacity(order.partitions.len());
        let mut places = Vec::with_capacity(order.partitions.len());
        for (topic, index) in &order.partitions {
            let found = self.find_partition(topic, PartitionIndex(*index));
            places.push(found.is_some());
            calls.extend(found.map(|partition| PartitionCall { partition, op: PartitionOp::Mark(op) }));
        }
        let marks = Marks { coordinator, order, places };
        if calls.is_empty() {
            return self.end_marks(marks, Vec::new());
        }
        self.ask_for_marks(marks, calls);
    }

    fn find_partition(&self, topic: &Str, index: PartitionIndex) -> Option<TopicPartition> {
        let view = self.0.view.borrow();
        let topic = view.topic(topic)?;
        let known = usize::try_from(index.0).is_ok_and(|index| index < topic.partitions.len());
        known.then_some(TopicPartition { topic: topic.id, partition: index })
    }

    /// Tells a coordinator what became of the markers that it ordered.
    pub(super) fn end_marks(&self, marks: Marks, replies: Vec<ErrorCode>) {
        let Marks { coordinator, order, places } = marks;
        let mut replies = replies.into_iter();
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let outcomes =
            places.into_iter().map(|asked| if asked { replies.next().unwrap_or(unknown) } else { unknown });
        let mut outcomes: Vec<ErrorCode> = outcomes.collect();
        if let Some(error) = self.unwritable(coordinator) {
            // That all is done couldn't be written down; the markers are ordered again when it can.
            outcomes.fill(error);
        }
        let event = Event::Marked { order, outcomes };
        let mut out = Outgoing::default();
        self.step_txns(coordinator, event, &mut out);
        self.deliver_txns(out);
    }

    /// Tells coordinators that their records are durable.
    pub(super) fn txns_durable(&self, keys: &[TopicPartition]) {
        self.tell_txns(keys, |shard, key| {
            let owner = shard.owner().borrow();
            let partition = owner.partitions.get(&key)?;
            Some(Event::Durable { upto: partition.replica.high_watermark() })
        });
    }

    /// Tells coordinators that what they appended isn't durable yet and may not be for long.
    pub(super) fn txns_stalled(&self, keys: &[TopicPartition]) {
        self.tell_txns(keys, |_, _| Some(Event::Stalled));
    }

    fn tell_txns(&self, keys: &[TopicPartition], event: impl Fn(&Self, TopicPartition) -> Option<Event>) {
        if self.0.txns.borrow().hosted.0.is_empty() {
            return;
        }
        let mut out = Outgoing::default();
        for &key in keys {
            if !self.0.txns.borrow().hosted.0.contains_key(&key) {
                continue;
            }
            if let Some(event) = event(self, key) {
                self.step_txns(key, event, &mut out);
            }
        }
        self.deliver_txns(out);
    }

    fn hosted_txns(&self) -> Vec<TopicPartition> {
        self.0.txns.borrow().hosted.keys()
    }

    /// Coordinators of partitions that are gone, or whose log failed, go too; whoever waits is told.
    pub(super) fn resign_txns(&self, which: impl Fn(&TopicPartition) -> bool) {
        let keys: Vec<TopicPartition> = self.hosted_txns().into_iter().filter(which).collect();
        self.tell_txns(&keys, |_, _| Some(Event::Resign(ErrorCode::NotCoordinator)));
        let mut txns = self.0.txns.borrow_mut();
        keys.iter().for_each(|key| drop(txns.hosted.0.remove(key)));
    }

    /// The broker stops: what isn't decided stays so, and what is decided is carried out by its next life.
    pub(super) fn close_txns(&self) {
        self.0.txns.borrow_mut().closing = true;
        self.tell_txns(&self.hosted_txns(), |_, _| Some(Event::Close));
    }

    /// Ticks coordinators when something of theirs is due, until the broker stops: a tick may lead to records, and what
    /// is appended after the last flush would make the stop an unclean one.
    pub(super) async fn txn_timer_task(self) {
        while !self.0.txns.borrow().closing {
            let now_ms = self.now().mono_ms;
            let (due, next) = self.0.txns.borrow().hosted.due(now_ms, Coordinator::deadline_ms);
            // What can't be written now is due all the same when it can.
            let (due, short): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|key| self.unwritable(*key).is_none());
            if !due.is_empty() {
                self.tell_txns(&due, |_, _| Some(Event::Tick));
                self.world().yield_now().await;
                continue;
            }
            let next = if short.is_empty() { next } else { Some(now_ms + crate::shard::shortage::RETRY_MS) };
            match next {
                None => self.0.txn_timers_due.notified().await,
                Some(at) => {
                    let wait = Duration::from_millis(at.saturating_sub(now_ms)).max(TIMER_SLACK);
                    or(self.world().sleep(wait), self.0.txn_timers_due.notified()).await;
                }
            }
        }
    }
}

/// Feeds one batch to a machine.
fn replay_batch(key: TopicPartition, meta: &BatchMeta, batch: &[u8], coordinator: &mut Coordinator) {
    if !meta.is_control() {
        replay_records((key, "transactions"), batch, |key, value| coordinator.replay(key, value));
    }
}
