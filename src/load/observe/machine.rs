//! The machine that a run was made on, for its report.
#![expect(
    clippy::disallowed_methods,
    reason = "/proc and /sys are read before and after a run, not by a shard"
)]

/// What may explain a figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Name of the processor.
    pub processor: String,
    /// Processors that this process may use, of all that there are.
    pub processors: String,
    /// How the clock speed is chosen, where the kernel says.
    pub governor: String,
    /// Kernel.
    pub kernel: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Name of the machine.
    pub host: String,
    /// Load averages at that moment.
    pub load: String,
}

impl Machine {
    /// This machine now. What can't be read is empty.
    #[must_use]
    pub fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let line = |path: &str| read(path).trim().to_owned();
        let cpuinfo = read("/proc/cpuinfo");
        let status = read("/proc/self/status");
        let online = line("/sys/devices/system/cpu/online");
        let allowed = field(&status, "Cpus_allowed_list");
        let governor = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        Machine {
            processor: field(&cpuinfo, "model name"),
            processors: format!("{allowed} of {online}"),
            governor: if governor.is_empty() { "unknown".to_owned() } else { governor },
            kernel: line("/proc/sys/kernel/osrelease"),
            memory_bytes: memory(&read("/proc/meminfo")),
            host: line("/proc/sys/kernel/hostname"),
            load: line("/proc/loadavg"),
        }
    }
}

/// The value of the first line `NAME: VALUE`.
fn field(text: &str, name: &str) -> String {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned());
    values.next().unwrap_or_default()
}

fn memory(meminfo: &str) -> u64 {
    let kib = field(meminfo, "MemTotal");
    kib.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(field("model name\t: X 9\nmodel name\t: Y\n", "model name"), "X 9");
        assert_eq!(memory("MemTotal:       16 kB\nMemFree: 1 kB\n"), 16 * 1024);
        assert_eq!(memory(""), 0);
    }

    #[test]
    fn this_machine_has_a_kernel() {
        let machine = Machine::look();
        assert!(!machine.kernel.is_empty() && machine.memory_bytes > 0);
    }
}
