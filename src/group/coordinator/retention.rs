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
        let ids: Vec<Str> = self.consumers.keys().cloned().collect();
        for id in ids {
            self.expire_offsets(&id, now);
            let empty = self.consumers.get(&id).is_some_and(|group| group.is_empty());
            if empty && self.offsets.is_empty(&id) {
                let gone = self.remove_consumer(&id);
                self.output.records.extend(gone.iter().flat_map(|group| group.end_records()));
            }
        }
        self.timers.set(Timer::Retention, now.mono_ms + self.settings.retention_check_ms);
    }

    fn expire_offsets(&mut self, id: &Str, now: Now) {
        let (group, consumer) = (self.groups.get(id), self.consumers.get(id));
        let base = match group {
            Some(group) => group.expiry_base(),
            // From the commit.
            None => consumer.map(|_| None),
        };
        let Some(base) = base else { return };
        let is_read = |topic: &str| {
            group.is_some_and(|group| group.is_subscribed(topic))
                || consumer.is_some_and(|group| group.is_subscribed(topic))
        };
        let retention = self.settings.offsets_retention_ms;
        let mut expired = Vec::new();
        for (topic, partitions) in self.offsets.topics(id) {
            if is_read(topic) {
                continue;
            }
            for (index, committed) in partitions {
                let due = match committed.expire_ms {
                    Some(at_ms) => now.wall_ms >= at_ms,
                    None => now.wall_ms.saturating_sub(base.unwrap_or(committed.commit_ms)) >= retention,
                };
                if due && !self.offsets.pending.has(id, topic, *index) {
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
