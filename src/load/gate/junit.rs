//! The gates' outcome in JUnit's form, which CI systems read.

use super::Judged;
use std::fmt::Write as _;

/// The file's text.
#[must_use]
pub fn junit(suite: &str, seconds: f64, judged: &[Judged]) -> String {
    let failures = judged.iter().filter(|gate| !gate.holds).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites><testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" time=\"{seconds:.3}\">",
        escape(suite),
        judged.len()
    );
    for gate in judged {
        let class = if gate.phase.is_empty() { suite.to_owned() } else { format!("{suite}.{}", gate.phase) };
        let _ = write!(text, "<testcase classname=\"{}\" name=\"{}\"", escape(&class), escape(&gate.gate));
        if gate.holds {
            let _ = writeln!(text, "><system-out>{}</system-out></testcase>", escape(&gate.found));
        } else {
            let _ = writeln!(text, "><failure message=\"found {}\"/></testcase>", escape(&gate.found));
        }
    }
    text.push_str("</testsuite></testsuites>\n");
    text
}

/// Text that may stand in XML, attributes included.
#[must_use]
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() && c != '\n' => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_texts_are_safe() {
        let judged = |gate: &str, holds| Judged {
            gate: gate.to_owned(),
            phase: "steady".to_owned(),
            holds,
            found: "7.000 ms".to_owned(),
        };
        let text = junit("job", 1.5, &[judged("p99<5ms", false), judged("rate>1", true)]);
        assert!(text.contains("tests=\"2\" failures=\"1\""));
        assert!(text.contains("name=\"p99&lt;5ms\"><failure message=\"found 7.000 ms\"/>"), "{text}");
        assert!(text.contains("classname=\"job.steady\" name=\"rate&gt;1\"><system-out>"));
    }
}
