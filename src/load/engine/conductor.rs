//! The thread that puts the intervals of all threads together: it ends the warm-up, sets the end, and tells of
//! progress.

use super::Report;
use super::lane::nanos;
use super::shared::{NEVER, Shared};
use crate::load::job::{Load, Warmup};
use crate::load::measure::{Interval, Measures, Part, Row, Series, Steady, Totals};
use crate::load::observe::Watcher;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the conductor looks for the beginning.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Where intervals go while a phase runs.
pub trait Sink: Send {
    /// An interval is over.
    fn take(&mut self, row: &Row, measures: &Measures);
}

/// What came of a phase.
pub struct PhaseRun {
    /// Its intervals.
    pub rows: Vec<Row>,
    /// What those that were measured add up to.
    pub totals: Totals,
    /// How long the warm-up took, in seconds.
    pub warmup_seconds: f64,
    /// Whether the warm-up ended because nothing changed any more, or as it was told.
    pub steady: bool,
    /// Whether somebody ended it before its time.
    pub interrupted: bool,
}

/// Puts intervals together.
pub(super) struct Conductor {
    shared: Arc<Shared>,
    series: Series,
    steady: Steady,
    watcher: Option<Watcher>,
    warmup: Warmup,
    duration: u64,
    interval: u64,
    sink: Box<dyn Sink>,
    warmup_seconds: f64,
    became_steady: bool,
}

impl Conductor {
    /// For a phase.
    pub(super) fn new(load: &Load, shared: Arc<Shared>, sink: Box<dyn Sink>) -> Self {
        Conductor {
            shared,
            series: Series::new(usize::from(load.threads)),
            steady: Steady::default(),
            watcher: Watcher::new(&load.pids, &load.disk, &load.metrics),
            warmup: load.warmup,
            duration: nanos(load.duration),
            interval: nanos(load.interval),
            sink,
            warmup_seconds: 0.0,
            became_steady: true,
        }
    }

    /// Begins to listen.
    pub(super) fn spawn(self, reports: Receiver<Report>) -> JoinHandle<PhaseRun> {
        let named = std::thread::Builder::new().name("conductor".to_owned());
        named.spawn(move || self.conduct(&reports)).expect("a thread for the conductor")
    }

    fn conduct(mut self, reports: &Receiver<Report>) -> PhaseRun {
        loop {
            let begun = self.shared.start() != NEVER;
            if begun && self.shared.measured_from() == NEVER && matches!(self.warmup, Warmup::Fixed(_)) {
                self.begin_as_told();
            }
            let report = if begun {
                reports.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                reports.recv_timeout(LOOK_PAUSE)
            };
            match report {
                Ok(Report::Interval(interval)) => self.take(interval),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let (rows, totals) = self.series.finish();
        let (warmup_seconds, steady) = (self.warmup_seconds, self.became_steady);
        PhaseRun { rows, totals, warmup_seconds, steady, interrupted: false }
    }

    /// The warm-up lasts as long as it was told, in whole intervals.
    fn begin_as_told(&mut self) {
        let Warmup::Fixed(warmup) = self.warmup else { return };
        let warmup = nanos(warmup).div_ceil(self.interval) * self.interval;
        self.warmup_seconds = warmup as f64 / 1e9;
        let from = self.shared.start() + warmup;
        self.shared.measure(from, from.saturating_add(self.duration));
    }

    fn take(&mut self, interval: Interval) {
        let (from, end, start) = (self.shared.measured_from(), self.shared.end(), self.shared.start());
        let part = |(begin, _): (u64, u64)| match begin.saturating_add(start) {
            begin if begin >= end => Part::Drain,
            begin if begin < from => Part::Warmup,
            _ => Part::Measured,
        };
        let until = interval.span.1;
        let watcher = &mut self.watcher;
        let Some((row, measures)) = self.series.take(interval, part, || watcher.as_mut().map(Watcher::look))
        else {
            return;
        };
        self.sink.take(row, &measures);
        if let (Warmup::Auto(max), true) = (self.warmup, from == NEVER) {
            let counts = &row.counts;
            let flow = if counts.acked.records > 0 { counts.acked } else { counts.received };
            let shown = if row.ack.count > 0 { row.ack } else { row.service };
            let rate = flow.records.max(counts.churned) as f64 / row.seconds.max(1e-9);
            let steady = self.steady.take(rate, shown.p50 as f64);
            if steady || until >= nanos(max) {
                self.warmup_seconds = until as f64 / 1e9;
                self.became_steady = steady;
                let from = start + until;
                self.shared.measure(from, from.saturating_add(self.duration));
            }
        }
    }
}
