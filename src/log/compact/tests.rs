//! Random histories with transactions, tombstones and rounds that end early, compacted batch by batch, against a model
//! that knows every record.

use super::{Fate, Look, Mapped, Mapping, Sieve, Sifted};
use crate::base::digest::DigestKey;
use crate::base::mutant::{Mutant, all_noticed, first_noticing};
use crate::base::random::Random;
use crate::base::{LeaderEpoch, Offset};
use crate::log::producers::ProducerStates;
use crate::wire::batch::{
    BatchBuilder, BatchMeta, CONTROL, Codec, EndMarker, KeyWalk, Record, Rewrite, TRANSACTIONAL, emptied,
    records,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const RETENTION_MS: i64 = 100;
const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A batch as the model sees it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    base: Offset,
    last: Offset,
    producer: i64,
    sequence: i32,
    transactional: bool,
    control: bool,
    horizon: Option<i64>,
    records: Vec<Record>,
}

fn seen(batch: &Bytes) -> Seen {
    let meta = BatchMeta::read(batch).unwrap();
    assert!(meta.crc_fits(batch) && meta.bytes == batch.len());
    let records = records(batch).unwrap();
    assert_eq!(i32::try_from(records.len()).unwrap(), meta.count);
    let times = records.iter().map(|record| record.timestamp);
    assert!(records.is_empty() || times.max() == Some(meta.max_timestamp));
    Seen {
        base: meta.base_offset,
        last: meta.last_offset(),
        producer: meta.producer_id.0,
        sequence: meta.base_sequence,
        transactional: meta.is_transactional(),
        control: meta.is_control(),
        horizon: meta.delete_horizon_ms(),
        records,
    }
}

