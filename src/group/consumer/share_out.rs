//! From subscriptions to targets: which topics are read, and who shall have which partition of them.

use super::assign::{ASSIGNORS, Wish, assign};
use super::{ConsumerGroup, Refusal, Topics};
use crate::base::ErrorCode;
use crate::group::chronicle::{Cause, Why};
use crate::group::coordinator::Turn;
use crate::wire::Str;
use regex::{Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes that one compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Kafka's own topics begin so; a regular expression never means them.
const INTERNAL: &str = "__";

/// The cluster's topics as a group last looked at them. It is found out anew after a restart, so it is no part of what
/// a group is.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Option<Topics>);

impl Seen {
    fn is(&self, topics: &Topics) -> bool {
        self.0.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, topics))
    }
}

impl PartialEq for Seen {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Seen {}

/// A regular expression for whole names, in time linear in the name.
fn compile(regex: &str) -> Result<Regex, Refusal> {
    let whole = format!("^(?:{regex})$");
    let compiled = RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build();
    compiled.map_err(|_| {
        (ErrorCode::InvalidRegularExpression, "SubscribedTopicRegex is not a valid regular expression.")
    })
}

impl ConsumerGroup {
    /// Checks a description that may be new.
    pub(super) fn check_regex(&self, regex: Option<&Str>) -> Result<(), Refusal> {
        match regex {
            Some(regex) if !self.matches.contains_key(regex) => compile(regex).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether the group's targets hold for these topics.
    pub(super) fn has_seen(&self, topics: &Topics) -> bool {
        self.seen.is(topics)
    }

    /// Looks at subscriptions and topics, and begins a new epoch if one of them has changed.
    pub(super) fn refresh(&mut self, subscribes: bool, turn: &mut Turn<'_>) {
        let seen = self.has_seen(turn.topics);
        if seen && !subscribes {
            return;
        }
        self.forget_unused_regexes(turn);
        self.match_topics(seen, turn);
        let hash = self.hash_of(turn.topics);
        if subscribes || hash != self.metadata_hash {
            if !subscribes {
                turn.out.causes.push(Cause::of(Why::Topics));
            }
            self.metadata_hash = hash;
            self.bump(turn);
        }
        self.seen = Seen(Some(turn.topics.clone()));
    }

    pub(super) fn bump(&mut self, turn: &mut Turn<'_>) {
        self.epoch += 1;
        turn.out.records.push(self.epoch_record());
    }

    /// Finds the topics that descriptions mean: of new descriptions, or of all if topics have changed.
    fn match_topics(&mut self, only_new: bool, turn: &mut Turn<'_>) {
        let used: BTreeSet<Str> = self.members.values().filter_map(|member| member.regex.clone()).collect();
        for regex in used {
            if only_new && self.matches.contains_key(&regex) {
                continue;
            }
            // What was read back may be from a version that took other expressions: it means nothing then.
            let compiled = compile(&regex).ok();
            let is_meant = |name: &str| {
                !name.starts_with(INTERNAL) && compiled.as_ref().is_some_and(|regex| regex.is_match(name))
            };
            let found: BTreeSet<Str> = turn.topics.keys().filter(|name| is_meant(name)).cloned().collect();
            if self.matches.get(&regex) != Some(&found) {
                turn.out.records.push(self.regex_record(&regex, &found, turn.now.wall_ms));
                self.matches.insert(regex, found);
            }
        }
    }

    /// Drops descriptions that no member has any more.
    pub(super) fn forget_unused_regexes(&mut self, turn: &mut Turn<'_>) {
        let members = &self.members;
        let is_used = |regex: &Str| members.values().any(|member| member.regex.as_ref() == Some(regex));
        let unused: Vec<Str> = self.matches.keys().filter(|regex| !is_used(regex)).cloned().collect();
        for regex in unused {
            self.matches.remove(&regex);
            turn.out.records.push(self.regex_tombstone(&regex));
        }
    }

    /// Shares partitions out if that was last done for an older epoch.
    pub(super) fn retarget(&mut self, turn: &mut Turn<'_>) {
        if self.epoch <= self.assignment_epoch {
            return;
        }
        let mut partitions = BTreeMap::new();
        let mut wishes = Vec::with_capacity(self.members.len());
        for member in self.members.values() {
            let topics = self.topics_of(member).filter_map(|name| turn.topics.get(name)).copied();
            let mut read = BTreeSet::new();
            for (id, count) in topics {
                read.insert(id);
                partitions.insert(id, count);
            }
            wishes.push(Wish {
                name: (member.instance.is_none(), member.instance.as_ref().unwrap_or(&member.id).as_str()),
                topics: read,
                before: self.targets.get(&member.id),
            });
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

    /// What is known of the topics that anybody reads, as a number (FNV-1a: it is kept, so it must never change).
    pub(super) fn hash_of(&self, topics: &Topics) -> i64 {
        let read: BTreeSet<&Str> = self.members.values().flat_map(|member| self.topics_of(member)).collect();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for name in read {
            if let Some((id, count)) = topics.get(name) {
                add(name.as_bytes());
                add(&id.0);
                add(&count.to_be_bytes());
            }
        }
        hash.cast_signed()
    }
}
