//! What a coordinator remembers of its groups' rebalances, for whoever asks why consumption stopped: who caused each,
//! why, what moved, and for how long partitions had no reader. It is told by the groups as they go and kept in memory
//! only.

use super::settings::Now;
use crate::base::limits::{CAUSES_KEPT_MAX, CHRONICLES_MAX, MOVES_KEPT_MAX, REBALANCES_KEPT_MAX};
use crate::wire::Str;
use std::collections::{BTreeMap, VecDeque};

/// Why a rebalance began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A member came.
    Joined,
    /// A member that the group had joined again: its subscription is another, it leads and asks for a new round, or it
    /// is a static member that was away.
    Rejoined,
    /// A member reads other topics than before.
    Subscribed,
    /// A member left.
    Left,
    /// A member was silent for its session timeout.
    Silent,
    /// A member didn't rejoin, fetch its share or give up partitions in its rebalance timeout.
    Overdue,
    /// Subscribed topics came, went or have other partitions.
    Topics,
    /// The group changed its protocol.
    Migrated,
    /// The group was over its size when its coordinator took it over.
    Oversized,
}

impl Why {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Why::Joined => "joined",
            Why::Rejoined => "joined again",
            Why::Subscribed => "subscribed to other topics",
            Why::Left => "left",
            Why::Silent => "was silent for its session timeout",
            Why::Overdue => "did not finish its step within the rebalance timeout",
            Why::Topics => "subscribed topics changed",
            Why::Migrated => "the group changed its protocol",
            Why::Oversized => "the group was over its largest size",
        }
    }
}

/// One cause: who, if it was a member, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Why.
    pub why: Why,
    /// The member's id; empty where it was none.
    pub member: Str,
    /// A static member's name.
    pub instance: Option<Str>,
    /// Its `client.id`.
    pub client_id: Str,
    /// Its address.
    pub client_host: Str,
}

impl Cause {
    /// One that isn't a member's.
    pub(super) fn of(why: Why) -> Self {
        Cause { why, member: Str::EMPTY, instance: None, client_id: Str::EMPTY, client_host: Str::EMPTY }
    }
}

/// A partition: topic, number.
pub type Part = (Str, i32);

/// Who reads which partition.
pub(super) type Owners = BTreeMap<Part, Str>;

/// A partition that changed hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub partition: Part,
    /// Who had it.
    pub from: Option<Str>,
    /// Who has it.
    pub to: Option<Str>,
}

/// One rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// The generation or epoch that it ended with, or has reached so far.
    pub epoch: i32,
    /// Wall clock at its first cause.
    pub began_ms: i64,
    /// From its first cause until every member had its share; `None` while it is under way.
    pub took_ms: Option<u64>,
    /// The first causes.
    pub causes: Vec<Cause>,
    /// How many there were.
    pub causes_total: usize,
    /// The first partitions that changed hands.
    pub moves: Vec<Move>,
    /// How many did.
    pub moves_total: usize,
    /// How many partitions that had a reader were without one for a while.
    pub stopped: usize,
    /// The longest such while.
    pub stopped_ms: u64,
}

/// What one group has been through.
#[derive(Clone, Debug, Default)]
pub(super) struct Chronicle {
    /// Who read what after the last one.
    owners: Owners,
    past: VecDeque<Rebalance>,
    open: Option<Open>,
}

/// The rebalance under way.
#[derive(Clone, Debug)]
struct Open {
    told: Rebalance,
    began_mono_ms: u64,
    /// Partitions that have lost their readers, and since when, until they have one again.
    waiting: BTreeMap<Part, Option<u64>>,
}

/// Where a group is after a step.
pub(super) struct Stand {
    pub(super) epoch: i32,
    /// Every member has its share, or there are none.
    pub(super) is_settled: bool,
    /// Who reads what; `None` where the coordinator can't know.
    pub(super) owners: Option<Owners>,
}

