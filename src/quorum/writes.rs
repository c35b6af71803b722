//! What is to be made durable: one write at a time, and what comes up meanwhile makes up the next.

use super::disk::{Stand, frame};
use super::effects::{Committed, Snapshot, Write};
use super::store::Store;

/// The write under way.
struct Flight {
    number: u64,
    /// The last of the crate's batches that it covers.
    batch: u64,
    /// The chain's end where it is appended, and where it is the whole file.
    append_chain: Option<u32>,
    anew_chain: Option<u32>,
}

/// The log's end in its file.
pub(super) struct Writes {
    chain: u32,
    number: u64,
    flight: Option<Flight>,
    /// The crate's last batch that was taken in.
    taken: u64,
    /// The last one of which nothing is left to be written.
    durable: u64,
    due: bool,
    anew: bool,
    snapshot: Option<Snapshot>,
    entries: Vec<Committed>,
}

impl Writes {
    pub(super) fn new(chain: u32) -> Self {
        Writes {
            chain,
            number: 0,
            flight: None,
            taken: 0,
            durable: 0,
            due: false,
            anew: false,
            snapshot: None,
            entries: Vec::new(),
        }
    }

    /// Takes in one of the crate's batches. `promise` says that term or vote changed.
    pub(super) fn take(
        &mut self,
        batch: u64,
        snapshot: Option<Snapshot>,
        entries: &[Committed],
        promise: bool,
    ) {
        self.taken = batch;
        self.due |= promise || snapshot.is_some() || !entries.is_empty();
        if snapshot.is_some() {
            self.entries.clear();
            self.snapshot = snapshot;
        }
        if let Some(first) = entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend_from_slice(entries);
        }
    }

    /// Has the file written anew with the next write.
    pub(super) fn begin_anew(&mut self) {
        self.anew = true;
        self.due = true;
    }

    /// The next write, if one is due and none is under way.
    pub(super) fn next(&mut self, stand: &Stand, store: &Store) -> Option<Write> {
        if self.flight.is_some() || !self.due {
            return None;
        }
        let (append, append_chain) = frame(stand, self.snapshot.take().as_ref(), &self.entries, self.chain);
        let anew = self.anew.then(|| {
            let snapshot = store.snapshot();
            let from = snapshot.map_or(1, |snapshot| snapshot.index + 1);
            frame(stand, snapshot, store.from(from), 0)
        });
        self.entries.clear();
        (self.due, self.anew) = (false, false);
        let (anew, anew_chain) = anew.unzip();
        Some(self.fly(Some((append, append_chain)), anew.zip(anew_chain)))
    }

    /// A write of a whole file, and nothing but that.
    pub(super) fn whole(&mut self, stand: &Stand, log: (Option<&Snapshot>, &[Committed])) -> Write {
        assert!(self.flight.is_none(), "one write at a time");
        let anew = frame(stand, log.0, log.1, 0);
        self.fly(None, Some(anew))
    }

    fn fly(&mut self, append: Option<(bytes::Bytes, u32)>, anew: Option<(bytes::Bytes, u32)>) -> Write {
        self.number += 1;
        let (append, append_chain) = append.unzip();
        let (anew, anew_chain) = anew.unzip();
        self.flight = Some(Flight { number: self.number, batch: self.taken, append_chain, anew_chain });
        Write { number: self.number, append, anew }
    }

    /// A write is durable.
    pub(super) fn done(&mut self, number: u64, anew: bool) {
        let Some(flight) = self.flight.take_if(|flight| flight.number == number) else { return };
        let chain = if anew { flight.anew_chain } else { flight.append_chain };
        self.chain = chain.expect("the write was made in a way that it offered");
        self.durable = flight.batch;
    }

    /// Whether a write is under way.
    pub(super) fn busy(&self) -> bool {
        self.flight.is_some()
    }

    /// The last of the crate's batches of which nothing is left to be written.
    pub(super) fn durable(&mut self) -> u64 {
        if self.flight.is_none() && !self.due {
            self.durable = self.taken;
        }
        self.durable
    }

    /// Forgets what isn't written; a write that is under way stays so. The crate counts from 0 again.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        (self.snapshot, self.due, self.anew, self.taken, self.durable) = (None, false, false, 0, 0);
        if let Some(flight) = &mut self.flight {
            flight.batch = 0;
        }
    }
}
