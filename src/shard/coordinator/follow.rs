//! Following the metadata without a vote, and being followed.

use super::encode_entry;
use crate::base::NodeId;
use crate::base::limits::FOLLOWED_BYTES_MAX;
use crate::peer::{Followed, NotActing, Reply, Request};
use crate::quorum::Committed;
use crate::seam::World;
use crate::shard::peers::Lane;
use crate::shard::{Broker, Shard};
use futures_lite::future::or;
use std::time::Duration;

/// How long a question may wait for something new.
const WAIT_MS: i32 = 500;
/// Time between two questions, if the first brought nothing.
const PAUSE: Duration = Duration::from_millis(30);

impl<B: Broker> Shard<B> {
    /// Follows the metadata by asking voters, as long as this node has no vote of its own.
    pub(super) async fn follow_task(self) {
        let mut turn = 0;
        loop {
            if self.votes() {
                self.bells().role.notified().await;
                continue;
            }
            let Some(to) = self.whom_to_ask(turn) else { return };
            let from = self.coordinator(|it| it.index).unwrap_or(0) + 1;
            let request = Request::Follow { broker: self.this_node(), from, wait_ms: WAIT_MS };
            match self.call_peer(to, Lane::Coordinator, request).await {
                Ok(Reply::Follow(Ok(followed))) => self.take_followed(followed),
                other => {
                    let leader = match other {
                        Ok(Reply::Follow(Err(not_acting))) => not_acting.leader,
                        _ => None,
                    };
                    self.note_hint(leader);
                    turn += 1;
                    self.world().sleep(PAUSE).await;
                }
            }
        }
    }

    fn take_followed(&self, followed: Followed) {
        // What was asked for before this node got a vote: its own log knows as much.
        if self.votes() {
            return;
        }
        let known = self.coordinator(|it| it.index).unwrap_or(0);
        if let Some((index, state)) = followed.snapshot.filter(|(index, _)| *index > known) {
            self.replace_state(index, state);
        }
        let mut next = self.coordinator(|it| it.index).unwrap_or(0) + 1;
        let mut entries = Vec::new();
        for (index, data) in followed.entries {
            if index == next {
                entries.push(Committed { index, term: 0, data, members: None });
                next += 1;
            }
        }
        if !entries.is_empty() {
            self.take_committed(entries);
        }
    }

    /// Answers a node that follows: entries that are committed, the state if they aren't kept, or after a while
    /// nothing. A node without a vote keeps no entries. It gives its state to who knows less: a node that was told
    /// of old voters only so learns of new ones.
    pub(super) async fn answer_follower(
        &self,
        broker: NodeId,
        from: u64,
        wait: Duration,
    ) -> Result<Followed, NotActing> {
        let there = || !self.votes() || self.coordinator(|it| it.index >= from) != Some(false);
        or(self.bells().committed.until(there), self.world().sleep(wait)).await;
        if !self.votes() {
            let state = self.committed_state().filter(|(index, _)| *index >= from);
            let (committed, state) = state.ok_or_else(|| self.not_acting())?;
            return Ok(Followed { snapshot: Some((committed, state)), entries: Vec::new(), committed });
        }
        let now_ms = self.world().wall_ms();
        let not_acting = self.not_acting();
        let committed = self.coordinator(|it| {
            let leader = it.role.leader;
            let voter = it.voter.as_mut().filter(|voter| voter.votes)?;
            voter.heard.insert(broker, now_ms);
            // A voter that hears of no leader may be cut off: another knows more.
            (it.index >= from || leader.is_some()).then_some(it.index)
        });
        let committed = committed.flatten().ok_or(not_acting)?;
        let kept =
            self.coordinator(|it| it.voter.as_ref()?.quorum.entries(from, it.index, FOLLOWED_BYTES_MAX));
        // A voter may have followed further than its own log goes: then its state is what it has.
        match kept.flatten().filter(|entries| !entries.is_empty() || committed < from) {
            Some(entries) => {
                let entries = entries.iter().map(|entry| (entry.index, encode_entry(entry))).collect();
                Ok(Followed { snapshot: None, entries, committed })
            }
            None => Ok(Followed { snapshot: self.committed_state(), entries: Vec::new(), committed }),
        }
    }
}
