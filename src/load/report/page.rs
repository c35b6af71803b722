//! A run as a page of its own: no scripts, nothing fetched from elsewhere.

use super::cards::{cards, verdict};
use super::latency::Latency;
use super::outcome::{Moment, Outcome, PhaseOutcome};
use super::stages::stages_section;
use super::summary::{is_churn, is_transacting, phase_text, summary};
use super::svg::{Axis, Chart, Line};
use super::units::{bytes, count, decimal, ms};
use crate::load::gate::escape;
use crate::load::measure::{HEAT_PER_DECADE, heat_floor_ns};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// The page of one run.
#[must_use]
pub fn page(outcome: &Outcome) -> String {
    let mut html = head(&title(outcome));
    let _ = write!(
        html,
        "<h1>{}</h1><p class=\"soft\">{} · {} · seed {}</p><p>{}</p>",
        escape(&title(outcome)),
        escape(&outcome.started),
        escape(&outcome.tool),
        outcome.seed,
        escape(&outcome.about)
    );
    html.push_str(&verdict(outcome));
    for phase in &outcome.phases {
        if phase.name != title(outcome) {
            let _ = write!(html, "<h2>{}</h2>", escape(&phase.name));
        }
        phase_section(&mut html, phase);
    }
    let closing = summary(&Outcome { phases: Vec::new(), ..outcome.clone() });
    if !closing.is_empty() {
        let _ = write!(html, "<h2>Verification and gates</h2><pre>{}</pre>", escape(closing.trim()));
    }
    environment(&mut html, outcome);
    html + "</body></html>\n"
}

/// A page that lays the curves of several runs over each other, below a table.
#[must_use]
pub fn overlay_page(title: &str, table: &str, runs: &[(String, &Outcome)]) -> String {
    let mut html = head(title);
    let _ = write!(html, "<h1>{}</h1><pre>{}</pre>", escape(title), escape(table));
    for (name, about) in [("ack", "Acknowledgement, corrected"), ("e2e", "End to end, corrected")] {
        let curves: Vec<(String, &Latency)> = runs
            .iter()
            .filter_map(|(label, run)| Some((label.clone(), run.judged().last()?.latency(name)?)))
            .collect();
        if !curves.is_empty() {
            let _ = write!(html, "<h3>{about}</h3>{}", percentile_curves(&curves));
        }
    }
    html + "</body></html>\n"
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head><body>",
        escape(title)
    )
}

fn title(outcome: &Outcome) -> String {
    if outcome.label.is_empty() { outcome.job.clone() } else { format!("{}: {}", outcome.label, outcome.job) }
}

fn phase_section(html: &mut String, phase: &PhaseOutcome) {
    if let Some(why) = &phase.saturated {
        let _ = write!(html, "<p class=\"void\"><b>Void: generator saturated.</b> {}</p>", escape(why));
    }
    let _ = write!(html, "{}<pre>{}</pre>", cards(phase), escape(phase_text(phase).trim()));
    let short = short_names(phase);
    let labels = [
        short[0].to_owned(),
        format!("{}, corrected", short[1]),
        format!("{}, corrected", short[2]),
        "send lag".to_owned(),
    ];
    let curves: Vec<(String, &Latency)> = ["service", "ack", "e2e", "lag"]
        .into_iter()
        .zip(labels)
        .filter_map(|(name, label)| Some((label, phase.latencies.get(name)?)))
        .collect();
    if !curves.is_empty() {
        let _ = write!(html, "<h3>Latency by percentile</h3>{}", percentile_curves(&curves));
    }
    if phase.moments.len() > 1 {
        let over_time = OverTime::new(&phase.moments);
        let _ =
            write!(html, "<h3>Latency over time</h3>{}{}", over_time.heat_map(), over_time.latencies(short));
        let _ = write!(html, "<h3>Throughput</h3>{}", over_time.throughput());
        if phase.broker.is_some() {
            let _ = write!(
                html,
                "<h3>The broker's processor and memory</h3>{}{}",
                over_time.cpu(),
                over_time.memory()
            );
            let _ = write!(html, "<h3>Flushes of the disk</h3>{}", over_time.flushes());
        }
    }
    html.push_str(&stages_section(phase));
}

