//! Members of a classic group.

use crate::base::limits::GROUP_MEMBER_OVERHEAD_BYTES;
use crate::group::call::Asker;
use crate::group::chronicle::{Cause, Why};
use crate::wire::Str;
use bytes::Bytes;
use std::collections::BTreeMap;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct Member {
    pub(super) id: Str,
    /// A static member's name (KIP-345).
    pub(super) instance: Option<Str>,
    pub(super) client_id: Str,
    pub(super) client_host: Str,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// Protocols that it can take part in, the best first, each with what the leader is to know.
    pub(super) protocols: Vec<(Str, Bytes)>,
    pub(super) assignment: Bytes,
    /// Its JoinGroup that isn't answered.
    pub(super) joining: Option<Asker>,
    /// Its SyncGroup that isn't answered.
    pub(super) syncing: Option<Asker>,
    /// It hasn't been in any generation yet.
    pub(super) is_new: bool,
}

impl Member {
    /// What it says about a protocol; empty for one that it doesn't know.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name.as_str() == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    /// Whether it may be silent: the coordinator owes it an answer. A new member may not, since its client may be
    /// gone without anybody knowing.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    pub(super) fn cause(&self, why: Why) -> Cause {
        Cause {
            why,
            member: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
        }
    }

    fn bytes(&self) -> usize {
        let protocols: usize = self.protocols.iter().map(|(name, data)| name.len() + data.len() + 64).sum();
        let texts = self.id.len() + self.client_id.len() + self.client_host.len();
        GROUP_MEMBER_OVERHEAD_BYTES + texts + protocols + self.assignment.len()
    }
}

/// All members, and what is asked of them all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct Members {
    list: BTreeMap<Str, Member>,
    /// How many members know a protocol.
    supported: BTreeMap<Str, usize>,
    /// How many wait for the answer to their JoinGroup.
    joining: usize,
    /// Static members by their names.
    instances: BTreeMap<Str, Str>,
    /// About how much memory they take.
    bytes: usize,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.list.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.values()
    }

    pub(super) fn ids(&self) -> Vec<Str> {
        self.list.keys().cloned().collect()
    }

    /// The id of a static member.
    pub(super) fn instance(&self, name: &str) -> Option<&Str> {
        self.instances.get(name)
    }

    /// Members that wait for the answer to their JoinGroup.
    pub(super) fn joining(&self) -> usize {
        self.joining
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all members know this protocol.
    pub(super) fn all_know(&self, protocol: &str) -> bool {
        self.supported.get(protocol).copied().unwrap_or(0) == self.list.len()
    }

    pub(super) fn add(&mut self, member: Member) {
        for (name, _) in &member.protocols {
            *self.supported.entry(name.clone()).or_default() += 1;
        }
        self.joining += usize::from(member.joining.is_some());
        self.bytes += member.bytes();
        if let Some(name) = &member.instance {
            self.instances.insert(name.clone(), member.id.clone());
        }
        let before = self.list.insert(member.id.clone(), member);
        assert!(before.is_none(), "a member is added once");
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.list.remove(id)?;
        for (name, _) in &member.protocols {
            if let Some(count) = self.supported.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
        self.joining -= usize::from(member.joining.is_some());
        self.bytes -= member.bytes();
        if let Some(name) = &member.instance {
            self.instances.remove(name);
        }
        Some(member)
    }

    /// Changes a member; what is counted over all members follows.
    pub(super) fn change<T>(&mut self, id: &str, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let mut member = self.remove(id)?;
        let result = change(&mut member);
        self.add(member);
        Some(result)
    }
}
