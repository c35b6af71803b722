//! Texts of values, as people write them: `16KiB`, `1.5M`, `250us`, `ramp 1k..50k`, `zipf 1M 0.99`.

use crate::load::arrival::Rate;
use crate::load::shape::{Keys, Sizes};
use std::time::Duration;

/// Splits a number from the unit behind it.
fn number_and_unit(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let digits: String = text[..end].chars().filter(|c| *c != '_').collect();
    let number = digits.parse::<f64>().map_err(|_| format!("{text:?} doesn't begin with a number"))?;
    Ok((number, text[end..].trim()))
}

/// A count: `1000`, `10k`, `1.5M`, `2G`.
///
/// # Errors
/// What to write instead.
pub fn parse_count(text: &str) -> Result<f64, String> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return Err(format!("{unit:?} is no unit of a count: write 1000, 10k, 1.5M or 2G")),
    };
    Ok(number * factor)
}

/// A number of bytes: `100`, `16KiB`, `1MB`.
///
/// # Errors
/// What to write instead.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" | "k" | "K" => 1e3,
        "MB" | "M" => 1e6,
        "GB" | "G" => 1e9,
        "TB" => 1e12,
        "KiB" | "Ki" => 1024.0,
        "MiB" | "Mi" => 1024.0 * 1024.0,
        "GiB" | "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("{unit:?} is no unit of bytes: write 100, 16KiB, 1MB or 2GiB")),
    };
    Ok((number * factor) as u64)
}

/// A time: `250us`, `5ms`, `10s`, `2m`, `1h`. A bare 0 is a time as well.
///
/// # Errors
/// What to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(format!("{text:?} needs a unit of time: write 250us, 5ms, 10s, 2m or 1h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is too long"))
}

/// A share: `20%` or `0.2`.
fn parse_share(text: &str) -> Result<f64, String> {
    let (number, unit) = number_and_unit(text)?;
    let share = match unit {
        "%" => number / 100.0,
        "" => number,
        _ => return Err(format!("{text:?} is no share: write 20% or 0.2")),
    };
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{text:?} isn't between 0% and 100%")) }
}

/// A rate in records a second; `/s` may follow, and bytes a second are divided by the mean size of a record.
fn parse_rate_number(text: &str, mean_bytes: f64) -> Result<f64, String> {
    let text = text.trim().trim_end_matches("/s").trim();
    let rate = if text.ends_with('B') {
        parse_bytes(text)? as f64 / mean_bytes.max(1.0)
    } else {
        parse_count(text)?
    };
    if rate > 0.0 { Ok(rate) } else { Err(format!("{text:?}: a rate is above 0")) }
}

/// `a..b` as two rates.
fn parse_rate_range(text: &str, mean_bytes: f64) -> Result<(f64, f64), String> {
    let (low, high) = text.split_once("..").ok_or(format!("{text:?}: write two rates as 1k..50k"))?;
    Ok((parse_rate_number(low, mean_bytes)?, parse_rate_number(high, mean_bytes)?))
}

/// What a rate may be, for messages and help.
pub(super) const RATE_FORMS: &str = "max | 50k | 100MB/s | ramp 1k..50k [over 20s] | \
                                     burst 1k..20k every 2s for 200ms | \
                                     poisson 10k";

/// A rate. A ramp without a time of its own lasts as long as the phase.
pub(super) fn parse_rate(text: &str, mean_bytes: f64, phase: Duration) -> Result<Rate, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let rate = match words.as_slice() {
        ["max"] => Rate::Max,
        ["poisson", rate] => Rate::Poisson(parse_rate_number(rate, mean_bytes)?),
        ["ramp", range] => {
            let (from, to) = parse_rate_range(range, mean_bytes)?;
            Rate::Ramp { from, to, over: phase }
        }
        ["ramp", range, "over", over] => {
            let (from, to) = parse_rate_range(range, mean_bytes)?;
            Rate::Ramp { from, to, over: parse_duration(over)? }
        }
        ["burst", range, "every", every, "for", lasts] => {
            let (base, peak) = parse_rate_range(range, mean_bytes)?;
            let (every, lasts) = (parse_duration(every)?, parse_duration(lasts)?);
            if lasts >= every {
                return Err("a burst must be shorter than the time from one to the next".to_owned());
            }
            Rate::Burst { base, peak, every, lasts }
        }
        [rate] if *rate != "ramp" && *rate != "burst" && *rate != "poisson" => Rate::Fixed(
            parse_rate_number(rate, mean_bytes)
                .map_err(|why| format!("{why}; write one of: {RATE_FORMS}"))?,
        ),
        _ => return Err(format!("write one of: {RATE_FORMS}")),
    };
    let over = match rate {
        Rate::Ramp { over, .. } => over,
        _ => Duration::from_secs(1),
    };
    if over.is_zero() { Err("a ramp takes some time".to_owned()) } else { Ok(rate) }
}

/// What sizes may be, for messages and help.
pub(super) const SIZE_FORMS: &str = "1KiB | 100..2000 | lognormal 500 0.8 [max 64KiB] | 100:90,10KiB:10";

