//! When records are due: fixed, ramped, bursting and random rates as times since a phase began. Pure.
//!
//! A schedule is shared by lanes (producing clients): lane `i` of `n` gets every n-th arrival, so that together they
//! send as one would. An arrival that nobody could send in time stays due: that is what makes the loop open.

use crate::base::random::Random;
use std::time::Duration;

/// Nanoseconds in a second, as schedules divide.
const SECOND: f64 = 1e9;

/// How many records a second, over time.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate {
    /// As fast as acknowledgements allow: the closed loop.
    Max,
    /// So many a second, evenly spaced.
    Fixed(f64),
    /// From one rate to another, evenly over a time, and the second from then on.
    Ramp {
        /// Records a second at the beginning.
        from: f64,
        /// Records a second at the end.
        to: f64,
        /// How long it takes.
        over: Duration,
    },
    /// A base rate, and a peak at the beginning of every period.
    Burst {
        /// Records a second between bursts.
        base: f64,
        /// Records a second within one.
        peak: f64,
        /// From one burst to the next.
        every: Duration,
        /// How long each lasts.
        lasts: Duration,
    },
    /// So many a second on average, at random: a Poisson process, as many independent clients are.
    Poisson(f64),
}

impl Rate {
    /// Records a second on average over so long; `None` where acknowledgements decide.
    #[must_use]
    pub fn mean(&self, over: Duration) -> Option<f64> {
        match self {
            Rate::Max => None,
            Rate::Fixed(rate) | Rate::Poisson(rate) => Some(*rate),
            Rate::Ramp { .. } | Rate::Burst { .. } => {
                let seconds = over.as_secs_f64().max(1e-9);
                Some(self.count_until(seconds) / seconds)
            }
        }
    }

    /// Whether records are sent at given times, whatever the broker does.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self != Rate::Max
    }

    /// Arrivals until a time in seconds.
    fn count_until(&self, seconds: f64) -> f64 {
        match self {
            Rate::Max => f64::INFINITY,
            Rate::Fixed(rate) | Rate::Poisson(rate) => rate * seconds,
            Rate::Ramp { from, to, over } => {
                let over = over.as_secs_f64();
                let ramped = seconds.min(over);
                from * ramped + (to - from) * ramped * ramped / (2.0 * over) + to * (seconds - ramped)
            }
            Rate::Burst { base, peak, every, lasts } => {
                let (every, lasts) = (every.as_secs_f64(), lasts.as_secs_f64());
                let whole = (seconds / every).floor();
                let rest = seconds - whole * every;
                let in_burst = rest.min(lasts);
                whole * (peak * lasts + base * (every - lasts)) + peak * in_burst + base * (rest - in_burst)
            }
        }
    }

    /// The time in nanoseconds of the arrival with this number, counted from 0. Not for `Max` and `Poisson`.
    fn time_of(&self, number: f64) -> f64 {
        match self {
            Rate::Max | Rate::Poisson(_) => 0.0,
            Rate::Fixed(rate) => number * SECOND / rate,
            Rate::Ramp { from, to, over } => {
                let over = over.as_secs_f64();
                let ramped = (from + to) / 2.0 * over;
                if number >= ramped {
                    return (over + (number - ramped) / to) * SECOND;
                }
                // from·t + (to - from)/(2·over)·t² = number, in the form that is stable for either sign.
                let half = (to - from) / (2.0 * over);
                let root = (from * from + 4.0 * half * number).max(0.0).sqrt();
                if number == 0.0 { 0.0 } else { 2.0 * number / (from + root) * SECOND }
            }
            Rate::Burst { base, peak, every, lasts } => {
                let (every, lasts) = (every.as_secs_f64(), lasts.as_secs_f64());
                let burst = peak * lasts;
                let period = burst + base * (every - lasts);
                let whole = (number / period).floor();
                let rest = number - whole * period;
                let within = if rest < burst { rest / peak } else { lasts + (rest - burst) / base };
                (whole * every + within) * SECOND
            }
        }
    }
}

/// One lane's arrivals.
#[derive(Clone, Debug)]
pub struct Schedule {
    rate: Rate,
    next: u64,
    stride: u64,
    /// Time of the next arrival.
    due: u64,
    random: Random,
}

