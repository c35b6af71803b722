//! What operators can ask a running broker: pages over HTTP and on a socket in its data directory.

use super::start::resolve;
use super::{lag, why};
use crate::metrics::{CONTENT_TYPE, Registry, Times};
use crate::rt::{Clerk, Desk, Page, desk, serve_pages, serve_pages_at};
use crate::shard::{Broker, Shard};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Requests that `/slow` tells of.
const SLOW_MAX: usize = 50;

/// The question that shards answer with their slowest requests: lines of nanoseconds, a tab, and what to print.
pub(super) const SLOW: &str = "slow";

/// The pages of groups, with the group's name behind them.
pub(super) const LAG: &str = "/group/lag/";
pub(super) const WHY: &str = "/group/why/";

/// Where a broker with this data directory answers.
pub(super) fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// Serves them: on the socket always, over TCP if an address is given. Shards answer at the desk.
///
/// # Errors
/// The address can't be listened on.
pub(super) fn serve(data_dir: &Path, listen: Option<&str>, metrics: &Registry) -> Result<Desk, String> {
    let (desk, mut clerks) = desk(2);
    let pages = |clerk: Option<Clerk>| Pages { clerk, metrics: metrics.clone() };
    if let Some(listen) = listen {
        let mut pages = pages(clerks.pop());
        let address = resolve("metrics.listen", listen)?;
        let bound = serve_pages(address, move |path| pages.page(path));
        let bound = bound.map_err(|error| format!("metrics.listen = {listen}: {error}"))?;
        tracing::info!("metrics are at http://{bound}/metrics");
    }
    let mut pages = pages(clerks.pop());
    let path = socket(data_dir);
    if let Err(error) = serve_pages_at(&path, move |path| pages.page(path)) {
        // Nothing that a client needs.
        let path = path.display();
        tracing::warn!(%error, "no socket at {path}: `ringlog slow`, `metrics` and `group` can't ask this broker");
    }
    Ok(desk)
}

struct Pages {
    clerk: Option<Clerk>,
    metrics: Registry,
}

impl Pages {
    fn page(&mut self, path: &str) -> Option<Page> {
        match path {
            "/metrics" => Some(Page { media_type: CONTENT_TYPE, body: self.metrics() }),
            "/slow" => Some(plain(self.slow())),
            path => self.group_page(path).map(plain),
        }
    }

    fn metrics(&mut self) -> String {
        let text = self.metrics.text();
        match &mut self.clerk {
            Some(clerk) => lag::metrics(clerk, &text),
            None => text,
        }
    }

    fn group_page(&mut self, path: &str) -> Option<String> {
        let clerk = self.clerk.as_mut()?;
        if let Some(group) = path.strip_prefix(LAG) {
            return lag::page(clerk, &lag::unescaped(group)?);
        }
        let group = lag::unescaped(path.strip_prefix(WHY)?)?;
        let told = clerk.ask(&format!("{}{group}", why::WHY));
        told.into_iter().map(|(_, text)| text).find(|text| !text.is_empty())
    }

    fn slow(&mut self) -> String {
        let mut out =
            String::from("where the time of requests goes, in us (of one in eight, since the start)\n\n");
        stages(&mut out, "Produce", &self.metrics.stage_times(|stages| &stages.produce));
        stages(&mut out, "Fetch", &self.metrics.stage_times(|stages| &stages.fetch));
        out.push_str(
            "the slowest requests of the last ten minutes: time in the broker, and each stage, in us\n\n",
        );
        let told = self.clerk.as_mut().map(|clerk| clerk.ask(SLOW)).unwrap_or_default();
        let mut slowest: Vec<(u64, &str)> =
            told.iter().flat_map(|(_, text)| text.lines()).filter_map(split).collect();
        slowest.sort_by_key(|(nanos, _)| std::cmp::Reverse(*nanos));
        for (_, line) in slowest.iter().take(SLOW_MAX) {
            let _ = writeln!(out, "{line}");
        }
        out
    }
}

fn plain(body: String) -> Page {
    Page { media_type: "text/plain; charset=utf-8", body }
}

/// A shard's answer to a question.
pub(super) fn tell<B: Broker>(shard: &Shard<B>, question: &str) -> String {
    if question == SLOW {
        tell_slow(&shard.tell_slowest())
    } else if let Some(group) = question.strip_prefix(why::WHY) {
        why::tell(shard.tell_rebalances(group))
    } else if let Some(group) = question.strip_prefix(lag::COMMITS) {
        lag::tell_commits(shard, group)
    } else if let Some(lines) = question.strip_prefix(lag::BEHIND) {
        lag::tell_behind(shard, lines)
    } else {
        String::new()
    }
}

fn split(line: &str) -> Option<(u64, &str)> {
    let (nanos, line) = line.split_once('\t')?;
    Some((nanos.parse().ok()?, line))
}

/// A shard's answer to `SLOW`.
fn tell_slow(slowest: &[(Duration, String)]) -> String {
    let mut out = String::new();
    for (owed, line) in slowest {
        let _ = writeln!(out, "{}\t{line}", owed.as_nanos());
    }
    out
}

fn stages(out: &mut String, api: &str, times: &[(&str, Times)]) {
    let _ =
        writeln!(out, "{api:<10} {:>10} {:>10} {:>10} {:>10} {:>10}", "count", "mean", "p50", "p99", "p99.9");
    for (stage, times) in times.iter().filter(|(_, times)| times.count() > 0) {
        let us = |share: f64| times.quantile(share).as_micros();
        let mean = Duration::from_nanos(times.sum / times.count()).as_micros();
        let (p50, p99, p999) = (us(0.5), us(0.99), us(0.999));
        let _ = writeln!(out, "  {stage:<8} {:>10} {mean:>10} {p50:>10} {p99:>10} {p999:>10}", times.count());
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Journey, Stage};

    #[test]
    fn slow_requests_of_all_shards_are_told_slowest_first() {
        let metrics = Registry::new(2);
        let mut journey = Journey::begin(Duration::ZERO, true);
        journey.end(Stage::Flush, Duration::from_micros(800));
        metrics.of(1).stages.produce.note(&journey);
        let (_, mut clerks) = desk(1);
        let mut pages = Pages { clerk: clerks.pop(), metrics };
        let text = pages.page("/slow").map(|page| page.body).unwrap_or_default();
        assert!(text.contains("flush             1        800"), "{text}");
        let told = tell_slow(&[
            (Duration::from_micros(7), "seven".into()),
            (Duration::from_micros(9), "nine".into()),
        ]);
        let lines: Vec<_> = told.lines().filter_map(split).collect();
        assert_eq!(lines, [(7000, "seven"), (9000, "nine")]);
        assert!(pages.page("/nothing").is_none());
    }
}