/// What service time, acknowledgement and end to end are in this phase, for legends.
fn short_names(phase: &PhaseOutcome) -> [&'static str; 3] {
    if is_transacting(phase) {
        ["commit", "transaction", "e2e"]
    } else if is_churn(phase) {
        ["visit", "visit", "join"]
    } else if phase.sent.records == 0 && phase.received.records > 0 {
        ["fetch", "ack", "e2e"]
    } else {
        ["service", "ack", "e2e"]
    }
}

/// Curves over 1 / (1 - quantile), both axes by orders of magnitude.
fn percentile_curves(curves: &[(String, &Latency)]) -> String {
    let most = curves.iter().map(|(_, latency)| latency.count).max().unwrap_or(1).max(10);
    let values =
        || curves.iter().flat_map(|(_, latency)| latency.curve.iter().map(|(_, ns)| *ns as f64 / 1e6));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let nines = |value: f64| match (1.0 - 1.0 / value) * 100.0 {
        percent if percent < 0.1 => "min".to_owned(),
        percent => format!("{}%", format!("{percent:.5}").trim_end_matches('0').trim_end_matches('.')),
    };
    let chart = Chart {
        x: Axis::log(1.0, most as f64),
        y: Axis::log(low, high),
        labels: ("percentile", "ms"),
        x_text: &nines,
        y_text: &decimal,
        x_ticks: None,
        shaded: Vec::new(),
    };
    let line = |(name, latency): &(String, &Latency)| {
        let x =
            |quantile: f64| if quantile < 1.0 { 1.0 / (1.0 - quantile) } else { latency.count.max(1) as f64 };
        let points = latency.curve.iter().map(|(quantile, ns)| (x(*quantile), *ns as f64 / 1e6));
        Line { name: name.clone(), points: points.collect() }
    };
    chart.lines(&curves.iter().map(line).collect::<Vec<_>>())
}

/// Pictures over the time of one phase.
struct OverTime<'a> {
    moments: &'a [Moment],
    end: f64,
    shaded: Vec<(f64, f64)>,
}

impl<'a> OverTime<'a> {
    fn new(moments: &'a [Moment]) -> Self {
        let end = moments.iter().map(|moment| moment.start + moment.seconds).fold(0.0, f64::max);
        let aside = moments.iter().filter(|moment| moment.part != "measured");
        OverTime {
            moments,
            end,
            shaded: aside.map(|moment| (moment.start, moment.start + moment.seconds)).collect(),
        }
    }

    fn chart<'b>(&self, y: Axis, label: &'b str, y_text: &'b dyn Fn(f64) -> String) -> Chart<'b> {
        Chart {
            x: Axis::span(0.0, self.end),
            y,
            labels: ("seconds (shaded: not measured)", label),
            x_text: &|value| format!("{value}"),
            y_text,
            x_ticks: None,
            shaded: self.shaded.clone(),
        }
    }

    fn line(&self, name: &str, value: impl Fn(&Moment) -> Option<f64>) -> Option<Line> {
        // The last one is cut off: what is in it, for a second, says nothing.
        let longest = self.moments.iter().map(|moment| moment.seconds).fold(0.0, f64::max);
        let whole = self.moments.iter().filter(|moment| moment.seconds > longest / 2.0);
        let points: Vec<(f64, f64)> =
            whole.filter_map(|moment| Some((moment.start + moment.seconds, value(moment)?))).collect();
        let counts = points.iter().any(|(_, value)| *value > 0.0);
        counts.then(|| Line { name: name.to_owned(), points })
    }

