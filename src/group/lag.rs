//! How far behind a group is, in time: when the records that it hasn't read were written, and when it will have caught
//! up.
//!
//! A partition's `Course` remembers when its end was where; an offset's `Pace` how fast it is committed. Both are
//! samples in memory, of bounded size, and begin anew with the broker.

use crate::base::Offset;
use crate::base::limits::COURSE_SAMPLES_MAX;

/// Over how long rates are taken.
const WINDOW_MS: u64 = 30_000;

/// When a partition's end was where. The older a stretch, the fewer samples are left of it.
#[derive(Clone, Debug, Default)]
pub struct Course {
    samples: Vec<(u64, Offset)>,
    /// The last look: what came since the last sample came after this.
    looked: Option<(u64, Offset)>,
}

/// Since when something has been waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Milliseconds of the clock that never goes back.
    pub ms: u64,
    /// It may be longer: nothing older is known.
    pub is_at_least: bool,
}

impl Course {
    /// Takes a look.
    pub fn look(&mut self, now_ms: u64, end: Offset) {
        if let Some((then_ms, then)) = self.looked
            && then != end
            && self.samples.last() != Some(&(then_ms, then))
        {
            // It stood still up to then.
            self.push(then_ms, then);
        }
        if self.looked.is_none_or(|(_, then)| then != end) {
            self.push(now_ms, end);
        }
        self.looked = Some((now_ms, end));
    }

    fn push(&mut self, ms: u64, end: Offset) {
        if self.samples.len() >= COURSE_SAMPLES_MAX {
            // Every second one of the older half goes.
            let half = COURSE_SAMPLES_MAX / 2;
            let mut nth = 0;
            self.samples.retain(|_| {
                nth += 1;
                nth > half || nth % 2 == 1
            });
        }
        self.samples.push((ms, end));
    }

    /// When the record at this offset was appended; `None` if there is none yet.
    #[must_use]
    pub fn since(&self, offset: Offset, now_ms: u64, end: Offset) -> Option<Since> {
        if offset >= end {
            return None;
        }
        let after = self.samples.partition_point(|(_, seen)| *seen <= offset);
        let exactly = |ms| Some(Since { ms, is_at_least: false });
        match (after.checked_sub(1).map(|before| self.samples[before]), self.samples.get(after)) {
            (Some(before), Some(next)) => exactly(between(before, *next, offset)),
            (None, Some((ms, _))) => Some(Since { ms: *ms, is_at_least: true }),
            // It came after the last look.
            (_, None) => exactly(self.looked.map_or(now_ms, |(ms, _)| ms)),
        }
    }

    /// Records a second, lately.
    #[must_use]
    pub fn rate(&self, now_ms: u64, end: Offset) -> f64 {
        let from_ms = now_ms.saturating_sub(WINDOW_MS);
        let after = self.samples.partition_point(|(ms, _)| *ms <= from_ms);
        let (ms, offset) = match (after.checked_sub(1), self.samples.get(after)) {
            (Some(_), None) => return 0.0,
            (Some(before), Some((to_ms, to))) => {
                let (ms, offset) = self.samples[before];
                let share = ratio(from_ms - ms, to_ms - ms);
                (from_ms, offset + whole(share * float(to - offset)))
            }
            (None, Some((ms, offset))) => (*ms, *offset),
            (None, None) => return 0.0,
        };
        per_second(end - offset, now_ms.saturating_sub(ms))
    }
}

/// How fast an offset is committed. It is found out anew after a restart, so it is no part of what is committed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    from: Option<(u64, Offset)>,
    middle: Option<(u64, Offset)>,
}

impl PartialEq for Pace {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Pace {}

impl Pace {
    /// With one more commit.
    #[must_use]
    pub fn with(self, now_ms: u64, offset: Offset) -> Self {
        match self.middle {
            None => Pace { from: Some((now_ms, offset)), middle: Some((now_ms, offset)) },
            Some((ms, _)) if now_ms.saturating_sub(ms) >= WINDOW_MS => {
                Pace { from: self.middle, middle: Some((now_ms, offset)) }
            }
            Some(_) => self,
        }
    }

