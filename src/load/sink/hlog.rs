//! The interval log of HdrHistogram: histograms of every interval, which its tools (and HistogramLogAnalyzer) read.
//! Values are in nanoseconds; a tag names each histogram.

use crate::load::engine::Sink;
use crate::load::measure::{Measures, Row};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// Collects the log's text; a phase has at most some thousand intervals.
pub struct IntervalLog {
    phase: String,
    text: Vec<u8>,
    done: std::sync::mpsc::Sender<Vec<u8>>,
    began: bool,
    start_ms: i64,
}

impl IntervalLog {
    /// For a phase that begins now; the text is sent when the phase is over.
    #[must_use]
    pub fn new(phase: &str, start_ms: i64, done: std::sync::mpsc::Sender<Vec<u8>>) -> Self {
        IntervalLog { phase: phase.to_owned(), text: Vec::new(), done, began: false, start_ms }
    }

    fn write(&mut self, row: &Row, measures: &Measures) -> std::io::Result<()> {
        let mut serializer = V2DeflateSerializer::new();
        let start = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.start_ms).unwrap_or(0));
        let mut builder = IntervalLogWriterBuilder::new();
        if !std::mem::replace(&mut self.began, true) {
            builder.add_comment(&format!("phase {}; values in nanoseconds", self.phase));
            builder.with_start_time(start);
            builder.with_base_time(start);
            builder.with_max_value_divisor(1e6);
        } else {
            builder.with_max_value_divisor(1e6);
        }
        let mut lines = Vec::new();
        {
            let mut writer = builder.begin_log_with(&mut lines, &mut serializer)?;
            for (name, hist) in measures.hists().into_iter().filter(|(_, hist)| !hist.is_empty()) {
                let (begin, length) =
                    (Duration::from_secs_f64(row.start), Duration::from_secs_f64(row.seconds));
                let written = writer.write_histogram(hist, begin, length, Tag::new(name));
                written.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
            }
        }
        self.text.write_all(&lines)
    }
}

impl Sink for IntervalLog {
    fn take(&mut self, row: &Row, measures: &Measures) {
        // Writing to memory fails only for a histogram that can't be serialised, which ours can.
        let _ = self.write(row, measures);
    }
}

impl Drop for IntervalLog {
    fn drop(&mut self) {
        let _ = self.done.send(std::mem::take(&mut self.text));
    }
}
