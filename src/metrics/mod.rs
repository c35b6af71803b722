//! Counters of one shard. No locks: a shard counts for itself, and whoever wants totals adds snapshots up.

use std::cell::Cell;
use std::fmt::Write;
use std::time::Duration;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $help:literal;)*) => {
        /// One shard's counters. All rise from 0 at start.
        #[derive(Debug, Default)]
        pub struct ShardMetrics {
            $($(#[$doc])* pub $name: Cell<u64>,)*
        }

        /// What the counters were at some moment. Snapshots of several shards add up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct MetricsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl ShardMetrics {
            /// The counters now.
            #[must_use]
            pub fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.$name.get(),)* }
            }
        }

        impl MetricsSnapshot {
            /// Adds another shard's.
            pub fn add(&mut self, other: &MetricsSnapshot) {
                $(self.$name += other.$name;)*
            }

            /// Prometheus' text exposition format, version 0.0.4.
            #[must_use]
            pub fn export_text(&self) -> String {
                let mut out = String::new();
                $(let name = concat!("ringlog_", stringify!($name));
                let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} counter\n{name} {}", $help, self.$name);)*
                out
            }
        }
    };
}

counters! {
    /// Connections that ended.
    connections_closed_total = "Connections that ended.";
    /// Of those, ended because a frame's length was out of bounds.
    frames_oversize_total = "Connections ended because a frame's length was out of bounds.";
    /// Requests that could not be decoded.
    frames_malformed_total = "Requests that could not be decoded.";
    /// Requests of any API.
    requests_total = "Requests of any API.";
    /// Produce requests.
    produce_requests_total = "Produce requests.";
    /// Record bytes accepted from producers.
    produced_bytes_total = "Record bytes accepted from producers.";
    /// Record bytes copied in user space on their way from the socket buffer to the segment.
    produced_bytes_copied_total = "Record bytes copied in user space between socket and segment.";
    /// Record bytes answered to fetches.
    fetched_bytes_total = "Record bytes answered to fetches.";
    /// Record bytes copied in user space on their way from the cache or read buffer to the socket.
    fetched_bytes_copied_total = "Record bytes copied in user space between cache and socket.";
    /// Group commits.
    flushes_total = "Group commits.";
    /// Partitions in them.
    flushed_partitions_total = "Partitions in group commits.";
    /// Time in them, in microseconds.
    flush_micros_total = "Microseconds spent in group commits.";
    /// Turns of the shard that took longer than 10 ms.
    stalls_total = "Turns of a shard that took longer than 10 ms.";
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

impl ShardMetrics {
    /// A connection ended; `oversize` if a frame's length was the reason.
    pub fn connection_ended(&self, oversize: bool) {
        add(&self.connections_closed_total, 1);
        add(&self.frames_oversize_total, u64::from(oversize));
    }

    /// A request could not be decoded.
    pub fn malformed_frame(&self) {
        add(&self.frames_malformed_total, 1);
    }

    /// A request arrived.
    pub fn request(&self, api_key: i16) {
        add(&self.requests_total, 1);
        add(&self.produce_requests_total, u64::from(api_key == 0));
    }

    /// A batch was appended: its bytes, and how many of them were copied how often.
    pub fn appended(&self, bytes: usize, copied: usize) {
        add(&self.produced_bytes_total, bytes as u64);
        add(&self.produced_bytes_copied_total, copied as u64);
    }

    /// A fetch was answered with this many bytes, none of them copied.
    pub fn fetched(&self, bytes: usize) {
        add(&self.fetched_bytes_total, bytes as u64);
    }

    /// A group commit of this many partitions took this long.
    pub fn flushed(&self, partitions: usize, took: Duration) {
        add(&self.flushes_total, 1);
        add(&self.flushed_partitions_total, partitions as u64);
        add(&self.flush_micros_total, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// A turn took longer than 10 ms.
    pub fn stalled(&self) {
        add(&self.stalls_total, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_add_up_and_export() {
        let metrics = ShardMetrics::default();
        metrics.request(0);
        metrics.appended(100, 100);
        let mut total = metrics.snapshot();
        total.add(&metrics.snapshot());
        assert_eq!((total.requests_total, total.produced_bytes_total), (2, 200));
        assert!(
            total.export_text().contains("# TYPE ringlog_requests_total counter\nringlog_requests_total 2\n")
        );
    }
}
