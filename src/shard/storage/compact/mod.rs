//! Compaction of a partition's log on its files: what there is to read, and how what was written takes its place.
//!
//! Order, so that any crash leaves one log or the other: the new segment is written under a name that recovery
//! removes, and flushed; renamed to one that says which segments it supersedes; the folder is flushed; the log
//! switches; the next checkpoint removes the superseded files. Whoever reads them has them open and goes on.

mod output;
mod reading;

pub(in crate::shard) use output::remove_unfinished;
pub use output::{Finished, Output};
pub use reading::Source;

use super::PartitionLog;
use super::segment::Segment;
use crate::base::Offset;
use crate::log::compact::{Extent, Policy, Work, look};
use crate::seam::Files;

impl<F: Files> PartitionLog<F> {
    /// What compaction would do now, and its settings; `None` if the log isn't compacted.
    #[must_use]
    pub fn compaction(&self, stable: Offset, now_ms: i64) -> Option<(Work, Policy)> {
        let policy = self.conf.compaction.filter(|_| !self.cutting)?;
        let stable = stable.min(self.durable);
        let sealed: Vec<Extent> = self.sealed().map(extent).collect();
        let from = self.clean.max(self.log_start);
        Some((look(&sealed, from, stable, &policy, now_ms), policy))
    }

    /// Whether only each key's last record is kept.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        self.conf.compaction.is_some()
    }

    /// Segments that take no more appends and wait for no flush.
    fn sealed(&self) -> impl Iterator<Item = &Segment<F>> {
        let sealed = self.segments.len() - 1;
        let settled = |segment: &&Segment<F>| segment.pending.is_empty() && segment.written == segment.end;
        self.segments.iter().take(sealed).take_while(settled)
    }

    /// All that can be read of the log now, by segment.
    #[must_use]
    pub fn sources(&self) -> Vec<Source<F>> {
        // A segment that no flush has written yet has no file.
        let written = self.segments.iter().take_while(|segment| segment.named);
        written.map(|segment| Source::of(segment, &self.files)).collect()
    }

    /// A new segment that stands for those from `base` on.
    #[must_use]
    pub fn output(&self, first: &Source<F>) -> Output<F> {
        Output::new(&self.files, (&self.dir, self.key), first)
    }

    /// Size at which a segment is closed.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.conf.segment_bytes
    }

    /// Files are about to be replaced by one that was written. False if some of those that it stands for are gone:
    /// then it has no place.
    pub fn begin_replacing(&mut self, finished: &Finished<F>) -> bool {
        let segment = finished.segment();
        let ends = self.segments.iter().any(|other| other.next == segment.next);
        let begins = self.segments.iter().any(|other| other.base == segment.base);
        self.replacing = begins && ends;
        self.replacing
    }

    /// The file has its name for good, or it failed.
    pub fn end_replacing(&mut self, finished: Option<Finished<F>>) {
        self.replacing = false;
        let Some(segment) = finished.map(Finished::into_segment) else { return };
        let from = self.segments.partition_point(|other| other.base < segment.base);
        let to = self.segments.partition_point(|other| other.base < segment.next);
        let gone: Vec<Segment<F>> = self.segments.drain(from..to).collect();
        gone.iter().for_each(|old| old.forget(&self.cache));
        // Where it stands for one that was compacted before, it has its very name.
        let superseded = gone.into_iter().map(|old| old.path).filter(|path| *path != segment.path);
        self.doomed.extend(superseded);
        self.segments.insert(from, segment);
    }

    /// A round is through: below, each key occurs once.
    pub fn compacted_to(&mut self, clean: Offset) {
        self.clean = self.clean.max(clean);
    }
}

fn extent<F: Files>(segment: &Segment<F>) -> Extent {
    Extent {
        base_offset: segment.base,
        next_offset: segment.next,
        bytes: segment.batch_bytes(),
        largest_timestamp: segment.index.borrow().largest_timestamp(),
        created_ms: segment.created_ms,
    }
}
