//! ConsumerGroupHeartbeat: joining, changing, giving up and taking partitions, leaving.

use super::assign::ASSIGNORS;
use super::reconcile::Owned;
use super::{
    ConsumerGroup, FENCED_INSTANCE, FULL, LEAVES, LEAVES_FOR_NOW, Member, Refusal, Share, UNKNOWN_MEMBER,
};
use crate::base::limits::{GROUP_BYTES_MAX, GROUP_MEMBERS_MAX};
use crate::base::{ErrorCode, TopicId};
use crate::group::call::Client;
use crate::group::chronicle::Why;
use crate::group::coordinator::Turn;
use crate::wire::Str;
use crate::wire::generated::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use crate::wire::generated::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::collections::BTreeMap;

/// A heartbeat with what goes with it.
pub(in crate::group) struct Beat<'a> {
    pub(in crate::group) request: &'a ConsumerGroupHeartbeatRequest,
    pub(in crate::group) client: &'a Client,
    /// The member's id: its own, or a new one.
    pub(in crate::group) member: Str,
}

impl Beat<'_> {
    /// Checks what can be checked without the group.
    pub(in crate::group) fn check(
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
    ) -> Result<(), Refusal> {
        let bad = |why| Err((ErrorCode::InvalidRequest, why));
        let is_blank = |text: &Option<Str>| text.as_deref().is_some_and(|text| text.trim().is_empty());
        if request.group_id.trim().is_empty() {
            return bad("GroupId can't be empty.");
        }
        if is_blank(&request.instance_id) {
            return bad("InstanceId can't be empty.");
        }
        if is_blank(&request.rack_id) {
            return bad("RackId can't be empty.");
        }
        if (version >= 1 || request.member_epoch != 0) && request.member_id.trim().is_empty() {
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
            return self.leave(request, turn);
        }
        if let Some(answer) = self.still_beat(beat, turn) {
            return Ok(answer);
        }
        let owned: Option<Share> = request.topic_partitions.as_ref().map(|list| {
            list.iter().map(|own| (own.topic_id, own.partitions.iter().copied().collect())).collect()
        });
        let before = self.member_of(beat, owned.as_ref(), turn)?;
        let member = updated(&before, beat);
        self.check_regex(member.regex.as_ref())?;
        let member = self.take_in(&before, member, owned.as_ref(), turn);
        let full = request.member_epoch == 0
            || request.rebalance_timeout_ms != -1
                && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
                && request.topic_partitions.is_some();
        let told = full || member.assigned != before.assigned;
        let share = |(topic, own): (&TopicId, &BTreeMap<i32, i32>)| TopicPartitions {
            topic_id: *topic,
            partitions: own.keys().copied().collect(),
        };
        let assignment = Assignment { topic_partitions: member.assigned.iter().map(share).collect() };
        Ok(ConsumerGroupHeartbeatResponse { assignment: told.then_some(assignment), ..answer(&member, turn) })
    }

    /// The common heartbeat: a member that has its share has nothing to say, and nothing has happened. Groups are large
    /// and heartbeats many, so this one looks at nothing but the member.
    fn still_beat(&self, beat: &Beat<'_>, turn: &mut Turn<'_>) -> Option<ConsumerGroupHeartbeatResponse> {
        let request = beat.request;
        let member = self.members.get(&request.member_id)?;
        let says_nothing = request.rebalance_timeout_ms == -1
            && request.subscribed_topic_names.is_none()
            && request.subscribed_topic_regex.is_none()
            && request.server_assignor.is_none()
            && request.rack_id.is_none();
        let is_settled = self.epoch == self.assignment_epoch
            && member.is_reconciled_to(self.epoch)
            && self.has_seen(turn.topics);
        let is_itself = request.member_epoch == member.epoch
            && (request.instance_id.is_none() || request.instance_id == member.instance)
            && member.classic.is_none()
            && member.client_id == beat.client.id
            && member.client_host == beat.client.host;
        if !(says_nothing && is_settled && is_itself) {
            return None;
        }
        self.renew_session(member, turn);
        Some(answer(member, turn))
    }

    /// Takes a member in as it is now, shares out what must be, and takes it a step further. It comes back with the
    /// share that it may have.
    pub(super) fn take_in(
        &mut self,
        before: &Member,
        member: Member,
        owned: Owned<'_>,
        turn: &mut Turn<'_>,
    ) -> Member {
        let is_new = !self.members.contains_key(&member.id);
        let subscribes = is_new || before.names != member.names || before.regex != member.regex;
        if is_new || *before != member {
            turn.out.records.push(self.member_record(&member));
            if let Some(instance) = &member.instance {
                self.instances.insert(instance.clone(), member.id.clone());
            }
            self.members.insert(member.id.clone(), member.clone());
        }
        if subscribes {
            turn.out.causes.push(member.cause(if is_new { Why::Joined } else { Why::Subscribed }));
        }
        self.refresh(subscribes, turn);
        self.retarget(turn);
        let member = self.reconcile(member, owned, turn);
        self.renew_session(&member, turn);
        member
    }

    /// Whether a member that isn't known finds no room.
    pub(super) fn is_full(&self, member: &str, turn: &Turn<'_>) -> bool {
        let bound = turn.settings.consumer_members_max.min(GROUP_MEMBERS_MAX);
        !self.members.contains_key(member) && (self.members.len() >= bound || self.size >= GROUP_BYTES_MAX)
    }

    /// The member that asks, as it was: known, new, or in a static member's place.
    fn member_of(
        &mut self,
        beat: &Beat<'_>,
        owned: Owned<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Member, Refusal> {
        let (request, joins) = (beat.request, beat.request.member_epoch == 0);
        if self.is_full(&beat.member, turn) {
            return Err(FULL);
        }
        let Some(instance) = &request.instance_id else {
            return match self.members.get(&beat.member) {
                None if joins => Ok(Member::new(beat.member.detached())),
                None => Err(UNKNOWN_MEMBER),
                Some(member) => check_epoch(member, request.member_epoch, owned).map(|()| member.clone()),
            };
        };
        match self.static_member(instance).cloned() {
            None if joins => Ok(Member::new(beat.member.detached())),
            None => Err((ErrorCode::UnknownMemberId, "The instance id is unknown.")),
            Some(old) if joins => {
                // One that speaks the other protocol can't say that it left.
                if old.epoch != LEAVES_FOR_NOW && old.classic.is_none() {
                    return Err((
                        ErrorCode::UnreleasedInstanceId,
                        "The instance id is owned by another member.",
                    ));
                }
                Ok(self.replace(&old, beat.member.detached(), turn))
            }
            Some(member) if member.id != beat.member => Err(FENCED_INSTANCE),
            Some(member) => check_epoch(&member, request.member_epoch, owned).map(|()| member),
        }
    }

    pub(super) fn static_member(&self, instance: &str) -> Option<&Member> {
        self.instances.get(instance).and_then(|id| self.members.get(id))
    }

    /// A static member came back under a new id: the share is its own again.
    pub(super) fn replace(&mut self, old: &Member, id: Str, turn: &mut Turn<'_>) -> Member {
        let target = self.targets.get(&old.id).cloned();
        self.remove(&old.id, turn);
        let new = Member { id: id.clone(), epoch: 0, previous_epoch: 0, ..old.clone() };
        turn.out.records.push(self.member_record(&new));
        if let Some(target) = target {
            turn.out.records.push(self.target_record(&id, &target));
            self.targets.insert(id.clone(), target);
        }
        turn.out.records.push(self.current_record(&new));
        if let Some(instance) = &new.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.members.insert(id, new.clone());
        new
    }

    fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        turn: &mut Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let found = match &request.instance_id {
            None => self.members.get(&request.member_id),
            Some(instance) => match self.static_member(instance) {
                Some(member) if member.id != request.member_id => return Err(FENCED_INSTANCE),
                found => found,
            },
        };
        let member = found.cloned().ok_or(UNKNOWN_MEMBER)?;
        if request.member_epoch == LEAVES_FOR_NOW {
            turn.timers.cancel(&self.step(&member.id));
            let away = Member { epoch: LEAVES_FOR_NOW, revoking: super::Held::new(), ..member };
            turn.out.records.push(self.current_record(&away));
            self.members.insert(away.id.clone(), away);
        } else {
            self.fence_all(&[member.id], Why::Left, turn);
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        })
    }
}

