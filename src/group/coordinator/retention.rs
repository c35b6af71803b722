//! Offsets that nobody needs any more, and groups that nothing is left of (row 114).

use super::Coordinator;
use crate::group::record;
use crate::group::settings::Now;
use crate::group::timers::Timer;
use crate::wire::Str;

impl Coordinator {
    /// Drops what has expired, and sets the time of the next look.
    pub(super) fn retain(&mut self, now: Now) {
        let ids: Vec<Str> = self.groups.keys().cloned().collect();
        for id in ids {
            self.expire_offsets(&id, now);
            let empty = self.groups.get(&id).is_some_and(|group| group.is_empty() && !group.awaits_members());
            if empty && self.offsets.is_empty(&id) {
                self.output.records.push(record::group_tombstone(&id));
                self.remove_group(&id);
            }
        }
        self.timers.set(Timer::Retention, now.mono_ms + self.settings.retention_check_ms);
    }

    fn expire_offsets(&mut self, id: &Str, now: Now) {
        let Some(group) = self.groups.get(id) else { return };
        let Some(base) = group.expiry_base() else { return };
        let retention = self.settings.offsets_retention_ms;
        let mut expired = Vec::new();
        for (topic, partitions) in self.offsets.topics(id) {
            if group.is_subscribed(topic) {
                continue;
            }
            for (index, committed) in partitions {
                let due = match committed.expire_ms {
                    Some(at_ms) => now.wall_ms >= at_ms,
                    None => now.wall_ms.saturating_sub(base.unwrap_or(committed.commit_ms)) >= retention,
                };
                if due {
                    expired.push((topic.clone(), *index));
                }
            }
        }
        for (topic, index) in expired {
            self.offsets.remove(id, &topic, index);
            self.output.records.push(record::offset_tombstone(id, &topic, index));
        }
    }

    /// Drops the offsets in topics that are gone: a topic made anew under the name starts from nothing.
    pub(super) fn forget_topics(&mut self, topics: &[Str]) {
        for (group, topic, index) in self.offsets.remove_topics(topics) {
            self.output.records.push(record::offset_tombstone(&group, &topic, index));
        }
    }
}
