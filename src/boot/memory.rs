//! How much memory this process may count on.

#![expect(clippy::disallowed_methods, reason = "the kernel is asked once, before any shard runs")]

use std::path::{Path, PathBuf};

/// What is assumed where the kernel doesn't tell.
const UNKNOWN: u64 = 4 << 30;

/// The machine's memory in bytes, or what the control groups allow that this process is in: in a container the machine
/// has more than the process may take.
pub(super) fn ram_bytes() -> u64 {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text)).unwrap_or(UNKNOWN);
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups, Path::new("/sys/fs/cgroup")).into_iter().filter_map(|path| {
        // "max" where there is none, and in version 1 a number beyond any machine.
        read(&path)?.trim().parse::<u64>().ok()
    });
    limits.fold(machine, u64::min)
}

/// The line that `meminfo` begins with.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Where the limits of a process are, by its control groups as `/proc/self/cgroup` tells them: each group's, and those
/// of the groups around it. Version 2 has one line without controllers, version 1 one line for each.
fn limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let inner = Path::new(group.trim_start_matches('/'));
        files.extend(inner.ancestors().map(|group| mount.join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(groups: &str) -> Vec<String> {
        let files = limit_files(groups, Path::new("/sys/fs/cgroup"));
        files.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn limits_are_those_of_the_group_and_of_all_around_it() {
        let one =
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"];
        assert_eq!(files("0::/a/b\n"), one);
        assert_eq!(
            files("0::/\n"),
            ["/sys/fs/cgroup/memory.max"],
            "in a container, which sees its own group only"
        );
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let lines = "3:cpu,cpuacct:/x\n2:memory:/docker/1\n1:name=systemd:/y\n";
        let of_memory = |group: &str| format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes");
        assert_eq!(files(lines), [of_memory("/docker/1"), of_memory("/docker"), of_memory("")]);
    }

    #[test]
    fn the_machines_memory_is_told_in_kib() {
        assert_eq!(total("MemTotal:       24603164 kB\nMemFree: 1 kB\n"), Some(24_603_164 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }
}
