//! ConsumerGroupHeartbeat and ConsumerGroupDescribe.

use super::{Coordinator, Turn};
use crate::base::ErrorCode;
use crate::group::call::{Asker, Client, GroupReply};
use crate::group::consumer::{Beat, ConsumerGroup, Refusal};
use crate::group::record;
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
            .and_then(|()| self.home_for(request))
            .and_then(|is_new| self.beat_in(request, (client, uuid), is_new, now));
        let response = outcome.unwrap_or_else(|(error, why)| ConsumerGroupHeartbeatResponse {
            error_code: error.code(),
            error_message: Some(Str::from_static(why)),
            ..Default::default()
        });
        self.answer(asker, GroupReply::ConsumerBeat(response));
    }

    /// Sees to it that the group is one of this protocol; true if it is new.
    fn home_for(&mut self, request: &ConsumerGroupHeartbeatRequest) -> Result<bool, Refusal> {
        let id = &request.group_id;
        let joins = request.member_epoch == 0;
        if self.consumers.contains_key(id) {
            return Ok(false);
        }
        match self.groups.get(id) {
            None if !joins => Err((ErrorCode::GroupIdNotFound, "The group is not found.")),
            Some(group) if !joins || !group.is_empty() || group.awaits_members() => {
                Err((ErrorCode::GroupIdNotFound, "The group is not a consumer group."))
            }
            _ if !self.has_room(true) => {
                Err((ErrorCode::CoordinatorNotAvailable, "The coordinator has no room for another group."))
            }
            _ => Ok(true),
        }
    }

    fn beat_in(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        (client, uuid): (&Client, &Str),
        is_new: bool,
        now: Now,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id = &request.group_id;
        if is_new {
            let id = id.detached();
            self.put_consumer(ConsumerGroup::new(id));
        }
        let member = if request.member_id.is_empty() { uuid.clone() } else { request.member_id.clone() };
        let topics = self.topics.clone();
        let beat = Beat { request, client, member, topics: &topics };
        // An empty classic group of that name gives way.
        let classic = is_new && self.groups.contains_key(id);
        let outcome = self.with_consumer(id, now, |group, turn| {
            if classic {
                turn.out.records.push(record::group_tombstone(&group.id));
            }
            group.beat(&beat, turn)
        });
        let outcome = outcome.unwrap_or(Err((ErrorCode::GroupIdNotFound, "The group is not found.")));
        match outcome {
            Ok(_) if classic => self.remove_group(id),
            Err(_) if is_new => {
                self.remove_consumer(id);
                self.output.records.clear();
            }
            _ => {}
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
        let (settings, timers, out) = (&self.settings, &mut self.timers, &mut self.output);
        let result = handle(&mut group, &mut Turn { now, settings, timers, out });
        self.put_consumer(group);
        Some(result)
    }
}