impl Schedule {
    /// The arrivals of lane `lane` of `lanes`.
    ///
    /// # Panics
    /// There is no such lane.
    #[must_use]
    pub fn new(rate: &Rate, lane: u32, lanes: u32, seed: u64) -> Self {
        assert!(lane < lanes, "lane {lane} of {lanes}");
        let mut schedule = Schedule {
            rate: rate.clone(),
            next: u64::from(lane),
            stride: u64::from(lanes),
            due: 0,
            random: Random::stream(seed, 0xa117 + u64::from(lane)),
        };
        schedule.due = match &schedule.rate {
            Rate::Poisson(_) => schedule.pause(),
            other => other.time_of(schedule.next as f64) as u64,
        };
        schedule
    }

    /// Nanoseconds since the phase's beginning at which the next record is due. Always 0 in a closed loop.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.due
    }

    /// The next record was taken.
    pub fn advance(&mut self) {
        self.next += self.stride;
        self.due = match &self.rate {
            Rate::Poisson(_) => self.due.saturating_add(self.pause()),
            other => other.time_of(self.next as f64) as u64,
        };
    }

    /// A pause of the lane's Poisson process: exponentially distributed.
    fn pause(&mut self) -> u64 {
        let Rate::Poisson(rate) = self.rate else { return 0 };
        let uniform = ((self.random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        (-uniform.ln() * SECOND * self.stride as f64 / rate) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All arrivals of a number of lanes until a time, in order.
    fn arrivals(rate: &Rate, lanes: u32, until: u64) -> Vec<u64> {
        let mut all = Vec::new();
        for lane in 0..lanes {
            let mut schedule = Schedule::new(rate, lane, lanes, 1);
            while schedule.due() < until {
                all.push(schedule.due());
                schedule.advance();
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn lanes_share_a_rate_evenly() {
        let rate = Rate::Fixed(1000.0);
        let times = arrivals(&rate, 7, 1_000_000_000);
        assert_eq!(times.len(), 1000);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000));
        assert_eq!(times, arrivals(&rate, 1, 1_000_000_000));
    }

    #[test]
    fn a_ramp_rises_falls_and_then_holds() {
        for (from, to) in [(100.0, 1100.0), (1100.0, 100.0)] {
            let rate = Rate::Ramp { from, to, over: Duration::from_secs(10) };
            let times = arrivals(&rate, 3, 12_000_000_000);
            let within = |a: u64, b: u64| {
                times.iter().filter(|at| (a * 1_000_000_000..b * 1_000_000_000).contains(at)).count() as f64
            };
            assert!((within(0, 10) - 6000.0).abs() <= 1.0);
            assert!((within(10, 12) - 2.0 * to).abs() <= 1.0);
            let first = from + (to - from) / 20.0;
            assert!((within(0, 1) - first).abs() <= 1.0, "{} for {first}", within(0, 1));
            assert!((rate.mean(Duration::from_secs(10)).unwrap() - 600.0).abs() < 1e-6);
        }
    }

    #[test]
    fn bursts_come_at_the_beginning_of_each_period() {
        let (every, lasts) = (Duration::from_secs(2), Duration::from_millis(500));
        let rate = Rate::Burst { base: 100.0, peak: 2000.0, every, lasts };
        let times = arrivals(&rate, 4, 4_000_000_000);
        let within = |a: u64, b: u64| times.iter().filter(|at| (a..b).contains(at)).count();
        assert_eq!(within(0, 500_000_000), 1000);
        assert_eq!(within(500_000_000, 2_000_000_000), 150);
        assert_eq!(within(2_000_000_000, 2_500_000_000), 1000);
        assert!((rate.mean(Duration::from_secs(4)).unwrap() - 575.0).abs() < 1e-6);
    }

    #[test]
    fn random_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let times = arrivals(&Rate::Poisson(10_000.0), 8, 10_000_000_000);
        let count = times.len() as f64;
        assert!((count - 100_000.0).abs() < 1500.0, "{count}");
        // In a Poisson process, counts of equal spans have a variance equal to their mean.
        let mut counts = vec![0.0; 1000];
        times.iter().for_each(|at| counts[(at / 10_000_000) as usize] += 1.0);
        let mean = count / 1000.0;
        let variance = counts.iter().map(|n| (n - mean) * (n - mean)).sum::<f64>() / 1000.0;
        assert!((0.8..1.2).contains(&(variance / mean)), "{}", variance / mean);
        assert_eq!(times, arrivals(&Rate::Poisson(10_000.0), 8, 10_000_000_000), "a seed repeats itself");
    }
}
