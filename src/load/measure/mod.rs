//! Histograms and counts, their intervals, the end of the warm-up, and whether the generator kept up. Pure.

mod measures;
mod series;
mod steady;
mod verdict;

pub use measures::{Counts, Flow, Hist, Measures, Quantiles, new_hist, quantiles};
pub use series::{HEAT_PER_DECADE, HEAT_ROWS, Interval, Part, Row, Series, Totals, heat_floor_ns};
pub use steady::{Steady, WINDOW};
pub use verdict::{Pace, saturation};
