//! A flight recorder: the slowest requests of the last minutes, each with its stages.

use super::stages::{Journey, STAGES, Stage};
use std::fmt::Write;
use std::time::Duration;

/// Requests that are kept for each minute.
const KEPT: usize = 16;

/// Minutes that are kept.
const MINUTES: usize = 10;

/// A request that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flown {
    /// When it ended, wall clock in ms.
    pub ended_ms: i64,
    /// The API.
    pub api_key: i16,
    /// The request's version.
    pub version: i16,
    /// Who asked: peer address and client id.
    pub who: String,
    /// Bytes of the answer.
    pub bytes: usize,
    /// Its way.
    pub journey: Journey,
}

/// One minute's slowest, slowest first.
#[derive(Debug, Default)]
struct Minute {
    number: i64,
    slowest: Vec<Flown>,
}

/// One shard's recorder.
#[derive(Debug, Default)]
pub struct FlightRecorder {
    minutes: Vec<Minute>,
}

impl FlightRecorder {
    /// Whether a request that ends now and took so long is among the slowest of its minute. Asked for every request, so
    /// that the fast ones cost a comparison.
    #[must_use]
    pub fn wants(&self, ended_ms: i64, owed: Duration) -> bool {
        match self.minutes.last() {
            Some(minute) if minute.number == number(ended_ms) && minute.slowest.len() == KEPT => {
                minute.slowest.last().is_some_and(|fastest| fastest.journey.owed() < owed)
            }
            _ => true,
        }
    }

    /// Notes a request that is wanted.
    pub fn note(&mut self, flown: Flown) {
        let number = number(flown.ended_ms);
        if self.minutes.last().is_none_or(|minute| minute.number != number) {
            self.minutes.push(Minute { number, slowest: Vec::new() });
            let surplus = self.minutes.len().saturating_sub(MINUTES);
            self.minutes.drain(..surplus);
        }
        let Some(minute) = self.minutes.last_mut() else { return };
        let owed = flown.journey.owed();
        let at = minute.slowest.partition_point(|other| other.journey.owed() >= owed);
        minute.slowest.insert(at, flown);
        minute.slowest.truncate(KEPT);
    }

    /// The slowest of the last minutes, slowest first.
    #[must_use]
    pub fn slowest(&self, now_ms: i64) -> Vec<&Flown> {
        let oldest = number(now_ms) - MINUTES as i64;
        let recent = self.minutes.iter().filter(|minute| minute.number > oldest);
        let mut all: Vec<&Flown> = recent.flat_map(|minute| &minute.slowest).collect();
        all.sort_by_key(|flown| std::cmp::Reverse(flown.journey.owed()));
        all
    }
}

fn number(wall_ms: i64) -> i64 {
    wall_ms.div_euclid(60_000)
}

impl Flown {
    /// One line: what the broker took for it, and in which stages, in µs. `api` is the API's name.
    #[must_use]
    pub fn line(&self, api: &str) -> String {
        let Flown { version, who, bytes, journey, .. } = self;
        let mut line = format!("{:>9} us  {api} v{version}  {bytes} B to {who} ", journey.owed().as_micros());
        for stage in STAGES.into_iter().filter(|stage| !journey.spent(*stage).is_zero()) {
            let _ = write!(line, " {}={}", stage.name(), journey.spent(stage).as_micros());
        }
        line
    }

    /// The stage that took longest of what the broker is to blame for.
    #[must_use]
    pub fn longest(&self) -> Stage {
        let own = STAGES.into_iter().filter(|stage| !matches!(stage, Stage::Read | Stage::Wait));
        own.max_by_key(|stage| self.journey.spent(*stage)).unwrap_or(Stage::Send)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flown(ended_ms: i64, us: u64) -> Flown {
        let mut journey = Journey::begin(Duration::from_secs(1), false);
        journey.end(Stage::Flush, Duration::from_secs(1) + Duration::from_micros(us));
        Flown { ended_ms, api_key: 0, version: 9, who: "127.0.0.1:9 (x)".into(), bytes: 60, journey }
    }

    #[test]
    fn each_minutes_slowest_are_kept_for_some_minutes() {
        let mut recorder = FlightRecorder::default();
        for minute in 0..20_i64 {
            for us in 1..=100 {
                let one = flown(minute * 60_000, us * 7 % 101 + u64::try_from(minute).unwrap() * 1000);
                if recorder.wants(one.ended_ms, one.journey.owed()) {
                    recorder.note(one);
                }
            }
        }
        let slowest = recorder.slowest(19 * 60_000);
        assert_eq!(slowest.len(), KEPT * MINUTES);
        assert_eq!(slowest[0].journey.owed(), Duration::from_micros(19_100));
        assert_eq!(slowest[KEPT - 1].journey.owed(), Duration::from_micros(19_100 - 15));
        assert!(slowest.iter().all(|flown| flown.ended_ms >= 10 * 60_000));
        assert!(
            !recorder.wants(19 * 60_000, Duration::from_micros(19_085)),
            "as slow as the fastest of them"
        );
        assert!(recorder.wants(19 * 60_000, Duration::from_micros(19_086)));
        assert_eq!(recorder.slowest(40 * 60_000).len(), 0, "all are of long ago");
    }

    #[test]
    fn a_line_says_who_waited_and_for_what() {
        let one = flown(0, 1234);
        assert_eq!(one.line("Produce"), "     1234 us  Produce v9  60 B to 127.0.0.1:9 (x)  flush=1234");
        assert_eq!(one.longest(), Stage::Flush);
    }
}
