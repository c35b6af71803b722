//! When a run has warmed up: throughput and latency have stopped changing.

/// Intervals of each of the two spans that are compared.
pub const WINDOW: usize = 3;

/// A change below this part of the value is none.
const TOLERANCE: f64 = 0.05;

/// A change within so many standard errors is noise.
const ERRORS: f64 = 1.5;

/// But noise excuses no change above this part of the value.
const NOISE_MAX: f64 = 0.25;

/// Watches the intervals of a run for their first change-free span.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    rates: Vec<f64>,
    medians: Vec<f64>,
}

impl Steady {
    /// Takes the next interval's throughput and median latency; true if the last intervals are like those before them.
    pub fn take(&mut self, rate: f64, median: f64) -> bool {
        self.rates.push(rate);
        self.medians.push(median);
        rate > 0.0 && is_flat(&self.rates) && is_flat(&self.medians)
    }
}

/// Whether the last `WINDOW` values are like the `WINDOW` before them.
fn is_flat(values: &[f64]) -> bool {
    let Some(start) = values.len().checked_sub(2 * WINDOW) else { return false };
    let (before, after) = values[start..].split_at(WINDOW);
    let (a, b) = (mean(before), mean(after));
    let size = a.abs().max(b.abs());
    let error = ((variance(before, a) + variance(after, b)) / WINDOW as f64).sqrt();
    (a - b).abs() <= (TOLERANCE * size).max((ERRORS * error).min(NOISE_MAX * size))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64], mean: f64) -> f64 {
    values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (values.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many intervals a series counts as steady.
    fn ends(rates: &[f64], medians: &[f64]) -> Option<usize> {
        let mut steady = Steady::default();
        rates.iter().zip(medians).position(|(rate, median)| steady.take(*rate, *median)).map(|at| at + 1)
    }

    #[test]
    fn a_run_without_changes_is_steady_at_once() {
        assert_eq!(ends(&[100.0; 10], &[2.0; 10]), Some(2 * WINDOW));
    }

    #[test]
    fn a_rising_rate_is_awaited() {
        let rates: Vec<f64> = (0..30).map(|n| 500.0 * (1.0 - (-f64::from(n) / 6.0).exp())).collect();
        let end = ends(&rates, &[2.0; 30]).unwrap();
        assert!((12..24).contains(&end), "{end}");
        assert!(rates[end - 1] > 450.0);
    }

    #[test]
    fn falling_latency_is_awaited_at_a_fixed_rate() {
        let medians: Vec<f64> = (0..30).map(|n| 2.0 + 20.0 * (-f64::from(n) / 4.0).exp()).collect();
        assert!(ends(&[1000.0; 30], &medians).unwrap() > 12);
    }

    #[test]
    fn noise_alone_doesnt_hold_it_up_and_silence_is_not_steady() {
        let noisy: Vec<f64> = (0..20).map(|n| 100.0 + f64::from(n * 7919 % 13) * 2.0).collect();
        assert!(ends(&noisy, &[2.0; 20]).unwrap() < 10);
        assert_eq!(ends(&[0.0; 20], &[0.0; 20]), None);
    }
}
