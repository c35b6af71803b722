//! What all clients of one thread share.

use super::leaders::Leaders;
use super::shared::{NEVER, Shared};
use super::supply::Supply;
use crate::load::client::{Dial, PartitionKey};
use crate::load::job::Load;
use crate::load::measure::Measures;
use crate::load::verify::Ledger;
use crate::rt::World;
use crate::seam::World as _;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// One thread's share of a phase.
pub(super) struct Context {
    pub(super) world: World,
    pub(super) load: Rc<Load>,
    pub(super) shared: Arc<Shared>,
    pub(super) dial: Dial,
    pub(super) topics: Rc<[String]>,
    pub(super) parts: Rc<[PartitionKey]>,
    pub(super) leaders: Leaders,
    pub(super) supply: Supply,
    pub(super) measures: RefCell<Box<Measures>>,
    pub(super) ledger: RefCell<Ledger>,
    /// Whether acknowledgements are entered into the ledger.
    pub(super) keep_acks: bool,
    /// Whether receipts are.
    pub(super) keep_receipts: bool,
    /// Which run the stamps name.
    pub(super) run: u32,
    /// Places of the topics by name.
    pub(super) topic_places: BTreeMap<Vec<u8>, u32>,
    /// Connections that are being made.
    pub(super) connecting: Cell<u32>,
    /// Batches that wait for their answer or to be sent.
    pub(super) pending: Cell<u64>,
    /// Set when clients shall leave off.
    pub(super) closing: Cell<bool>,
    /// When the phase began, once that is known.
    pub(super) start: Cell<u64>,
}

impl Context {
    /// Now, in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.world.mono().as_nanos()).unwrap_or(u64::MAX)
    }

    /// When the phase ends.
    pub(super) fn end(&self) -> u64 {
        self.shared.end()
    }

    /// A time of this process as nanoseconds since 1970.
    pub(super) fn epoch_ns(&self, time: u64) -> u64 {
        self.world.start_epoch_ns() + time
    }

    /// Whether latencies of records that were due at this time count.
    pub(super) fn is_begun(&self) -> bool {
        self.start.get() != NEVER
    }
}
