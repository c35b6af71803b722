//! The machine of one partition: takes events, finds the group, keeps answers until what they rest on is durable.

mod admin;
mod commit;
mod consumer;
mod fetch;
mod member;
mod migrate;
mod retention;
#[cfg(test)]
mod tests;
mod told;
mod transactional;

use super::call::{Asker, GroupOp, GroupReply};
use super::chronicle::{Cause, Chronicle, Chronicles, Stand};
use super::classic::{ClassicGroup, Join};
use super::consumer::{ConsumerGroup, Topics};
use super::offsets::Offsets;
use super::record::{GroupRecord, Replayed, replayed};
use super::settings::{Now, Settings};
use super::timers::{Timer, Timers};
use crate::base::limits::{COORDINATOR_BYTES_MAX, GROUPS_PER_COORDINATOR_MAX};
use crate::base::mutant::{Mutant, planted};
use crate::base::{ErrorCode, Offset};
use crate::wire::{DecodeError, Str};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
pub use told::CommitTold;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client asks.
    Request {
        /// Who gets the answer.
        asker: Asker,
        /// What is asked.
        op: Box<GroupOp>,
    },
    /// All records below this offset survive a power cut, on every replica that must have them.
    Durable {
        /// First offset that may not.
        upto: Offset,
    },
    /// Time passed.
    Tick,
    /// The cluster's topics as they are now.
    Topics(Topics),
    /// Topics are gone, and so are the offsets in them.
    TopicsDeleted(Vec<Str>),
    /// Appended records can't be made durable for now: whoever waits for that is told, and may ask again.
    Stalled,
    /// The broker stops: whoever waits for other members is sent away, and nobody may wait any more.
    Close,
    /// The coordinator isn't here any more: everybody who waits is told.
    Resign(ErrorCode),
}

/// What the shard has to do. Reused from step to step; the shard drains it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Records to append, in order. Where there are any, `Coordinator::placed` must follow before the next step.
    pub records: Vec<GroupRecord>,
    /// Answers that are due.
    pub replies: Vec<(Asker, GroupReply)>,
}

/// What one step brings forth.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) records: Vec<GroupRecord>,
    pub(super) replies: Vec<(Asker, GroupReply)>,
    /// What began or joined a rebalance of the group that is stepped.
    pub(super) causes: Vec<Cause>,
}

/// What a group may use while it handles something.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) settings: &'a Settings,
    /// The cluster's topics.
    pub(super) topics: &'a Topics,
    pub(super) timers: &'a mut Timers,
    pub(super) out: &'a mut Output,
}

impl Turn<'_> {
    /// Answers once everything appended so far, this step's records included, is durable.
    pub(super) fn reply(&mut self, asker: Asker, reply: GroupReply) {
        self.out.replies.push((asker, reply));
    }
}

/// The coordinator of the groups of one partition. Lives on the shard that owns the partition.
#[derive(Debug)]
pub struct Coordinator {
    settings: Settings,
    groups: BTreeMap<Str, ClassicGroup>,
    /// Groups of the consumer protocol; no name is in both.
    consumers: BTreeMap<Str, ConsumerGroup>,
    /// The cluster's topics.
    topics: Topics,
    /// About how much memory the groups take.
    bytes: usize,
    offsets: Offsets,
    /// What became of the groups since this coordinator began.
    chronicles: Chronicles,
    timers: Timers,
    /// What the step under way has brought forth.
    output: Output,
    /// Answers that wait until their offset is durable, in order.
    held: VecDeque<(Offset, Asker, GroupReply)>,
    /// The broker stops.
    closing: bool,
    /// Where the log ends.
    appended: Offset,
    durable: Offset,
}

