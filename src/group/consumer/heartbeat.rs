//! ConsumerGroupHeartbeat: joining, changing, giving up and taking partitions, leaving.

use super::assign::{ASSIGNORS, Wish, assign};
use super::reconcile::Owned;
use super::{ConsumerGroup, LEAVES, LEAVES_FOR_NOW, Member, Refusal, Share, State, Topics};
use crate::base::limits::{GROUP_BYTES_MAX, GROUP_MEMBERS_MAX};
use crate::base::{ErrorCode, TopicId};
use crate::group::call::Client;
use crate::group::coordinator::Turn;
use crate::wire::Str;
use crate::wire::generated::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use crate::wire::generated::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use regex::RegexBuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes that one compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A heartbeat with what goes with it.
pub(in crate::group) struct Beat<'a> {
    pub(in crate::group) request: &'a ConsumerGroupHeartbeatRequest,
    pub(in crate::group) client: &'a Client,
    /// The member's id: its own, or a new one.
    pub(in crate::group) member: Str,
    pub(in crate::group) topics: &'a Topics,
}

impl Beat<'_> {
    /// Checks what can be checked without the group.
    pub(in crate::group) fn check(
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
    ) -> Result<(), Refusal> {
        let bad = |why| Err((ErrorCode::InvalidRequest, why));
        let is_blank = |text: &Option<Str>| text.as_deref().is_some_and(str::is_empty);
        if request.group_id.is_empty() {
            return bad("GroupId can't be empty.");
        }
        if is_blank(&request.instance_id) {
            return bad("InstanceId can't be empty.");
        }
        if is_blank(&request.rack_id) {
            return bad("RackId can't be empty.");
        }
        if (version >= 1 || request.member_epoch != 0) && request.member_id.is_empty() {
            return bad("MemberId can't be empty.");
        }
        match request.member_epoch {
            0 if request.rebalance_timeout_ms == -1 => {
                return bad("RebalanceTimeoutMs must be provided in first request.");
            }
            0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return bad("TopicPartitions must be empty when (re-)joining.");
            }
            0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
                return bad(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            LEAVES_FOR_NOW if request.instance_id.is_none() => return bad("InstanceId can't be null."),
            LEAVES_FOR_NOW.. => {}
            _ => return bad("MemberEpoch is invalid."),
        }
        match &request.server_assignor {
            Some(name) if !ASSIGNORS.contains(&name.as_str()) => Err((
                ErrorCode::UnsupportedAssignor,
                "The assignor is not supported. Supported: uniform, range.",
            )),
            _ => Ok(()),
        }
    }
}

