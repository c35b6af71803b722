//! Groups that change their protocol while they have members (KIP-848's online migration): a classic group becomes a
//! consumer group when the first member of that protocol comes, and a classic one again when the last of them is gone.

use super::{Coordinator, Turn};
use crate::base::ErrorCode;
use crate::base::limits::GROUP_MEMBERS_MAX;
use crate::group::chronicle::{Cause, Why};
use crate::group::classic::ClassicGroup;
use crate::group::consumer::{ConsumerGroup, Refusal};
use crate::group::record;
use crate::group::settings::Now;

/// What a group was before a heartbeat of the consumer protocol came to it.
pub(super) enum Before {
    /// There was none of that name.
    Nothing,
    /// A group of this protocol.
    Consumer,
    /// One of the other.
    Classic(Box<ClassicGroup>),
}

impl Coordinator {
    /// A classic group with members as a consumer group, if it may become one.
    pub(super) fn upgraded(&self, group: &ClassicGroup) -> Result<ConsumerGroup, Refusal> {
        let bound = self.settings.consumer_members_max.min(GROUP_MEMBERS_MAX);
        let may = self.settings.migration.upgrades()
            && group.uses_consumer_protocol()
            && group.member_count() <= bound;
        let upgraded = group.migrants().filter(|_| may).and_then(|migrants| {
            ConsumerGroup::upgraded(group.id.clone(), group.generation(), migrants, &self.topics)
        });
        upgraded.ok_or((ErrorCode::GroupIdNotFound, "The group is not a consumer group."))
    }

    /// Begins the log of a group that has just become a consumer group.
    pub(super) fn begin_consumer(&mut self, classic: &ClassicGroup, with_members: bool, now: Now) {
        self.output.records.push(record::group_tombstone(&classic.id));
        if with_members {
            self.output.causes.push(Cause::of(Why::Migrated));
            self.with_consumer(&classic.id, now, |group, turn| group.arrive(turn));
        }
    }

    /// A heartbeat was taken: what the group was before is over.
    pub(super) fn leave_behind(&mut self, before: Before, now: Now) {
        if let Before::Classic(mut group) = before {
            let (settings, topics) = (&self.settings, &self.topics);
            let (timers, out) = (&mut self.timers, &mut self.output);
            group.depart(&mut Turn { now, settings, topics, timers, out });
        }
    }

    /// A heartbeat was refused: the group is what it was before, and nothing was written.
    pub(super) fn go_back(&mut self, id: &str, before: Before, now: Now) {
        if matches!(before, Before::Consumer) {
            return;
        }
        self.output.records.clear();
        self.output.causes.clear();
        self.chronicles.remove(id);
        if let Some(group) = self.remove_consumer(id) {
            let (settings, topics) = (&self.settings, &self.topics);
            let (timers, out) = (&mut self.timers, &mut self.output);
            group.depart(&mut Turn { now, settings, topics, timers, out });
        }
        if let Before::Classic(group) = before {
            self.put(*group);
            self.with_group(id, now, |group, turn| group.renew_sessions(turn));
        }
    }

    /// Makes a classic group of a consumer group whose last member of its own protocol is gone.
    pub(super) fn downgrade_if_classic(&mut self, id: &str, now: Now) {
        let bound = self.settings.members_max.min(GROUP_MEMBERS_MAX);
        let may = self.settings.migration.downgrades();
        let is_due = self
            .consumers
            .get(id)
            .is_some_and(|group| may && group.is_all_classic() && group.member_count() <= bound);
        if !is_due {
            return;
        }
        let Some(group) = self.remove_consumer(id) else { return };
        self.output.records.extend(group.end_records());
        let (settings, topics) = (&self.settings, &self.topics);
        let (timers, out) = (&mut self.timers, &mut self.output);
        group.depart(&mut Turn { now, settings, topics, timers, out });
        let migrants = group.migrants(&self.topics);
        let is_settled = group.is_settled();
        if !is_settled {
            self.output.causes.push(Cause::of(Why::Migrated));
        }
        let classic = ClassicGroup::downgraded(group.id.clone(), group.epoch(), migrants, now.wall_ms);
        self.put(classic);
        self.with_group(id, now, |group, turn| group.arrive(is_settled, turn));
    }
}
