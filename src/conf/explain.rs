//! What `ringlog config explain` prints, and the sample file.

use super::keys::{KEYS, Kind, nearest};
use super::layers::Layers;
use std::fmt::Write;

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Int { min: i64::MIN, max: i64::MAX } => f.write_str("whole number"),
            Kind::Int { min, max: i64::MAX } => write!(f, "whole number from {min}"),
            Kind::Int { min, max } => write!(f, "whole number from {min} to {max}"),
            Kind::IntOr { or, min, max } => write!(f, "whole number from {min} to {max}, or {or}"),
            Kind::Bool => f.write_str("true or false"),
            Kind::Text => f.write_str("text"),
            Kind::Address => f.write_str("HOST:PORT"),
            Kind::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Kind::ListOf(words) => write!(f, "some of {}", words.join(", ")),
            Kind::Ratio => f.write_str("fraction from 0 to 1"),
            Kind::Replicas => f.write_str("* or PARTITION:BROKER,..."),
            Kind::Voters => f.write_str("ID@HOST:PORT,..."),
        }
    }
}

/// Explains one key, or all: value, where it comes from, what it may be, what it does.
///
/// # Errors
/// The key is unknown; the nearest one is named.
pub fn explain(layers: &Layers, wanted: Option<&str>) -> Result<String, String> {
    let mut out = String::new();
    for key in KEYS.iter().filter(|key| wanted.is_none_or(|wanted| wanted == key.name)) {
        let (value, source) = layers.value(key.name);
        let shown = if value.is_empty() { "\"\"" } else { value };
        let _ = writeln!(out, "{} = {shown}  ({source})\n    {}\n    {}", key.name, key.kind, key.doc);
    }
    if out.is_empty() {
        let wanted = wanted.unwrap_or_default();
        let hint = nearest(wanted, KEYS.iter().map(|key| key.name));
        return Err(format!(
            "{wanted}: unknown key{}",
            hint.map_or_else(String::new, |near| format!("; did you mean {near}?"))
        ));
    }
    Ok(out)
}

/// A configuration file with every key at its default, commented out and explained.
#[must_use]
pub fn sample() -> String {
    let mut out = String::from(
        "# Every key of Ringlog at its default. Made from the table of keys; a test compares.\n",
    );
    for key in KEYS {
        let quoted = !matches!(key.kind, Kind::Int { .. } | Kind::IntOr { .. } | Kind::Bool);
        let value = if quoted { format!("\"{}\"", key.default) } else { key.default.to_owned() };
        let _ = write!(out, "\n# {}\n# ({})\n#{} = {value}\n", key.doc, key.kind, key.name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_file_is_current() {
        let there = include_str!("../../config/ringlog.toml");
        assert!(there == sample(), "config/ringlog.toml must read:\n{}", sample());
    }

    #[test]
    fn a_key_is_explained_with_value_and_source() {
        let text = explain(&Layers::default(), Some("num.partitions")).unwrap();
        assert!(text.starts_with("num.partitions = 1  (default)"), "{text}");
        assert!(
            explain(&Layers::default(), Some("num.partition"))
                .unwrap_err()
                .contains("did you mean num.partitions")
        );
        assert_eq!(explain(&Layers::default(), None).unwrap().matches("(default)").count(), KEYS.len());
    }
}