    fn draw(&self, label: &str, y_text: &dyn Fn(f64) -> String, lines: Vec<Option<Line>>) -> String {
        let lines: Vec<Line> = lines.into_iter().flatten().collect();
        let high =
            lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value)).fold(0.0, f64::max);
        self.chart(Axis::linear(high), label, y_text).lines(&lines)
    }

    fn heat_map(&self) -> String {
        let rows = || self.moments.iter().flat_map(|moment| moment.heat.iter());
        let most = rows().map(|(_, count)| *count).max().unwrap_or(1).max(2);
        let (first, last) = (rows().map(|(row, _)| *row).min(), rows().map(|(row, _)| *row).max());
        let (Some(first), Some(last)) = (first, last) else { return String::new() };
        let floor = |row: u16| heat_floor_ns(usize::from(row)) / 1e6;
        let height = 10_f64.powf(1.0 / HEAT_PER_DECADE as f64);
        let mut cells = Vec::new();
        for moment in self.moments {
            for (row, records) in &moment.heat {
                let strength = 0.08 + 0.92 * f64::from(*records).ln_1p() / f64::from(most).ln_1p();
                let low = floor(*row);
                cells.push(([moment.start, moment.start + moment.seconds, low, low * height], strength));
            }
        }
        let axis = Axis::log(floor(first), floor(last) * height);
        self.chart(axis, "records by latency, ms", &decimal).heat(&cells)
    }

    fn latencies(&self, [service, ack, e2e]: [&str; 3]) -> String {
        let line = |name: &str, what: &str, pick: fn(&Moment) -> u64| {
            self.line(&format!("{name} {what}"), |moment| {
                Some(pick(moment)).filter(|ns| *ns > 0).map(|ns| ns as f64 / 1e6)
            })
        };
        let lines: Vec<Line> = [
            line(ack, "p50", |moment| moment.ack_p50_ns),
            line(ack, "p99", |moment| moment.ack_p99_ns),
            line(ack, "max", |moment| moment.ack_max_ns),
            line(e2e, "p50", |moment| moment.e2e_p50_ns),
            line(e2e, "p99", |moment| moment.e2e_p99_ns),
            line(service, "p99", |moment| moment.service_p99_ns),
        ]
        .into_iter()
        .flatten()
        .collect();
        let values = || lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
        let axis = Axis::log(values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        self.chart(axis, "ms", &decimal).lines(&lines)
    }

    fn throughput(&self) -> String {
        let rate =
            |flow: fn(&Moment) -> u64| move |moment: &Moment| Some(flow(moment) as f64 / moment.seconds);
        let acked = self.line("acknowledged", rate(|moment| moment.acked.bytes));
        let received = self.line("received", rate(|moment| moment.received.bytes));
        let visits = self.line("connections", rate(|moment| moment.churned));
        let records = vec![
            self.line("acknowledged", rate(|moment| moment.acked.records)),
            self.line("received", rate(|moment| moment.received.records)),
        ];
        let mut svg = String::new();
        if acked.is_some() || received.is_some() {
            svg = self.draw("bytes per second", &bytes, vec![acked, received]);
            svg += &self.draw("records per second", &|value| count(value as u64), records);
        }
        let transactions = self.line("transactions", rate(|moment| moment.transactions));
        if transactions.is_some() {
            let lines = vec![transactions];
            svg += &self.draw("transactions per second", &|value| count(value as u64), lines);
        }
        if visits.is_some() {
            svg += &self.draw("connections per second", &|value| count(value as u64), vec![visits]);
        }
        svg
    }

    fn cpu(&self) -> String {
        let broker = self.line("broker", |moment| Some(moment.broker_cpu_seconds? / moment.seconds * 100.0));
        let own = self.line("generator's busiest thread", |moment| Some(moment.generator_cpu_share * 100.0));
        self.draw("% of a processor", &|value| format!("{value:.0}"), vec![broker, own])
    }

    fn memory(&self) -> String {
        let line =
            self.line("RSS", |moment| moment.broker_rss_bytes.filter(|rss| *rss > 0).map(|rss| rss as f64));
        self.draw("broker's RSS", &bytes, vec![line])
    }

    fn flushes(&self) -> String {
        let line = self.line("flushes", |moment| Some(moment.flushes? as f64 / moment.seconds));
        self.draw("flushes per second", &|value| count(value as u64), vec![line])
    }
}

