//! What a shard counts of its clients and its logs.

use super::counter::{Counter, Gauge};
use super::table::{Metric, metric, table};
use std::time::Duration;

table! {
    /// The metrics of one shard. Counters rise from 0 at start.
    ShardMetrics, ShardSnapshot;
    Counter connections_closed_total = "Connections that ended.";
    Counter frames_oversize_total = "Connections ended because a frame's length was out of bounds.";
    Counter frames_malformed_total = "Connections ended because a request could not be decoded.";
    Counter requests_refused_total = "Connections ended because a request can't be answered.";
    Counter connections_slow_total = "Connections ended because they were idle or too slow.";
    Counter connections_starved_total = "Connections ended because there was no receive memory.";
    Counter connections_unread_total = "Connections ended because their answers weren't taken.";
    Counter requests_total = "Requests of any API.";
    Counter produce_requests_total = "Produce requests.";
    Counter produced_bytes_total = "Record bytes accepted from producers.";
    Counter produced_bytes_copied_total = "Record bytes copied in user space between a received frame and the segment.";
    Counter tail_bytes_copied_total = "Bytes of partial blocks copied from one write of a log to the next.";
    Counter fetched_bytes_total = "Record bytes answered to fetches.";
    Counter replicated_bytes_total = "Record bytes answered to followers.";
    Counter copied_bytes_total = "Record bytes copied from leaders.";
    Counter isr_proposals_total = "Changes of in-sync replicas that leaders here asked for.";
    Counter isr_shrinks_total = "Times that a partition led here lost an in-sync replica.";
    Counter isr_expands_total = "Times that a partition led here got another in-sync replica.";
    Counter unclean_elections_total = "Partitions that this node gave a leader which may lack acknowledged records.";
    Gauge partitions_led = "Partitions that are led here.";
    Gauge partitions_under_replicated = "Partitions led here of which not all replicas are in sync.";
    Gauge partitions_under_min_isr = "Partitions led here of which fewer are in sync than min.insync.replicas.";
    Gauge partitions_leaderless = "Partitions with a replica here that nobody leads.";
    Gauge follower_lag_max = "Records that the follower lacks which is furthest behind a leader here.";
    Counter flushes_total = "Group commits.";
    Counter flushed_partitions_total = "Partitions in group commits.";
    Counter flush_micros_total = "Microseconds spent in group commits.";
    Counter compactions_total = "Rounds of compaction that were completed.";
    Counter compaction_micros_total = "Microseconds that they took, rests included.";
    Counter compaction_read_bytes_total = "Bytes that compaction read.";
    Counter compaction_written_bytes_total = "Bytes that compaction wrote.";
    Gauge compaction_last_ms = "When a round of compaction last ended, in ms since 1970; 0 if none has.";
    Gauge compaction_dirty_millionths = "Largest share of dirty bytes in a compacted log, in millionths.";
    Gauge compaction_uncompactable = "Logs that aren't compacted any more because damage was met.";
    Gauge coordinator_acting = "1 on the node that acts as the cluster's coordinator, else 0.";
    Gauge coordinator_leader = "Id, plus 1, of who leads the coordinators' quorum; 0 if unknown.";
    Gauge coordinator_term = "Term of the coordinators' quorum.";
    Gauge metadata_committed_index = "Last entry of the metadata's log that this node knows to be committed.";
    Counter coordinator_elections_total = "Times that this node began to act as the coordinator.";
}

/// How the replicas of a shard fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicasSeen {
    /// Partitions that are led here.
    pub led: usize,
    /// Of those, the ones of which not all replicas are in sync.
    pub under_replicated: usize,
    /// Of those, the ones of which too few are in sync.
    pub under_min_isr: usize,
    /// Partitions that nobody leads.
    pub leaderless: usize,
    /// Records that the follower lacks which is furthest behind.
    pub lag_max: usize,
}

/// Why the broker ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A frame's length is out of bounds.
    Oversize,
    /// A request can't be decoded.
    Malformed,
    /// A request can't be answered: an unknown API or version, a failed acks=0.
    Request,
    /// It is idle, or sends too slowly.
    Slow,
    /// There is no receive memory for it.
    Starved,
    /// It doesn't take its answers.
    Unread,
}

impl ShardMetrics {
    /// A connection ended, whoever ended it.
    pub fn connection_ended(&self) {
        self.connections_closed_total.add(1);
    }

