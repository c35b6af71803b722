//! What one thread measures within one interval.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// A histogram of nanoseconds.
pub type Hist = Histogram<u64>;

/// Values below are one: no network is that fast.
const LOWEST_NS: u64 = 100;

/// Values above are counted as this: an hour.
const HIGHEST_NS: u64 = 3_600_000_000_000;

/// An empty histogram of nanoseconds: 100 ns to an hour with three digits.
///
/// # Panics
/// Never: the bounds are valid.
#[must_use]
pub fn new_hist() -> Hist {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3).expect("valid bounds")
}

/// Records, their bytes (of values) and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Records.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Requests that carried them.
    pub requests: u64,
}

impl Flow {
    /// One more request.
    pub fn add(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        self.requests += 1;
    }

    /// Another's as well.
    pub fn merge(&mut self, other: &Flow) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.requests += other.requests;
    }
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to the kernel.
    pub sent: Flow,
    /// Acknowledged; with acks=0, sent.
    pub acked: Flow,
    /// Bytes on the wire of acknowledged batches, compressed as they were.
    pub acked_wire_bytes: u64,
    /// Read back.
    pub received: Flow,
    /// Error codes in answers, by number of batches.
    pub errors: BTreeMap<i16, u64>,
    /// Batches that were sent again.
    pub retries: u64,
    /// Connections that were lost or couldn't be made.
    pub disconnects: u64,
    /// Records that were given up.
    pub given_up: u64,
    /// Batches that the broker knew already when they were sent again.
    pub known_already: u64,
    /// Connections made and ended again by churn.
    pub churned: u64,
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that were aborted, as they should be.
    pub aborted: u64,
    /// Times that a group member has joined its group again.
    pub rejoined: u64,
    /// For how many ms brokers wanted to be left alone, over all connections.
    pub throttled_ms: u64,
}

impl Counts {
    /// Another's as well.
    pub fn merge(&mut self, other: &Counts) {
        self.sent.merge(&other.sent);
        self.acked.merge(&other.acked);
        self.received.merge(&other.received);
        self.acked_wire_bytes += other.acked_wire_bytes;
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        self.retries += other.retries;
        self.disconnects += other.disconnects;
        self.given_up += other.given_up;
        self.known_already += other.known_already;
        self.churned += other.churned;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.rejoined += other.rejoined;
        self.throttled_ms += other.throttled_ms;
    }

    /// What went wrong: error answers, lost connections, records given up.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.disconnects + self.given_up
    }
}

/// What one thread measures within one interval. All times are in nanoseconds.
#[derive(Clone)]
pub struct Measures {
    /// From sending to acknowledgement: what a closed-loop tool reports.
    pub service: Hist,
    /// From when a record was due to its acknowledgement: corrected for coordinated omission.
    pub ack: Hist,
    /// From when a record was due to its receipt by a consumer: corrected.
    pub e2e: Hist,
    /// From when a record was due to its sending, whoever was the reason.
    pub delay: Hist,
    /// The part of that which was the generator's own doing.
    pub lag: Hist,
    /// What was counted.
    pub counts: Counts,
    /// CPU time of the thread.
    pub cpu_ns: u64,
}

impl Default for Measures {
    fn default() -> Self {
        Measures {
            service: new_hist(),
            ack: new_hist(),
            e2e: new_hist(),
            delay: new_hist(),
            lag: new_hist(),
            counts: Counts::default(),
            cpu_ns: 0,
        }
    }
}

impl Measures {
    /// Another's as well.
    ///
    /// # Panics
    /// Never: all histograms have the same bounds.
    pub fn merge(&mut self, other: &Measures) {
        for (into, from) in self.hists_mut().into_iter().zip(other.hists()) {
            into.1.add(from.1).expect("histograms of the same bounds");
        }
        self.counts.merge(&other.counts);
        self.cpu_ns += other.cpu_ns;
    }

    /// Empties it for the next interval.
    pub fn reset(&mut self) {
        self.hists_mut().into_iter().for_each(|(_, hist)| hist.reset());
        self.counts = Counts::default();
        self.cpu_ns = 0;
    }

    /// All histograms with their names.
    #[must_use]
    pub fn hists(&self) -> [(&'static str, &Hist); 5] {
        [
            ("service", &self.service),
            ("ack", &self.ack),
            ("e2e", &self.e2e),
            ("delay", &self.delay),
            ("lag", &self.lag),
        ]
    }

    fn hists_mut(&mut self) -> [(&'static str, &mut Hist); 5] {
        [
            ("service", &mut self.service),
            ("ack", &mut self.ack),
            ("e2e", &mut self.e2e),
            ("delay", &mut self.delay),
            ("lag", &mut self.lag),
        ]
    }
}

/// Some values of a histogram, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The median.
    pub p50: u64,
    /// 90 of 100 are at most this.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p999: u64,
    /// 9,999 of 10,000.
    pub p9999: u64,
    /// The largest.
    pub max: u64,
}

/// The usual values of a histogram.
#[must_use]
pub fn quantiles(hist: &Hist) -> Quantiles {
    if hist.is_empty() {
        return Quantiles::default();
    }
    let at = |quantile| hist.value_at_quantile(quantile);
    Quantiles {
        count: hist.len(),
        mean: hist.mean(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: hist.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_add_up_and_empty() {
        let (mut a, mut b) = (Measures::default(), Measures::default());
        a.ack.saturating_record(1_000_000);
        b.ack.saturating_record_n(3_000_000, 3);
        b.counts.acked.add(3, 300);
        b.counts.errors.insert(6, 2);
        a.merge(&b);
        a.merge(&b);
        assert_eq!((a.ack.len(), a.counts.acked.records, a.counts.errors[&6]), (7, 6, 4));
        assert_eq!(a.counts.failures(), 4);
        a.reset();
        assert!(a.ack.is_empty() && a.counts == Counts::default());
    }

    #[test]
    fn quantiles_are_within_three_digits() {
        let mut hist = new_hist();
        (1..=10_000_u64).for_each(|n| hist.saturating_record(n * 1000));
        let found = quantiles(&hist);
        for (value, expected) in
            [(found.p50, 5_000_000.0), (found.p99, 9_900_000.0), (found.max, 10_000_000.0)]
        {
            assert!((value as f64 / expected - 1.0).abs() < 0.001, "{value} for {expected}");
        }
        hist.saturating_record(u64::MAX);
        assert!(hist.max() >= HIGHEST_NS);
    }
}
