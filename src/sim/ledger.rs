//! What transactional producers did, what readers saw of it, and whether that fits.

use super::client::{Client, FETCH, OFFSET_FETCH};
use super::txns::{find, settle};
use super::workload::Run;
use crate::base::{ErrorCode, Offset};
use crate::wire::batch::{EndMarker, records, walk};
use crate::wire::generated::fetch_request::{FetchPartition, FetchTopic};
use crate::wire::generated::fetch_response::PartitionData;
use crate::wire::generated::offset_fetch_request::OffsetFetchRequestTopic;
use crate::wire::generated::{FetchRequest, FetchResponse, OffsetFetchRequest, OffsetFetchResponse};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The topic that transactions write to, and the group whose offsets they commit.
pub(super) const TOPIC: &str = "ledger";
pub(super) const OFFSETS_GROUP: &str = "ledger";

/// A record's value: its transaction, its number in its batch, then filling.
pub(super) fn value(transaction: u64, index: u64, filling: usize) -> Vec<u8> {
    let mut value = transaction.to_be_bytes().to_vec();
    value.extend(index.to_be_bytes());
    value.resize(16 + filling, 7);
    value
}

/// How a transaction may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nobody asked for a commit: nothing of it may count.
    Unasked,
    /// A commit was asked for, and nobody knows.
    Asked,
    /// A commit was acknowledged.
    Committed,
    /// An abort was acknowledged.
    Aborted,
}

/// One transaction.
#[derive(Debug)]
struct Transaction {
    producer: u64,
    /// Where it writes, and how many records each batch has.
    batches: BTreeMap<i32, Vec<u64>>,
    offsets: bool,
    end: End,
}

/// What everybody knows.
#[derive(Debug, Default)]
pub struct Ledger {
    partitions: i32,
    transactions: Vec<Transaction>,
    incarnations: u64,
    /// The current incarnation of each transactional id: the newest that was answered, by who it was told to be.
    current: BTreeMap<u64, ((i64, i16), u64)>,
    /// What read_committed readers saw, by partition and offset.
    seen: BTreeMap<(i32, Offset), u64>,
    /// How far partitions were stable.
    stable: BTreeMap<i32, Offset>,
    /// Commits that were acknowledged.
    pub commits: usize,
}

impl Ledger {
    pub(super) fn begin(&mut self, partitions: i32) {
        self.partitions = partitions;
    }

    pub(super) fn partitions(&self) -> i32 {
        self.partitions
    }

    /// The partition under which a producer commits its offsets.
    pub(super) fn slot(&self, producer: u64) -> i32 {
        i32::try_from(producer).expect("few") % self.partitions
    }

    pub(super) fn incarnate(&mut self) -> u64 {
        self.incarnations += 1;
        self.incarnations
    }

    /// An incarnation was told who it is. Answers may come in another order than they were decided in: the later of two
    /// is the one with the higher id or epoch.
    pub(super) fn begins(&mut self, producer: u64, incarnation: u64, identity: (i64, i16)) {
        let entry = self.current.entry(producer).or_insert((identity, incarnation));
        *entry = (*entry).max((identity, incarnation));
    }

    pub(super) fn is_current(&self, producer: u64, incarnation: u64) -> bool {
        self.current.get(&producer).is_some_and(|(_, current)| *current == incarnation)
    }

    pub(super) fn opens(&mut self, producer: u64, places: &BTreeSet<i32>, offsets: bool) -> u64 {
        let batches = places.iter().map(|place| (*place, Vec::new())).collect();
        self.transactions.push(Transaction { producer, batches, offsets, end: End::Unasked });
        self.transactions.len() as u64 - 1
    }

    fn of(&mut self, transaction: u64) -> &mut Transaction {
        &mut self.transactions[usize::try_from(transaction).expect("an index")]
    }

    pub(super) fn sends(&mut self, transaction: u64, place: i32, count: u64) {
        self.of(transaction).batches.get_mut(&place).expect("it writes there").push(count);
    }

    pub(super) fn decides(&mut self, transaction: u64, commit: bool) {
        if commit {
            self.of(transaction).end = End::Asked;
        }
    }

    pub(super) fn decided(&mut self, transaction: u64, commit: bool) {
        self.of(transaction).end = if commit { End::Committed } else { End::Aborted };
        self.commits += usize::from(commit);
    }

