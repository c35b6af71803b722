//! Questions to shards from outside: pages for operators tell what only a shard knows.
//!
//! A shard looks for questions at its tick, so they cost it nothing between two ticks, and an answer takes as long as
//! the next one is away: 5 ms where the shard is busy, 100 where it isn't.

use crate::base::ShardId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long a shard's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions of one tick. More wait for the next.
const TICK_QUESTIONS_MAX: usize = 4;

struct Inquiry {
    question: String,
    answer: Sender<String>,
}

/// Where shards say that they answer. Clones are the same.
#[derive(Clone)]
pub struct Desk(Vec<Sender<(ShardId, Sender<Inquiry>)>>);

/// Who asks them; each on a thread of its own.
pub struct Clerk {
    newcomers: Receiver<(ShardId, Sender<Inquiry>)>,
    shards: BTreeMap<ShardId, Sender<Inquiry>>,
}

/// A desk, and so many clerks.
#[must_use]
pub fn desk(clerks: usize) -> (Desk, Vec<Clerk>) {
    let pair = |_| {
        let (sender, newcomers) = channel();
        (sender, Clerk { newcomers, shards: BTreeMap::new() })
    };
    let (senders, clerks) = (0..clerks).map(pair).unzip();
    (Desk(senders), clerks)
}

impl Clerk {
    /// Asks every shard that answers, and returns what they say, in order. A shard that hangs is left out.
    pub fn ask(&mut self, question: &str) -> Vec<(ShardId, String)> {
        self.shards.extend(self.newcomers.try_iter());
        let asked: Vec<_> = self
            .shards
            .iter()
            .filter_map(|(shard, desk)| {
                let (answer, answered) = channel();
                desk.send(Inquiry { question: question.to_owned(), answer }).ok()?;
                Some((*shard, answered))
            })
            .collect();
        asked
            .into_iter()
            .filter_map(|(shard, told)| Some((shard, told.recv_timeout(PATIENCE).ok()?)))
            .collect()
    }
}

type Answer = Box<dyn Fn(&str) -> String>;

/// A shard's side.
#[derive(Default)]
pub(super) struct Answering(RefCell<Option<(Receiver<Inquiry>, Answer)>>);

impl Answering {
    /// Answers from now on.
    pub(super) fn begin(&self, shard: ShardId, desk: &Desk, answer: impl Fn(&str) -> String + 'static) {
        let (sender, questions) = channel();
        *self.0.borrow_mut() = Some((questions, Box::new(answer)));
        for clerk in &desk.0 {
            // One that is gone asks no more.
            let _ = clerk.send((shard, sender.clone()));
        }
    }

    /// Answers no more.
    pub(super) fn end(&self) {
        self.0.borrow_mut().take();
    }

    /// The tick's part.
    pub(super) fn answer(&self) {
        let answering = self.0.borrow();
        let Some((questions, answer)) = &*answering else { return };
        for inquiry in questions.try_iter().take(TICK_QUESTIONS_MAX) {
            // Whoever asked may have lost patience.
            let _ = inquiry.answer.send(answer(&inquiry.question));
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's shards are threads")]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn every_shard_answers_at_its_tick() {
        let (desk, mut clerks) = desk(2);
        let mut clerk = clerks.remove(1);
        assert_eq!(clerk.ask("who?"), []);
        let over = Arc::new(AtomicBool::new(false));
        let shards: Vec<_> = (0..2)
            .map(|shard| {
                let (desk, over) = (desk.clone(), Arc::clone(&over));
                std::thread::spawn(move || {
                    let answering = Answering::default();
                    answering.begin(ShardId(shard), &desk, move |question| format!("{shard}: {question}"));
                    while !over.load(Ordering::Relaxed) {
                        answering.answer();
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        let mut told = Vec::new();
        while told.len() < 2 {
            told = clerk.ask("who?");
        }
        assert_eq!(told, [(ShardId(0), "0: who?".to_owned()), (ShardId(1), "1: who?".to_owned())]);
        over.store(true, Ordering::Relaxed);
        shards.into_iter().for_each(|shard| shard.join().unwrap());
        assert_eq!(clerk.ask("who?"), [], "they are gone");
    }
}
