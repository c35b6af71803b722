//! Pictures as SVG: lines over time, percentile curves, heat maps. Colours are classes of the page's style sheet.

use std::fmt::Write as _;

/// Size of a picture, and of the margins around its plot.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 40.0;

/// Width of a letter in the legend, about, and of what stands beside a name there.
const LETTER: f64 = 6.5;
const LEGEND_GAP: f64 = 46.0;

/// A logarithmic axis of fewer orders of magnitude has marks between them.
const FEW_DECADES: f64 = 3.0;

/// Marks of a linear axis, about.
const TICKS: f64 = 6.0;

/// An axis: how values become places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// From 0 to a value.
    pub(super) fn linear(high: f64) -> Self {
        Axis { low: 0.0, high: if high > 0.0 { high * 1.05 } else { 1.0 }, log: false }
    }

    /// From one value to another, both above 0, by orders of magnitude. Ends at 1, 2 or 5 of one.
    pub(super) fn log(low: f64, high: f64) -> Self {
        let low = low.max(1e-9);
        let steps = |value: f64| {
            let decade = 10_f64.powi(value.log10().floor() as i32);
            [1.0, 2.0, 5.0, 10.0].map(|step| step * decade)
        };
        let below = steps(low).into_iter().rfind(|step| *step <= low).unwrap_or(low);
        let high = high.max(low * 10.0);
        let above = steps(high).into_iter().find(|step| *step >= high).unwrap_or(high);
        Axis { low: below, high: above, log: true }
    }

    /// Between two values exactly.
    pub(super) fn span(low: f64, high: f64) -> Self {
        Axis { low, high: if high > low { high } else { low + 1.0 }, log: false }
    }

    /// A value's place between 0 and 1.
    fn place(self, value: f64) -> f64 {
        let at = |value: f64| if self.log { value.max(self.low).log10() } else { value };
        ((at(value) - at(self.low)) / (at(self.high) - at(self.low))).clamp(0.0, 1.0)
    }

    fn ticks(self) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let few = self.high.log10() - self.low.log10() < FEW_DECADES;
            let steps: &[f64] = if few { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let all = (low..=high).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
            let near = self.low * (1.0 - 1e-9)..=self.high * (1.0 + 1e-9);
            return all.filter(|tick| near.contains(tick)).collect();
        }
        let rough = (self.high - self.low) / TICKS;
        let power = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|nth| nth as f64 * step).collect()
    }
}

/// A line of a chart.
pub(super) struct Line {
    /// Its name in the legend.
    pub(super) name: String,
    /// Its points.
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart with axes.
pub(super) struct Chart<'a> {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// What the axes show.
    pub(super) labels: (&'a str, &'a str),
    /// How marks of the axes are written.
    pub(super) x_text: &'a dyn Fn(f64) -> String,
    pub(super) y_text: &'a dyn Fn(f64) -> String,
    /// Marks of the x axis, where they aren't those of its scale.
    pub(super) x_ticks: Option<Vec<f64>>,
    /// A part of the x axis that doesn't count.
    pub(super) shaded: Vec<(f64, f64)>,
}

