//! What was acknowledged, what came back, and what that says of the broker.
//!
//! A place is a partition and a lane in it. Producers enter what was acknowledged, and what they gave up on, which may
//! or may not be there. Consumers enter what they read. Ledgers of several threads add up.

use super::ranges::Ranges;
use std::collections::BTreeMap;

/// How many findings are kept as text.
const EXAMPLES_MAX: usize = 20;

/// One lane's records in one partition.
#[derive(Clone, Debug, Default)]
struct Place {
    acknowledged: Ranges,
    uncertain: Ranges,
    received: Ranges,
    duplicates: u64,
    /// Arrived after a later one had.
    reordered: u64,
    /// One more than the largest received.
    next: u64,
}

/// Acknowledged and received records of one run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    places: BTreeMap<(u32, u32), Place>,
    corrupt: u64,
    foreign: u64,
    examples: Vec<String>,
}

/// What a ledger says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records that the broker acknowledged.
    pub acknowledged: u64,
    /// Records that came back, each counted once.
    pub received: u64,
    /// Acknowledged, and not there.
    pub lost: u64,
    /// More than once there.
    pub duplicates: u64,
    /// Behind one of the same lane and partition that was sent later.
    pub reordered: u64,
    /// With a checksum that doesn't fit, or in a batch whose CRC doesn't.
    pub corrupt: u64,
    /// Never acknowledged, and there all the same: allowed.
    pub unacknowledged: u64,
    /// Of other runs or other programs: not looked at.
    pub foreign: u64,
    /// Some of what is wrong, by name.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Whether the broker kept its word.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicates == 0 && self.reordered == 0 && self.corrupt == 0
    }
}

impl Ledger {
    fn place(&mut self, partition: u32, lane: u32) -> &mut Place {
        self.places.entry((partition, lane)).or_default()
    }

    /// A producer's records `first..first + count` were acknowledged.
    pub fn acknowledge(&mut self, partition: u32, lane: u32, first: u64, count: u64) {
        self.place(partition, lane).acknowledged.add(first, first + count);
    }

    /// A producer's records may or may not be there: it gave up on them.
    pub fn give_up(&mut self, partition: u32, lane: u32, first: u64, count: u64) {
        self.place(partition, lane).uncertain.add(first, first + count);
    }

    /// A consumer read records with consecutive numbers, in this order.
    pub fn receive(&mut self, partition: u32, lane: u32, first: u64, count: u64) {
        let place = self.place(partition, lane);
        let end = first + count;
        if first >= place.next {
            // Above all that came before: nothing can be a duplicate or late.
            place.received.add(first, end);
            place.next = end;
            return;
        }
        (first..end).for_each(|sequence| self.receive_one(partition, lane, sequence));
    }

    fn receive_one(&mut self, partition: u32, lane: u32, sequence: u64) {
        let place = self.place(partition, lane);
        let new = place.received.add(sequence, sequence + 1) > 0;
        let late = sequence < place.next;
        place.next = place.next.max(sequence + 1);
        if !new {
            place.duplicates += 1;
            self.example(format!("partition {partition}, lane {lane}: record {sequence} twice"));
        } else if late {
            place.reordered += 1;
            self.example(format!("partition {partition}, lane {lane}: record {sequence} out of order"));
        }
    }

    /// Forgets what was read, for reading all of it again.
    pub fn forget_receipts(&mut self) {
        for place in self.places.values_mut() {
            (place.received, place.duplicates, place.reordered, place.next) = (Ranges::default(), 0, 0, 0);
        }
        (self.corrupt, self.foreign) = (0, 0);
        self.examples.clear();
    }

    /// A record or batch is damaged.
    pub fn corrupt(&mut self, what: String) {
        self.corrupt += 1;
        self.example(what);
    }

    /// A record isn't of this run.
    pub fn foreign(&mut self) {
        self.foreign += 1;
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }

    /// Adds another thread's ledger. A place has one producer and one consumer, so what each knows doesn't overlap.
    pub fn add(&mut self, other: &Ledger) {
        for ((partition, lane), place) in &other.places {
            let mine = self.place(*partition, *lane);
            for (into, from) in [
                (&mut mine.acknowledged, &place.acknowledged),
                (&mut mine.uncertain, &place.uncertain),
                (&mut mine.received, &place.received),
            ] {
                from.iter().for_each(|(start, end)| {
                    into.add(start, end);
                });
            }
            mine.duplicates += place.duplicates;
            mine.reordered += place.reordered;
            mine.next = mine.next.max(place.next);
        }
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
        other.examples.iter().for_each(|text| self.example(text.clone()));
    }

    /// The first number that nobody has used, by place (partition and lane): where a later phase goes on.
    pub fn next_sequences(&self) -> impl Iterator<Item = ((u32, u32), u64)> + '_ {
        let end = |ranges: &Ranges| ranges.iter().last().map_or(0, |(_, end)| end);
        self.places
            .iter()
            .map(move |(key, place)| (*key, end(&place.acknowledged).max(end(&place.uncertain))))
    }

    /// What it says.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict {
            corrupt: self.corrupt,
            foreign: self.foreign,
            examples: self.examples.clone(),
            ..Verdict::default()
        };
        for ((partition, lane), place) in &self.places {
            verdict.acknowledged += place.acknowledged.len();
            verdict.received += place.received.len();
            verdict.duplicates += place.duplicates;
            verdict.reordered += place.reordered;
            verdict.unacknowledged +=
                place.received.minus(&place.acknowledged).iter().map(|(start, end)| end - start).sum::<u64>();
            for (start, end) in place.acknowledged.minus(&place.received) {
                verdict.lost += end - start;
                if verdict.examples.len() < 2 * EXAMPLES_MAX {
                    let last = end - 1;
                    verdict.examples.push(format!(
                        "partition {partition}, lane {lane}: records {start} to {last} were acknowledged \
                         and are missing"
                    ));
                }
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_keeps_its_word_is_found_good() {
        let mut ledger = Ledger::default();
        ledger.acknowledge(0, 1, 0, 10);
        ledger.give_up(0, 1, 10, 5);
        ledger.receive(0, 1, 0, 8);
        ledger.receive(0, 1, 8, 4);
        let verdict = ledger.verdict();
        assert!(verdict.is_good());
        assert_eq!((verdict.acknowledged, verdict.received, verdict.unacknowledged), (10, 12, 2));
        assert_eq!(ledger.next_sequences().collect::<Vec<_>>(), [((0, 1), 15)]);
    }

    #[test]
    fn loss_duplicates_and_disorder_are_told_apart() {
        let mut ledger = Ledger::default();
        ledger.acknowledge(3, 0, 0, 10);
        ledger.receive(3, 0, 0, 1);
        ledger.receive(3, 0, 2, 1);
        ledger.receive(3, 0, 1, 2);
        ledger.receive(3, 0, 9, 1);
        let verdict = ledger.verdict();
        assert_eq!((verdict.lost, verdict.duplicates, verdict.reordered), (6, 1, 1));
        assert!(verdict.examples.iter().any(|text| text.contains("records 3 to 8")), "{verdict:?}");
    }

    #[test]
    fn ledgers_of_threads_add_up() {
        let (mut producer, mut consumer) = (Ledger::default(), Ledger::default());
        producer.acknowledge(0, 0, 0, 5);
        consumer.receive(0, 0, 0, 5);
        consumer.corrupt("partition 0: a damaged record".to_owned());
        let mut both = Ledger::default();
        both.add(&producer);
        both.add(&consumer);
        let verdict = both.verdict();
        assert_eq!((verdict.lost, verdict.received, verdict.corrupt), (0, 5, 1));
    }
}
