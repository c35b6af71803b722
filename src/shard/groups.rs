//! Coordinators of groups on the shard that owns their partitions: their logs are read, they are stepped, their
//! records are appended, their answers are sent.

use super::coordinated::{Entry, Hosted, Hosts, Pen, replay_records};
use super::message::{Calls, Message};
use super::{Broker, Shard};
use crate::base::limits::BATCH_HEADER_BYTES;
use crate::base::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, ShardId, TopicPartition};
use crate::cluster::Topic;
use crate::group::call::{Asker, GroupCall, GroupOp, GroupReply};
use crate::group::{Coordinator, Effects, Event, Migration, OFFSETS_TOPIC, Settings, Topics};
use crate::replica::Source;
use crate::replica::call::MarkOp;
use crate::seam::World;
use crate::wire::Str;
use crate::wire::batch::{BatchMeta, EndMarker};
use futures_lite::future::or;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Timers of groups that are closer together than this are one wake-up.
const TIMER_SLACK: Duration = Duration::from_millis(1);

/// The coordinators of this shard.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) hosted: Hosts<Coordinator>,
    /// Calls that came before their partitions.
    early: Vec<Calls<GroupCall>>,
    effects: Effects,
    /// The broker stops: coordinators that are still to come wait for nobody.
    closing: bool,
}

/// Answers by the shard that they go to.
type Answers = BTreeMap<ShardId, Vec<(Asker, GroupReply)>>;

impl<B: Broker> Shard<B> {
    fn group_settings(&self, key: TopicPartition) -> Settings {
        let conf = &self.conf().groups;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Settings {
            initial_rebalance_delay_ms: millis(conf.initial_rebalance_delay),
            session_timeout_min_ms: conf.session_timeout_min_ms,
            session_timeout_max_ms: conf.session_timeout_max_ms,
            members_max: conf.members_max,
            consumer_session_ms: millis(conf.consumer_session),
            consumer_heartbeat_ms: conf.consumer_heartbeat_ms,
            consumer_members_max: conf.consumer_members_max,
            migration: Migration::of(&conf.consumer_migration).unwrap_or_default(),
            offset_metadata_max: conf.offset_metadata_max,
            offsets_retention_ms: i64::try_from(millis(conf.offsets_retention)).unwrap_or(i64::MAX),
            retention_check_ms: millis(conf.offsets_retention_check),
            record_bytes_max: self.batch_bytes_max(key) - BATCH_HEADER_BYTES,
        }
    }

    /// A partition is led here: if it keeps groups, its coordinator begins with its log.
    pub(super) fn host_groups(&self, key: TopicPartition, topic: &Str, epoch: LeaderEpoch) {
        if topic.as_str() != OFFSETS_TOPIC {
            return;
        }
        self.0.groups.borrow_mut().hosted.0.insert(key, Hosted::Loading);
        self.world().spawn(self.clone().load_groups(key, epoch));
    }

