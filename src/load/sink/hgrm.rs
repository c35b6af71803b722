//! The percentile distribution of HdrHistogram's tools, as its plotter (hdrhistogram.github.io) reads it.

use crate::load::measure::Hist;
use std::fmt::Write as _;

/// Lines per halving of what is above.
const TICKS: u32 = 5;

/// The file's text; values in milliseconds.
#[must_use]
pub fn hgrm(hist: &Hist) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for step in hist.iter_quantiles(TICKS) {
        let (value, quantile) = (step.value_iterated_to() as f64 / 1e6, step.quantile_iterated_to());
        let _ = write!(
            text,
            "{value:12.3} {quantile:.12} {:10}",
            hist.count_between(0, step.value_iterated_to())
        );
        if quantile < 1.0 {
            let _ = writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        } else {
            text.push('\n');
        }
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]",
        hist.mean() / 1e6,
        hist.stdev() / 1e6,
        hist.max() as f64 / 1e6,
        hist.len(),
        hist.buckets(),
        2048
    );
    text
}

#[cfg(test)]
mod tests {
    use super::hgrm;
    use crate::load::measure::new_hist;

    #[test]
    fn the_distribution_ends_with_the_largest_value() {
        let mut hist = new_hist();
        (1..=1000_u64).for_each(|n| hist.saturating_record(n * 1_000_000));
        let text = hgrm(&hist);
        let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).skip(2).collect();
        let last: Vec<&str> = rows.last().unwrap().split_whitespace().collect();
        assert_eq!((last[1], last[2]), ("1.000000000000", "1000"));
        assert!(last[0].parse::<f64>().unwrap() >= 1000.0);
        assert!(text.contains("Total count    =         1000"));
    }
}