/// What a run was made with.
fn environment(html: &mut String, outcome: &Outcome) {
    html.push_str("<h2>Where and with what</h2><table>");
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(html, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
        }
    };
    row("command", &outcome.command.join(" "));
    let host = &outcome.host;
    row("machine", &format!("{}, {}", host.host, host.processor));
    row("processors of the generator", &host.processors);
    row("frequency governor", &host.governor);
    row("kernel", &host.kernel);
    row("memory", &bytes(host.memory_bytes as f64));
    row("load averages at the start", &host.load);
    let cluster = &outcome.cluster;
    row("cluster", &cluster.id);
    for (id, address) in &cluster.brokers {
        row(&format!("broker {id}"), address);
    }
    let versions: Vec<String> =
        cluster.versions.iter().map(|(key, min, max)| format!("{key}: {min}–{max}")).collect();
    row("API versions of the broker", &versions.join(", "));
    for (key, value) in &cluster.config {
        row(&format!("broker's {key}"), value);
    }
    for note in &cluster.notes {
        row("note", note);
    }
    for phase in &outcome.phases {
        let set: Vec<String> = phase.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        row(&format!("settings of {}", phase.name), &set.join("  "));
    }
    html.push_str("</table>");
    let example = outcome.phases.iter().find_map(|phase| phase.latencies.iter().next());
    if let Some((name, latency)) = example {
        let _ = write!(
            html,
            "<p class=\"soft\">Histograms have three significant digits from 100 ns to one hour; {name} holds \
             {} values, the largest {}.</p>",
            count(latency.count),
            ms(latency.max_ns as f64)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::new_hist;

    fn outcome() -> Outcome {
        let mut hist = new_hist();
        (1..=5000_u64).for_each(|n| hist.saturating_record(n * 1000));
        let mut phase =
            PhaseOutcome { name: "steady <1>".to_owned(), judged: true, ..PhaseOutcome::default() };
        phase.latencies.insert("ack".to_owned(), Latency::of(&hist));
        phase.broker = Some(super::super::Broker::default());
        for second in 0..3 {
            phase.moments.push(Moment {
                start: f64::from(second),
                seconds: 1.0,
                part: "measured".to_owned(),
                acked: super::super::Flowed { records: 100, bytes: 1000, requests: 10 },
                ack_p99_ns: 2_000_000,
                heat: vec![(8, 50), (16, 50)],
                broker_cpu_seconds: Some(0.5),
                broker_rss_bytes: Some(1 << 20),
                flushes: Some(70),
                ..Moment::default()
            });
        }
        let mut outcome = Outcome::new("job", "What it measures.", &["ringlog-load".to_owned()]);
        outcome.phases.push(phase);
        outcome
    }

    #[test]
    fn the_page_has_its_pictures_and_needs_nothing_else() {
        let html = page(&outcome());
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(html.matches("<svg").count() >= 7, "{}", html.matches("<svg").count());
        for part in ["steady &lt;1&gt;", "99.9%", "class=\"heat\"", "flushes per second", "kernel"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("http"));
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let html = page(&Outcome::default());
        assert!(html.ends_with("</html>\n") && !html.contains("NaN"));
    }

    #[test]
    fn runs_are_laid_over_each_other() {
        let (a, b) = (outcome(), outcome());
        let html = overlay_page("a and b", "table", &[("a".to_owned(), &a), ("b".to_owned(), &b)]);
        assert_eq!(html.matches("class=\"line c1\"").count(), 2, "the second curve and its legend");
    }
}
