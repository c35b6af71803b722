//! Histograms of times that one shard fills and any thread reads.
//!
//! Buckets are log-linear as in HdrHistogram (Gil Tene): eight for each power of two, so that a value is known to
//! 12.5 %.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of one power of two.
const PER_POWER: u64 = 8;
/// Its logarithm.
const PER_POWER_LOG: u32 = 3;
/// Times of 2^40 ns (18 minutes) and above share the last bucket.
const POWERS: u32 = 40;
const BUCKETS: usize = ((POWERS - PER_POWER_LOG + 1) as usize + 1) * PER_POWER as usize;

/// A histogram of times, in nanoseconds.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }
}

/// What a histogram held at some moment. Those of several shards add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    buckets: Vec<u64>,
    /// Sum of all times in ns.
    pub sum: u64,
}

impl Default for Times {
    fn default() -> Self {
        Times { buckets: vec![0; BUCKETS], sum: 0 }
    }
}

fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

fn bucket(nanos: u64) -> usize {
    if nanos < PER_POWER {
        return usize::try_from(nanos).unwrap_or(0);
    }
    let power = nanos.ilog2().min(POWERS);
    let within = (nanos >> (power - PER_POWER_LOG)).min(2 * PER_POWER - 1) - PER_POWER;
    (power - PER_POWER_LOG + 1) as usize * PER_POWER as usize + usize::try_from(within).unwrap_or(0)
}

/// The smallest time above a bucket.
fn end(bucket: usize) -> u64 {
    let (power, within) = (bucket / PER_POWER as usize, bucket as u64 % PER_POWER);
    if power == 0 { within + 1 } else { (PER_POWER + within + 1) << (power - 1) }
}

impl Histogram {
    /// Notes a time. Only the shard whose histogram it is may.
    #[inline]
    pub fn note(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        add(&self.buckets[bucket(nanos)], 1);
        add(&self.sum, nanos);
    }

    /// What it holds now. Times noted meanwhile may or may not be in it.
    #[must_use]
    pub fn times(&self) -> Times {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Times { buckets: self.buckets.iter().map(load).collect(), sum: load(&self.sum) }
    }
}

impl Times {
    /// Adds another histogram's.
    pub fn add(&mut self, other: &Times) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time that a share of all (0 to 1) doesn't exceed, rounded up to its bucket's end; zero if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are below 2^52, and shares between 0 and 1"
        )]
        let rank = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(end(index));
            }
        }
        Duration::ZERO
    }

    /// How many are below 2^`power` ns.
    #[must_use]
    pub fn below_power(&self, power: u32) -> u64 {
        let upto = power.saturating_sub(PER_POWER_LOG - 1) as usize * PER_POWER as usize;
        self.buckets.iter().take(upto).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut last = 0;
        for nanos in
            (0..5000).chain((13..41).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]))
        {
            let at = bucket(nanos);
            assert!(at >= last || nanos < 5000, "buckets rise");
            last = at;
            let start = if at == 0 { 0 } else { end(at - 1) };
            assert!((start..end(at)).contains(&nanos), "{nanos} in {start}..{}", end(at));
            assert!((end(at) - start) * PER_POWER <= start.max(PER_POWER), "{start}..{}", end(at));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list_to_an_eighth() {
        let histogram = Histogram::default();
        let mut list: Vec<u64> = (0..10_000u64).map(|nth| nth * nth % 99_991 + 1).collect();
        list.iter().for_each(|nanos| histogram.note(Duration::from_nanos(*nanos)));
        list.sort_unstable();
        let mut times = histogram.times();
        for (share, index) in [(0.5, 4_999), (0.99, 9_899), (0.999, 9_989), (1.0, 9_999)] {
            let (told, exact) = (times.quantile(share).as_nanos(), u128::from(list[index]));
            assert!(told > exact && told * 8 <= exact * 9 + 8, "{share}: {told} for {exact}");
        }
        assert_eq!((times.count(), times.sum), (10_000, list.iter().sum::<u64>()));
        assert_eq!(times.below_power(12), list.iter().filter(|nanos| **nanos < 4096).count() as u64);
        times.add(&times.clone());
        assert_eq!(times.count(), 20_000);
        assert_eq!(Times::default().quantile(0.5), Duration::ZERO);
    }
}
