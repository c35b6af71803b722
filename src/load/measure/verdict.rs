//! Whether the generator kept up. A run that it couldn't pace measures the generator, and is void.

use std::time::Duration;

/// A thread that used more of its time than this was the limit.
const CPU_SHARE_MAX: f64 = 0.95;

/// Send lag below this is never called saturation.
const LAG_FLOOR_NS: u64 = 1_000_000;

/// How the generator's threads fared over the measured time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Whether records were due at given times.
    pub open_loop: bool,
    /// The part of its time that the busiest thread used.
    pub cpu_share: f64,
    /// Whether threads look for work instead of sleeping, which makes their share meaningless.
    pub spins: bool,
    /// 99 of 100 records were sent at most this late by the generator's own doing.
    pub lag_p99_ns: u64,
    /// The same of acknowledgements, or of receipts where nothing is acknowledged.
    pub latency_p99_ns: u64,
    /// What the user allows instead of the default.
    pub lag_max: Option<Duration>,
}

/// Why the run is void; `None` if it isn't.
#[must_use]
pub fn saturation(pace: &Pace) -> Option<String> {
    let allowed = match pace.lag_max {
        Some(max) => u64::try_from(max.as_nanos()).unwrap_or(u64::MAX),
        None => LAG_FLOOR_NS.max(pace.latency_p99_ns / 4),
    };
    let (lag_ms, allowed_ms) = (pace.lag_p99_ns as f64 / 1e6, allowed as f64 / 1e6);
    let percent = pace.cpu_share * 100.0;
    if pace.open_loop && pace.lag_p99_ns > allowed {
        let reason = if pace.cpu_share >= CPU_SHARE_MAX && !pace.spins {
            "it needs more threads, larger batches or a lower rate"
        } else {
            "the machine didn't let it run in time: give it a processor of its own, or lower the rate"
        };
        return Some(format!(
            "records were sent up to {lag_ms:.1} ms late (p99) by the generator itself, more than {allowed_ms:.1} ms, \
             with {percent:.0} % of a processor used: {reason}"
        ));
    }
    if pace.cpu_share >= CPU_SHARE_MAX && !pace.spins {
        return Some(format!(
            "its busiest thread used {percent:.0} % of a processor, so the limit may have been the generator: \
             give it more threads (and processors), or larger batches"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Pace = Pace {
        open_loop: true,
        cpu_share: 0.5,
        spins: false,
        lag_p99_ns: 200_000,
        latency_p99_ns: 5_000_000,
        lag_max: None,
    };

    #[test]
    fn a_generator_that_keeps_up_is_not_saturated() {
        assert_eq!(saturation(&GOOD), None);
        assert_eq!(saturation(&Pace { open_loop: false, lag_p99_ns: 9_000_000, ..GOOD }), None);
        assert_eq!(saturation(&Pace { cpu_share: 1.0, spins: true, ..GOOD }), None);
        assert_eq!(saturation(&Pace { lag_p99_ns: 9_000_000, latency_p99_ns: 1_000_000_000, ..GOOD }), None);
    }

    #[test]
    fn lag_and_a_full_processor_void_a_run() {
        let late = saturation(&Pace { lag_p99_ns: 3_000_000, ..GOOD }).unwrap();
        assert!(late.contains("3.0 ms late") && late.contains("processor of its own"), "{late}");
        let busy = saturation(&Pace { cpu_share: 0.99, lag_p99_ns: 3_000_000, ..GOOD }).unwrap();
        assert!(busy.contains("more threads"), "{busy}");
        assert!(saturation(&Pace { open_loop: false, cpu_share: 0.97, ..GOOD }).is_some());
        let strict = Pace { lag_max: Some(Duration::from_micros(100)), ..GOOD };
        assert!(saturation(&strict).is_some());
    }
}
