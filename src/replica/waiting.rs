//! Producers that wait until what they sent has settled.

use super::call::Produced;
use super::event::Waiter;
use crate::base::Offset;
use std::collections::VecDeque;

#[derive(Debug)]
struct Waiting {
    upto: Offset,
    waiter: Waiter,
    produced: Produced,
    deadline_ms: i64,
}

/// Answers that are held until the log has settled up to an offset, in its order.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Waiting>);

impl Queue {
    /// Holds an answer.
    pub(super) fn hold(&mut self, upto: Offset, waiter: Waiter, produced: Produced, deadline_ms: i64) {
        let at = self.0.partition_point(|waiting| waiting.upto <= upto);
        self.0.insert(at, Waiting { upto, waiter, produced, deadline_ms });
    }

    /// Gives the answers up to an offset.
    pub(super) fn release(&mut self, settled: Offset, out: &mut Vec<(Waiter, Produced)>) {
        while self.0.front().is_some_and(|waiting| waiting.upto <= settled) {
            let waiting = self.0.pop_front().expect("it has a front");
            out.push((waiting.waiter, waiting.produced));
        }
    }

    /// Gives everybody this answer instead.
    pub(super) fn turn_away(&mut self, refused: &Produced, out: &mut Vec<(Waiter, Produced)>) {
        out.extend(self.0.drain(..).map(|waiting| (waiting.waiter, refused.clone())));
    }

    /// Gives this answer instead to those whose time is over.
    pub(super) fn expire(&mut self, now_ms: i64, late: &Produced, out: &mut Vec<(Waiter, Produced)>) {
        self.0.retain(|waiting| {
            let due = waiting.deadline_ms <= now_ms;
            if due {
                out.push((waiting.waiter, late.clone()));
            }
            !due
        });
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
