//! Sets of sequence numbers that are mostly without gaps.

use std::collections::BTreeMap;

/// A set of numbers, as ranges that don't touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// End (exclusive) by start, of all ranges but the last.
    ranges: BTreeMap<u64, u64>,
    /// The last range: consecutive numbers extend it without a search.
    last: Option<(u64, u64)>,
}

impl Ranges {
    /// Adds the numbers of `start..end`; how many of them were new.
    pub fn add(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        match &mut self.last {
            Some((_, last)) if *last == start => {
                *last = end;
                return end - start;
            }
            Some((first, last)) => drop(self.ranges.insert(*first, *last)),
            None => {}
        }
        let added = self.merge(start, end);
        self.last = self.ranges.pop_last();
        added
    }

    fn merge(&mut self, mut start: u64, mut end: u64) -> u64 {
        let mut added = end - start;
        let before = self.ranges.range(..start).next_back().map(|(a, b)| (*a, *b));
        if let Some((a, b)) = before.filter(|(_, b)| *b >= start) {
            self.ranges.remove(&a);
            added -= b.min(end) - start;
            (start, end) = (a, end.max(b));
        }
        while let Some((a, b)) = self.ranges.range(start..=end).next().map(|(a, b)| (*a, *b)) {
            self.ranges.remove(&a);
            added -= b.min(end) - a;
            end = end.max(b);
        }
        self.ranges.insert(start, end);
        added
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let before = self.ranges.range(..=number).next_back().map(|(a, b)| (*a, *b));
        [before, self.last].into_iter().flatten().any(|(start, end)| (start..end).contains(&number))
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.iter().map(|(start, end)| end - start).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The ranges, in order, as (start, end).
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(start, end)| (*start, *end)).chain(self.last)
    }

    /// The parts of this set that `other` lacks, in order.
    #[must_use]
    pub fn minus(&self, other: &Ranges) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut others = other.iter().peekable();
        for (start, end) in self.iter() {
            let mut at = start;
            while let Some((a, b)) = others.peek().copied().filter(|(a, _)| *a < end) {
                if a > at {
                    missing.push((at, a));
                }
                at = at.max(b);
                if b > end {
                    break;
                }
                others.next();
            }
            if at < end {
                missing.push((at, end));
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use crate::base::random::Random;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_are_the_set_that_they_stand_for() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for _ in 0..60 {
                let start = random.below(100);
                let end = start + random.below(12);
                let new = (start..end).filter(|n| set.insert(*n)).count() as u64;
                assert_eq!(ranges.add(start, end), new, "seed {seed}: {start}..{end}");
                assert_eq!(ranges.len(), set.len() as u64, "seed {seed}");
            }
            assert!((0..120).all(|n| ranges.contains(n) == set.contains(&n)), "seed {seed}");
            let pairs: Vec<(u64, u64)> = ranges.iter().collect();
            assert!(pairs.windows(2).all(|pair| pair[0].1 < pair[1].0), "seed {seed}: ranges don't touch");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let (mut all, mut some) = (Ranges::default(), Ranges::default());
        all.add(0, 10);
        all.add(20, 30);
        some.add(2, 5);
        some.add(9, 22);
        some.add(29, 40);
        assert_eq!(all.minus(&some), [(0, 2), (5, 9), (22, 29)]);
        assert_eq!(all.minus(&Ranges::default()), [(0, 10), (20, 30)]);
        assert_eq!(some.minus(&some), []);
    }
}
