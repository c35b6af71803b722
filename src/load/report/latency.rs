//! A histogram as it stands in reports.

use crate::load::measure::{Hist, quantiles};
use serde::{Deserialize, Serialize};

/// Names of the histograms.
pub const LATENCIES: [&str; 5] = ["service", "ack", "e2e", "delay", "lag"];

/// Points of a percentile curve for each halving of what is above.
const CURVE_STEPS: u32 = 8;

/// What a histogram says, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean_ns: f64,
    /// The median.
    pub p50_ns: u64,
    /// 90 of 100 are at most this.
    pub p90_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// 999 of 1,000.
    pub p999_ns: u64,
    /// 9,999 of 10,000.
    pub p9999_ns: u64,
    /// The largest.
    pub max_ns: u64,
    /// Quantiles between 0 and 1 with their values.
    pub curve: Vec<(f64, u64)>,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    #[must_use]
    pub fn of(hist: &Hist) -> Self {
        let found = quantiles(hist);
        let mut curve: Vec<(f64, u64)> = Vec::new();
        for step in hist.iter_quantiles(CURVE_STEPS) {
            let (quantile, value) = (step.quantile_iterated_to(), step.value_iterated_to());
            match curve.last_mut() {
                Some(last) if last.1 == value => last.0 = quantile,
                _ => curve.push((quantile, value)),
            }
        }
        Latency {
            count: found.count,
            mean_ns: found.mean,
            p50_ns: found.p50,
            p90_ns: found.p90,
            p99_ns: found.p99,
            p999_ns: found.p999,
            p9999_ns: found.p9999,
            max_ns: found.max,
            curve,
        }
    }

    /// The value at a quantile between 0 and 1.
    #[must_use]
    pub fn at(&self, quantile: f64) -> f64 {
        let known = [
            (0.5, self.p50_ns),
            (0.9, self.p90_ns),
            (0.99, self.p99_ns),
            (0.999, self.p999_ns),
            (0.9999, self.p9999_ns),
            (1.0, self.max_ns),
        ];
        let exact = known.iter().find(|(at, _)| (at - quantile).abs() < 1e-9);
        let above = || self.curve.iter().find(|(at, _)| *at >= quantile);
        exact.or_else(above).map_or(self.max_ns as f64, |(_, value)| *value as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::new_hist;

    #[test]
    fn values_between_the_usual_ones_are_found() {
        let mut hist = new_hist();
        (1..=100_000_u64).for_each(|n| hist.saturating_record(n * 1000));
        let latency = Latency::of(&hist);
        for (quantile, expected) in
            [(0.5, 5e7), (0.75, 7.5e7), (0.995, 9.95e7), (0.9999, 9.999e7), (1.0, 1e8)]
        {
            let found = latency.at(quantile);
            assert!((found / expected - 1.0).abs() < 0.03, "{quantile}: {found} for {expected}");
        }
        assert!(latency.curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
        assert_eq!(Latency::of(&new_hist()), Latency::default());
    }
}
