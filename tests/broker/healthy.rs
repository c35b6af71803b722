//! A client that minds its own business while others attack: it writes a record and reads it back, again and again.
#![expect(
    clippy::disallowed_methods,
    reason = "it runs beside the test's own thread and measures how long its requests take"
)]

use super::Broker;
use super::client::{Client, one};
use ringlog::base::ErrorCode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The topic it uses.
const TOPIC: &str = "healthy";

/// A client at work.
pub(crate) struct Healthy {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Duration>>>,
}

impl Healthy {
    /// Starts it, with a topic of its own.
    pub(crate) fn start(broker: &Broker) -> Self {
        broker.client().create_topic(TOPIC, 2, &[]);
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, address) = (stop.clone(), broker.address);
        let thread = std::thread::spawn(move || work(address, &seen));
        Healthy { stop, thread: Some(thread) }
    }

    /// Ends it and reports: every request was answered, and how fast. There is no bound on how fast: machines that
    /// test are busy ones.
    pub(crate) fn finish(mut self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("finished once");
        let mut took = thread.join().expect("the healthy client was served to the end");
        assert!(!took.is_empty(), "{what}: the healthy client was served at least once");
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        eprintln!(
            "{what}: a healthy client made {} round trips, p50 {:?}, p99 {:?}, longest {:?}",
            took.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

impl Drop for Healthy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn work(address: SocketAddr, stop: &AtomicBool) -> Vec<Duration> {
    let mut client = Client::connect(address);
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let partition = i32::from(took.len() % 2 == 1);
        let (error, offset) = client.produce(TOPIC, partition, one(b"healthy")).expect("an answer");
        assert_eq!(error, ErrorCode::None, "a produce of the healthy client");
        let fetched = client.fetch(TOPIC, partition, offset).expect("an answer");
        assert!(fetched.error == ErrorCode::None && !fetched.records.is_empty(), "{fetched:?}");
        took.push(begun.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    took
}
