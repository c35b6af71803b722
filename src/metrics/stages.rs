//! Where a request's time goes: the stages that it passes, in order, and their histograms.

use super::histogram::Histogram;
use std::time::Duration;

/// A part of a request's way through the broker. It ends when the request reaches what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its bytes arrive: from the first to the last.
    Read,
    /// It waits for the connection's requests before it, for budgets, and for its turn.
    Line,
    /// It is decoded, checked and sent to the shards that own its partitions.
    Decode,
    /// It is copied into the logs of its own shard. (On another one it counts as `Queue`, like the way there.)
    Append,
    /// What was appended waits for the next flush to begin.
    Queue,
    /// The flush writes.
    Write,
    /// The device makes it durable.
    Flush,
    /// A fetch waits for records, or is read from a file.
    Wait,
    /// The answer comes back and is put together.
    Answer,
    /// It waits for answers before it, and is sent.
    Send,
}

/// All stages in order.
pub const STAGES: [Stage; 10] = [
    Stage::Read,
    Stage::Line,
    Stage::Decode,
    Stage::Append,
    Stage::Queue,
    Stage::Write,
    Stage::Flush,
    Stage::Wait,
    Stage::Answer,
    Stage::Send,
];

impl Stage {
    /// Its name in metrics and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Line => "line",
            Stage::Decode => "decode",
            Stage::Append => "append",
            Stage::Queue => "queue",
            Stage::Write => "write",
            Stage::Flush => "flush",
            Stage::Wait => "wait",
            Stage::Answer => "answer",
            Stage::Send => "send",
        }
    }
}

/// One request's way so far. Times are of one process-wide clock, so that other shards' stamps fit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    begun: Duration,
    last: Duration,
    /// In units of 16 ns, so that it stays small: it is moved about with every request.
    spent: [u32; STAGES.len()],
    precise: bool,
}

/// Nanoseconds of one unit of `Journey::spent`, which then holds 68 s.
const UNIT: u128 = 16;

impl Journey {
    /// Begins with the request's first byte. A precise one is timed to the microsecond and goes into the histograms;
    /// others are timed by the shard's turns, at no cost, so that the slow ones among them can be told.
    #[must_use]
    pub fn begin(now: Duration, precise: bool) -> Self {
        Journey { begun: now, last: now, spent: [0; STAGES.len()], precise }
    }

    /// Whether the clock is to be read for it.
    #[must_use]
    pub fn is_precise(&self) -> bool {
        self.precise
    }

    /// A stage has ended at this time. One before the last stage's end ends at once: of several ways that a request
    /// went at the same time, the later one counts.
    #[inline]
    pub fn end(&mut self, stage: Stage, at: Duration) {
        let units = u32::try_from(at.saturating_sub(self.last).as_nanos() / UNIT).unwrap_or(u32::MAX);
        self.spent[stage as usize] = self.spent[stage as usize].saturating_add(units);
        self.last = self.last.max(at);
    }

    /// Time in a stage.
    #[must_use]
    pub fn spent(&self, stage: Stage) -> Duration {
        Duration::from_nanos(u64::from(self.spent[stage as usize]) * UNIT as u64)
    }

    /// Time since it began, as of the last stage's end.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.last - self.begun
    }

    /// Time in which the broker had it: without its own arrival, and without the wait that a fetch asks for.
    #[must_use]
    pub fn owed(&self) -> Duration {
        self.total().saturating_sub(self.spent(Stage::Read) + self.spent(Stage::Wait))
    }
}

/// The stages of one shard's requests, by kind.
#[derive(Debug, Default)]
pub struct Stages {
    /// Produce.
    pub produce: StageTimes,
    /// Fetch.
    pub fetch: StageTimes,
}

impl Stages {
    /// Those of an API, if its requests are timed.
    #[must_use]
    pub fn of(&self, api_key: i16) -> Option<&StageTimes> {
        match api_key {
            0 => Some(&self.produce),
            1 => Some(&self.fetch),
            _ => None,
        }
    }
}

/// Histograms of every stage, for one kind of request.
#[derive(Debug, Default)]
pub struct StageTimes {
    stages: [Histogram; STAGES.len()],
    /// Of the whole way.
    pub total: Histogram,
}

impl StageTimes {
    /// Notes a finished request. Stages that it didn't pass aren't counted.
    pub fn note(&self, journey: &Journey) {
        for stage in STAGES {
            let spent = journey.spent(stage);
            if !spent.is_zero() {
                self.stages[stage as usize].note(spent);
            }
        }
        self.total.note(journey.total());
    }

    /// One stage's histogram.
    #[must_use]
    pub fn of(&self, stage: Stage) -> &Histogram {
        &self.stages[stage as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole units, so that nothing is rounded.
    fn us(us: u64) -> Duration {
        Duration::from_nanos(us * 1024)
    }

    #[test]
    fn stages_are_numbered_in_order_and_named_apart() {
        for (index, stage) in STAGES.iter().enumerate() {
            assert_eq!(*stage as usize, index);
            assert!(STAGES[..index].iter().all(|other| other.name() != stage.name()));
        }
    }

    #[test]
    fn what_stages_take_adds_up_to_the_whole() {
        let mut journey = Journey::begin(us(10), true);
        journey.end(Stage::Read, us(15));
        journey.end(Stage::Decode, us(18));
        journey.end(Stage::Append, us(17));
        journey.end(Stage::Flush, us(118));
        journey.end(Stage::Wait, us(120));
        journey.end(Stage::Send, us(130));
        assert_eq!((journey.spent(Stage::Append), journey.spent(Stage::Flush)), (us(0), us(100)));
        assert_eq!(STAGES.iter().map(|stage| journey.spent(*stage)).sum::<Duration>(), journey.total());
        assert_eq!((journey.total(), journey.owed()), (us(120), us(113)));
        let times = StageTimes::default();
        times.note(&journey);
        assert_eq!(times.of(Stage::Flush).times().count(), 1);
        assert_eq!(times.of(Stage::Append).times().count(), 0, "no time, no stage");
        assert_eq!(times.total.times().sum, 120 * 1024);
    }
}
