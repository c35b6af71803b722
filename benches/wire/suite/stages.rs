//! What it costs to time a request's stages: of eight requests one reads the clock, as in the broker. A small produce
//! takes some 10 us of CPU; this must stay below a hundredth of it.
#![expect(clippy::disallowed_methods, reason = "the clock is what is measured")]

use crate::harness::{Harness, Work};
use ringlog::metrics::{FlightRecorder, Flown, Journey, STAGES, StageTimes};
use std::cell::RefCell;
use std::time::{Duration, Instant};

const REQUESTS: usize = 8;

pub(crate) fn run(harness: &mut Harness) {
    let (times, flights, start) =
        (StageTimes::default(), RefCell::new(FlightRecorder::default()), Instant::now());
    let turn = Duration::from_millis(1);
    let one = |precise: bool| {
        let mut journey = Journey::begin(turn, precise);
        for stage in STAGES {
            journey.end(stage, if precise { start.elapsed() } else { turn });
        }
        if precise {
            times.note(&journey);
        }
        if flights.borrow().wants(1, journey.owed()) {
            let who = "127.0.0.1:9 (bench)".to_owned();
            flights.borrow_mut().note(Flown { ended_ms: 1, api_key: 0, version: 9, who, bytes: 60, journey });
        }
    };
    harness.bench("the stages of requests", Work::Items(REQUESTS), || {
        (0..REQUESTS).for_each(|nth| one(nth == 0));
    });
    assert!(times.total.times().count() > 0);
}
