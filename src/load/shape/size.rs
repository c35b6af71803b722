//! Sizes of records' values.

use crate::base::random::Random;

/// How large values are.
#[derive(Clone, Debug, PartialEq)]
pub enum Sizes {
    /// All alike.
    Fixed(usize),
    /// Any size between two, both included, with equal chance.
    Uniform(usize, usize),
    /// Mostly near the median, with a long tail: what sizes of real messages look like.
    LogNormal {
        /// Half of the values are smaller.
        median: usize,
        /// Standard deviation of the logarithm; 1 is a heavy tail.
        sigma: f64,
        /// No value is larger.
        max: usize,
    },
    /// Some sizes with their weights.
    Weighted(Vec<(usize, f64)>),
}

impl Sizes {
    /// One size, at least `min`.
    #[must_use]
    pub fn draw(&self, random: &mut Random, min: usize) -> usize {
        let size = match self {
            Sizes::Fixed(size) => *size,
            Sizes::Uniform(low, high) => low + random.below((high - low) as u64 + 1) as usize,
            Sizes::LogNormal { median, sigma, max } => {
                let size = *median as f64 * (sigma * normal(random)).exp();
                (size.min(*max as f64)) as usize
            }
            Sizes::Weighted(list) => {
                let total: f64 = list.iter().map(|(_, weight)| weight).sum();
                let mut rest = unit(random) * total;
                let chosen = list.iter().find(|(_, weight)| {
                    rest -= weight;
                    rest < 0.0
                });
                chosen.or(list.last()).map_or(min, |(size, _)| *size)
            }
        };
        size.max(min)
    }

    /// The smallest that can be drawn where it is bounded.
    #[must_use]
    pub fn smallest(&self) -> usize {
        match self {
            Sizes::Fixed(size) | Sizes::Uniform(size, _) => *size,
            Sizes::LogNormal { .. } => usize::MAX,
            Sizes::Weighted(list) => list.iter().map(|(size, _)| *size).min().unwrap_or(0),
        }
    }

    /// The largest that can be drawn.
    #[must_use]
    pub fn largest(&self) -> usize {
        match self {
            Sizes::Fixed(size) | Sizes::Uniform(_, size) => *size,
            Sizes::LogNormal { max, .. } => *max,
            Sizes::Weighted(list) => list.iter().map(|(size, _)| *size).max().unwrap_or(0),
        }
    }

    /// The size on average; for a cut log-normal distribution an estimate from draws.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Sizes::Fixed(size) => *size as f64,
            Sizes::Uniform(low, high) => (low + high) as f64 / 2.0,
            Sizes::LogNormal { .. } => {
                let mut random = Random::new(1);
                (0..10_000).map(|_| self.draw(&mut random, 0) as f64).sum::<f64>() / 10_000.0
            }
            Sizes::Weighted(list) => {
                let total: f64 = list.iter().map(|(_, weight)| weight).sum();
                list.iter().map(|(size, weight)| *size as f64 * weight).sum::<f64>() / total
            }
        }
    }
}

/// A draw from the open interval of 0 and 1.
pub(super) fn unit(random: &mut Random) -> f64 {
    ((random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A draw from the standard normal distribution (Box and Muller 1958).
fn normal(random: &mut Random) -> f64 {
    let (a, b) = (unit(random), unit(random));
    (-2.0 * a.ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sizes: &Sizes) -> Vec<usize> {
        let mut random = Random::new(5);
        let mut all: Vec<usize> = (0..20_000).map(|_| sizes.draw(&mut random, 28)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn sizes_keep_their_bounds_and_means() {
        for sizes in [
            Sizes::Fixed(100),
            Sizes::Uniform(100, 300),
            Sizes::LogNormal { median: 500, sigma: 0.8, max: 10_000 },
            Sizes::Weighted(vec![(100, 90.0), (5000, 10.0)]),
        ] {
            let all = draws(&sizes);
            let mean = all.iter().sum::<usize>() as f64 / all.len() as f64;
            assert!((mean / sizes.mean() - 1.0).abs() < 0.05, "{sizes:?}: {mean}");
            assert!(all[0] >= 28 && all[all.len() - 1] <= sizes.largest());
        }
        assert_eq!(draws(&Sizes::Fixed(3))[0], 28);
    }

    #[test]
    fn a_log_normal_median_is_its_median() {
        let all = draws(&Sizes::LogNormal { median: 500, sigma: 0.8, max: 100_000 });
        assert!((480..520).contains(&all[all.len() / 2]));
        assert!(all[all.len() * 99 / 100] > 2500, "its tail is long");
    }

    #[test]
    fn weights_are_shares() {
        let all = draws(&Sizes::Weighted(vec![(100, 3.0), (200, 1.0)]));
        let small = all.iter().filter(|size| **size == 100).count() as f64 / all.len() as f64;
        assert!((small - 0.75).abs() < 0.02, "{small}");
    }
}
