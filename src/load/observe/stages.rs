//! Where a broker's own time goes, where it is Ringlog: its page of metrics, read again and again.

use crate::rt::{ask_page, ask_page_at};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The histogram that Ringlog exports its stages in.
const FAMILY: &str = "ringlog_request_seconds_";

/// The page.
const PAGE: &str = "/metrics";

/// What one stage of one kind of request took, since the broker's start or between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests that passed it.
    pub count: u64,
    /// Their time in it, in ns.
    pub sum_ns: u64,
    /// How many took at most so many ns, by ns.
    pub upto: BTreeMap<u64, u64>,
}

/// Stages by API and name, in the order in which requests pass them; `total` is the whole way.
pub type Stages = BTreeMap<(String, usize), Spent>;

/// Names of stages in order; the place is what `Stages` has.
pub const STAGE_NAMES: [&str; 11] =
    ["read", "line", "decode", "append", "queue", "write", "flush", "wait", "answer", "send", "total"];

/// The place of the whole way among them.
pub const TOTAL: usize = STAGE_NAMES.len() - 1;

impl Spent {
    /// Adds another part of the time.
    fn add(&mut self, other: &Spent) {
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        for (ns, count) in &other.upto {
            *self.upto.entry(*ns).or_default() += count;
        }
    }

    /// What came between an earlier look and this one. A broker that was started anew begins at 0.
    fn since(&self, earlier: &Spent) -> Spent {
        if self.count < earlier.count {
            return self.clone();
        }
        let before = |ns: &u64| earlier.upto.get(ns).copied().unwrap_or(0);
        Spent {
            count: self.count - earlier.count,
            sum_ns: self.sum_ns.saturating_sub(earlier.sum_ns),
            upto: self.upto.iter().map(|(ns, count)| (*ns, count.saturating_sub(before(ns)))).collect(),
        }
    }

    /// An estimate of a quantile, in ns: buckets are powers of two, and values are thought to be spread evenly in one.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = self.count as f64 * share;
        let (mut below, mut low) = (0, 0);
        for (high, upto) in &self.upto {
            if *upto > below && *upto as f64 >= wanted {
                let part = (wanted - below as f64) / (*upto - below) as f64;
                return low + ((high - low) as f64 * part.clamp(0.0, 1.0)) as u64;
            }
            (below, low) = (*upto, *high);
        }
        low
    }
}

/// Adds a later look's stages.
pub(super) fn merge(sum: &mut Stages, more: &Stages) {
    for (stage, spent) in more {
        sum.entry(stage.clone()).or_default().add(spent);
    }
}

/// Looks at the same broker's page again and again.
pub(super) struct Clock {
    place: String,
    before: Option<Stages>,
}

impl Clock {
    pub(super) fn new(place: &str) -> Self {
        Clock { place: place.to_owned(), before: None }
    }

    /// What has happened since the last look. A broker that doesn't answer now tells it the next time.
    pub(super) fn look(&mut self) -> Stages {
        let Ok(now) = ask(&self.place) else { return Stages::default() };
        let before = self.before.replace(now.clone());
        let Some(before) = before else { return Stages::default() };
        let none = Spent::default();
        let since = |(stage, spent): (&(String, usize), &Spent)| {
            (stage.clone(), spent.since(before.get(stage).unwrap_or(&none)))
        };
        now.iter().map(since).filter(|(_, spent)| spent.count > 0).collect()
    }
}

/// Looks once, to see whether it can be done.
///
/// # Errors
/// What to tell the user.
pub fn try_stages(place: &str) -> Result<(), String> {
    let hint = "give HOST:PORT of Ringlog's metrics.listen, or the path of admin.sock in its data directory";
    match ask(place) {
        Ok(stages) if stages.is_empty() => {
            Err(format!("--broker-metrics {place}: no Ringlog answers there; {hint}"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("--broker-metrics {place}: {error}; {hint}")),
    }
}

fn ask(place: &str) -> io::Result<Stages> {
    let bare = place.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    let text = match bare {
        Some(address) => ask_page_at(address, PAGE),
        None if place.contains('/') || !place.contains(':') => ask_page(Path::new(place), PAGE),
        None => ask_page_at(place, PAGE),
    };
    Ok(parse(&text?))
}

/// The stages on a page of OpenMetrics.
fn parse(text: &str) -> Stages {
    let mut stages = Stages::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(FAMILY)) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((labels, value)) = rest.split_once('}') else { continue };
        let labels: BTreeMap<&str, &str> =
            labels.split(',').filter_map(|label| label.split_once('=')).collect();
        let label = |name: &str| labels.get(name).map(|value| value.trim_matches('"'));
        let place = label("stage").and_then(|stage| STAGE_NAMES.iter().position(|known| *known == stage));
        let (Some(api), Some(place)) = (label("api"), place) else { continue };
        let Ok(value) = value.trim().parse::<f64>() else { continue };
        let spent = stages.entry((api.to_owned(), place)).or_default();
        match name {
            "count" => spent.count = value as u64,
            "sum" => spent.sum_ns = (value * 1e9) as u64,
            "bucket" => {
                if let Some(seconds) =
                    label("le").and_then(|le| le.parse::<f64>().ok()).filter(|le| le.is_finite())
                {
                    spent.upto.insert((seconds * 1e9).round() as u64, value as u64);
                }
            }
            _ => {}
        }
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Journey, Registry, STAGES, Stage};
    use std::time::Duration;

    fn page(flushes_us: &[u64]) -> Stages {
        let registry = Registry::new(2);
        for (nth, us) in flushes_us.iter().enumerate() {
            let mut journey = Journey::begin(Duration::ZERO, true);
            journey.end(Stage::Decode, Duration::from_micros(16));
            journey.end(Stage::Flush, Duration::from_micros(16 + us));
            registry.of(nth % 2).stages.produce.note(&journey);
        }
        parse(&registry.text())
    }

    #[test]
    fn what_ringlog_exports_is_understood() {
        for (nth, stage) in STAGES.iter().enumerate() {
            assert_eq!(STAGE_NAMES[nth], stage.name());
        }
        let stages = page(&[800, 800, 800]);
        let flush = &stages[&("produce".to_owned(), Stage::Flush as usize)];
        assert_eq!((flush.count, flush.sum_ns), (3, 2_400_000));
        assert!((524_288..=1_048_576).contains(&flush.quantile(0.5)), "{}", flush.quantile(0.5));
        assert_eq!(stages[&("produce".to_owned(), TOTAL)].count, 3);
        assert!(parse("# EOF\nup 1\nringlog_request_seconds_count{api=\"produce\"} x\n").is_empty());
    }

    #[test]
    fn what_came_between_two_looks_is_told() {
        let (earlier, later) = (page(&[100; 10]), page(&[[100; 10].as_slice(), &[3000; 10]].concat()));
        let flush = ("produce".to_owned(), Stage::Flush as usize);
        let since = later[&flush].since(&earlier[&flush]);
        assert_eq!((since.count, since.sum_ns), (10, 30_000_000));
        assert!(since.quantile(0.01) > 2_000_000, "the fast ones were before: {}", since.quantile(0.01));
        assert_eq!(earlier[&flush].since(&later[&flush]).count, 10, "it was started anew");
        let mut sum = Stages::new();
        merge(&mut sum, &earlier);
        merge(&mut sum, &later);
        assert_eq!(sum[&flush].count, 30);
    }
}
