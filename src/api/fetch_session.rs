//! Incremental fetch sessions (KIP-227): a client names only what changed, the broker answers only what changed.
//!
//! Rules: protocol rows 84 to 86. One cache per shard: a session is used by the connection that made it, so by one
//! shard; on another shard it is unknown (error 70) and the client starts a new one.

use crate::base::limits::{FETCH_SESSION_BYTES_PER_SHARD_MAX, FETCH_SESSIONS_PER_SHARD_MAX};
use crate::base::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};
use crate::wire::Str;
use std::collections::BTreeMap;

/// A session that wasn't used for this long may make room for another (Kafka: 2 minutes).
const EVICTABLE_AFTER_MS: i64 = 120_000;

/// About what a session takes for each partition that it remembers, its topic's name apart.
const ENTRY_BYTES: usize = 220;

/// A topic as the request names it: by id from version 13 on, by name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// Version 13 and later.
    Id(TopicId),
    /// Version 12 and earlier.
    Name(Str),
}

/// A partition as the request names it.
pub(super) type PartitionKey = (TopicKey, PartitionIndex);

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The leader epoch it believes in.
    pub current_leader_epoch: LeaderEpoch,
    /// Where to read.
    pub offset: Offset,
    /// Epoch of the last record it has.
    pub last_fetched_epoch: LeaderEpoch,
    /// Bytes at most.
    pub max_bytes: usize,
}

/// What a session's client was told of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// End of what it may see.
    pub high_watermark: Offset,
    /// First offset that is there.
    pub log_start_offset: Offset,
    /// It got an error.
    pub failed: bool,
}

#[derive(Debug)]
struct Entry {
    want: Want,
    told: Option<Told>,
    /// Place in the rotation; lowest is served first.
    turn: u64,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    by_id: bool,
    used_ms: i64,
    entries: BTreeMap<PartitionKey, Entry>,
    /// Of its entries.
    bytes: usize,
    turns: u64,
}

/// A fetch request's session fields and partitions.
#[derive(Clone, Debug)]
pub struct Ask {
    /// 0 for none.
    pub session_id: i32,
    /// -1 for none or the last, 0 for a new one.
    pub session_epoch: i32,
    /// Topics are named by id.
    pub by_id: bool,
    /// Named partitions, in order.
    pub wants: Vec<(PartitionKey, Want)>,
    /// Partitions to leave out from now on.
    pub forgotten: Vec<PartitionKey>,
}

/// How to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The session id to answer with; 0 for none.
    pub session_id: i32,
    /// Answer every partition, not only what changed.
    pub full: bool,
    /// What to read, in the order to serve it.
    pub wants: Vec<(PartitionKey, Want)>,
}

/// The sessions of one shard.
#[derive(Debug, Default)]
pub struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    /// Of all sessions' entries.
    bytes: usize,
}

/// 1, 2, … and after the largest number 1 again: 0 and -1 have meanings of their own.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

impl FetchSessions {
    /// Finds or makes the session that a request belongs to.
    ///
    /// # Errors
    /// Error 70 for an unknown session, 71 for the wrong epoch, 106 for a switch between names and ids.
    pub fn begin(&mut self, ask: Ask, now_ms: i64, draw: &dyn Fn() -> u64) -> Result<Begun, ErrorCode> {
        match ask.session_epoch {
            -1 | 0 => {
                if ask.session_id != 0 {
                    self.remove(ask.session_id);
                }
                let session_id = if ask.session_epoch == 0 { self.create(&ask, now_ms, draw) } else { 0 };
                Ok(Begun { session_id, full: true, wants: ask.wants })
            }
            _ => self.resume(ask, now_ms),
        }
    }

    fn create(&mut self, ask: &Ask, now_ms: i64, draw: &dyn Fn() -> u64) -> i32 {
        // Partitions that are named twice are counted twice here.
        let wanted = ask.wants.iter().map(|(key, _)| entry_bytes(key)).sum::<usize>();
        while self.is_full(wanted) {
            if !self.evict(now_ms) {
                return 0;
            }
        }
        let mut id = 0;
        while id == 0 || self.sessions.contains_key(&id) {
            id = i32::try_from(draw() >> 33).unwrap_or(0);
        }
        let detached = |(key, want): &(PartitionKey, Want)| (detach(key), *want);
        let mut session = Session {
            epoch: 1,
            by_id: ask.by_id,
            used_ms: now_ms,
            entries: BTreeMap::new(),
            bytes: 0,
            turns: 0,
        };
        for (key, want) in ask.wants.iter().map(detached) {
            session.want(key, want);
        }
        self.bytes += session.bytes;
        self.sessions.insert(id, session);
        id
    }

    /// Whether there is no room for another session of this size.
    fn is_full(&self, wanted: usize) -> bool {
        self.sessions.len() >= FETCH_SESSIONS_PER_SHARD_MAX
            || self.bytes + wanted > FETCH_SESSION_BYTES_PER_SHARD_MAX
    }

