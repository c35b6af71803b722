//! The intervals of a run, put together from those of its threads, and what they add up to.

use super::measures::{Counts, Hist, Measures, Quantiles, quantiles};
use crate::load::observe::Watched;

/// Rows of the heat map for one power of ten.
pub const HEAT_PER_DECADE: usize = 8;

/// Rows of the heat map: from 10 µs to 100 s.
pub const HEAT_ROWS: usize = 7 * HEAT_PER_DECADE;

/// The lowest latency of the heat map's first row.
const HEAT_FLOOR_NS: f64 = 10_000.0;

/// The smallest latency in a row of the heat map.
#[must_use]
pub fn heat_floor_ns(row: usize) -> f64 {
    HEAT_FLOOR_NS * 10_f64.powf(row as f64 / HEAT_PER_DECADE as f64)
}

/// What one thread measured in one interval.
pub struct Interval {
    /// The interval's number, from 0.
    pub number: usize,
    /// When it began and ended, in ns since the phase began.
    pub span: (u64, u64),
    /// What was measured.
    pub measures: Box<Measures>,
}

/// Which part of a run an interval belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Left out.
    Warmup,
    /// Counted.
    Measured,
    /// After the last record was due: late answers count for latency, not for throughput.
    Drain,
}

/// One interval of the whole run.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which part of the run it belongs to.
    pub part: Part,
    /// When it began, in seconds since the phase began.
    pub start: f64,
    /// How long it was, in seconds.
    pub seconds: f64,
    /// What was counted.
    pub counts: Counts,
    /// Service time.
    pub service: Quantiles,
    /// Acknowledgements, corrected.
    pub ack: Quantiles,
    /// End to end, corrected.
    pub e2e: Quantiles,
    /// Send lag.
    pub lag: Quantiles,
    /// The part of its time that the busiest thread used.
    pub cpu_share: f64,
    /// Records by latency, for the heat map: end to end where that is measured, else acknowledgements.
    pub heat: Vec<u32>,
    /// What was seen of the brokers.
    pub watched: Option<Watched>,
}

/// What the measured intervals add up to.
#[derive(Clone, Default)]
pub struct Totals {
    /// Histograms, late answers included.
    pub measures: Measures,
    /// Counts without those of the drain.
    pub counts: Counts,
    /// Counts of the drain.
    pub drained: Counts,
    /// Length of the measured part.
    pub seconds: f64,
    /// The part of its time that the busiest thread used.
    pub cpu_share: f64,
}

/// All intervals so far.
pub struct Series {
    threads: usize,
    open: Vec<(usize, Interval, f64)>,
    rows: Vec<Row>,
    totals: Totals,
    busiest_sum: f64,
}