    /// A read_committed reader was shown a record.
    fn sees(&mut self, place: i32, offset: Offset, bytes: &[u8]) {
        let transaction = u64::from_be_bytes(*bytes.first_chunk().expect("a value has its transaction"));
        let end = self.of(transaction).end;
        assert!(
            matches!(end, End::Asked | End::Committed),
            "transaction {transaction} is shown at {offset} of partition {place}, but is {end:?}"
        );
        let before = self.seen.insert((place, offset), transaction);
        assert!(
            before.is_none_or(|before| before == transaction),
            "offset {offset} changed under its readers"
        );
    }

    fn is_stable_to(&mut self, place: i32, data: &PartitionData) {
        assert!(data.last_stable_offset <= data.high_watermark, "stable beyond the high watermark");
        let known = self.stable.entry(place).or_insert(0);
        let now = data.last_stable_offset;
        assert!(now >= *known, "partition {place} was stable to {known}, now to {now}");
        *known = now;
    }

    /// Takes a fetch as clients do (row 72): aborted transactions are passed over. Returns where to read on.
    fn take(&mut self, place: i32, position: Offset, data: &PartitionData) -> Offset {
        self.is_stable_to(place, data);
        let whole = data.records.as_ref().map(|records| records.0.concat()).unwrap_or_default();
        let mut aborted: Vec<_> = data.aborted_transactions.clone().unwrap_or_default();
        aborted.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        let mut passed_over = BTreeSet::new();
        let mut next = position;
        for (at, meta) in walk(&whole) {
            let batch = &whole[at..at + meta.bytes];
            assert!(meta.base_offset < data.last_stable_offset, "what isn't stable is shown");
            while let Some(one) = aborted.pop_if(|one| one.first_offset <= meta.last_offset()) {
                passed_over.insert(one.producer_id);
            }
            next = next.max(meta.last_offset() + 1);
            if meta.is_control() {
                if EndMarker::read(batch).is_some_and(|marker| !marker.committed) {
                    passed_over.remove(&meta.producer_id.0);
                }
                continue;
            }
            if passed_over.contains(&meta.producer_id.0) {
                continue;
            }
            for record in records(batch).expect("a batch that can be read") {
                if record.offset >= position {
                    self.sees(place, record.offset, &record.value.expect("every record has a value"));
                }
            }
        }
        next
    }

    /// Judges what a reader of everything saw, after those that saw `earlier`: every transaction is there as a whole,
    /// or not at all.
    fn judge(&self, earlier: &BTreeMap<(i32, Offset), u64>, offsets: &BTreeMap<i32, i64>) {
        for (place, transaction) in earlier {
            assert_eq!(self.seen.get(place), Some(transaction), "what was seen at {place:?} is gone");
        }
        let mut records: BTreeMap<u64, BTreeMap<i32, u64>> = BTreeMap::new();
        for ((place, _), transaction) in &self.seen {
            *records.entry(*transaction).or_default().entry(*place).or_default() += 1;
        }
        let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
        for (number, transaction) in (0u64..).zip(&self.transactions) {
            let Transaction { batches, end, producer, offsets } = transaction;
            let written = batches.iter().map(|(place, counts)| (*place, counts.iter().sum())).collect();
            match records.get(&number) {
                None => {
                    assert_ne!(*end, End::Committed, "transaction {number} was committed, and is not there")
                }
                Some(found) => assert_eq!(*found, written, "transaction {number} ({end:?}) is there in part"),
            }
            if *offsets && records.contains_key(&number) {
                newest.insert(self.slot(*producer), number.cast_signed());
            }
        }
        // Slots may be shared by producers, whose transactions overlap.
        for (slot, newest) in newest {
            let found = offsets.get(&slot).copied().unwrap_or(-1);
            let alone = self.current.keys().filter(|producer| self.slot(**producer) == slot).count() == 1;
            let fits = if alone { found == newest } else { found >= 0 };
            assert!(fits, "slot {slot} is at {found}, the last transaction that counts is {newest}");
        }
        for (slot, offset) in offsets.iter().filter(|(_, offset)| **offset >= 0) {
            let counts = records.contains_key(&offset.unsigned_abs());
            assert!(counts, "slot {slot} is at {offset}, of a transaction that doesn't count");
        }
    }
}