impl Chronicle {
    /// Of a group whose partitions have these readers.
    fn of(owners: Owners) -> Self {
        Chronicle { owners, ..Chronicle::default() }
    }

    /// Whether a rebalance is under way.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes what a step of the group brought.
    pub(super) fn take(&mut self, causes: Vec<Cause>, stand: Stand, now: Now) {
        if !causes.is_empty() && self.open.is_none() {
            self.open = Some(Open::begin(now));
        }
        let Some(open) = &mut self.open else { return };
        open.told.epoch = stand.epoch;
        open.told.causes_total += causes.len();
        let room = CAUSES_KEPT_MAX.saturating_sub(open.told.causes.len());
        open.told.causes.extend(causes.into_iter().take(room));
        if let Some(owners) = &stand.owners {
            open.watch(&self.owners, owners, now.mono_ms);
        }
        if stand.is_settled {
            self.close(stand.owners.unwrap_or_default(), now.mono_ms);
        }
    }

    fn close(&mut self, owners: Owners, now_ms: u64) {
        let Some(mut open) = self.open.take() else { return };
        // Nobody reads these any more: that is no pause.
        open.waiting.clear();
        let told = &mut open.told;
        told.took_ms = Some(now_ms - open.began_mono_ms);
        let all: std::collections::BTreeSet<&Part> = self.owners.keys().chain(owners.keys()).collect();
        for partition in all {
            let (from, to) = (self.owners.get(partition), owners.get(partition));
            if from == to {
                continue;
            }
            told.moves_total += 1;
            if told.moves.len() < MOVES_KEPT_MAX {
                let (from, to) = (from.cloned(), to.cloned());
                told.moves.push(Move { partition: partition.clone(), from, to });
            }
        }
        self.owners = owners;
        if self.past.len() == REBALANCES_KEPT_MAX {
            self.past.pop_front();
        }
        self.past.push_back(open.told);
    }

    /// The rebalances that are remembered, the oldest first, the one under way last.
    pub(super) fn told(&self) -> Vec<Rebalance> {
        self.past.iter().chain(self.open.as_ref().map(|open| &open.told)).cloned().collect()
    }

    /// When the last one began; what never saw one is the oldest.
    fn last_ms(&self) -> i64 {
        let open = self.open.as_ref().map(|open| open.told.began_ms);
        open.or_else(|| self.past.back().map(|told| told.began_ms)).unwrap_or(i64::MIN)
    }
}

impl Open {
    fn begin(now: Now) -> Self {
        let told = Rebalance {
            epoch: 0,
            began_ms: now.wall_ms,
            took_ms: None,
            causes: Vec::new(),
            causes_total: 0,
            moves: Vec::new(),
            moves_total: 0,
            stopped: 0,
            stopped_ms: 0,
        };
        Open { told, began_mono_ms: now.mono_ms, waiting: BTreeMap::new() }
    }

    /// Notes which partitions have lost their readers and which have one again.
    fn watch(&mut self, before: &Owners, now_owned: &Owners, now_ms: u64) {
        for (partition, owner) in before {
            let reader = now_owned.get(partition);
            match self.waiting.get_mut(partition) {
                None if reader != Some(owner) => {
                    self.told.stopped += 1;
                    self.waiting.insert(partition.clone(), Some(now_ms));
                }
                Some(since @ None) if reader.is_none() => *since = Some(now_ms),
                _ => {}
            }
        }
        for (partition, since) in &mut self.waiting {
            let Some(since_ms) = *since else { continue };
            self.told.stopped_ms = self.told.stopped_ms.max(now_ms - since_ms);
            if now_owned.contains_key(partition) {
                *since = None;
            }
        }
    }
}

/// The chronicles of a coordinator's groups.
#[derive(Debug, Default)]
pub(super) struct Chronicles(BTreeMap<Str, Chronicle>);

impl Chronicles {
    pub(super) fn get(&self, group: &str) -> Option<&Chronicle> {
        self.0.get(group)
    }

