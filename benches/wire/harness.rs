//! Times calls: as many a sample as take 5 ms, 15 samples, the median of them.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

const SAMPLE: Duration = Duration::from_millis(5);
const SAMPLES: usize = 15;

/// What a call works through, to say what one of them costs.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// The call itself.
    Call,
    /// So many bytes.
    Bytes(usize),
    /// So many records, or partitions.
    Items(usize),
}

/// Runs benches.
pub(crate) struct Harness {
    timed: bool,
}

impl Harness {
    /// Measures and prints.
    #[allow(dead_code, reason = "the test that includes this file only runs the benches")]
    pub(crate) fn timed() -> Self {
        Harness { timed: true }
    }

    /// Calls each bench once and prints nothing.
    #[allow(dead_code, reason = "the bench itself is timed")]
    pub(crate) fn once() -> Self {
        Harness { timed: false }
    }

    /// One bench.
    pub(crate) fn bench<T>(&mut self, name: &str, work: Work, mut call: impl FnMut() -> T) {
        if !self.timed {
            black_box(call());
            return;
        }
        let calls = calibrate(&mut call);
        let mut samples: Vec<f64> = (0..SAMPLES).map(|_| sample(calls, &mut call)).collect();
        samples.sort_by(f64::total_cmp);
        let (least, median, most) = (samples[0], samples[SAMPLES / 2], samples[SAMPLES - 1]);
        let each = match work {
            Work::Call => String::new(),
            Work::Bytes(bytes) => format!("{:8.2} GB/s", bytes as f64 / median),
            Work::Items(items) => format!("{:8.2} ns each", median / items as f64),
        };
        println!("{name:44} {median:12.1} ns  ({least:.1} to {most:.1})  {each}");
    }
}

/// Nanoseconds of one of so many calls.
fn sample<T>(calls: u32, call: &mut impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// How many calls take as long as a sample.
fn calibrate<T>(call: &mut impl FnMut() -> T) -> u32 {
    let mut calls = 1;
    while calls < 1 << 20 {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        if start.elapsed() >= SAMPLE {
            break;
        }
        calls *= 2;
    }
    calls
}
