//! CPU, memory and threads of brokers, and writes and flushes of disks, from one look to the next.
#![expect(clippy::disallowed_methods, reason = "/proc is read by the generator's own thread, not by a shard")]

use super::stages::{Clock, Stages, merge};
use std::collections::BTreeMap;

/// Clock ticks of /proc/PID/stat in a second: what Linux shows to programs on every machine (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Bytes of a sector in /proc/diskstats, whatever the disk's own.
const SECTOR_BYTES: u64 = 512;

/// What was seen of brokers and disks since the last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// CPU seconds of the brokers.
    pub cpu_seconds: f64,
    /// Memory of the brokers now.
    pub rss_bytes: u64,
    /// Threads of the brokers now.
    pub threads: u64,
    /// Bytes written to the disks.
    pub disk_bytes: u64,
    /// Writes to the disks.
    pub disk_writes: u64,
    /// Flushes of the disks.
    pub flushes: u64,
    /// Brokers that were there.
    pub alive: u32,
    /// Where the brokers' time went, as far as they tell.
    pub stages: Stages,
}

impl Watched {
    /// Adds a later look: sums what was used, keeps the larger of what is there.
    pub fn merge(&mut self, later: &Watched) {
        self.cpu_seconds += later.cpu_seconds;
        self.rss_bytes = self.rss_bytes.max(later.rss_bytes);
        self.threads = self.threads.max(later.threads);
        self.disk_bytes += later.disk_bytes;
        self.disk_writes += later.disk_writes;
        self.flushes += later.flushes;
        self.alive = self.alive.max(later.alive);
        merge(&mut self.stages, &later.stages);
    }
}

/// Counters of one disk since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Disk {
    writes: u64,
    bytes: u64,
    flushes: u64,
}

/// One process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Process {
    cpu_seconds: f64,
    rss_bytes: u64,
    threads: u64,
}

/// Looks at the same processes and disks again and again.
pub struct Watcher {
    pids: Vec<u32>,
    disk: String,
    cpu_before: BTreeMap<u32, f64>,
    disk_before: Option<Disk>,
    clocks: Vec<Clock>,
}

impl Watcher {
    /// For these processes, this disk (no name is all disks) and these brokers' pages of metrics. `None` if there is
    /// nothing to watch.
    #[must_use]
    pub fn new(pids: &[u32], disk: &str, metrics: &[String]) -> Option<Self> {
        if pids.is_empty() && disk.is_empty() && metrics.is_empty() {
            return None;
        }
        let mut watcher = Watcher {
            pids: pids.to_vec(),
            disk: disk.to_owned(),
            cpu_before: BTreeMap::new(),
            disk_before: None,
            clocks: metrics.iter().map(|place| Clock::new(place)).collect(),
        };
        watcher.look();
        Some(watcher)
    }

    /// What has happened since the last look. A process that is gone counts nothing.
    pub fn look(&mut self) -> Watched {
        let mut seen = Watched::default();
        for pid in &self.pids {
            let Some(process) = process(*pid) else { continue };
            let before = self.cpu_before.insert(*pid, process.cpu_seconds).unwrap_or(process.cpu_seconds);
            seen.cpu_seconds += (process.cpu_seconds - before).max(0.0);
            seen.rss_bytes += process.rss_bytes;
            seen.threads += process.threads;
            seen.alive += 1;
        }
        for clock in &mut self.clocks {
            merge(&mut seen.stages, &clock.look());
        }
        if let Ok(text) = std::fs::read_to_string("/proc/diskstats") {
            let now = disks(&text, &self.disk);
            let before = self.disk_before.replace(now).unwrap_or(now);
            seen.disk_bytes = now.bytes.saturating_sub(before.bytes);
            seen.disk_writes = now.writes.saturating_sub(before.writes);
            seen.flushes = now.flushes.saturating_sub(before.flushes);
        }
        seen
    }
}

fn process(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse_process(&stat, &status)
}

/// /proc/PID/stat for the time, /proc/PID/status for the memory. The name in `stat` may hold blanks and brackets.
fn parse_process(stat: &str, status: &str) -> Option<Process> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let number = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Process {
        cpu_seconds: ticks / TICKS_PER_SECOND,
        rss_bytes: number("VmRSS:").unwrap_or(0) * 1024,
        threads: number("Threads:").unwrap_or(0),
    })
}

/// Counters of one disk, or of all whole disks where no name is given: partitions would count twice.
fn disks(text: &str, name: &str) -> Disk {
    let mut sum = Disk::default();
    let mut whole: Vec<&str> = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some(device) = fields.get(2) else { continue };
        let virtual_device =
            ["loop", "ram", "zram", "dm-", "md", "sr"].iter().any(|kind| device.starts_with(kind));
        let partition = whole.iter().any(|disk| device.starts_with(disk));
        if name.is_empty() && (virtual_device || partition) || !name.is_empty() && *device != name {
            continue;
        }
        whole.push(device);
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        sum.writes += field(7);
        sum.bytes += field(9) * SECTOR_BYTES;
        sum.flushes += field(18);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 250 150 0 0 20 0 7 0 100 1000 200 18446744073709551615";
        let status = "Name:\ta) b (c\nVmRSS:\t  2048 kB\nThreads:\t7\n";
        let process = parse_process(stat, status).unwrap();
        assert_eq!(process, Process { cpu_seconds: 4.0, rss_bytes: 2 * 1024 * 1024, threads: 7 });
        assert!(parse_process("", "").is_none());
    }

    #[test]
    fn disks_are_counted_once() {
        let line = |name: &str| format!("   8  0 {name} 1 2 3 4 100 6 2000 8 0 9 10 11 12 13 14 55 16\n");
        let text = ["loop0", "vda", "vda1", "nvme0n1", "nvme0n1p1", "dm-0"].map(line).concat();
        assert_eq!(disks(&text, ""), Disk { writes: 200, bytes: 2 * 2000 * 512, flushes: 110 });
        assert_eq!(disks(&text, "vda1").flushes, 55);
        assert_eq!(disks(&text, "sdz"), Disk::default());
    }

    #[test]
    fn this_process_can_be_watched() {
        let mut watcher = Watcher::new(&[std::process::id()], "", &[]).unwrap();
        let seen = watcher.look();
        assert!(seen.alive == 1 && seen.rss_bytes > 0 && seen.threads > 0);
        assert!(Watcher::new(&[], "", &[]).is_none());
    }
}
