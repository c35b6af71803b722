//! Where a run's intervals and results go: the terminal and files.

mod hgrm;
mod hlog;
mod progress;

pub use hgrm::hgrm;
pub use hlog::IntervalLog;
pub use progress::Progress;

use crate::load::engine::Sink;
use crate::load::measure::{Measures, Row};
use std::io;
use std::path::Path;

/// Several sinks, one after the other.
#[derive(Default)]
pub struct Sinks(pub Vec<Box<dyn Sink>>);

impl Sink for Sinks {
    fn take(&mut self, row: &Row, measures: &Measures) {
        self.0.iter_mut().for_each(|sink| sink.take(row, measures));
    }
}

/// Writes a file; folders are made.
///
/// # Errors
/// The path, with what the operating system said.
#[expect(clippy::disallowed_methods, reason = "files are written before and after a run, by no shard")]
pub fn write(path: &str, bytes: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{path} can't be written: {error}"));
    if let Some(folder) = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    std::fs::write(path, bytes).map_err(named)
}
