//! How far behind groups are, for operators: `ringlog group lag GROUP` and the metrics `ringlog_group_*`.
//!
//! Commits are where a group's coordinator is, ends of partitions where those are. So shards are asked twice: what is
//! committed, and then, with that, how far behind it is. Lines of words with tabs between them go to and fro.

use crate::base::Offset;
use crate::base::limits::LAG_SERIES_MAX;
use crate::group::CommitTold;
use crate::group::lag::drained_in;
use crate::rt::Clerk;
use crate::shard::{Behind, Broker, Shard};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The questions, each with what it is about behind it.
pub(super) const COMMITS: &str = "commits\n";
pub(super) const BEHIND: &str = "behind\n";

/// A committed offset and how far behind it is.
struct Lag {
    group: String,
    topic: String,
    partition: i32,
    committed: Offset,
    read_rate: f64,
    reader: String,
    behind: Behind,
}

impl Lag {
    fn records(&self) -> Offset {
        (self.behind.end - self.committed).max(0)
    }

    fn drained_in(&self) -> Option<f64> {
        drained_in(self.records(), self.read_rate, self.behind.rate)
    }
}

/// A shard's answer to `COMMITS`.
pub(super) fn tell_commits<B: Broker>(shard: &Shard<B>, group: &str) -> String {
    let group = Some(group).filter(|group| !group.is_empty());
    let mut out = String::new();
    for told in shard.tell_commits(group, LAG_SERIES_MAX) {
        let CommitTold { group, topic, partition, offset, rate, reader } = told;
        let (group, reader) = (escaped(&group), escaped(&reader));
        let _ = writeln!(out, "{topic}\t{partition}\t{offset}\t{group}\t{rate}\t{reader}");
    }
    out
}

/// A shard's answer to `BEHIND`: what it knows of the lines of `COMMITS`, with their numbers.
pub(super) fn tell_behind<B: Broker>(shard: &Shard<B>, lines: &str) -> String {
    let mut out = String::new();
    for (number, line) in lines.lines().enumerate() {
        let Some((topic, partition, committed)) = place(line) else { continue };
        if let Some(Behind { end, waited_ms, is_at_least, rate }) =
            shard.tell_behind(topic, partition, committed)
        {
            let _ = writeln!(out, "{number}\t{end}\t{waited_ms}\t{}\t{rate}", u8::from(is_at_least));
        }
    }
    out
}

fn place(line: &str) -> Option<(&str, i32, Offset)> {
    let mut words = line.split('\t');
    Some((words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn behind(line: &str) -> Option<(usize, Behind)> {
    let mut words = line.split('\t');
    let number = words.next()?.parse().ok()?;
    let behind = Behind {
        end: words.next()?.parse().ok()?,
        waited_ms: words.next()?.parse().ok()?,
        is_at_least: words.next()? == "1",
        rate: words.next()?.parse().ok()?,
    };
    Some((number, behind))
}

fn lag(line: &str, behind: Behind) -> Option<Lag> {
    let (topic, partition, committed) = place(line)?;
    let mut words = line.split('\t').skip(3);
    Some(Lag {
        topic: topic.to_owned(),
        partition,
        committed,
        group: unescaped(words.next()?)?,
        read_rate: words.next()?.parse().ok()?,
        reader: unescaped(words.next()?)?,
        behind,
    })
}

/// Asks the shards: of one group, or of all with an empty name.
fn ask(clerk: &mut Clerk, group: &str) -> Vec<Lag> {
    let told = clerk.ask(&format!("{COMMITS}{group}"));
    let commits: Vec<&str> = told.iter().flat_map(|(_, text)| text.lines()).take(LAG_SERIES_MAX).collect();
    let answers = clerk.ask(&format!("{BEHIND}{}", commits.join("\n")));
    let all: BTreeMap<usize, Behind> =
        answers.iter().flat_map(|(_, text)| text.lines()).filter_map(behind).collect();
    let known = commits.iter().enumerate().filter_map(|(number, line)| lag(line, *all.get(&number)?));
    known.collect()
}

/// The page of one group; `None` if it has committed nothing.
pub(super) fn page(clerk: &mut Clerk, group: &str) -> Option<String> {
    let list = ask(clerk, group);
    if list.is_empty() {
        return None;
    }
    let width = list.iter().map(|lag| lag.topic.len()).max().unwrap_or(0).max("topic".len());
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<width$} {:>9} {:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10}  reader",
        "topic", "partition", "committed", "end", "lag", "lag s", "read/s", "written/s", "drained in"
    );
    for lag in &list {
        let Behind { end, waited_ms, is_at_least, rate } = lag.behind;
        let waited = format!("{}{}", if is_at_least { ">=" } else { "" }, tenths(waited_ms));
        let drained =
            lag.drained_in().map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1} s"));
        let _ = writeln!(
            out,
            "{:<width$} {:>9} {:>12} {end:>12} {:>10} {waited:>10} {:>10.1} {rate:>10.1} {drained:>10}  {}",
            lag.topic,
            lag.partition,
            lag.committed,
            lag.records(),
            lag.read_rate,
            lag.reader
        );
    }
    let records: Offset = list.iter().map(Lag::records).sum();
    let longest = list.iter().map(|lag| lag.behind.waited_ms).max().unwrap_or(0);
    let drained = list.iter().map(Lag::drained_in).try_fold(0.0f64, |most, one| Some(most.max(one?)));
    let drained =
        drained.map_or_else(|| "never, at this pace".to_owned(), |seconds| format!("in {seconds:.1} s"));
    let _ =
        writeln!(out, "\n{records} records behind, the oldest for {} s; drained {drained}", tenths(longest));
    Some(out)
}

