//! Which seeds and faults a person names, which seeds failed once, and which notice a planted fault.

use crate::base::mutant::Mutant;

/// A number that a person gave.
pub(super) fn asked(name: &str) -> Option<u64> {
    said(name)?.parse().ok()
}

/// The fault that a person named.
///
/// # Panics
/// There is none of that name.
pub(super) fn mutant_asked(name: &str) -> Option<Mutant> {
    let lists = [
        Mutant::ALL,
        Mutant::OF_CLUSTERS,
        Mutant::OF_REPLICATION,
        Mutant::OF_ELECTIONS,
        Mutant::OF_COMPACTION,
        Mutant::OF_QUORUM,
        Mutant::OF_MEMBERS,
    ];
    let asked = said(name)?;
    let found = lists.into_iter().flatten().find(|mutant| format!("{mutant:?}") == asked);
    Some(*found.expect("a fault's name"))
}

fn said(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a person names the seed or the fault")]
    std::env::var(name).ok()
}

/// The seeds of a file of those that failed once.
pub(super) fn failed(file: &'static str) -> impl Iterator<Item = u64> {
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

/// Seeds that are known to notice a fault; tried first, since a search may take hundreds. A change of the workload
/// makes them stale, which costs time and nothing else.
pub(super) fn noticed(file: &'static str, mutant: Mutant) -> impl Iterator<Item = u64> {
    let name = format!("{mutant:?}");
    let seed = move |line: &str| line.strip_prefix(&name)?.strip_prefix(' ')?.trim().parse().ok();
    file.lines().filter_map(seed)
}
