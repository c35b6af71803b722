//! Sharing partitions out: Kafka's `uniform` and `range`.

use super::Share;
use crate::base::TopicId;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the assignors, the default first.
pub(super) const ASSIGNORS: [&str; 2] = ["uniform", "range"];

/// One member's wishes and what it has been promised so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish<'a> {
    /// By what it is sorted: static members first, by their names.
    pub(super) name: (bool, &'a str),
    /// Topics that it reads.
    pub(super) topics: BTreeSet<TopicId>,
    /// Its last target.
    pub(super) before: Option<&'a Share>,
}

/// The next targets, in the order of the wishes. `partitions` has every topic that anybody reads.
pub(super) fn assign(name: &str, wishes: &[Wish<'_>], partitions: &BTreeMap<TopicId, i32>) -> Vec<Share> {
    if name == "range" { range(wishes, partitions) } else { uniform(wishes, partitions) }
}

/// Each topic in runs of neighbours, one for each of its readers.
fn range(wishes: &[Wish<'_>], partitions: &BTreeMap<TopicId, i32>) -> Vec<Share> {
    let mut shares = vec![Share::new(); wishes.len()];
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by_key(|nth| wishes[*nth].name);
    for (topic, count) in partitions {
        let readers: Vec<usize> =
            order.iter().copied().filter(|nth| wishes[*nth].topics.contains(topic)).collect();
        let count = usize::try_from(*count).unwrap_or(0);
        let (each, more) = (count / readers.len().max(1), count % readers.len().max(1));
        let mut next = 0;
        for (nth, reader) in readers.iter().enumerate() {
            let run = each + usize::from(nth < more);
            let own: BTreeSet<i32> = (next..next + run).filter_map(|p| i32::try_from(p).ok()).collect();
            if !own.is_empty() {
                shares[*reader].insert(*topic, own);
            }
            next += run;
        }
    }
    shares
}

/// As evenly as subscriptions allow, and with as few moves as that takes.
fn uniform(wishes: &[Wish<'_>], partitions: &BTreeMap<TopicId, i32>) -> Vec<Share> {
    let mut sharing = Sharing::kept(wishes, partitions);
    let same = wishes.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    for (topic, count) in partitions {
        let readers: BTreeSet<usize> =
            (0..wishes.len()).filter(|nth| wishes[*nth].topics.contains(topic)).collect();
        for partition in 0..*count {
            if sharing.taken.contains(&(*topic, partition)) {
                continue;
            }
            // Where all read the same, the least loaded of all is the least loaded reader.
            let least = if same {
                sharing.by_load.first().map(|(_, nth)| *nth)
            } else {
                readers.iter().copied().min_by_key(|nth| sharing.loads[*nth])
            };
            if let Some(nth) = least {
                sharing.give(nth, *topic, partition);
            }
        }
    }
    while sharing.level(wishes) {}
    sharing.shares
}

/// Shares in the making.
struct Sharing {
    shares: Vec<Share>,
    loads: Vec<usize>,
    /// Members by how much they have.
    by_load: BTreeSet<(usize, usize)>,
    taken: BTreeSet<(TopicId, i32)>,
}

impl Sharing {
    /// Everybody keeps what it had and still reads, the first of two who think they had it.
    fn kept(wishes: &[Wish<'_>], partitions: &BTreeMap<TopicId, i32>) -> Self {
        let mut sharing = Sharing {
            shares: vec![Share::new(); wishes.len()],
            loads: vec![0; wishes.len()],
            by_load: (0..wishes.len()).map(|nth| (0, nth)).collect(),
            taken: BTreeSet::new(),
        };
        for (nth, wish) in wishes.iter().enumerate() {
            let kept = wish.before.into_iter().flatten().filter(|(topic, _)| wish.topics.contains(topic));
            for (topic, own) in kept {
                let count = partitions.get(topic).copied().unwrap_or(0);
                for partition in own.iter().filter(|partition| (0..count).contains(*partition)) {
                    if !sharing.taken.contains(&(*topic, *partition)) {
                        sharing.give(nth, *topic, *partition);
                    }
                }
            }
        }
        sharing
    }

    fn weigh(&mut self, nth: usize, load: usize) {
        self.by_load.remove(&(self.loads[nth], nth));
        self.loads[nth] = load;
        self.by_load.insert((load, nth));
    }

    fn give(&mut self, nth: usize, topic: TopicId, partition: i32) {
        self.shares[nth].entry(topic).or_default().insert(partition);
        self.taken.insert((topic, partition));
        self.weigh(nth, self.loads[nth] + 1);
    }

    /// Moves one partition from a member that has at least two more than another that could have it; false if there is
    /// none.
    fn level(&mut self, wishes: &[Wish<'_>]) -> bool {
        let found = self.by_load.iter().rev().find_map(|(load, rich)| {
            let poorer = self.by_load.iter().take_while(|(less, _)| less + 2 <= *load);
            let mut moves = poorer.filter_map(|(_, poor)| {
                let mut own = self.shares[*rich].iter();
                let (topic, own) = own.find(|(topic, _)| wishes[*poor].topics.contains(topic))?;
                Some((*rich, *poor, *topic, *own.last()?))
            });
            moves.next()
        });
        let Some((rich, poor, topic, partition)) = found else { return false };
        if let Some(own) = self.shares[rich].get_mut(&topic) {
            own.remove(&partition);
            if own.is_empty() {
                self.shares[rich].remove(&topic);
            }
        }
        self.weigh(rich, self.loads[rich] - 1);
        self.give(poor, topic, partition);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every subscription of up to three members to up to three topics of up to four partitions.
    #[test]
    fn every_partition_that_is_read_has_one_owner_who_reads_it() {
        let topics: Vec<TopicId> = (1..=3).map(|n| TopicId([n; 16])).collect();
        for members in 1..=3usize {
            for pattern in 0..1usize << (3 * members) {
                for counts in 0..64i32 {
                    let reads = |member: usize, topic: usize| pattern >> (3 * member + topic) & 1 == 1;
                    let wish = |member| Wish {
                        topics: (0..3).filter(|t| reads(member, *t)).map(|t| topics[t]).collect(),
                        ..Wish::default()
                    };
                    let wishes: Vec<Wish<'_>> = (0..members).map(wish).collect();
                    let read = |t: &usize| (0..members).any(|member| reads(member, *t));
                    let partitions: BTreeMap<TopicId, i32> =
                        (0..3).filter(read).map(|t| (topics[t], counts >> (2 * t) & 3)).collect();
                    for name in ASSIGNORS {
                        let shares = assign(name, &wishes, &partitions);
                        check(&wishes, &partitions, &shares);
                    }
                    let shares = assign("uniform", &wishes, &partitions);
                    let again: Vec<Wish<'_>> = wishes
                        .iter()
                        .zip(&shares)
                        .map(|(wish, share)| Wish { before: Some(share), ..wish.clone() })
                        .collect();
                    assert_eq!(assign("uniform", &again, &partitions), shares, "nothing moves for no reason");
                }
            }
        }
    }

    fn check(wishes: &[Wish<'_>], partitions: &BTreeMap<TopicId, i32>, shares: &[Share]) {
        let mut owned = BTreeSet::new();
        for (wish, share) in wishes.iter().zip(shares) {
            for (topic, own) in share {
                assert!(wish.topics.contains(topic));
                assert!(own.iter().all(|partition| owned.insert((*topic, *partition))), "two owners");
            }
        }
        let all: i32 = partitions.values().sum();
        assert_eq!(owned.len(), usize::try_from(all).expect("few"));
    }

    #[test]
    fn uniform_is_even_and_moves_little() {
        let topic = TopicId([1; 16]);
        let partitions = BTreeMap::from([(topic, 10)]);
        let share = |own: std::ops::Range<i32>| Share::from([(topic, own.collect())]);
        let (low, high) = (share(0..5), share(5..10));
        let wish = |before| Wish { topics: BTreeSet::from([topic]), before, ..Wish::default() };
        let shares = assign("uniform", &[wish(Some(&low)), wish(Some(&high)), wish(None)], &partitions);
        let sizes: Vec<usize> = shares.iter().map(|share| share[&topic].len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        assert!(sizes.iter().all(|size| (3..=4).contains(size)), "{sizes:?}");
        assert!(shares[0][&topic].iter().all(|p| *p < 5) && shares[1][&topic].iter().all(|p| *p >= 5));
        let shares = assign("range", &[wish(None), wish(None), wish(None)], &partitions);
        assert_eq!(shares[0][&topic], BTreeSet::from([0, 1, 2, 3]));
        assert_eq!(shares[2][&topic], BTreeSet::from([7, 8, 9]));
    }
}
