//! Where a broker's own time goes, on the page of a run: areas over time, and a table with their colours.

use super::outcome::{Moment, PhaseOutcome, StageOutcome};
use super::svg::{Axis, Chart, Line};
use super::units::{count, decimal, ms};
use crate::load::gate::escape;
use std::fmt::Write as _;

/// The whole way of a request, which is no stage.
const WHOLE: &str = "total";

/// A fetch that waits for records does what it was asked to: it would hide the rest of the picture.
const ASKED_FOR: &str = "wait";

/// What the brokers told of a phase; nothing if they told nothing.
pub(super) fn stages_section(phase: &PhaseOutcome) -> String {
    let mut html = String::new();
    for whole in phase.stages.iter().filter(|stage| stage.stage == WHOLE) {
        let api = escape(&whole.api);
        let _ = write!(html, "<h3>Where the broker's time goes: {api}</h3>");
        let of_api = |stage: &&StageOutcome| stage.api == whole.api && stage.stage != WHOLE;
        let parts: Vec<&StageOutcome> = phase.stages.iter().filter(of_api).collect();
        let drawn: Vec<&str> =
            parts.iter().map(|part| part.stage.as_str()).filter(|stage| *stage != ASKED_FOR).collect();
        html.push_str(&over_time(&phase.moments, &whole.api, &drawn));
        html.push_str(&table(whole, &parts, &drawn));
    }
    html
}

/// Mean time of a request in each stage, interval by interval, one on top of the other.
fn over_time(moments: &[Moment], api: &str, drawn: &[&str]) -> String {
    let told: Vec<(&Moment, f64)> =
        moments.iter().filter_map(|moment| Some((moment, whole(moment, api)?))).collect();
    if told.len() < 2 {
        return String::new();
    }
    let line = |stage: &&str| {
        let mean = |(moment, requests): &(&Moment, f64)| {
            let found = moment.stages.iter().find(|part| part.api == api && part.stage == **stage);
            let sum_ns = found.map_or(0, |part| part.sum_ns);
            (moment.start + moment.seconds, sum_ns as f64 / requests / 1e6)
        };
        Line { name: (*stage).to_owned(), points: told.iter().map(mean).collect() }
    };
    let lines: Vec<Line> = drawn.iter().map(line).collect();
    let highest = |at: usize| lines.iter().map(|line| line.points[at].1).sum::<f64>();
    let high = (0..told.len()).map(highest).fold(0.0, f64::max);
    let end = moments.iter().map(|moment| moment.start + moment.seconds).fold(0.0, f64::max);
    let aside = moments.iter().filter(|moment| moment.part != "measured");
    let chart = Chart {
        x: Axis::span(0.0, end),
        y: Axis::linear(high),
        labels: ("seconds (shaded: not measured)", "ms per request, on average"),
        x_text: &|value| format!("{value}"),
        y_text: &decimal,
        x_ticks: None,
        shaded: aside.map(|moment| (moment.start, moment.start + moment.seconds)).collect(),
    };
    chart.areas(&lines)
}

/// Requests of an interval that were timed, if there were any.
fn whole(moment: &Moment, api: &str) -> Option<f64> {
    let whole = moment.stages.iter().find(|part| part.api == api && part.stage == WHOLE)?;
    (whole.count > 0).then_some(whole.count as f64)
}

/// The table's head.
const HEAD: &str = "<table class=\"numbers\"><tr><th>stage</th><th>requests timed</th><th>mean over all</th>\
                    <th>p50</th><th>p99</th></tr>";

/// What to know about it.
const FOOT: &str = "</table><p class=\"soft\">By the broker's own clock, of one request in eight, over the measured \
                    part; p50 and p99 are estimates from powers of two, over the requests that passed the stage. \
                    What a request waits because its client asked it to isn't drawn.</p>";

fn table(whole: &StageOutcome, parts: &[&StageOutcome], drawn: &[&str]) -> String {
    let mut html = HEAD.to_owned();
    for part in parts.iter().copied().chain([whole]) {
        let colour = drawn.iter().position(|stage| *stage == part.stage);
        let _ = write!(
            html,
            "<tr><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            colour.map_or_else(String::new, mark),
            escape(&part.stage),
            count(part.count),
            ms(part.sum_ns as f64 / whole.count.max(1) as f64),
            ms(part.p50_ns as f64),
            ms(part.p99_ns as f64)
        );
    }
    html + FOOT
}

/// A square in an area's colour.
fn mark(nth: usize) -> String {
    format!(
        "<svg class=\"mark\" viewBox=\"0 0 10 10\"><path class=\"area a{nth}\" d=\"M0 0h10v10h-10Z\"/></svg> "
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(stage: &str, count: u64, sum_ns: u64) -> StageOutcome {
        StageOutcome {
            api: "fetch".to_owned(),
            stage: stage.to_owned(),
            count,
            sum_ns,
            p50_ns: 1000,
            p99_ns: 9000,
        }
    }

    #[test]
    fn stages_stand_on_each_other_and_have_their_colours() {
        let stages = vec![
            stage("read", 10, 10_000_000),
            stage("wait", 5, 900_000_000),
            stage("send", 10, 30_000_000),
            stage("total", 10, 940_000_000),
        ];
        let moment = |start| Moment { start, seconds: 1.0, stages: stages.clone(), ..Moment::default() };
        let phase = PhaseOutcome {
            stages: stages.clone(),
            moments: vec![moment(0.0), moment(1.0)],
            ..Default::default()
        };
        let html = stages_section(&phase);
        assert_eq!(html.matches("class=\"area a1\"").count(), 2, "send, and its mark: {html}");
        assert_eq!(html.matches("class=\"area a2\"").count(), 0, "the wait isn't drawn");
        assert!(html.contains("94.00 ms") && html.contains(">wait<"), "{html}");
        assert_eq!(stages_section(&PhaseOutcome::default()), "");
    }
}
