//! ConsumerGroupHeartbeat and ConsumerGroupDescribe.

use super::migrate::Before;
use super::{Coordinator, Turn};
use crate::base::ErrorCode;
use crate::group::call::{Asker, Client, GroupReply};
use crate::group::chronicle::{Owners, Stand};
use crate::group::consumer::{Beat, ConsumerGroup, Refusal};
use crate::group::settings::Now;
use crate::wire::Str;
use crate::wire::generated::consumer_group_describe_response::DescribedGroup;
use crate::wire::generated::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

impl Coordinator {
    pub(super) fn consumer_beat(
        &mut self,
        asker: Asker,
        request: &ConsumerGroupHeartbeatRequest,
        (version, client, uuid): (i16, &Client, &Str),
        now: Now,
    ) {
        let outcome = Beat::check(request, version)
            .and_then(|()| self.home_for(request, now))
            .and_then(|before| self.beat_in(request, (client, uuid), before, now));
        if request.member_epoch < 0 {
            self.downgrade_if_classic(&request.group_id, now);
        }
        let response = outcome.unwrap_or_else(|(error, why)| ConsumerGroupHeartbeatResponse {
            error_code: error.code(),
            error_message: Some(Str::from_static(why)),
            ..Default::default()
        });
        self.answer(asker, GroupReply::ConsumerBeat(response));
    }

    /// Sees to it that the group is one of this protocol.
    fn home_for(&mut self, request: &ConsumerGroupHeartbeatRequest, now: Now) -> Result<Before, Refusal> {
        let id = &request.group_id;
        let joins = request.member_epoch == 0;
        if self.consumers.contains_key(id) {
            return Ok(Before::Consumer);
        }
        let upgraded = match self.groups.get(id) {
            None if !joins => return Err((ErrorCode::GroupIdNotFound, "The group is not found.")),
            Some(_) if !joins => {
                return Err((ErrorCode::GroupIdNotFound, "The group is not a consumer group."));
            }
            Some(group) if !group.is_empty() => Some(self.upgraded(group)?),
            _ => None,
        };
        if !self.has_room(true) {
            return Err((
                ErrorCode::CoordinatorNotAvailable,
                "The coordinator has no room for another group.",
            ));
        }
        let classic = self.groups.remove(id);
        if let Some(group) = &classic {
            self.bytes -= group.bytes();
        }
        let is_upgrade = upgraded.is_some();
        self.put_consumer(upgraded.unwrap_or_else(|| ConsumerGroup::new(id.detached())));
        Ok(match classic {
            None => Before::Nothing,
            Some(group) => {
                self.begin_consumer(&group, is_upgrade, now);
                Before::Classic(Box::new(group))
            }
        })
    }

    fn beat_in(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        (client, uuid): (&Client, &Str),
        before: Before,
        now: Now,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id = &request.group_id;
        let member = if request.member_id.is_empty() { uuid.clone() } else { request.member_id.clone() };
        let beat = Beat { request, client, member };
        let outcome = self.with_consumer(id, now, |group, turn| group.beat(&beat, turn));
        let outcome = outcome.unwrap_or(Err((ErrorCode::GroupIdNotFound, "The group is not found.")));
        match &outcome {
            Ok(_) => self.leave_behind(before, now),
            Err(_) => self.go_back(id, before, now),
        }
        outcome
    }

    pub(super) fn consumer_describe(&mut self, asker: Asker, id: &Str) {
        let refused = |error: ErrorCode, why: String| DescribedGroup {
            error_code: error.code(),
            error_message: Some(why.into()),
            group_id: id.clone(),
            ..Default::default()
        };
        let described = match self.consumers.get(id) {
            _ if id.is_empty() => refused(ErrorCode::InvalidGroupId, String::new()),
            Some(group) => group.describe(&self.topics),
            None if self.groups.contains_key(id) => {
                refused(ErrorCode::GroupIdNotFound, format!("Group {id} is not a consumer group."))
            }
            None => refused(ErrorCode::GroupIdNotFound, format!("Group {id} not found.")),
        };
        self.answer(asker, GroupReply::ConsumerDescribed(described));
    }

    pub(super) fn put_consumer(&mut self, group: ConsumerGroup) {
        self.bytes += group.bytes();
        self.consumers.insert(group.id.clone(), group);
    }

    pub(super) fn remove_consumer(&mut self, id: &str) -> Option<ConsumerGroup> {
        let gone = self.consumers.remove(id)?;
        self.bytes -= gone.bytes();
        Some(gone)
    }

    /// Lets a consumer group handle something; `None` if there is no such group.
    pub(super) fn with_consumer<T>(
        &mut self,
        id: &str,
        now: Now,
        handle: impl FnOnce(&mut ConsumerGroup, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let mut group = self.remove_consumer(id)?;
        let records = self.output.records.len();
        let (settings, topics) = (&self.settings, &self.topics);
        let (timers, out) = (&mut self.timers, &mut self.output);
        let result = handle(&mut group, &mut Turn { now, settings, topics, timers, out });
        // What changes a group leaves a record; what doesn't must be cheap.
        if self.output.records.len() != records {
            group.recount();
            self.chronicle(&group.id, now, |coordinator| coordinator.stand(&group));
        }
        self.put_consumer(group);
        Some(result)
    }

    fn stand(&self, group: &ConsumerGroup) -> Stand {
        let is_settled = group.is_empty() || group.is_settled();
        Stand { epoch: group.epoch(), is_settled, owners: Some(self.named_owners(group)) }
    }

    /// Who reads what, by the topics' names; topics that are gone have none.
    pub(super) fn named_owners(&self, group: &ConsumerGroup) -> Owners {
        let owners = group.owners().into_iter().filter_map(|((topic, partition), member)| {
            Some(((self.topics.name(topic)?.clone(), partition), member))
        });
        owners.collect()
    }
}