impl Coordinator {
    /// A coordinator that knows nothing yet: `replay` tells it what the log holds, `loaded` ends that.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Coordinator {
            settings,
            groups: BTreeMap::new(),
            consumers: BTreeMap::new(),
            topics: Topics::default(),
            bytes: 0,
            offsets: Offsets::default(),
            chronicles: Chronicles::default(),
            timers: Timers::default(),
            output: Output::default(),
            held: VecDeque::new(),
            closing: false,
            appended: 0,
            durable: 0,
        }
    }

    /// Takes one record of the log, in order.
    ///
    /// # Errors
    /// The record isn't what its key says. What it would have told is lost; the rest goes on.
    pub fn replay(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), DecodeError> {
        match replayed(key, value)? {
            Replayed::Group { group, value: None } => {
                if let Some(gone) = self.groups.remove(&group) {
                    self.bytes -= gone.bytes();
                }
            }
            Replayed::Group { group, value: Some(value) } => {
                let id = group.detached();
                if let Some(before) = self.groups.remove(&id) {
                    self.bytes -= before.bytes();
                }
                self.put(ClassicGroup::replayed(id, value));
            }
            Replayed::Offset { group, topic, partition, value: None } => {
                self.offsets.remove(&group, &topic, partition);
            }
            Replayed::Offset { group, topic, partition, value: Some(value) } => {
                if !self.groups.contains_key(&group) && !self.consumers.contains_key(&group) {
                    self.put(ClassicGroup::new(group.detached(), value.commit_timestamp));
                }
                self.offsets.put(&group, &topic, partition, (&value).into());
            }
            Replayed::Consumer(kept) => {
                let (group, ends) = kept.group();
                let known = self.remove_consumer(group);
                // What ends something that isn't there ends nothing.
                if known.is_none() && ends {
                    return Ok(());
                }
                let id = group.detached();
                // Offsets that came first made a simple group of that name.
                self.remove_group(&id);
                let mut group = known.unwrap_or_else(|| ConsumerGroup::new(id));
                if group.replay(kept) {
                    self.put_consumer(group);
                }
            }
            Replayed::Other => {}
        }
        Ok(())
    }

    /// The log is read up to `end`, which is durable: from now on requests are answered.
    pub fn loaded(&mut self, end: Offset, now: Now, out: &mut Effects) {
        (self.appended, self.durable) = (end, end);
        let ids: Vec<Str> = self.groups.keys().cloned().collect();
        for id in ids {
            let owners = self.groups.get(&id).and_then(ClassicGroup::owners);
            self.chronicles.begin(&id, owners);
            self.with_group(&id, now, |group, turn| group.begin(turn));
        }
        let ids: Vec<Str> = self.consumers.keys().cloned().collect();
        for id in ids {
            let owners = self.consumers.get(&id).map(|group| self.named_owners(group));
            self.chronicles.begin(&id, owners);
            self.with_consumer(&id, now, |group, turn| {
                group.recount();
                group.begin(turn);
            });
        }
        self.timers.set(Timer::Retention, now.mono_ms + self.settings.retention_check_ms);
        self.hand_over(out);
    }

    /// New settings; they hold from the next event on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// When the next `Tick` is wanted, by the clock that never goes back.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Takes one event and says what to do about it.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Effects) {
        match event {
            Event::Request { asker, op } => self.request(asker, *op, now),
            Event::Durable { upto } => self.durable = self.durable.max(upto),
            Event::Tick => self.tick(now),
            Event::Topics(topics) => self.topics = topics,
            Event::TopicsDeleted(topics) => self.forget_topics(&topics),
            Event::Stalled => return self.fail_held(ErrorCode::CoordinatorNotAvailable, out),
            Event::Close => {
                self.closing = true;
                self.turn_away(ErrorCode::NotCoordinator, now);
            }
            Event::Resign(error) => return self.resign(error, now, out),
        }
        self.hand_over(out);
    }

    /// This step's records were appended and end before `end`: its answers wait for that offset.
    pub fn placed(&mut self, end: Offset, out: &mut Effects) {
        assert!(end >= self.appended, "a log only grows");
        self.appended = end;
        self.place();
        self.release(out);
    }

    /// Gives records to the shell and holds answers back until they are due.
    fn hand_over(&mut self, out: &mut Effects) {
        out.records.append(&mut self.output.records);
        if out.records.is_empty() {
            self.place();
            self.release(out);
        }
    }

    fn place(&mut self) {
        let upto = self.appended;
        self.held.extend(self.output.replies.drain(..).map(|(asker, reply)| (upto, asker, reply)));
    }

    fn release(&mut self, out: &mut Effects) {
        let early = planted(Mutant::AnswerGroupsEarly);
        while self.held.front().is_some_and(|(upto, ..)| *upto <= self.durable || early) {
            let (_, asker, reply) = self.held.pop_front().expect("it has a front");
            out.replies.push((asker, reply));
        }
    }

    fn request(&mut self, asker: Asker, op: GroupOp, now: Now) {
        if self.closing && matches!(op, GroupOp::Join { .. } | GroupOp::Sync(_)) {
            return self.answer(asker, GroupReply::Failed(ErrorCode::NotCoordinator));
        }
        match op {
            GroupOp::Join { request, version, client, uuid } => {
                let join = Join { asker, request: &request, version, client: &client, uuid: &uuid };
                self.join(&join, now);
            }
            GroupOp::Sync(request) => self.sync(asker, &request, now),
            GroupOp::Heartbeat(request) => self.heartbeat(asker, &request, now),
            GroupOp::Leave(request) => self.leave(asker, &request, now),
            GroupOp::Commit { request, version } => self.commit(asker, &request, version, now),
            GroupOp::CommitInTransaction { request, version, guard: _ } => {
                self.commit_in_transaction(asker, &request, version, now);
            }
            GroupOp::Fetch { request, stable } => self.fetch(asker, request, stable),
            GroupOp::Describe { group, version } => self.describe(asker, &group, version),
            GroupOp::List { states, types } => self.list(asker, &states, &types),
            GroupOp::Delete { group } => self.delete(asker, &group),
            GroupOp::ConsumerBeat { request, version, client, uuid } => {
                self.consumer_beat(asker, &request, (version, &client, &uuid), now);
            }
            GroupOp::ConsumerDescribe { group } => self.consumer_describe(asker, &group),
            GroupOp::DeleteOffsets(request) => self.delete_offsets(asker, &request),
        }
    }

    fn tick(&mut self, now: Now) {
        while let Some(timer) = self.timers.take_due(now.mono_ms) {
            match timer {
                Timer::Session(id, member) => {
                    self.with_group(&id, now, |group, turn| group.session_timed_out(&member, turn));
                    self.with_consumer(&id, now, |group, turn| group.session_timed_out(&member, turn));
                    self.downgrade_if_classic(&id, now);
                }
                Timer::Step(id, member) => {
                    self.with_consumer(&id, now, |group, turn| group.step_timed_out(&member, turn));
                    self.downgrade_if_classic(&id, now);
                }
                Timer::Join(id) => {
                    self.with_group(&id, now, |group, turn| group.join_timed_out(turn));
                }
                Timer::Sync(id) => {
                    self.with_group(&id, now, |group, turn| group.sync_timed_out(turn));
                }
                Timer::Retention => self.retain(now),
            }
        }
    }

    /// Everybody who waits is told to go and find the coordinator.
    fn resign(&mut self, error: ErrorCode, now: Now, out: &mut Effects) {
        // What was held may rest on records that never became durable.
        self.fail_held(error, out);
        self.turn_away(error, now);
        out.replies.append(&mut self.output.replies);
        self.output.records.clear();
    }

    fn fail_held(&mut self, error: ErrorCode, out: &mut Effects) {
        let held = self.held.drain(..).map(|(_, asker, _)| (asker, GroupReply::Failed(error)));
        out.replies.extend(held);
    }

    fn turn_away(&mut self, error: ErrorCode, now: Now) {
        let ids: Vec<Str> = self.groups.keys().cloned().collect();
        for id in ids {
            self.with_group(&id, now, |group, turn| group.turn_away(error, turn));
        }
    }

    fn answer(&mut self, asker: Asker, reply: GroupReply) {
        self.output.replies.push((asker, reply));
    }

    fn put(&mut self, group: ClassicGroup) {
        self.bytes += group.bytes();
        self.groups.insert(group.id.clone(), group);
    }

    /// Lets a group handle something; `None` if there is no such group.
    fn with_group<T>(
        &mut self,
        id: &str,
        now: Now,
        handle: impl FnOnce(&mut ClassicGroup, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let mut group = self.groups.remove(id)?;
        self.bytes -= group.bytes();
        let (settings, topics) = (&self.settings, &self.topics);
        let (timers, out) = (&mut self.timers, &mut self.output);
        let result = handle(&mut group, &mut Turn { now, settings, topics, timers, out });
        self.chronicle(&group.id, now, |_| Stand {
            epoch: group.generation(),
            is_settled: group.is_settled(),
            owners: group.owners(),
        });
        self.put(group);
        Some(result)
    }

    /// Notes what a step of a group caused and where it stands.
    fn chronicle(&mut self, id: &Str, now: Now, stand: impl FnOnce(&Self) -> Stand) {
        let causes = std::mem::take(&mut self.output.causes);
        if causes.is_empty() && !self.chronicles.get(id).is_some_and(Chronicle::is_open) {
            return;
        }
        let stand = stand(self);
        let mut chronicle = self.chronicles.remove(id).unwrap_or_default();
        chronicle.take(causes, stand, now);
        self.chronicles.put(id, chronicle);
    }

    /// Whether there is room for what a request brings.
    fn has_room(&self, group_is_new: bool) -> bool {
        self.bytes < COORDINATOR_BYTES_MAX
            && (!group_is_new || self.groups.len() + self.consumers.len() < GROUPS_PER_COORDINATOR_MAX)
    }
}