/// A distribution of sizes.
pub(super) fn parse_sizes(text: &str) -> Result<Sizes, String> {
    let size = |text: &str| parse_bytes(text).map(|bytes| bytes as usize);
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["lognormal", median, sigma] => log_normal(size(median)?, sigma, size(median)? * 100),
        ["lognormal", median, sigma, "max", max] => log_normal(size(median)?, sigma, size(max)?),
        [range] if range.contains("..") => {
            let (low, high) = range.split_once("..").unwrap_or_default();
            let (low, high) = (size(low)?, size(high)?);
            if low <= high {
                Ok(Sizes::Uniform(low, high))
            } else {
                Err(format!("{range:?}: the first size is larger than the second"))
            }
        }
        [list] if list.contains(':') => {
            let parts = list.split(',').map(|part| {
                let (bytes, weight) = part.split_once(':').ok_or(format!("{part:?}: write SIZE:WEIGHT"))?;
                Ok((size(bytes)?, parse_count(weight)?))
            });
            let list: Vec<(usize, f64)> = parts.collect::<Result<_, String>>()?;
            if list.iter().any(|(_, weight)| *weight > 0.0) {
                Ok(Sizes::Weighted(list))
            } else {
                Err("at least one weight is above 0".to_owned())
            }
        }
        [one] => size(one).map(Sizes::Fixed),
        _ => Err(format!("write one of: {SIZE_FORMS}")),
    }
}

fn log_normal(median: usize, sigma: &str, max: usize) -> Result<Sizes, String> {
    let sigma = parse_count(sigma)?;
    if (0.0..=4.0).contains(&sigma) && median > 0 && max >= median {
        Ok(Sizes::LogNormal { median, sigma, max })
    } else {
        Err("lognormal MEDIAN SIGMA max MAX: sigma is between 0 and 4, max at least the median".to_owned())
    }
}

/// What keys may be, for messages and help.
pub(super) const KEY_FORMS: &str = "none | uniform 1M | zipf 1M 0.99 | hot 1M 20% 80%";

/// Which keys records have.
pub(super) fn parse_keys(text: &str) -> Result<Keys, String> {
    let count = |text: &str| match parse_count(text)? {
        count if count >= 1.0 => Ok(count as u64),
        _ => Err(format!("{text:?}: there is at least one key")),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["none"] => Ok(Keys::None),
        ["uniform", keys] => Ok(Keys::Uniform(count(keys)?)),
        ["zipf", keys, exponent] => match parse_count(exponent)? {
            exponent if exponent > 0.0 && exponent <= 10.0 => {
                Ok(Keys::Zipf { count: count(keys)?, exponent })
            }
            _ => Err(format!("{exponent:?}: the exponent is above 0 and at most 10")),
        },
        ["hot", keys, part, share] => {
            Ok(Keys::Hot { count: count(keys)?, part: parse_share(part)?, share: parse_share(share)? })
        }
        _ => Err(format!("write one of: {KEY_FORMS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASE: Duration = Duration::from_secs(30);

    #[test]
    fn units_are_understood() {
        assert_eq!(parse_bytes("16KiB"), Ok(16_384));
        assert_eq!(parse_bytes("1.5 MB"), Ok(1_500_000));
        assert_eq!(parse_duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_count("1_000k"), Ok(1e6));
        for (text, part) in [("5", "unit of time"), ("x", "number"), ("5 parsecs", "unit of time")] {
            assert!(parse_duration(text).unwrap_err().contains(part), "{text}");
        }
        assert!(parse_bytes("5 apples").unwrap_err().contains("16KiB"));
    }

    #[test]
    fn rates_have_their_forms() {
        let rate = |text| parse_rate(text, 1000.0, PHASE);
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(rate("50k"), Ok(Rate::Fixed(50_000.0)));
        assert_eq!(rate("100MB/s"), Ok(Rate::Fixed(100_000.0)));
        assert_eq!(rate("poisson 10k"), Ok(Rate::Poisson(10_000.0)));
        assert_eq!(rate("ramp 1k..2k"), Ok(Rate::Ramp { from: 1000.0, to: 2000.0, over: PHASE }));
        assert!(matches!(rate("ramp 1k..2k over 5s"), Ok(Rate::Ramp { over, .. }) if over.as_secs() == 5));
        assert!(matches!(rate("burst 1k..9k every 2s for 200ms"), Ok(Rate::Burst { .. })));
        for wrong in ["", "0", "ramp", "ramp 5", "burst 1..2 every 1s for 2s", "fast", "poisson"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn distributions_have_their_forms() {
        assert_eq!(parse_sizes("100..2000"), Ok(Sizes::Uniform(100, 2000)));
        assert_eq!(parse_sizes("100:90,10KiB:10"), Ok(Sizes::Weighted(vec![(100, 90.0), (10_240, 10.0)])));
        assert!(matches!(parse_sizes("lognormal 500 0.8"), Ok(Sizes::LogNormal { max: 50_000, .. })));
        assert_eq!(parse_keys("zipf 1M 0.99"), Ok(Keys::Zipf { count: 1_000_000, exponent: 0.99 }));
        assert_eq!(parse_keys("hot 1k 20% 0.8"), Ok(Keys::Hot { count: 1000, part: 0.2, share: 0.8 }));
        for wrong in ["2000..100", "lognormal 5", "100:0", "a:b"] {
            assert!(parse_sizes(wrong).is_err(), "{wrong}");
        }
        for wrong in ["zipf 5", "hot 1k 200% 1", "uniform 0"] {
            assert!(parse_keys(wrong).is_err(), "{wrong}");
        }
    }
}
