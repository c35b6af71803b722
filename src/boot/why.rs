//! What a group has been through, for operators: `ringlog group why GROUP`.

use crate::group::chronicle::{Cause, Move, Rebalance};
use std::fmt::Write;

/// The question, with the group's name behind it.
pub(super) const WHY: &str = "why\n";

/// A shard's answer: nothing if it doesn't have the group.
pub(super) fn tell(told: Option<(i64, Vec<Rebalance>)>) -> String {
    let Some((now_ms, list)) = told else { return String::new() };
    if list.is_empty() {
        return "no rebalance since the coordinator began\n".to_owned();
    }
    let mut out = String::new();
    for rebalance in list.iter().rev() {
        one(&mut out, now_ms, rebalance);
    }
    out
}

fn one(out: &mut String, now_ms: i64, told: &Rebalance) {
    let ago = (now_ms - told.began_ms).max(0) / 1000;
    let took = told.took_ms.map_or_else(|| "still under way".to_owned(), |ms| format!("took {ms} ms"));
    let _ = writeln!(out, "generation {}: {ago} s ago, {took}", told.epoch);
    for cause in &told.causes {
        let _ = writeln!(out, "  because {}", because(cause));
    }
    more(out, told.causes_total - told.causes.len(), "causes");
    let _ = match (told.moves_total, told.stopped) {
        (0, 0) => writeln!(out, "  nothing moved"),
        (moves, 0) => writeln!(out, "  {moves} partitions moved, none was without a reader"),
        (moves, stopped) => writeln!(
            out,
            "  {moves} partitions moved; {stopped} had no reader for up to {} ms",
            told.stopped_ms
        ),
    };
    for Move { partition: (topic, partition), from, to } in &told.moves {
        let name = |who: &Option<crate::wire::Str>| who.as_deref().unwrap_or("nobody").to_owned();
        let _ = writeln!(out, "    {topic}-{partition}: {} -> {}", name(from), name(to));
    }
    more(out, told.moves_total - told.moves.len(), "moves");
    out.push('\n');
}

fn because(cause: &Cause) -> String {
    if cause.member.is_empty() {
        return cause.why.text().to_owned();
    }
    let instance = cause.instance.as_ref().map(|name| format!(", instance {name}")).unwrap_or_default();
    let Cause { why, member, client_id, client_host, .. } = cause;
    format!("{member} (client {client_id} at {client_host}{instance}) {}", why.text())
}

fn more(out: &mut String, count: usize, what: &str) {
    if count > 0 {
        let _ = writeln!(out, "    and {count} more {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::chronicle::Why;

    #[test]
    fn a_rebalance_is_told_in_words() {
        let cause = Cause {
            why: Why::Left,
            member: "m-1".into(),
            instance: Some("i".into()),
            client_id: "app".into(),
            client_host: "/10.0.0.1".into(),
        };
        let moved =
            Move { partition: ("orders".into(), 2), from: Some("m-1".into()), to: Some("m-2".into()) };
        let told = Rebalance {
            epoch: 7,
            began_ms: 1000,
            took_ms: Some(80),
            causes: vec![cause],
            causes_total: 3,
            moves: vec![moved],
            moves_total: 1,
            stopped: 1,
            stopped_ms: 50,
        };
        let text = tell(Some((61_000, vec![told])));
        let expected = "generation 7: 60 s ago, took 80 ms\n  \
                        because m-1 (client app at /10.0.0.1, instance i) left\n    and 2 more causes\n  \
                        1 partitions moved; 1 had no reader for up to 50 ms\n    orders-2: m-1 -> m-2\n\n";
        assert_eq!(text, expected);
        assert_eq!(tell(None), "");
        assert!(tell(Some((0, Vec::new()))).starts_with("no rebalance"));
    }
}