    /// Begins with a group that was read from the log. One without readers, and one that finds no room, begins with its
    /// next rebalance.
    pub(super) fn begin(&mut self, group: &Str, owners: Option<Owners>) {
        if let Some(owners) = owners.filter(|owners| !owners.is_empty())
            && self.0.len() < CHRONICLES_MAX
        {
            self.0.insert(group.clone(), Chronicle::of(owners));
        }
    }

    pub(super) fn put(&mut self, group: &Str, chronicle: Chronicle) {
        self.0.insert(group.clone(), chronicle);
        if self.0.len() > CHRONICLES_MAX {
            // The one that has been quiet for longest has the least to tell.
            let quiet = self.0.iter().min_by_key(|(_, chronicle)| chronicle.last_ms());
            if let Some(group) = quiet.map(|(group, _)| group.clone()) {
                self.0.remove(&group);
            }
        }
    }

    pub(super) fn remove(&mut self, group: &str) -> Option<Chronicle> {
        self.0.remove(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(list: &[(i32, &str)]) -> Option<Owners> {
        Some(list.iter().map(|(partition, owner)| (("t".into(), *partition), (*owner).into())).collect())
    }

    fn at(ms: u64) -> Now {
        Now { mono_ms: ms, wall_ms: i64::try_from(ms).expect("small") }
    }

    #[test]
    fn a_rebalance_is_told_with_its_cause_its_moves_and_its_pause() {
        let mut chronicle = Chronicle::of(owners(&[(0, "a"), (1, "a")]).expect("two"));
        let joined = Cause { member: "b".into(), ..Cause::of(Why::Joined) };
        let stand = |is_settled, owners| Stand { epoch: 7, is_settled, owners };
        chronicle.take(vec![joined.clone()], stand(false, owners(&[(0, "a"), (1, "a")])), at(100));
        chronicle.take(Vec::new(), stand(false, owners(&[(0, "a")])), at(130));
        assert!(chronicle.is_open());
        assert_eq!(chronicle.told()[0].took_ms, None);
        for ms in [180, 190] {
            chronicle.take(Vec::new(), stand(false, owners(&[(0, "a"), (1, "b")])), at(ms));
        }
        chronicle.take(Vec::new(), stand(true, owners(&[(0, "a"), (1, "b")])), at(200));
        let told = chronicle.told();
        let moved = Move { partition: ("t".into(), 1), from: Some("a".into()), to: Some("b".into()) };
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].epoch, told[0].began_ms, told[0].took_ms), (7, 100, Some(100)));
        assert_eq!((&told[0].causes, &told[0].moves), (&vec![joined], &vec![moved]));
        assert_eq!((told[0].stopped, told[0].stopped_ms), (1, 50));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut chronicle = Chronicle::default();
        for round in 0..3 * REBALANCES_KEPT_MAX {
            let causes = vec![Cause::of(Why::Topics); 2 * CAUSES_KEPT_MAX];
            let owner = if round % 2 == 0 { "a" } else { "b" };
            let count = i32::try_from(2 * MOVES_KEPT_MAX).expect("small");
            let list: Vec<(i32, &str)> = (0..count).map(|partition| (partition, owner)).collect();
            chronicle.take(causes, Stand { epoch: 1, is_settled: true, owners: owners(&list) }, at(1));
        }
        let told = chronicle.told();
        assert_eq!(told.len(), REBALANCES_KEPT_MAX);
        assert_eq!(told[0].causes.len(), CAUSES_KEPT_MAX);
        assert_eq!((told[0].moves.len(), told[0].moves_total), (MOVES_KEPT_MAX, 2 * MOVES_KEPT_MAX));
        let mut all = Chronicles::default();
        for group in 0..CHRONICLES_MAX + 3 {
            all.put(&format!("{group}").into(), Chronicle::default());
        }
        assert_eq!(all.0.len(), CHRONICLES_MAX);
    }
}