async fn fetch(run: &Run, client: &Client, place: i32, position: Offset) -> Option<PartitionData> {
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: i32::try_from(run.exec.below(20)).expect("small"),
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation_level: 1,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            partitions: vec![FetchPartition {
                partition: place,
                current_leader_epoch: -1,
                fetch_offset: position,
                last_fetched_epoch: -1,
                partition_max_bytes: 1 << (4 + run.exec.below(16)),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer: FetchResponse = client.call(FETCH, &request).await?;
    let data = answer.responses.into_iter().next()?.partitions.into_iter().next()?;
    // The topic may not be known yet, the disk may have failed.
    assert!(matches!(data.error_code, 0 | 3 | 6 | 56), "fetch at {position}: error {}", data.error_code);
    (data.error_code == 0).then_some(data)
}

/// Reads what is committed as it comes, over crashes; now and then from some earlier place.
pub(super) async fn read(run: Rc<Run>, place: i32) {
    let mut position = 0;
    while !run.ending.get() {
        let client = run.client().await;
        while !run.ending.get() {
            let Some(data) = fetch(&run, &client, place, position).await else { break };
            position = run.ledger.borrow_mut().take(place, position, &data);
            if run.exec.chance(5) {
                position = i64::try_from(run.exec.below(position.unsigned_abs() + 1)).expect("small");
            }
        }
        run.exec.sleep(run.exec.micros(0, 3000)).await;
    }
}

/// The committed offsets, once none is about to change.
async fn offsets(run: &Run) -> Option<BTreeMap<i32, i64>> {
    let client = run.client().await;
    find(&client, 0, &OFFSETS_GROUP.into()).await?;
    let partition_indexes = (0..run.ledger.borrow().partitions()).collect();
    let request = OffsetFetchRequest {
        group_id: OFFSETS_GROUP.into(),
        topics: Some(vec![OffsetFetchRequestTopic { name: TOPIC.into(), partition_indexes }]),
        require_stable: true,
        ..Default::default()
    };
    let answer: OffsetFetchResponse = client.call(OFFSET_FETCH, &request).await?;
    let partitions = &answer.topics.first()?.partitions;
    let unstable = ErrorCode::UnstableOffsetCommit.code();
    let told = partitions.iter().filter(|partition| partition.error_code != unstable);
    let told: BTreeMap<i32, i64> =
        told.map(|partition| (partition.partition_index, partition.committed_offset)).collect();
    Some(told)
}

/// Fetches offsets now and then: none is of a transaction that nobody wanted to commit, or did not.
pub(super) async fn watch_offsets(run: Rc<Run>) {
    while !run.ending.get() {
        if let Some(told) = offsets(&run).await {
            let mut ledger = run.ledger.borrow_mut();
            for (slot, offset) in told.into_iter().filter(|(_, offset)| *offset >= 0) {
                let end = ledger.of(offset.unsigned_abs()).end;
                assert!(
                    matches!(end, End::Asked | End::Committed),
                    "slot {slot} is at {offset}, of a transaction that is {end:?}"
                );
            }
        }
        run.exec.sleep(run.exec.micros(0, 10_000)).await;
    }
}

/// Ends all transactions, reads everything and judges it.
pub(super) async fn judge(run: &Rc<Run>, producers: u64) {
    for number in 0..producers {
        settle(run, number).await;
    }
    let partitions = run.ledger.borrow().partitions();
    let earlier = std::mem::take(&mut run.ledger.borrow_mut().seen);
    for place in 0..partitions {
        let mut position = 0;
        let client = run.client().await;
        // Until the end of the log: no transaction is left open for ever.
        loop {
            if let Some(data) = fetch(run, &client, place, position).await {
                position = run.ledger.borrow_mut().take(place, position, &data);
                if position >= data.high_watermark {
                    break;
                }
            }
            run.exec.sleep(run.exec.micros(0, 1_000)).await;
        }
    }
    let told = loop {
        match offsets(run).await {
            Some(told) if told.len() == usize::try_from(partitions).expect("few") => break told,
            _ => run.exec.sleep(run.exec.micros(0, 5_000)).await,
        }
    };
    run.ledger.borrow().judge(&earlier, &told);
}