    /// The broker ends a connection for this reason.
    pub fn refused(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Oversize => &self.frames_oversize_total,
            Refusal::Malformed => &self.frames_malformed_total,
            Refusal::Request => &self.requests_refused_total,
            Refusal::Slow => &self.connections_slow_total,
            Refusal::Starved => &self.connections_starved_total,
            Refusal::Unread => &self.connections_unread_total,
        };
        counter.add(1);
    }

    /// A request arrived.
    pub fn request(&self, api_key: i16) {
        self.requests_total.add(1);
        self.produce_requests_total.add(u64::from(api_key == 0));
    }

    /// A batch was appended: its bytes, and the bytes that were copied for it.
    pub fn appended(&self, bytes: usize, copied: usize) {
        self.produced_bytes_total.add(bytes as u64);
        self.produced_bytes_copied_total.add(copied as u64);
    }

    /// A fetch was answered with this many bytes.
    pub fn fetched(&self, bytes: usize) {
        self.fetched_bytes_total.add(bytes as u64);
    }

    /// Followers were answered with this many bytes.
    pub fn replicated(&self, bytes: usize) {
        self.replicated_bytes_total.add(bytes as u64);
    }

    /// So many bytes were copied from a leader.
    pub fn copied(&self, bytes: usize) {
        self.copied_bytes_total.add(bytes as u64);
    }

    /// Leaders asked for so many changes of who is in sync.
    pub fn isr_proposed(&self, count: usize) {
        self.isr_proposals_total.add(count as u64);
    }

    /// The in-sync replicas of partitions led here have become fewer or more, so many times.
    pub fn isr_changed(&self, shrunk: u64, expanded: u64) {
        self.isr_shrinks_total.add(shrunk);
        self.isr_expands_total.add(expanded);
    }

    /// So many partitions got a leader that may lack acknowledged records.
    pub fn unclean_elections(&self, count: u64) {
        self.unclean_elections_total.add(count);
    }

    /// How replicas here fare.
    pub fn replicas_seen(&self, seen: ReplicasSeen) {
        self.partitions_led.set(seen.led);
        self.partitions_under_replicated.set(seen.under_replicated);
        self.partitions_under_min_isr.set(seen.under_min_isr);
        self.partitions_leaderless.set(seen.leaderless);
        self.follower_lag_max.set(seen.lag_max);
    }

    /// A group commit of this many partitions took this long; so many bytes of partial blocks were copied for it.
    pub fn flushed(&self, partitions: usize, carried: usize, took: Duration) {
        self.tail_bytes_copied_total.add(carried as u64);
        self.flushes_total.add(1);
        self.flushed_partitions_total.add(partitions as u64);
        self.flush_micros_total.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Compaction looked at its logs: the largest dirty share in millionths, and how many logs it can't do.
    pub fn compaction_seen(&self, dirty_millionths: u32, uncompactable: usize) {
        self.compaction_dirty_millionths.set(dirty_millionths as usize);
        self.compaction_uncompactable.set(uncompactable);
    }

    /// Compaction read and wrote bytes.
    pub fn compaction_moved(&self, read: usize, written: usize) {
        self.compaction_read_bytes_total.add(read as u64);
        self.compaction_written_bytes_total.add(written as u64);
    }

    /// Somebody leads the coordinators' quorum, by id, or nobody that this node knows of.
    pub fn quorum_led(&self, leader: Option<i32>, term: u64, acting: bool) {
        self.coordinator_elections_total.add(u64::from(acting && self.coordinator_acting.get() == 0));
        self.coordinator_acting.set(usize::from(acting));
        self.coordinator_leader.set(leader.and_then(|id| usize::try_from(id + 1).ok()).unwrap_or(0));
        self.coordinator_term.set(usize::try_from(term).unwrap_or(usize::MAX));
    }

    /// The metadata is committed up to an entry.
    pub fn metadata_committed(&self, index: u64) {
        self.metadata_committed_index.set(usize::try_from(index).unwrap_or(usize::MAX));
    }

    /// A round of compaction ended, and took so long.
    pub fn compacted(&self, took: Duration, now_ms: i64) {
        self.compactions_total.add(1);
        self.compaction_micros_total.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.compaction_last_ms.set(usize::try_from(now_ms).unwrap_or(0));
    }
}