fn tenths(ms: u64) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}

/// Adds the lag of all groups to a text of metrics.
pub(super) fn metrics(clerk: &mut Clerk, text: &str) -> String {
    /// What ends a text in this format.
    const END: &str = "# EOF\n";
    let list = ask(clerk, "");
    let mut out = text.strip_suffix(END).unwrap_or(text).to_owned();
    let mut family = |name: &str, help: &str, value: &dyn Fn(&Lag) -> String| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for lag in &list {
            let (group, topic, partition) = (quoted(&lag.group), &lag.topic, lag.partition);
            let labels = format!("group=\"{group}\",topic=\"{topic}\",partition=\"{partition}\"");
            let _ = writeln!(out, "{name}{{{labels}}} {}", value(lag));
        }
    };
    family("ringlog_group_lag_records", "Records that a group hasn't read.", &|lag| {
        lag.records().to_string()
    });
    family("ringlog_group_lag_seconds", "How long the oldest of them has waited, at least.", &|lag| {
        tenths(lag.behind.waited_ms)
    });
    family("ringlog_group_drain_seconds", "When the group has caught up, as things are.", &|lag| {
        lag.drained_in().map_or_else(|| "+Inf".to_owned(), |seconds| format!("{seconds:.1}"))
    });
    out.push_str(END);
    out
}

/// A label's value.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A name as one word of a path or a line.
pub(super) fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => drop(write!(out, "%{byte:02x}")),
        }
    }
    out
}

/// The name again.
pub(super) fn unescaped(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_travel_as_one_word() {
        for name in ["", "orders", "a b/c\td\n", "50%", "größe", "😀"] {
            let word = escaped(name);
            assert!(word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'), "{word}");
            assert_eq!(unescaped(&word).as_deref(), Some(name));
        }
        assert_eq!(unescaped("%"), None);
        assert_eq!(unescaped("%zz"), None);
    }

    #[test]
    fn lines_of_both_questions_make_a_lag() {
        let line = "orders\t3\t1200\tmy%20group\t50\tconsumer-1";
        let (number, behind) = behind("7\t1500\t12345\t0\t20").expect("a line of the second answer");
        let lag = lag(line, behind).expect("a line of the first answer");
        assert_eq!((number, lag.group.as_str(), lag.records()), (7, "my group", 300));
        assert_eq!(lag.drained_in(), Some(10.0));
        assert_eq!(tenths(lag.behind.waited_ms), "12.3");
        assert!(place("orders\t3").is_none());
    }
}