    /// Records a second, lately.
    #[must_use]
    pub fn rate(self, now_ms: u64, offset: Offset) -> f64 {
        self.from.map_or(0.0, |(ms, from)| per_second(offset - from, now_ms.saturating_sub(ms)))
    }
}

/// Seconds until a group that reads at this rate has caught up with who writes; `None`: never, as things are.
#[must_use]
pub fn drained_in(lag: Offset, read_rate: f64, write_rate: f64) -> Option<f64> {
    match read_rate - write_rate {
        _ if lag <= 0 => Some(0.0),
        gain if gain > 0.0 => Some(float(lag) / gain),
        _ => None,
    }
}

/// The time at which an offset between two samples was reached.
fn between((from_ms, from): (u64, Offset), (to_ms, to): (u64, Offset), offset: Offset) -> u64 {
    let share = float(offset - from) / float((to - from).max(1));
    from_ms + whole(share * ratio(to_ms - from_ms, 1)).unsigned_abs()
}

fn per_second(records: Offset, ms: u64) -> f64 {
    if ms == 0 || records <= 0 { 0.0 } else { float(records) * 1000.0 / ratio(ms, 1) }
}

#[expect(clippy::cast_precision_loss, reason = "rates are estimates")]
fn float(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "rates are estimates")]
fn ratio(above: u64, below: u64) -> f64 {
    above as f64 / below.max(1) as f64
}

#[expect(clippy::cast_possible_truncation, reason = "estimates need no fractions")]
fn whole(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_waited_since_it_was_written() {
        let mut course = Course::default();
        course.look(1000, 100);
        // Ten records a second, then a pause of a minute, then ten records at once.
        for second in 2..=11 {
            course.look(second * 1000, 100 + 10 * (i64::try_from(second).unwrap() - 1));
        }
        for second in 12..=71 {
            course.look(second * 1000, 200);
        }
        course.look(72_000, 210);
        let since = |offset| course.since(offset, 72_500, 211).map(|since| (since.ms, since.is_at_least));
        assert_eq!(since(100), Some((1000, false)));
        assert_eq!(since(155), Some((6500, false)));
        assert_eq!(since(200), Some((71_000, false)), "the pause isn't a slow record");
        assert_eq!(since(210), Some((72_000, false)), "after the last look");
        assert_eq!(since(50), Some((1000, true)), "from before there were looks");
        assert_eq!(since(211), None);
    }

    #[test]
    fn a_course_is_bounded_and_keeps_its_ends() {
        let mut course = Course::default();
        for second in 0..10_000u64 {
            course.look(second * 1000, i64::try_from(second).unwrap() * 5);
        }
        assert!(course.samples.len() <= COURSE_SAMPLES_MAX);
        assert_eq!(course.samples[0], (0, 0));
        let since = course.since(25_000, 10_000_000, 49_995).unwrap();
        assert!(since.ms.abs_diff(5_000_000) < 1000, "steady writing is found exactly: {since:?}");
        assert!((course.rate(9_999_000, 49_995) - 5.0).abs() < 0.1);
        assert!(course.rate(99_999_000, 49_995) < 1e-9, "nobody writes any more");
    }

    #[test]
    fn the_time_to_drain_is_what_reading_gains_on_writing() {
        let mut pace = Pace::default();
        for second in 0..=60u64 {
            pace = pace.with(second * 1000, i64::try_from(second).unwrap() * 40);
        }
        let read = pace.rate(60_000, 2400);
        assert!((read - 40.0).abs() < 1e-9, "{read}");
        assert_eq!(drained_in(300, read, 10.0), Some(10.0));
        assert_eq!(drained_in(300, read, 40.0), None);
        assert_eq!(drained_in(0, 0.0, 40.0), Some(0.0));
        assert!(pace.rate(120_000, 2400) < 20.0, "who commits no more gets slower");
    }
}
