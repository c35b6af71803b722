//! Sharing partitions out: Kafka's `uniform` and `range`.

use super::Share;
use crate::base::TopicId;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the assignors, the default first.
pub(super) const ASSIGNORS: [&str; 2] = ["uniform", "range"];

/// One member's wishes and what it has been promised so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    /// Topics that it reads.
    pub(super) topics: BTreeSet<TopicId>,
    /// Its last target.
    pub(super) before: Share,
}

/// The next targets, in the order of the wishes. `partitions` has every topic that anybody reads.
pub(super) fn assign(name: &str, wishes: &[Wish], partitions: &BTreeMap<TopicId, i32>) -> Vec<Share> {
    if name == "range" { range(wishes, partitions) } else { uniform(wishes, partitions) }
}

/// Each topic in runs of neighbours, one for each of its readers.
fn range(wishes: &[Wish], partitions: &BTreeMap<TopicId, i32>) -> Vec<Share> {
    let mut shares = vec![Share::new(); wishes.len()];
    for (topic, count) in partitions {
        let readers: Vec<usize> = readers(wishes, *topic).collect();
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

fn readers(wishes: &[Wish], topic: TopicId) -> impl Iterator<Item = usize> {
    wishes.iter().enumerate().filter(move |(_, wish)| wish.topics.contains(&topic)).map(|(nth, _)| nth)
}

/// As evenly as subscriptions allow, and with as few moves as that takes.
fn uniform(wishes: &[Wish], partitions: &BTreeMap<TopicId, i32>) -> Vec<Share> {
    let mut shares = vec![Share::new(); wishes.len()];
    let mut loads = vec![0usize; wishes.len()];
    for (topic, count) in partitions {
        let readers: Vec<usize> = readers(wishes, *topic).collect();
        for partition in 0..*count {
            let keeps =
                |nth: &&usize| wishes[**nth].before.get(topic).is_some_and(|own| own.contains(&partition));
            if let Some(nth) = readers.iter().find(keeps) {
                shares[*nth].entry(*topic).or_default().insert(partition);
                loads[*nth] += 1;
            }
        }
    }
    for (topic, count) in partitions {
        let readers: Vec<usize> = readers(wishes, *topic).collect();
        for partition in 0..*count {
            let taken =
                readers.iter().any(|nth| shares[*nth].get(topic).is_some_and(|own| own.contains(&partition)));
            let Some(least) = readers.iter().min_by_key(|nth| loads[**nth]).filter(|_| !taken) else {
                continue;
            };
            shares[*least].entry(*topic).or_default().insert(partition);
            loads[*least] += 1;
        }
    }
    while level(wishes, &mut shares, &mut loads) {}
    shares
}

/// Moves one partition from a member that has at least two more than another that could have it; false if there is
/// none.
fn level(wishes: &[Wish], shares: &mut [Share], loads: &mut [usize]) -> bool {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by_key(|nth| loads[*nth]);
    for rich in order.iter().rev() {
        for poor in order.iter().take_while(|poor| loads[**poor] + 2 <= loads[*rich]) {
            let movable = shares[*rich].iter().find(|(topic, _)| wishes[*poor].topics.contains(topic));
            let Some((topic, partition)) = movable.and_then(|(topic, own)| Some((*topic, *own.last()?)))
            else {
                continue;
            };
            take(&mut shares[*rich], topic, partition);
            shares[*poor].entry(topic).or_default().insert(partition);
            (loads[*rich], loads[*poor]) = (loads[*rich] - 1, loads[*poor] + 1);
            return true;
        }
    }
    false
}

fn take(share: &mut Share, topic: TopicId, partition: i32) {
    if let Some(own) = share.get_mut(&topic) {
        own.remove(&partition);
        if own.is_empty() {
            share.remove(&topic);
        }
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
                        before: Share::new(),
                    };
                    let wishes: Vec<Wish> = (0..members).map(wish).collect();
                    let read = |t: &usize| (0..members).any(|member| reads(member, *t));
                    let partitions: BTreeMap<TopicId, i32> =
                        (0..3).filter(read).map(|t| (topics[t], counts >> (2 * t) & 3)).collect();
                    for name in ASSIGNORS {
                        let shares = assign(name, &wishes, &partitions);
                        check(&wishes, &partitions, &shares);
                    }
                    let shares = assign("uniform", &wishes, &partitions);
                    let again: Vec<Wish> = wishes
                        .iter()
                        .zip(&shares)
                        .map(|(wish, share)| Wish { before: share.clone(), ..wish.clone() })
                        .collect();
                    assert_eq!(assign("uniform", &again, &partitions), shares, "nothing moves for no reason");
                }
            }
        }
    }

    fn check(wishes: &[Wish], partitions: &BTreeMap<TopicId, i32>, shares: &[Share]) {
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
        let wish = |before: &[i32]| Wish {
            topics: BTreeSet::from([topic]),
            before: if before.is_empty() {
                Share::new()
            } else {
                Share::from([(topic, before.iter().copied().collect())])
            },
        };
        let shares =
            assign("uniform", &[wish(&[0, 1, 2, 3, 4]), wish(&[5, 6, 7, 8, 9]), wish(&[])], &partitions);
        let sizes: Vec<usize> = shares.iter().map(|share| share[&topic].len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        assert!(sizes.iter().all(|size| (3..=4).contains(size)), "{sizes:?}");
        assert!(shares[0][&topic].iter().all(|p| *p < 5) && shares[1][&topic].iter().all(|p| *p >= 5));
        let shares = assign("range", &[wish(&[]), wish(&[]), wish(&[])], &partitions);
        assert_eq!(shares[0][&topic], BTreeSet::from([0, 1, 2, 3]));
        assert_eq!(shares[2][&topic], BTreeSet::from([7, 8, 9]));
    }
}
