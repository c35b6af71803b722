//! A follower's log on the simulated disk: batches are copied, flushed, cut off and copied anew, the process ends or
//! the power fails at any operation, and what a restart finds is a beginning of what was there, never what was cut
//! off.

use super::disk::{Disk, Trouble};
use super::exec::Exec;
use crate::base::mutant::{Mutant, all_noticed, first_noticing};
use crate::base::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use crate::log::epochs::EpochCache;
use crate::log::producers::ProducerStates;
use crate::seam::FlushScope;
use crate::shard::storage::{Begun, LogConf, PartitionLog, TailCache, flush_jobs, write_jobs};
use crate::wire::batch::{BatchBuilder, BatchMeta, Codec};
use bytes::Bytes;
use futures_lite::future::or;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const SEEDS: u64 = 400;
const LIVES: u32 = 4;
const STEPS_MAX: u64 = 10_000_000;
const KEY: TopicPartition = TopicPartition { topic: TopicId([5; 16]), partition: PartitionIndex(0) };

/// What is done to the log's end at the moment.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    Cutting(Offset),
    BeginningAnew(Offset),
}

/// What the log must be.
struct Model {
    start: Offset,
    /// Where the log ends at least: a cut may go through a gap.
    floor: Offset,
    batches: Vec<(BatchMeta, Bytes)>,
    durable: Offset,
    epoch: i32,
    doing: Doing,
}

impl Model {
    fn end(&self) -> Offset {
        let last = self.batches.last().map_or(self.start, |(meta, _)| meta.last_offset() + 1);
        last.max(self.floor)
    }

    /// The end of what begins below an offset and ends there.
    fn truncate(&mut self, to: Offset) {
        self.batches.retain(|(meta, _)| meta.last_offset() < to);
    }

    fn epochs(&self) -> EpochCache {
        let mut epochs = EpochCache::default();
        self.batches.iter().for_each(|(meta, _)| epochs.assign(meta.leader_epoch, meta.base_offset));
        epochs
    }
}

struct Life {
    exec: Exec,
    disk: Disk,
    log: PartitionLog<Disk>,
    model: Rc<RefCell<Model>>,
}

fn conf() -> LogConf {
    LogConf {
        segment_bytes: 40_000,
        segment_ms: i64::MAX,
        retention_ms: None,
        retention_bytes: None,
        compaction: None,
    }
}

impl Life {
    fn append(&mut self) {
        let mut model = self.model.borrow_mut();
        model.epoch += i32::from(self.exec.chance(10));
        let gap = if self.exec.chance(5) { 1 + self.exec.below(20) } else { 0 };
        let offset = model.end() + Offset::try_from(gap).unwrap();
        let value = vec![
            u8::try_from(self.exec.below(256)).unwrap();
            usize::try_from(self.exec.below(7000)).unwrap()
        ];
        let mut batch = BatchBuilder::new(Codec::None, 1);
        for _ in 0..=self.exec.below(3) {
            batch = batch.record(1, None, Some(&value));
        }
        let bytes = batch.build_at(offset, LeaderEpoch(model.epoch));
        let meta = BatchMeta::read(&bytes).unwrap();
        self.log.append_copy(&bytes, &meta, 1);
        model.batches.push((meta, bytes));
    }

    async fn flush(&mut self) {
        let Begun::Job(job) = self.log.begin_flush() else { return };
        let mut jobs = [job];
        write_jobs(&self.disk, &mut jobs).await.unwrap();
        self.log.written(&jobs[0]);
        flush_jobs(&self.disk, &[&jobs[0]]).await.unwrap();
        let [job] = jobs;
        self.model.borrow_mut().durable = job.upto();
        self.log.flushed(job);
    }

    async fn prepare(&mut self) {
        if let Some(job) = self.log.prepare_next() {
            let done = job.run().await.unwrap();
            self.log.prepared(done);
        }
    }

    async fn checkpoint(&mut self) {
        let (epochs, end) = (self.model.borrow().epochs(), self.model.borrow().durable);
        let mut job = self.log.begin_checkpoint(&ProducerStates::default(), &epochs, end);
        job.run(&self.disk).await.unwrap();
        self.log.checkpointed(&job);
    }

    async fn cut(&mut self) {
        self.flush().await;
        let (low, high) = (self.model.borrow().start, self.model.borrow().end());
        let to = high - Offset::try_from(self.exec.below((high - low).unsigned_abs().min(60) + 1)).unwrap();
        self.log.begin_cutting();
        let place = self.log.plan_cut(to).run().await.unwrap();
        self.model.borrow_mut().doing = Doing::Cutting(place.offset());
        let mut epochs = self.model.borrow().epochs();
        epochs.truncate_end(place.offset());
        let made = self.log.begin_cut(place, ProducerStates::default(), epochs).run().await.unwrap();
        self.log.end_cut(place, made, 1);
        let mut model = self.model.borrow_mut();
        model.truncate(to);
        model.floor = place.offset();
        assert!(model.end() <= place.offset() && place.offset() <= to, "cut at a batch's start");
        (model.doing, model.durable) = (Doing::Nothing, model.end());
        // What is copied next was written under a later leader, or the same one.
        model.epoch += 1;
        if self.exec.chance(80) {
            drop(model);
            self.append();
        }
    }