/// A log, and all that ever was in it.
struct History {
    random: Random,
    log: Vec<Bytes>,
    written: Vec<Seen>,
    /// First offsets of transactions that are open, by producer.
    open: BTreeMap<i64, Offset>,
    sequences: BTreeMap<i64, i32>,
    /// Batches of aborted transactions, by base offset.
    aborted: BTreeSet<Offset>,
    of_open: BTreeMap<i64, Vec<Offset>>,
    producers: ProducerStates,
    end: Offset,
    now_ms: i64,
    clean: Offset,
    keys: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let keys = 1 + random.below(12);
        History {
            random,
            log: Vec::new(),
            written: Vec::new(),
            open: BTreeMap::new(),
            sequences: BTreeMap::new(),
            aborted: BTreeSet::new(),
            of_open: BTreeMap::new(),
            producers: ProducerStates::default(),
            end: 0,
            now_ms: 1000,
            clean: 0,
            keys,
        }
    }

    fn push(&mut self, builder: &BatchBuilder) {
        let batch = builder.build_at(self.end, LeaderEpoch(0));
        let meta = BatchMeta::read(&batch).unwrap();
        self.producers.apply(&meta, self.end, self.now_ms);
        self.end = meta.last_offset() + 1;
        self.written.push(seen(&batch));
        self.log.push(batch);
    }

    fn append(&mut self) {
        self.now_ms += i64::try_from(self.random.below(20)).unwrap();
        let producer = i64::try_from(self.random.below(5)).unwrap() - 1;
        if producer >= 2 && self.open.contains_key(&producer) && self.random.chance(40) {
            return self.end_transaction(producer);
        }
        let pick = usize::try_from(self.random.below(8)).unwrap();
        let codec = CODECS.get(pick).copied().unwrap_or(Codec::None);
        let mut builder = BatchBuilder::new(codec, self.now_ms - 30);
        if producer >= 0 {
            builder = builder.producer(producer, 0, self.sequences.get(&producer).copied().unwrap_or(0));
        }
        if producer >= 2 {
            builder = builder.attributes(TRANSACTIONAL);
            self.open.entry(producer).or_insert(self.end);
            self.of_open.entry(producer).or_default().push(self.end);
        }
        let count = 1 + self.random.below(4);
        for _ in 0..count {
            let key = self.random.below(self.keys).to_be_bytes();
            let value = self.random.next_u64().to_be_bytes();
            let (keyed, valued) = (!self.random.chance(3), !self.random.chance(25));
            let timestamp = self.now_ms - i64::try_from(self.random.below(30)).unwrap();
            builder = builder.record(timestamp, keyed.then_some(&key[..]), valued.then_some(&value[..]));
        }
        *self.sequences.entry(producer).or_default() += i32::try_from(count).unwrap();
        self.push(&builder);
    }

    fn end_transaction(&mut self, producer: i64) {
        let committed = self.random.chance(50);
        let key = [0, 0, 0, u8::from(committed)];
        let builder = BatchBuilder::new(Codec::None, self.now_ms).producer(producer, 0, -1);
        let builder =
            builder.attributes(TRANSACTIONAL | CONTROL).record(self.now_ms, Some(&key), Some(&[0; 6]));
        self.push(&builder);
        self.open.remove(&producer);
        let batches = self.of_open.remove(&producer).unwrap_or_default();
        if !committed {
            self.aborted.extend(batches);
        }
    }

    /// Where a round may end: before any transaction that is open.
    fn upto(&mut self) -> Offset {
        let stable = self.open.values().copied().min().unwrap_or(self.end);
        let ends: Vec<Offset> =
            self.written.iter().map(|seen| seen.last + 1).filter(|end| *end <= stable).collect();
        // Not always all that could be.
        let skip = usize::try_from(self.random.below(3)).unwrap();
        ends.iter().rev().nth(skip).copied().unwrap_or(0).max(self.clean)
    }

    /// What a reader of committed records comes to know, key by key, from some batches.
    fn state(&self, batches: &[Seen], upto: Offset) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut state = BTreeMap::new();
        let readable = |seen: &&Seen| !seen.control && seen.base < upto && !self.aborted.contains(&seen.base);
        for record in batches.iter().filter(readable).flat_map(|seen| &seen.records) {
            let Some(key) = &record.key else { continue };
            match &record.value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
        state
    }

    /// The batches after a round by the model, with `None` for those that go.
    fn expected(&self, before: &[Seen], upto: Offset) -> Vec<Option<Seen>> {
        let last_of: BTreeSet<Offset> =
            self.producers.last_batches().values().filter_map(|last| last.base_offset).collect();
        let mut latest: BTreeMap<&[u8], Offset> = BTreeMap::new();
        for seen in self.written.iter().filter(|seen| !seen.control && !self.aborted.contains(&seen.base)) {
            for record in seen.records.iter().filter(|record| record.offset < upto) {
                latest.extend(record.key.as_deref().map(|key| (key, record.offset)));
            }
        }
        let one = |at: usize, old: &Seen| {
            if old.base >= upto {
                return Some(old.clone());
            }
            let expired = old.horizon.is_some_and(|horizon| horizon <= self.now_ms);
            let mut new = old.clone();
            let horizon = self.now_ms + RETENTION_MS;
            if old.control {
                let since =
                    before[..at].iter().rev().take_while(|b| !(b.control && b.producer == old.producer));
                let used =
                    since.filter(|batch| batch.transactional).any(|batch| batch.producer == old.producer);
                if !used && !old.records.is_empty() {
                    new.horizon.get_or_insert(horizon);
                    if expired {
                        new.records.clear();
                    }
                }
            } else {
                new.records.retain(|record| {
                    let newest =
                        record.key.as_deref().is_some_and(|key| latest.get(key) == Some(&record.offset));
                    newest && !(record.value.is_none() && expired) && !self.aborted.contains(&old.base)
                });
                if new.records.iter().any(|record| record.value.is_none()) {
                    new.horizon.get_or_insert(horizon);
                }
            }
            if new.records.is_empty() {
                new.horizon = None;
                let stays = last_of.contains(&old.base) || old.last + 1 == upto;
                return stays.then_some(new);
            }
            Some(new)
        };
        before.iter().enumerate().map(|(at, old)| one(at, old)).collect()
    }

    /// One round, which may end early. The log is checked against the model, and against what readers are promised.
    fn round(&mut self) {
        let upto = self.upto();
        let before: Vec<Seen> = self.log.iter().map(seen).collect();
        let expected = self.expected(&before, upto);
        let stable = self.open.values().copied().min().unwrap_or(self.end);
        let truth = self.state(&self.written, stable);
        let (clean, left) = self.sifted(upto, 1 << 20);
        let done = if self.random.chance(30) {
            usize::try_from(self.random.below(left.len() as u64 + 1)).unwrap()
        } else {
            assert_eq!(clean, upto, "there is room for all keys");
            self.clean = clean;
            left.len()
        };
        let found: Vec<Option<Seen>> = left.iter().map(|batch| batch.as_ref().map(seen)).collect();
        assert_eq!(found[..done], expected[..done], "a round up to {upto} at {}", self.now_ms);
        self.splice(left, done);
        let after: Vec<Seen> = self.log.iter().map(seen).collect();
        assert_eq!(self.state(&after, stable), truth, "each key has its last value");
        self.check_tombstones(&before, &after);
    }

    /// A tombstone that a reader needs goes only once its time is over.
    fn check_tombstones(&self, before: &[Seen], after: &[Seen]) {
        let there: BTreeSet<Offset> =
            after.iter().flat_map(|seen| &seen.records).map(|record| record.offset).collect();
        let later = |record: &Record| {
            let readable =
                self.written.iter().filter(|seen| !seen.control && !self.aborted.contains(&seen.base));
            readable.flat_map(|seen| &seen.records).any(|r| r.offset > record.offset && r.key == record.key)
        };
        for batch in before.iter().filter(|seen| !self.aborted.contains(&seen.base)) {
            let young = batch.horizon.is_none_or(|horizon| horizon > self.now_ms);
            for record in batch.records.iter().filter(|record| record.value.is_none() && record.key.is_some())
            {
                assert!(!young || there.contains(&record.offset) || later(record), "{record:?} is needed");
            }
        }
    }

    fn splice(&mut self, left: Vec<Option<Bytes>>, done: usize) {
        let old = std::mem::take(&mut self.log);
        let rest = old.into_iter().skip(done);
        self.log = left.into_iter().take(done).flatten().chain(rest).collect();
    }

    /// What the machines leave of each batch, and the dirty point after that.
    fn sifted(&self, upto: Offset, map_bytes: usize) -> (Offset, Vec<Option<Bytes>>) {
        let digest = DigestKey::new([5, 6]);
        let mapped = mapped(&self.log, (self.clean, upto), map_bytes, digest);
        let mut sieve = Sieve::new(mapped, upto, self.producers.last_batches(), self.now_ms, RETENTION_MS);
        let left = self.log.iter().map(|batch| {
            let meta = BatchMeta::read(batch).unwrap();
            if meta.base_offset >= upto {
                return Some(batch.clone());
            }
            let fate = sieve.fate(&meta, EndMarker::read(batch).is_some());
            let what = if fate == Fate::Sift {
                let mut walk = KeyWalk::new(batch, digest).unwrap();
                let mut take = |keyed| {
                    sieve.record(&meta, &keyed);
                    true
                };
                while !walk.step(&mut take).unwrap() {}
                sieve.sifted(&meta)
            } else {
                Sifted::Whole(fate)
            };
            let (keep, horizon) = match what {
                Sifted::Whole(Fate::Stay | Fate::Sift) => return Some(batch.clone()),
                Sifted::Whole(Fate::Go) => return None,
                Sifted::Whole(Fate::Empty) => return Some(emptied(batch, &meta).into()),
                Sifted::Whole(Fate::Mark { horizon }) => {
                    (vec![true; usize::try_from(meta.count).unwrap()], Some(horizon))
                }
                Sifted::Some { keep, horizon } => (keep, horizon),
            };
            let mut rewrite = Rewrite::new(batch, keep, horizon).unwrap();
            std::iter::repeat_with(|| rewrite.step().unwrap()).find_map(|new| new).map(Bytes::from)
        });
        let left = left.collect();
        (sieve.end(), left)
    }
}