impl Series {
    /// Of so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Series { threads, open: Vec::new(), rows: Vec::new(), totals: Totals::default(), busiest_sum: 0.0 }
    }

    /// Takes one thread's interval. When it is the last of its number, `part` says which part of the run its span
    /// belongs to, and the whole comes back with its row.
    pub fn take(
        &mut self,
        interval: Interval,
        part: impl FnOnce((u64, u64)) -> Part,
        watched: impl FnOnce() -> Option<Watched>,
    ) -> Option<(&Row, Box<Measures>)> {
        let share = interval.measures.cpu_ns as f64 / (interval.span.1 - interval.span.0).max(1) as f64;
        match self.open.iter_mut().find(|(_, open, _)| open.number == interval.number) {
            Some((threads, open, busiest)) => {
                *threads += 1;
                *busiest = busiest.max(share);
                open.measures.merge(&interval.measures);
            }
            None => self.open.push((1, interval, share)),
        }
        let at = self.open.iter().position(|(threads, ..)| *threads == self.threads)?;
        let (_, whole, busiest) = self.open.swap_remove(at);
        let part = part(whole.span);
        self.close(&whole, part, busiest, watched());
        self.rows.last().map(|row| (row, whole.measures))
    }

    fn close(&mut self, whole: &Interval, part: Part, cpu_share: f64, watched: Option<Watched>) {
        let measures = &whole.measures;
        let seconds = (whole.span.1 - whole.span.0) as f64 / 1e9;
        match part {
            Part::Warmup => {}
            Part::Measured => {
                self.totals.measures.merge(measures);
                self.totals.counts.merge(&measures.counts);
                self.totals.seconds += seconds;
                self.busiest_sum += cpu_share * seconds;
                self.totals.cpu_share = self.busiest_sum / self.totals.seconds.max(1e-9);
            }
            Part::Drain => {
                self.totals.measures.merge(measures);
                self.totals.drained.merge(&measures.counts);
            }
        }
        let shown = if measures.e2e.is_empty() { &measures.ack } else { &measures.e2e };
        self.rows.push(Row {
            part,
            start: whole.span.0 as f64 / 1e9,
            seconds,
            counts: measures.counts.clone(),
            service: quantiles(&measures.service),
            ack: quantiles(&measures.ack),
            e2e: quantiles(&measures.e2e),
            lag: quantiles(&measures.lag),
            cpu_share,
            heat: heat(shown),
            watched,
        });
    }

    /// The rows and what they add up to. Intervals that only some threads had come last: these threads still waited.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Row>, Totals) {
        for (_, whole, busiest) in std::mem::take(&mut self.open) {
            self.close(&whole, Part::Drain, busiest, None);
        }
        (self.rows, self.totals)
    }
}

/// Records by latency.
fn heat(hist: &Hist) -> Vec<u32> {
    let mut rows = vec![0_u32; HEAT_ROWS];
    for step in hist.iter_recorded() {
        let decades = (step.value_iterated_to() as f64 / HEAT_FLOOR_NS).max(1.0).log10();
        let row = ((decades * HEAT_PER_DECADE as f64) as usize).min(HEAT_ROWS - 1);
        let count = u32::try_from(step.count_since_last_iteration()).unwrap_or(u32::MAX);
        rows[row] = rows[row].saturating_add(count);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(number: usize, records: u64, ack_ns: u64) -> Interval {
        let mut measures = Box::<Measures>::default();
        measures.ack.saturating_record_n(ack_ns, records);
        measures.counts.acked.add(records, records * 100);
        measures.cpu_ns = 500_000_000;
        let second = 1_000_000_000;
        Interval { number, span: (number as u64 * second, (number as u64 + 1) * second), measures }
    }

    #[test]
    fn threads_make_rows_and_only_measured_rows_make_totals() {
        let mut series = Series::new(2);
        let part = |(start, _): (u64, u64)| match start / 1_000_000_000 {
            0 => Part::Warmup,
            1 | 2 => Part::Measured,
            _ => Part::Drain,
        };
        for number in 0..4 {
            assert!(series.take(interval(number, 10, 1_000_000), part, || None).is_none());
            let (row, _) = series.take(interval(number, 30, 2_000_000), part, || None).expect("both are in");
            assert_eq!((row.counts.acked.records, row.cpu_share), (40, 0.5));
        }
        let (rows, totals) = series.finish();
        assert_eq!(rows.len(), 4);
        assert_eq!((totals.counts.acked.records, totals.drained.acked.records), (80, 40));
        assert_eq!(totals.measures.ack.len(), 120, "late answers count for latency");
        assert!((totals.seconds - 2.0).abs() < 1e-9 && (totals.cpu_share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn heat_has_its_rows() {
        let mut hist = super::super::new_hist();
        hist.saturating_record(1000);
        hist.saturating_record_n(1_000_000, 5);
        hist.saturating_record(1_000_000_000_000);
        let rows = heat(&hist);
        assert_eq!((rows[0], rows[2 * HEAT_PER_DECADE], rows[HEAT_ROWS - 1]), (1, 5, 1));
        assert!((heat_floor_ns(HEAT_PER_DECADE) - 100_000.0).abs() < 1.0);
    }
}