impl Chart<'_> {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// The chart with lines.
    pub(super) fn lines(&self, lines: &[Line]) -> String {
        let mut svg = self.open();
        for (nth, line) in lines.iter().enumerate() {
            let mut path = String::new();
            for (at, (x, y)) in line.points.iter().enumerate() {
                let _ =
                    write!(path, "{}{:.1} {:.1}", if at == 0 { "M" } else { "L" }, self.x(*x), self.y(*y));
            }
            let _ = write!(svg, "<path class=\"line c{}\" d=\"{path}\"/>", nth % 8);
        }
        // Above the plot, where no line can be.
        let (mut x, y) = (LEFT, TOP - 12.0);
        for (nth, line) in lines.iter().enumerate().filter(|_| lines.len() > 1) {
            let _ = write!(
                svg,
                "<path class=\"line c{}\" d=\"M{x:.0} {:.0}h18\"/><text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
                nth % 8,
                y - 4.0,
                x + 24.0,
                crate::load::gate::escape(&line.name)
            );
            x += LEGEND_GAP + LETTER * line.name.chars().count() as f64;
        }
        svg + "</svg>"
    }

    /// The chart with areas that stand on each other: each line's values are added to those of the lines before it.
    pub(super) fn areas(&self, lines: &[Line]) -> String {
        let mut svg = self.open();
        let mut floor: Vec<(f64, f64)> = lines
            .first()
            .map(|line| line.points.iter().map(|(x, _)| (*x, 0.0)).collect())
            .unwrap_or_default();
        for (nth, line) in lines.iter().enumerate() {
            let top: Vec<(f64, f64)> =
                floor.iter().zip(&line.points).map(|((x, low), (_, more))| (*x, low + more)).collect();
            let corners = top.iter().chain(floor.iter().rev());
            let path: Vec<String> =
                corners.map(|(x, y)| format!("{:.1} {:.1}", self.x(*x), self.y(*y))).collect();
            let _ = write!(svg, "<path class=\"area a{nth}\" d=\"M{}Z\"/>", path.join("L"));
            floor = top;
        }
        svg + "</svg>"
    }

    /// The chart with rectangles (x from, x to, y from, y to) of a strength between 0 and 1.
    pub(super) fn heat(&self, cells: &[([f64; 4], f64)]) -> String {
        let mut svg = self.open();
        for ([left, right, low, high], strength) in cells {
            let (x, y) = (self.x(*left), self.y(*high));
            let (width, height) = (self.x(*right) - x + 0.4, self.y(*low) - y + 0.4);
            let _ = write!(
                svg,
                "<rect class=\"heat\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 opacity=\"{strength:.2}\"/>"
            );
        }
        svg + "</svg>"
    }

    fn open(&self) -> String {
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
        for (from, to) in &self.shaded {
            let (x, end) = (self.x(*from), self.x(*to));
            let _ = write!(
                svg,
                "<rect class=\"shade\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                (end - x).max(0.0),
                HEIGHT - TOP - BOTTOM
            );
        }
        for tick in self.y.ticks() {
            let y = self.y(tick);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text class=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                (self.y_text)(tick)
            );
        }
        for tick in self.x_ticks.clone().unwrap_or_else(|| self.x.ticks()) {
            let x = self.x(tick);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{}\"/><text class=\"mid\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 16.0,
                (self.x_text)(tick)
            );
        }
        let _ = write!(
            svg,
            "<text class=\"mid label\" x=\"{:.0}\" y=\"{}\">{}</text>\
             <text class=\"mid label\" transform=\"translate(13 {:.0}) rotate(-90)\">{}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 6.0,
            self.labels.0,
            f64::midpoint(TOP, HEIGHT - BOTTOM),
            self.labels.1
        );
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_places() {
        let log = Axis::log(0.02, 700.0);
        assert_eq!((log.low, log.high), (0.02, 1000.0));
        assert!((log.place(20.0) - 3.0 / 50_000_f64.log10()).abs() < 1e-9);
        assert_eq!(log.ticks(), [0.1, 1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(Axis::log(3.0, 40.0).ticks(), [2.0, 5.0, 10.0, 20.0, 50.0]);
        let linear = Axis::linear(100.0);
        assert!((linear.place(52.5) - 0.5).abs() < 1e-9 && linear.place(-3.0) == 0.0);
        assert_eq!(linear.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Axis::linear(0.0).ticks().len(), 6);
    }

    #[test]
    fn a_chart_draws_what_it_is_given() {
        let text = |value: f64| format!("{value}");
        let chart = Chart {
            x: Axis::span(0.0, 10.0),
            y: Axis::linear(5.0),
            labels: ("time", "rate"),
            x_text: &text,
            y_text: &text,
            x_ticks: None,
            shaded: vec![(0.0, 2.0)],
        };
        let line = |name: &str| Line { name: name.to_owned(), points: vec![(0.0, 0.0), (10.0, 5.25)] };
        let svg = chart.lines(&[line("a<b"), line("c")]);
        assert!(svg.contains("d=\"M78.0 260.0L864.0 32.0\"") && svg.contains("a&lt;b"), "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && svg.contains("class=\"shade\""));
        let stacked =
            chart.areas(&[line("a"), Line { name: "b".to_owned(), points: vec![(0.0, 1.0), (10.0, 0.0)] }]);
        assert!(
            stacked.contains("class=\"area a1\" d=\"M78.0 216.6L864.0 32.0L864.0 32.0L78.0 260.0Z\""),
            "{stacked}"
        );
        assert_eq!(chart.heat(&[([0.0, 1.0, 0.0, 1.0], 0.5)]).matches("class=\"heat\"").count(), 1);
    }
}