    fn remove(&mut self, id: i32) -> bool {
        let session = self.sessions.remove(&id);
        self.bytes -= session.as_ref().map_or(0, |session| session.bytes);
        session.is_some()
    }

    /// Makes room by dropping the session that was unused the longest, if it is unused for long enough.
    fn evict(&mut self, now_ms: i64) -> bool {
        let oldest =
            self.sessions.iter().min_by_key(|(_, session)| session.used_ms).map(|(id, s)| (*id, s.used_ms));
        match oldest {
            Some((id, used_ms)) if now_ms - used_ms >= EVICTABLE_AFTER_MS => self.remove(id),
            _ => false,
        }
    }

    fn resume(&mut self, ask: Ask, now_ms: i64) -> Result<Begun, ErrorCode> {
        let session = self.sessions.get_mut(&ask.session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != ask.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != ask.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.epoch = next_epoch(session.epoch);
        session.used_ms = now_ms;
        self.bytes -= session.bytes;
        for key in &ask.forgotten {
            session.forget(key);
        }
        for (key, want) in ask.wants {
            session.want(detach(&key), want);
        }
        self.bytes += session.bytes;
        if self.bytes > FETCH_SESSION_BYTES_PER_SHARD_MAX {
            // It has outgrown what there is. The client begins anew, with a session if there is room for it then.
            self.remove(ask.session_id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        let mut wants: Vec<_> =
            session.entries.iter().map(|(key, e)| (e.turn, key.clone(), e.want)).collect();
        wants.sort_by_key(|(turn, ..)| *turn);
        let wants = wants.into_iter().map(|(_, key, want)| (key, want)).collect();
        Ok(Begun { session_id: ask.session_id, full: false, wants })
    }

    /// Notes what a client is about to be told of a partition. `with_records` sends it to the end of the rotation.
    /// True if an incremental answer must contain the partition.
    pub fn tell(&mut self, session_id: i32, key: &PartitionKey, told: Told, with_records: bool) -> bool {
        let Some(session) = self.sessions.get_mut(&session_id) else { return true };
        let turn = session.turns;
        let Some(entry) = session.entries.get_mut(key) else { return true };
        let changed = entry.told != Some(told);
        entry.told = Some(told);
        if with_records {
            entry.turn = turn;
            session.turns += 1;
        }
        // A partition in error is sent each time, until the client acts on it (row 86).
        changed || with_records || told.failed
    }

    /// Sessions kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl Session {
    fn forget(&mut self, key: &PartitionKey) {
        if self.entries.remove(key).is_some() {
            self.bytes -= entry_bytes(key);
        }
    }

    fn want(&mut self, key: PartitionKey, want: Want) {
        let turn = self.turns;
        let bytes = entry_bytes(&key);
        let entry = self.entries.entry(key).or_insert_with(|| {
            self.bytes += bytes;
            Entry { want, told: None, turn }
        });
        entry.want = want;
        if entry.turn == turn {
            self.turns += 1;
        }
    }
}

fn entry_bytes((topic, _): &PartitionKey) -> usize {
    match topic {
        TopicKey::Id(_) => ENTRY_BYTES,
        TopicKey::Name(name) => ENTRY_BYTES + name.len(),
    }
}

/// A key that doesn't keep the request's buffer alive for as long as the session lives.
fn detach((topic, partition): &PartitionKey) -> PartitionKey {
    let topic = match topic {
        TopicKey::Id(id) => TopicKey::Id(*id),
        TopicKey::Name(name) => TopicKey::Name(name.detached()),
    };
    (topic, *partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> PartitionKey {
        (TopicKey::Name(name.into()), PartitionIndex(0))
    }

    fn want(offset: Offset) -> Want {
        Want {
            current_leader_epoch: LeaderEpoch(-1),
            offset,
            last_fetched_epoch: LeaderEpoch(-1),
            max_bytes: 10,
        }
    }

    fn ask(session_id: i32, session_epoch: i32, names: &[&str]) -> Ask {
        let wants = names.iter().map(|name| (key(name), want(5))).collect();
        Ask { session_id, session_epoch, by_id: false, wants, forgotten: vec![] }
    }

    fn begin(sessions: &mut FetchSessions, ask: Ask) -> Result<Begun, ErrorCode> {
        sessions.begin(ask, 0, &|| 7 << 33)
    }

    const TOLD: Told = Told { high_watermark: 9, log_start_offset: 0, failed: false };

    #[test]
    fn a_session_remembers_and_forgets_partitions() {
        let mut sessions = FetchSessions::default();
        let begun = begin(&mut sessions, ask(0, 0, &["a", "b"])).unwrap();
        assert_eq!((begun.session_id, begun.full, begun.wants.len()), (7, true, 2));
        let begun = begin(&mut sessions, ask(7, 1, &[])).unwrap();
        assert_eq!((begun.session_id, begun.full, begun.wants.len()), (7, false, 2));
        let forgetful = Ask { forgotten: vec![key("a")], ..ask(7, 2, &["c"]) };
        let names: Vec<_> =
            begin(&mut sessions, forgetful).unwrap().wants.into_iter().map(|(key, _)| key).collect();
        assert_eq!(names, [key("b"), key("c")]);
    }

    #[test]
    fn wrong_sessions_are_refused_as_kafka_does() {
        let mut sessions = FetchSessions::default();
        assert_eq!(begin(&mut sessions, ask(12345, 3, &[])), Err(ErrorCode::FetchSessionIdNotFound));
        begin(&mut sessions, ask(0, 0, &["a"])).unwrap();
        assert_eq!(begin(&mut sessions, ask(7, 2, &[])), Err(ErrorCode::InvalidFetchSessionEpoch));
        let by_id = Ask { by_id: true, ..ask(7, 1, &[]) };
        assert_eq!(begin(&mut sessions, by_id), Err(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(begin(&mut sessions, ask(0, -1, &["a"])).unwrap().session_id, 0);
        assert_eq!(begin(&mut sessions, ask(7, -1, &["a"])).unwrap().session_id, 0);
        assert!(sessions.is_empty());
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
        assert_eq!(next_epoch(1), 2);
    }

    #[test]
    fn only_changes_are_told_and_served_partitions_go_last() {
        let mut sessions = FetchSessions::default();
        begin(&mut sessions, ask(0, 0, &["a", "b"])).unwrap();
        assert!(sessions.tell(7, &key("a"), TOLD, false));
        assert!(!sessions.tell(7, &key("a"), TOLD, false));
        assert!(sessions.tell(7, &key("a"), Told { high_watermark: 10, ..TOLD }, false));
        assert!(sessions.tell(7, &key("a"), Told { high_watermark: 10, ..TOLD }, true));
        let failed = Told { failed: true, ..TOLD };
        assert!(sessions.tell(7, &key("b"), failed, false));
        assert!(sessions.tell(7, &key("b"), failed, false));
        let order: Vec<_> =
            begin(&mut sessions, ask(7, 1, &[])).unwrap().wants.into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, [key("b"), key("a")]);
    }

    #[test]
    fn what_sessions_remember_is_bounded() {
        let mut sessions = FetchSessions::default();
        let counter = std::cell::Cell::new(0u64);
        let draw = || {
            counter.set(counter.get() + 1);
            counter.get() << 33
        };
        let name = |nth: usize| (TopicKey::Name("x".repeat(60_000 + nth).as_str().into()), PartitionIndex(0));
        let large = |id, epoch| Ask {
            wants: (0..20).map(|nth| (name(nth + 20 * usize::try_from(epoch).unwrap()), want(0))).collect(),
            ..ask(id, epoch, &[])
        };
        let mut made = 0;
        while sessions.begin(large(0, 0), 0, &draw).unwrap().session_id != 0 {
            made += 1;
        }
        assert_eq!(made, FETCH_SESSION_BYTES_PER_SHARD_MAX / (20 * 60_300), "then there is no room");
        assert_ne!(sessions.begin(large(0, 0), EVICTABLE_AFTER_MS, &draw).unwrap().session_id, 0);
        let grown = sessions.begin(large(2, 1), EVICTABLE_AFTER_MS, &draw);
        assert_eq!(grown, Err(ErrorCode::FetchSessionIdNotFound), "one that outgrows it is dropped");
        let forgotten = (0..20).map(name).collect();
        sessions.begin(Ask { forgotten, ..ask(3, 1, &[]) }, 0, &draw).unwrap();
        assert_ne!(sessions.begin(large(0, 0), 0, &draw).unwrap().session_id, 0, "what is forgotten is free");
    }

    #[test]
    fn a_full_cache_gives_up_only_idle_sessions() {
        let mut sessions = FetchSessions::default();
        let counter = std::cell::Cell::new(0u64);
        let draw = || {
            counter.set(counter.get() + 1);
            counter.get() << 33
        };
        for _ in 0..FETCH_SESSIONS_PER_SHARD_MAX {
            assert_ne!(sessions.begin(ask(0, 0, &["a"]), 0, &draw).unwrap().session_id, 0);
        }
        assert_eq!(sessions.begin(ask(0, 0, &["a"]), EVICTABLE_AFTER_MS - 1, &draw).unwrap().session_id, 0);
        assert_ne!(sessions.begin(ask(0, 0, &["a"]), EVICTABLE_AFTER_MS, &draw).unwrap().session_id, 0);
        assert_eq!(sessions.len(), FETCH_SESSIONS_PER_SHARD_MAX);
    }
}
