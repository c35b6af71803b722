//! Timing requests: each knows its way so far; when its answer is sent, histograms and the flight recorder take it.

use super::connection::Ticket;
use super::{Broker, Shard};
use crate::api::RequestHeader;
use crate::metrics::{Flown, Journey, Stage, Stages};
use crate::seam::World;
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

/// One request in so many is timed precisely: reading the clock for all would cost a hundredth of a small one.
const PRECISE_EVERY: u64 = 8;

/// What stays of a request until its answer is sent.
#[derive(Debug)]
pub(crate) struct Asked {
    header: RequestHeader,
    journey: Cell<Journey>,
}

impl Asked {
    pub(super) fn new(header: RequestHeader, journey: Journey) -> Rc<Self> {
        Rc::new(Asked { header, journey: Cell::new(journey) })
    }

    /// A stage of its way has ended at this time.
    pub(super) fn end(&self, stage: Stage, at: Duration) {
        let mut journey = self.journey.get();
        journey.end(stage, at);
        self.journey.set(journey);
    }
}

impl Deref for Asked {
    type Target = RequestHeader;

    fn deref(&self) -> &RequestHeader {
        &self.header
    }
}

/// When the parts of a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushTimes {
    /// It began.
    pub begun: Duration,
    /// All was written.
    pub written: Duration,
    /// All was durable.
    pub durable: Duration,
}

impl<B: Broker> Shard<B> {
    /// The stages of this shard's requests.
    pub(super) fn stages(&self) -> &Stages {
        &self.0.tables.stages
    }

    /// Begins a request's journey.
    pub(super) fn begin_journey(&self, began: Duration, complete: Duration) -> Journey {
        let number = self.0.requests.get() + 1;
        self.0.requests.set(number);
        let mut journey = Journey::begin(began, number.is_multiple_of(PRECISE_EVERY));
        journey.end(Stage::Read, complete);
        journey.end(Stage::Line, self.now_for(&journey));
        journey
    }

    fn now_for(&self, journey: &Journey) -> Duration {
        if journey.is_precise() { self.world().mono() } else { self.world().turn() }
    }

    /// A stage of a request ends now.
    pub(super) fn pass(&self, ticket: &Ticket, stage: Stage) {
        let asked = &ticket.header;
        asked.end(stage, self.now_for(&asked.journey.get()));
    }

    /// A request's last answer came after this flush.
    pub(super) fn pass_flush(&self, ticket: &Ticket, times: FlushTimes) {
        ticket.header.end(Stage::Queue, times.begun);
        ticket.header.end(Stage::Write, times.written);
        ticket.header.end(Stage::Flush, times.durable);
    }

    /// A request's answer of so many bytes is sent.
    pub(super) fn arrive(&self, asked: &Asked, bytes: usize, peer: &str) {
        asked.end(Stage::Send, self.now_for(&asked.journey.get()));
        let journey = asked.journey.get();
        if journey.is_precise()
            && let Some(times) = self.stages().of(asked.api_key)
        {
            times.note(&journey);
        }
        let ended_ms = i64::try_from(self.world().turn().as_millis()).unwrap_or(i64::MAX);
        if self.0.flights.borrow().wants(ended_ms, journey.owed()) {
            let client = asked.client_id.as_ref().map_or("", |id| id);
            let who = format!("{peer} ({client})");
            let (api_key, version) = (asked.api_key, asked.version);
            self.0.flights.borrow_mut().note(Flown { ended_ms, api_key, version, who, bytes, journey });
        }
    }

    /// The slowest requests of the last minutes, slowest first, a line each.
    #[must_use]
    pub fn tell_slowest(&self) -> Vec<(Duration, String)> {
        let now_ms = i64::try_from(self.world().turn().as_millis()).unwrap_or(i64::MAX);
        let flights = self.0.flights.borrow();
        let line = |flown: &&Flown| (flown.journey.owed(), flown.line(crate::api::name_of(flown.api_key)));
        flights.slowest(now_ms).iter().map(line).collect()
    }
}