fn mapped(log: &[Bytes], (from, upto): (Offset, Offset), bytes: usize, digest: DigestKey) -> Mapped {
    let mut mapping = Mapping::new(from, upto, bytes);
    for batch in log {
        let meta = BatchMeta::read(batch).unwrap();
        match mapping.look(&meta) {
            Look::Enough => break,
            Look::Past => {}
            Look::Marker => mapping.marker(&meta, EndMarker::read(batch).unwrap().committed),
            Look::Records => {
                let mut walk = KeyWalk::new(batch, digest).unwrap();
                while !walk.step(|keyed| mapping.record(&meta, &keyed)).unwrap() {}
                mapping.passed(&meta);
            }
        }
    }
    mapping.finish()
}

fn run(seed: u64) {
    let mut history = History::new(seed);
    for _ in 0..8 {
        for _ in 0..history.random.below(25) {
            history.append();
        }
        history.now_ms += i64::try_from(history.random.below(150)).unwrap();
        history.round();
    }
}

#[test]
fn any_history_is_compacted_as_the_model_says() {
    for seed in 0..600 {
        println!("seed {seed}");
        run(seed);
    }
}

#[test]
fn every_planted_fault_of_compaction_is_noticed() {
    all_noticed(Mutant::OF_COMPACTION, |mutant| first_noticing(mutant, 0..600, run));
}

/// More keys than the map has room for: rounds get on, a part at a time, and lose nothing.
#[test]
fn a_map_that_is_full_ends_a_round_in_between() {
    for seed in 0..20 {
        let mut history = History::new(seed);
        history.keys = 3000;
        for _ in 0..1500 {
            history.append();
        }
        let stable = history.open.values().copied().min().unwrap_or(history.end);
        let upto = history.written.iter().map(|seen| seen.last + 1).take_while(|end| *end <= stable).last();
        let upto = upto.unwrap();
        let truth = history.state(&history.written, stable);
        let mut rounds = 0;
        while history.clean < upto {
            let (clean, left) = history.sifted(upto, 0);
            assert!(clean > history.clean, "every round gets on");
            history.clean = clean;
            history.splice(left, usize::MAX);
            let after: Vec<Seen> = history.log.iter().map(seen).collect();
            assert_eq!(history.state(&after, stable), truth);
            rounds += 1;
        }
        assert!(rounds > 1, "there are more keys than room");
        let after: Vec<Seen> = history.log.iter().map(seen).collect();
        let mut once = BTreeSet::new();
        let below = after.iter().filter(|seen| !seen.control).flat_map(|seen| &seen.records);
        for record in below.filter(|record| record.offset < upto) {
            assert!(once.insert(record.key.clone()), "a key is there twice");
        }
        let aborted = after.iter().filter(|seen| history.aborted.contains(&seen.base) && seen.base < upto);
        assert!(aborted.flat_map(|seen| &seen.records).next().is_none());
    }
}