fn answer(member: &Member, turn: &Turn<'_>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        member_id: Some(member.id.clone()),
        member_epoch: member.epoch,
        heartbeat_interval_ms: turn.settings.consumer_heartbeat_ms,
        ..Default::default()
    }
}

/// A member with what its heartbeat says of it; what the heartbeat leaves out stays.
fn updated(before: &Member, beat: &Beat<'_>) -> Member {
    let request = beat.request;
    let text = |new: &Option<Str>, old: &Option<Str>| new.as_ref().map(Str::detached).or_else(|| old.clone());
    let regex = text(&request.subscribed_topic_regex, &before.regex).filter(|regex| !regex.is_empty());
    let names = request.subscribed_topic_names.as_ref();
    Member {
        instance: text(&request.instance_id, &before.instance),
        rack: text(&request.rack_id, &before.rack),
        assignor: text(&request.server_assignor, &before.assignor),
        regex,
        names: names.map_or_else(|| before.names.clone(), |names| names.iter().map(Str::detached).collect()),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => before.rebalance_timeout_ms,
            timeout => timeout,
        },
        client_id: beat.client.id.detached(),
        client_host: beat.client.host.detached(),
        classic: None,
        ..before.clone()
    }
}

/// Checks a member's epoch. The one before is good if the answer with the next may have been lost.
fn check_epoch(member: &Member, epoch: i32, owned: Owned<'_>) -> Result<(), Refusal> {
    let fenced = "The member's epoch isn't the one known by the group coordinator. The member must abandon all its \
                  partitions and rejoin.";
    let within = || {
        owned.is_some_and(|owned| {
            owned.iter().all(|(topic, own)| {
                let all = member.assigned.get(topic);
                all.is_some_and(|all| own.iter().all(|partition| all.contains_key(partition)))
            })
        })
    };
    match epoch {
        0 => Ok(()),
        epoch if epoch == member.epoch => Ok(()),
        epoch if epoch < member.epoch && epoch == member.previous_epoch && within() => Ok(()),
        _ => Err((ErrorCode::FencedMemberEpoch, fenced)),
    }
}