impl ConsumerGroup {
    /// Takes a heartbeat.
    pub(in crate::group) fn beat(
        &mut self,
        beat: &Beat<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let request = beat.request;
        if matches!(request.member_epoch, LEAVES | LEAVES_FOR_NOW) {
            return self.leave(beat, turn);
        }
        let owned: Option<Share> = request.topic_partitions.as_ref().map(|list| {
            list.iter().map(|own| (own.topic_id, own.partitions.iter().copied().collect())).collect()
        });
        let before = self.member_of(beat, owned.as_ref(), turn)?;
        let mut member = self.updated(&before, beat);
        if let Some(regex) = &member.regex {
            self.describe_topics(regex.clone(), beat.topics, turn)?;
        }
        let is_new = !self.members.contains_key(&member.id);
        let subscribes = is_new || before.names != member.names || before.regex != member.regex;
        if is_new || before != member {
            turn.out.records.push(self.member_record(&member));
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member.clone());
        self.matches
            .retain(|regex, _| self.members.values().any(|other| other.regex.as_ref() == Some(regex)));
        self.share_out(subscribes, beat.topics, turn);
        member = self.reconcile(&member, owned.as_ref(), turn);
        self.renew_session(&member.id, turn);
        let full = request.member_epoch == 0
            || request.rebalance_timeout_ms != -1
                && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
                && request.topic_partitions.is_some();
        let told = full || member.assigned != before.assigned;
        let share = |(topic, own): (&TopicId, &BTreeSet<i32>)| TopicPartitions {
            topic_id: *topic,
            partitions: own.iter().copied().collect(),
        };
        let assignment = Assignment { topic_partitions: member.assigned.iter().map(share).collect() };
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(member.id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: turn.settings.consumer_heartbeat_ms,
            assignment: told.then_some(assignment),
            ..Default::default()
        })
    }

    /// The member that asks, as it was: known, new, or in a static member's place.
    fn member_of(
        &mut self,
        beat: &Beat<'_>,
        owned: Owned<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Member, Refusal> {
        let (request, joins) = (beat.request, beat.request.member_epoch == 0);
        let known = self.members.get(&beat.member);
        let bound = turn.settings.consumer_members_max.min(GROUP_MEMBERS_MAX);
        if known.is_none() && (self.members.len() >= bound || self.bytes() >= GROUP_BYTES_MAX) {
            return Err((
                ErrorCode::GroupMaxSizeReached,
                "The consumer group has reached its maximum capacity.",
            ));
        }
        let Some(instance) = &request.instance_id else {
            return match known {
                None if joins => Ok(Member::new(beat.member.detached())),
                None => Err((ErrorCode::UnknownMemberId, "The member is not a member of the group.")),
                Some(member) => check_epoch(member, request.member_epoch, owned).map(|()| member.clone()),
            };
        };
        match self.instances.get(instance).and_then(|id| self.members.get(id)) {
            None if joins => Ok(Member::new(beat.member.detached())),
            None => Err((ErrorCode::UnknownMemberId, "The instance id is unknown.")),
            Some(member) if member.id == beat.member => {
                check_epoch(member, request.member_epoch, owned).map(|()| member.clone())
            }
            Some(_) if !joins => {
                Err((ErrorCode::FencedInstanceId, "The static member was fenced by another member."))
            }
            Some(member) if member.epoch != LEAVES_FOR_NOW => {
                Err((ErrorCode::UnreleasedInstanceId, "The instance id is owned by another member."))
            }
            Some(member) => {
                let old = member.clone();
                Ok(self.replace(&old, beat.member.detached(), turn))
            }
        }
    }

    /// A static member came back under a new id: the share is its own again.
    fn replace(&mut self, old: &Member, id: Str, turn: &mut Turn<'_>) -> Member {
        turn.timers.cancel(&self.session(&old.id));
        turn.timers.cancel(&self.revocation(&old.id));
        self.members.remove(&old.id);
        turn.out.records.extend(super::tombstones(&self.id, &old.id));
        let new = Member { id: id.clone(), epoch: 0, previous_epoch: 0, ..old.clone() };
        turn.out.records.push(self.member_record(&new));
        if let Some(target) = self.targets.remove(&old.id) {
            turn.out.records.push(self.target_record(&id, &target));
            self.targets.insert(id.clone(), target);
        }
        turn.out.records.push(self.current_record(&new));
        self.members.insert(id, new.clone());
        new
    }

    fn updated(&self, before: &Member, beat: &Beat<'_>) -> Member {
        let request = beat.request;
        let mut member = before.clone();
        let text =
            |new: &Option<Str>, old: &Option<Str>| new.as_ref().map(Str::detached).or_else(|| old.clone());
        member.instance = text(&request.instance_id, &before.instance);
        member.rack = text(&request.rack_id, &before.rack);
        member.assignor = text(&request.server_assignor, &before.assignor);
        member.regex = text(&request.subscribed_topic_regex, &before.regex).filter(|regex| !regex.is_empty());
        if let Some(names) = &request.subscribed_topic_names {
            member.names = names.iter().map(Str::detached).collect();
        }
        if request.rebalance_timeout_ms != -1 {
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        if member.client_id != beat.client.id || member.client_host != beat.client.host {
            (member.client_id, member.client_host) = (beat.client.id.detached(), beat.client.host.detached());
        }
        member
    }

    /// Finds the topics that a regular expression describes.
    fn describe_topics(&mut self, regex: Str, topics: &Topics, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let whole = format!("^(?:{regex})$");
        let compiled = RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build();
        let Ok(compiled) = compiled else {
            return Err((
                ErrorCode::InvalidRegularExpression,
                "SubscribedTopicRegex is not a valid regular expression.",
            ));
        };
        let found: BTreeSet<Str> = topics
            .keys()
            .filter(|name| !name.starts_with("__") && compiled.is_match(name))
            .cloned()
            .collect();
        if self.matches.get(&regex) != Some(&found) {
            turn.out.records.push(self.regex_record(&regex, &found, turn.now.wall_ms));
            self.matches.insert(regex, found);
        }
        Ok(())
    }

    /// Shares partitions out anew if subscriptions or topics have changed.
    fn share_out(&mut self, subscribes: bool, topics: &Topics, turn: &mut Turn<'_>) {
        let hash = self.hash_of(topics);
        if subscribes || hash != self.metadata_hash {
            self.metadata_hash = hash;
            self.epoch += 1;
            turn.out.records.push(self.epoch_record());
        }
        if self.epoch <= self.assignment_epoch {
            return;
        }
        let mut partitions = BTreeMap::new();
        let mut wishes = Vec::with_capacity(self.members.len());
        for member in self.members.values() {
            let read = self.topics_of(member).filter_map(|name| topics.get(name)).copied();
            let mut wish =
                Wish { before: self.targets.get(&member.id).cloned().unwrap_or_default(), ..Wish::default() };
            for (id, count) in read {
                wish.topics.insert(id);
                partitions.insert(id, count);
            }
            wishes.push(wish);
        }
        let shares = assign(self.assignor(), &wishes, &partitions);
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for (id, share) in ids.into_iter().zip(shares) {
            if self.targets.get(&id) != Some(&share) {
                turn.out.records.push(self.target_record(&id, &share));
                self.targets.insert(id, share);
            }
        }
        self.assignment_epoch = self.epoch;
        turn.out.records.push(self.assignment_epoch_record(turn.now.wall_ms));
    }

    /// The assignor that most members prefer.
    pub(super) fn assignor(&self) -> &'static str {
        let votes = |name: &&str| {
            self.members.values().filter(|member| member.assignor.as_deref() == Some(*name)).count()
        };
        let mut best = ASSIGNORS[0];
        for name in ASSIGNORS {
            if votes(&name) > votes(&best) {
                best = name;
            }
        }
        best
    }

    /// What is known of the topics that anybody reads, as a number.
    fn hash_of(&self, topics: &Topics) -> i64 {
        let read: BTreeSet<&Str> = self.members.values().flat_map(|member| self.topics_of(member)).collect();
        let mut hasher = DefaultHasher::new();
        for name in read {
            if let Some((id, count)) = topics.get(name) {
                (name.as_str(), id.0, count).hash(&mut hasher);
            }
        }
        hasher.finish().cast_signed()
    }

    fn reconcile(&mut self, member: &Member, owned: Owned<'_>, turn: &mut Turn<'_>) -> Member {
        let after = self.reconciled(member, owned);
        if after != *member {
            turn.out.records.push(self.current_record(&after));
            if after.state == State::Unrevoked {
                self.await_revocation(&after, turn);
            } else {
                turn.timers.cancel(&self.revocation(&after.id));
            }
            self.members.insert(after.id.clone(), after.clone());
        }
        after
    }

    fn leave(
        &mut self,
        beat: &Beat<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let request = beat.request;
        let id = match &request.instance_id {
            None => self.members.get(&request.member_id).map(|member| member.id.clone()),
            Some(instance) => match self.instances.get(instance) {
                Some(id) if *id != request.member_id => {
                    return Err((
                        ErrorCode::FencedInstanceId,
                        "The static member was fenced by another member.",
                    ));
                }
                other => other.cloned(),
            },
        };
        let Some(id) = id else {
            return Err((ErrorCode::UnknownMemberId, "The member is not a member of the group."));
        };
        if request.member_epoch == LEAVES_FOR_NOW {
            if let Some(member) = self.members.get_mut(&id) {
                member.epoch = LEAVES_FOR_NOW;
                member.revoking.clear();
                let member = member.clone();
                turn.timers.cancel(&self.revocation(&id));
                turn.out.records.push(self.current_record(&member));
            }
        } else {
            self.fence(&id, turn);
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        })
    }
}

/// Checks a member's epoch. The one before is good if the answer with the next may have been lost.
fn check_epoch(member: &Member, epoch: i32, owned: Owned<'_>) -> Result<(), Refusal> {
    let fenced = "The member's epoch isn't the one known by the group coordinator. The member must abandon all its \
                  partitions and rejoin.";
    let within = || {
        owned.is_some_and(|owned| {
            owned.iter().all(|(topic, own)| member.assigned.get(topic).is_some_and(|all| own.is_subset(all)))
        })
    };
    match epoch {
        0 => Ok(()),
        epoch if epoch == member.epoch => Ok(()),
        epoch if epoch < member.epoch && epoch == member.previous_epoch && within() => Ok(()),
        _ => Err((ErrorCode::FencedMemberEpoch, fenced)),
    }
}
