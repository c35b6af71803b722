//! What the runtime of a shard counts.

use super::counter::{Counter, Gauge};
use super::table::{Metric, metric, table};

table! {
    /// The metrics of one shard's runtime. Counters rise from 0 at start.
    RuntimeMetrics, RuntimeSnapshot;
    Counter connections_accepted_total = "Connections accepted.";
    Counter connections_refused_total = "Connections closed at once because there were too many.";
    Counter accept_failures_total = "Failed accepts: no descriptors or no memory left.";
    Counter connections_timed_out_total = "Connections ended because they were idle or slow.";
    Counter frames_received_total = "Frames received.";
    Counter received_bytes_total = "Bytes of frames received, with their lengths.";
    Counter received_bytes_copied_total = "Bytes of frames that were copied once more before the broker saw them: \
        beginnings read before the frame's size was known. Frames up to 1 KiB aren't counted.";
    Counter sent_bytes_total = "Bytes sent.";
    Counter sent_shared_bytes_total = "Bytes sent from where the log has them: nobody copied them for a response.";
    Counter sent_spliced_bytes_total = "Bytes of those that the kernel didn't copy either when they were sent.";
    Counter renewed_bytes_total = "Bytes of memory whose pages were replaced because they had been spliced.";
    Counter stalls_total = "Turns of a shard that took longer than 10 ms.";
    Counter ticks_total = "Ticks: looks at timeouts, lent memory and stop requests.";
    Gauge connections_open = "Open connections.";
    Gauge receive_bytes = "Bytes that incomplete and unread frames hold of the receive budget.";
    Gauge unsent_bytes = "Bytes of answers that wait to be taken by peers.";
    Gauge lent_bytes = "Bytes of file memory that readers hold, of this shard or others.";
    Gauge file_memory_bytes = "Bytes of the shard's memory for files that are in use.";
}
