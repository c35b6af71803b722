//! Allocations of a broker that runs in this process, counted while a client produces and fetches: none per record, and
//! per request no more than is accounted for here.
#![expect(unsafe_code, reason = "a global allocator is unsafe to implement; this one only forwards")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test starts a broker and finds it a port"
)]

mod broker;

use broker::client::Client;
use broker::{Scratch, wait_for};
use bytes::Bytes;
use clap::Parser;
use ringlog::base::ErrorCode;
use ringlog::boot::cli::Cli;
use ringlog::wire::batch::{BatchBuilder, Codec};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what all threads but those of clients allocate.
struct CountingOthers;

static MADE: AtomicU64 = AtomicU64::new(0);

std::thread_local! {
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: every call is forwarded to `System` as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingOthers {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IS_CLIENT.get() {
            MADE.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, which is the same.
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: CountingOthers = CountingOthers;

/// Requests that are counted, and those before them that warm up.
const REQUESTS: u64 = 2000;
const WARM_UP: u64 = 500;

/// What one request may take when it is alone in its group commit; `docs/performance.md` accounts for them. What timers
/// and ticks allocate meanwhile is in the mean too: some, on a machine that takes long over a request.
const PER_PRODUCE: f64 = 40.0;
const PER_FETCH: f64 = 50.0;

/// Starts a broker on a thread of this process, which ends it.
fn start(scratch: &Scratch) -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = free.local_addr().expect("it has an address");
    drop(free);
    let args = ["ringlog", "start", "--shards", "1", "--set", "memory.bytes=268435456"].map(str::to_owned);
    let data_dir = scratch.0.join("data").display().to_string();
    let more = ["--data-dir".to_owned(), data_dir, "--listen".to_owned(), address.to_string()];
    let cli = Cli::parse_from(args.into_iter().chain(more));
    std::thread::spawn(move || ringlog::boot::run(&cli));
    address
}

fn batch(records: usize) -> Bytes {
    let now = broker::client::now_ms();
    let builder = BatchBuilder::new(Codec::None, now);
    (0..records).fold(builder, |builder, _| builder.record(now, None, Some(&[7; 100]))).build()
}

/// Allocations per request of what is done again and again.
fn per_request(mut request: impl FnMut()) -> f64 {
    (0..WARM_UP).for_each(|_| request());
    let before = MADE.load(Ordering::Relaxed);
    (0..REQUESTS).for_each(|_| request());
    let made = MADE.load(Ordering::Relaxed) - before;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let mean = made as f64 / REQUESTS as f64;
    mean
}

#[test]
fn requests_allocate_what_is_accounted_for_and_records_nothing() {
    IS_CLIENT.set(true);
    let scratch = Scratch::new("allocations");
    let address = start(&scratch);
    let mut client = wait_for("the broker", || Client::try_connect(address).ok());
    let mut produce = |topic: &str, records| {
        client.create_topic(topic, 1, &[]);
        let batch = batch(records);
        per_request(|| {
            let (error, _) = client.produce(topic, 0, batch.clone()).expect("an answer");
            assert_eq!(error, ErrorCode::None);
        })
    };
    let (one, many) = (produce("one", 1), produce("many", 100));
    let mut fetch = |topic| {
        per_request(|| {
            let fetched = client.fetch(topic, 0, 0).expect("an answer");
            assert!(!fetched.records.is_empty());
        })
    };
    let (fetch_one, fetch_many) = (fetch("one"), fetch("many"));
    println!("produce: {one} and {many}, fetch: {fetch_one} and {fetch_many} allocations a request");
    assert!(many < one + 3.0, "100 records take {many} allocations, one takes {one}");
    assert!(one < PER_PRODUCE, "{one} allocations for each produce");
    // The second topic's answers hold a hundred times the records.
    assert!(fetch_many < fetch_one + 3.0, "{fetch_many} for many records, {fetch_one} for few");
    assert!(fetch_one < PER_FETCH, "{fetch_one} allocations for each fetch");
}