    async fn load_groups(self, key: TopicPartition, epoch: LeaderEpoch) {
        let mut coordinator = Coordinator::new(self.group_settings(key));
        match self
            .replay_log(key, epoch, |meta, batch| replay_batch(key, meta, batch, &mut coordinator))
            .await
        {
            Ok(Some(end)) => self.take_groups_into_service(key, coordinator, end),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(partition = %key, %error, "the log of groups can't be read: they are not served");
                self.0.groups.borrow_mut().hosted.0.remove(&key);
            }
        }
    }

    fn take_groups_into_service(&self, key: TopicPartition, mut coordinator: Coordinator, end: Offset) {
        let mut answers = Answers::new();
        {
            let mut groups = self.0.groups.borrow_mut();
            let Groups { hosted, effects, closing, .. } = &mut *groups;
            // The topic may have been deleted meanwhile.
            let Some(slot) = hosted.0.get_mut(&key) else { return };
            coordinator.loaded(end, self.now(), effects);
            self.perform_groups((key, Pen::Own), &mut coordinator, effects, &mut answers);
            coordinator.step(self.now(), Event::Topics(self.topics_for_groups()), effects);
            if *closing {
                coordinator.step(self.now(), Event::Close, effects);
                self.perform_groups((key, Pen::Own), &mut coordinator, effects, &mut answers);
            }
            *slot = Hosted::Ready(Box::new(coordinator));
        }
        self.0.group_timers_due.notify();
        self.deliver_groups(answers);
    }

    /// Answers calls to coordinators of this shard, now or when their time comes.
    pub(super) fn answer_group_calls(&self, Calls { from, seen, calls }: Calls<GroupCall>) {
        let behind = seen > self.0.followed.get();
        let mut answers = Answers::new();
        let mut early = Vec::new();
        for (index, call) in calls {
            let asker = Asker { shard: from.shard, set: from.set, index };
            if behind && !self.0.groups.borrow().hosted.0.contains_key(&call.partition) {
                early.push((index, call));
                continue;
            }
            let GroupCall { partition: key, op } = call;
            let refused = match self.0.groups.borrow().hosted.absence(key) {
                None if !op.only_reads() => self.unwritable(key),
                absence => absence,
            };
            let pen = match refused {
                Some(error) => Err(error),
                None => self.pen_for(key, &op),
            };
            match pen {
                Err(error) => {
                    answers.entry(asker.shard).or_default().push((asker, GroupReply::Failed(error)))
                }
                Ok(pen) => {
                    let event = Event::Request { asker, op: Box::new(op) };
                    self.step_groups(key, event, pen, &mut answers);
                }
            }
        }
        if !early.is_empty() {
            self.0.groups.borrow_mut().early.push(Calls { from, seen, calls: early });
        }
        self.deliver_groups(answers);
    }

    /// Answers calls that came before their partitions.
    pub(super) fn answer_early_group_calls(&self) {
        let early = std::mem::take(&mut self.0.groups.borrow_mut().early);
        early.into_iter().for_each(|calls| self.answer_group_calls(calls));
    }

    /// As whose the records are written that a question leads to.
    fn pen_for(&self, key: TopicPartition, op: &GroupOp) -> Result<Pen, ErrorCode> {
        let GroupOp::CommitInTransaction { request, guard, .. } = op else { return Ok(Pen::Own) };
        let (id, epoch) = (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
        let owner = self.owner().borrow();
        let partition = owner.partitions.get(&key).ok_or(ErrorCode::NotCoordinator)?;
        partition.replica.check_group_batch(id, epoch, *guard)?;
        Ok(Pen::Transaction(id, epoch, Source::Group { guard: *guard }))
    }

    /// Why the end of a transaction can't be written into this partition now, if it keeps groups and can't.
    pub(super) fn groups_not_ready(&self, key: TopicPartition, topic: &Str) -> Option<ErrorCode> {
        if topic.as_str() != OFFSETS_TOPIC {
            return None;
        }
        self.0.groups.borrow().hosted.absence(key)
    }

    /// Tells coordinators of markers that were appended.
    pub(super) fn groups_marked(&self, marked: &[(TopicPartition, MarkOp, Offset)]) {
        let now = self.now();
        let mut groups = self.0.groups.borrow_mut();
        for (key, op, end) in marked {
            if let Some(coordinator) = groups.hosted.ready(*key) {
                coordinator.transaction_ended(op.producer_id, op.marker.committed, *end, now.wall_ms);
            }
        }
    }

    fn step_groups(&self, key: TopicPartition, event: Event, pen: Pen, answers: &mut Answers) {
        let mut groups = self.0.groups.borrow_mut();
        let Groups { hosted, effects, .. } = &mut *groups;
        let Some(coordinator) = hosted.ready(key) else { return };
        let deadline = coordinator.deadline_ms();
        coordinator.step(self.now(), event, effects);
        let placed = self.perform_groups((key, pen), coordinator, effects, answers);
        if coordinator.deadline_ms() < deadline || deadline.is_none() {
            self.0.group_timers_due.notify();
        }
        if !placed {
            hosted.0.remove(&key);
        }
    }

    /// Appends what a step brought forth and collects its answers; false if the log refused: what the machine knows is
    /// ahead of its log, and it must go.
    fn perform_groups(
        &self,
        (key, pen): (TopicPartition, Pen),
        coordinator: &mut Coordinator,
        effects: &mut Effects,
        answers: &mut Answers,
    ) -> bool {
        let mut placed = true;
        if !effects.records.is_empty() {
            let list = std::mem::take(&mut effects.records);
            let entries: Vec<Entry<'_>> =
                list.iter().map(|record| (&record.key, record.value.as_ref())).collect();
            match self.append_records(key, &entries, pen) {
                Ok(end) => coordinator.placed(end, effects),
                Err(error) => {
                    let what = "the log of groups takes no records: they are not served";
                    tracing::error!(partition = %key, %error, "{what}");
                    coordinator.step(self.now(), Event::Resign(ErrorCode::NotCoordinator), effects);
                    placed = false;
                }
            }
        }
        for (asker, reply) in effects.replies.drain(..) {
            answers.entry(asker.shard).or_default().push((asker, reply));
        }
        placed
    }

    /// Tells coordinators that their records are durable.
    pub(super) fn groups_durable(&self, keys: &[TopicPartition]) {
        self.tell_groups(keys, |shard, key| {
            let owner = shard.owner().borrow();
            let partition = owner.partitions.get(&key)?;
            Some(Event::Durable { upto: partition.replica.high_watermark() })
        });
    }

    /// Tells coordinators that what they appended isn't durable yet and may not be for long.
    pub(super) fn groups_stalled(&self, keys: &[TopicPartition]) {
        self.tell_groups(keys, |_, _| Some(Event::Stalled));
    }

    /// Tells all coordinators that topics are gone.
    pub(super) fn groups_forget_topics(&self, topics: &[Str]) {
        let keys: Vec<TopicPartition> = self.0.groups.borrow().hosted.keys();
        self.tell_groups(&keys, |_, _| Some(Event::TopicsDeleted(topics.to_vec())));
    }

    /// Tells all coordinators which topics there are.
    pub(super) fn groups_see_topics(&self) {
        let keys: Vec<TopicPartition> = self.0.groups.borrow().hosted.keys();
        if !keys.is_empty() {
            let topics = self.topics_for_groups();
            self.tell_groups(&keys, |_, _| Some(Event::Topics(topics.clone())));
        }
    }

    fn topics_for_groups(&self) -> Topics {
        let view = self.0.view.borrow();
        let count = |topic: &Topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Arc::new(view.topics().map(|topic| (topic.name.clone(), (topic.id, count(topic)))).collect())
    }

    fn tell_groups(&self, keys: &[TopicPartition], event: impl Fn(&Self, TopicPartition) -> Option<Event>) {
        if self.0.groups.borrow().hosted.0.is_empty() {
            return;
        }
        let mut answers = Answers::new();
        for &key in keys {
            if !self.0.groups.borrow().hosted.0.contains_key(&key) {
                continue;
            }
            if let Some(event) = event(self, key) {
                self.step_groups(key, event, Pen::Own, &mut answers);
            }
        }
        self.deliver_groups(answers);
    }

    /// Coordinators of partitions that are gone, or whose log failed, go too; whoever waits is told.
    pub(super) fn resign_groups(&self, which: impl Fn(&TopicPartition) -> bool) {
        let keys: Vec<TopicPartition> =
            self.0.groups.borrow().hosted.keys().into_iter().filter(which).collect();
        self.tell_groups(&keys, |_, _| Some(Event::Resign(ErrorCode::NotCoordinator)));
        let mut groups = self.0.groups.borrow_mut();
        keys.iter().for_each(|key| drop(groups.hosted.0.remove(key)));
    }

    /// The broker stops: nobody waits for members that won't come.
    pub(super) fn close_groups(&self) {
        self.0.groups.borrow_mut().closing = true;
        let keys: Vec<TopicPartition> = self.0.groups.borrow().hosted.keys();
        self.tell_groups(&keys, |_, _| Some(Event::Close));
    }

    /// Ticks coordinators when something of theirs is due, until the broker stops: a tick may lead to records, and what
    /// is appended after the last flush would make the stop an unclean one.
    pub(super) async fn group_timer_task(self) {
        while !self.0.groups.borrow().closing {
            let now_ms = self.now().mono_ms;
            let (due, next) = self.0.groups.borrow().hosted.due(now_ms, Coordinator::deadline_ms);
            if !due.is_empty() {
                self.tell_groups(&due, |_, _| Some(Event::Tick));
                self.world().yield_now().await;
                continue;
            }
            match next {
                None => self.0.group_timers_due.notified().await,
                Some(at) => {
                    let wait = Duration::from_millis(at - now_ms).max(TIMER_SLACK);
                    or(self.world().sleep(wait), self.0.group_timers_due.notified()).await;
                }
            }
        }
    }

    fn deliver_groups(&self, answers: Answers) {
        for (shard, replies) in answers {
            if shard == self.this() {
                self.take_group_replies(replies);
            } else {
                self.send(shard, Message::GroupReplies(replies));
            }
        }
    }
}

/// Feeds one batch to a machine.
fn replay_batch(key: TopicPartition, meta: &BatchMeta, batch: &[u8], coordinator: &mut Coordinator) {
    if meta.is_control() {
        if let Some(marker) = EndMarker::read(batch) {
            coordinator.replay_marker(meta.producer_id, marker.committed, meta.max_timestamp);
        }
        return;
    }
    replay_records((key, "groups"), batch, |key, value| match meta.is_transactional() {
        true => coordinator.replay_in_transaction(meta.producer_id, key, value),
        false => coordinator.replay(key, value),
    });
}