    async fn begin_anew(&mut self) {
        self.flush().await;
        let at = self.model.borrow().end() + Offset::try_from(self.exec.below(50)).unwrap();
        self.log.begin_cutting();
        self.model.borrow_mut().doing = Doing::BeginningAnew(at);
        self.log.begin_anew(at).run().await.unwrap();
        self.log.end_anew(at, 1);
        let mut model = self.model.borrow_mut();
        model.batches.clear();
        (model.start, model.floor, model.durable, model.doing) = (at, at, at, Doing::Nothing);
    }

    /// Goes on until it is ended.
    async fn live(mut self) {
        loop {
            match self.exec.below(100) {
                0..50 => self.append(),
                50..75 => self.flush().await,
                75..80 => self.prepare().await,
                80..88 => self.checkpoint().await,
                88..98 => self.cut().await,
                _ => self.begin_anew().await,
            }
            self.exec.sleep(Duration::from_micros(1)).await;
        }
    }
}

/// Reads a log back, batch by batch.
async fn read_back(log: &PartitionLog<Disk>, start: Offset, end: Offset) -> Vec<Bytes> {
    let (mut from, mut found) = (start, Vec::new());
    while from < end {
        let bytes = Bytes::from(log.plan_read(from, end, 30_000, true).run().await.unwrap().concat());
        let mut at = 0;
        while let Some(meta) = bytes.get(at..).and_then(BatchMeta::read) {
            found.push(bytes.slice(at..at + meta.bytes));
            at += meta.bytes;
            from = meta.last_offset() + 1;
        }
        assert!(at > 0, "there is a batch at {from}, for the log ends at {end}");
    }
    found
}

/// What a restart finds; the model becomes that.
async fn restart(exec: &Exec, disk: &Disk, shared: &Rc<RefCell<Model>>, fresh: bool) -> Life {
    let (dir, cache) = (Path::new("./log"), TailCache::new(64 << 10));
    let recovered = if fresh {
        PartitionLog::create(disk, (dir, KEY), conf(), &cache, 1).await
    } else {
        PartitionLog::recover(disk, (dir, KEY), conf(), &cache, 1).await
    };
    let recovered = recovered.expect("nothing is damaged");
    let (log, state) = (recovered.log, recovered.state);
    let (start, end) = (state.log_start, state.log_end);
    let batches = read_back(&log, start, end).await;
    let mut model = shared.borrow_mut();
    let doing = std::mem::replace(&mut model.doing, Doing::Nothing);
    let begins_there = matches!(doing, Doing::BeginningAnew(at) if [at, model.start].contains(&end));
    // Where an empty log begins is forgotten by a loss of power until something is flushed there.
    if batches.is_empty() && (begins_there || model.durable <= model.start) {
        model.batches.clear();
        (model.start, model.durable) = (end, end);
    }
    model.floor = model.start;
    let least = match doing {
        Doing::Nothing => model.durable,
        Doing::Cutting(to) => to,
        Doing::BeginningAnew(_) => model.start,
    };
    assert!(
        batches.iter().zip(&model.batches).all(|(found, (_, wanted))| found == wanted),
        "{doing:?}: as copied"
    );
    assert!(batches.len() <= model.batches.len(), "{doing:?}: nothing is there that isn't in the log");
    model.batches.truncate(batches.len());
    let ends = model.end();
    assert!(end >= ends && end >= least.min(ends), "{doing:?}: {end} is the end of what is there, {ends}");
    assert!(ends >= least || end >= least, "{doing:?}: what was flushed up to {least} is there up to {end}");
    let mut known = state.epochs.clone();
    known.truncate_end(end);
    assert_eq!(known, model.epochs(), "{doing:?}: leader epochs are those of the batches");
    (model.durable, model.floor) = (end, end);
    Life { exec: exec.clone(), disk: disk.clone(), log, model: shared.clone() }
}

fn run(seed: u64) -> usize {
    let exec = Exec::new(seed);
    let scope = if exec.chance(50) { FlushScope::Device } else { FlushScope::File };
    let disk = Disk::new(exec.clone(), scope);
    let first =
        Model { start: 0, floor: 0, batches: Vec::new(), durable: 0, epoch: 1, doing: Doing::Nothing };
    let model = Rc::new(RefCell::new(first));
    let mut batches = 0;
    exec.run(
        async {
            for life in 0..LIVES {
                let alive = restart(&exec, &disk, &model, life == 0).await;
                disk.trouble_after(exec.below(60), Trouble::Hangs);
                or(alive.live(), exec.sleep(Duration::from_millis(80))).await;
                batches += model.borrow().batches.len();
                if exec.chance(50) { disk.cut_power() } else { disk.end_process() }
            }
            restart(&exec, &disk, &model, false).await;
        },
        STEPS_MAX,
    );
    batches
}

#[test]
fn a_copied_log_survives_every_crash_and_what_was_cut_off_stays_so() {
    let mut batches = 0;
    for seed in 0..SEEDS {
        println!("seed {seed}");
        batches += run(seed);
    }
    assert!(batches > 20 * 400, "the runs do something: {batches}");
}

#[test]
fn a_cut_that_leaves_something_behind_is_noticed() {
    all_noticed(&[Mutant::UndurableCut], |mutant| first_noticing(mutant, 0..SEEDS, run));
}
