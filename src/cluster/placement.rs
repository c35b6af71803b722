//! Where partitions live: on which brokers, and on which shard of a broker.

use super::state::ClusterState;
use crate::base::{NodeId, ShardId, TopicPartition};
use std::collections::BTreeMap;

/// The shard of a broker that owns a partition. A function of the partition and the shard count alone, so that every
/// shard knows without asking, and a restart with another `--shards` moves ownership without moving files.
#[must_use]
pub fn owner_shard(partition: TopicPartition, shards: u16) -> ShardId {
    assert!(shards > 0, "a broker has a shard");
    let place = partition.spread() % u32::from(shards);
    ShardId(u16::try_from(place).unwrap_or(0))
}

/// A broker that may get replicas.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    id: NodeId,
    rack: Option<&'a str>,
    fenced: bool,
}

/// Replicas for `count` new partitions, `factor` each; the first of each is its preferred leader. `start` rotates
/// topics against each other. As in Apache Kafka: replicas of a partition stand in as many racks as can be, each
/// broker gets as many as any other as nearly as racks allow, leaders are spread evenly, a fenced broker gets a
/// replica only where there are too few others and never leads, and one that is about to stop gets none. Partitions
/// with the same leader have different followers, so that the load of a broker that fails is spread as well.
///
/// # Errors
/// There are too few brokers: Kafka's words.
pub(super) fn place(
    state: &ClusterState,
    count: usize,
    factor: usize,
    start: usize,
) -> Result<Vec<Vec<NodeId>>, String> {
    let usable = state.brokers().filter(|(_, broker)| !broker.shutting_down);
    let all: Vec<Candidate<'_>> = usable
        .map(|(id, broker)| Candidate { id, rack: broker.rack.as_deref(), fenced: broker.fenced })
        .collect();
    if factor > all.len() {
        return Err(format!(
            "The target replication factor of {factor} cannot be reached because only {} broker(s) are registered or \
             some brokers have all their log directories cordoned.",
            all.len()
        ));
    }
    let (fenced, ring): (Vec<_>, Vec<_>) = striped(all).into_iter().partition(|broker| broker.fenced);
    if ring.is_empty() {
        return Err("All brokers are currently fenced.".to_owned());
    }
    let mut loads: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut replicas_of = |partition: usize| {
        let turn = start + partition;
        let mut order: Vec<Candidate<'_>> = ring.clone();
        order.rotate_left(turn % ring.len());
        if let Some(others) = order.get_mut(1..).filter(|others| !others.is_empty()) {
            others.rotate_left(turn / ring.len() % others.len());
        }
        let mut chosen: Vec<Candidate<'_>> = Vec::with_capacity(factor);
        // The leader in its turn, whatever it has beside.
        choose(&mut chosen, &order[..1], 1, &mut loads);
        choose(&mut chosen, &order, factor, &mut loads);
        choose(&mut chosen, &fenced, factor, &mut loads);
        chosen.iter().map(|broker| broker.id).collect()
    };
    Ok((0..count).map(&mut replicas_of).collect())
}

/// Adds brokers of a list until there are enough: from the rack that has the fewest replicas of this partition, and
/// there the broker that has the fewest of all.
fn choose<'a>(
    chosen: &mut Vec<Candidate<'a>>,
    from: &[Candidate<'a>],
    factor: usize,
    loads: &mut BTreeMap<NodeId, usize>,
) {
    while chosen.len() < factor {
        let in_rack =
            |broker: &Candidate<'_>| chosen.iter().filter(|other| other.rack == broker.rack).count();
        let free = from.iter().filter(|broker| chosen.iter().all(|other| other.id != broker.id));
        let load = |broker: &Candidate<'_>| loads.get(&broker.id).copied().unwrap_or(0);
        let Some(next) = free.min_by_key(|broker| (in_rack(broker), load(broker))).copied() else { return };
        *loads.entry(next.id).or_default() += 1;
        chosen.push(next);
    }
}

/// The first broker of every rack, the second of every rack, and so on: neighbours stand in different racks.
fn striped(brokers: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    let mut racks: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut placed: Vec<(usize, Candidate<'_>)> = Vec::with_capacity(brokers.len());
    for broker in brokers {
        let nth = racks.entry(broker.rack).or_default();
        placed.push((*nth, broker));
        *nth += 1;
    }
    placed.sort_by_key(|(nth, broker)| (*nth, broker.rack, broker.id));
    placed.into_iter().map(|(_, broker)| broker).collect()
}

/// What is wrong with the replicas that a client wants a partition to have, in Kafka's words.
#[must_use]
pub fn broken_assignment(state: &ClusterState, replicas: &[NodeId], factor: usize) -> Option<String> {
    let broken = |why: String| Some(format!("The manual partition assignment includes {why}"));
    if replicas.is_empty() {
        return broken("an empty replica list.".to_owned());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return broken(format!("the broker {} more than once.", pair[0]));
    }
    if let Some(unknown) = sorted.iter().find(|id| !state.brokers.contains_key(id)) {
        return broken(format!("broker {unknown}, but no such broker is registered."));
    }
    let count = replicas.len();
    if count == factor {
        return None;
    }
    broken(format!(
        "a partition with {count} replica(s), but this is not consistent with previous partitions, which have {factor} \
         replica(s)."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BrokerEpoch, PartitionIndex, TopicId};
    use crate::cluster::{BrokerEntry, Record};
    use std::collections::BTreeSet;

    #[test]
    fn a_topics_partitions_spread_over_all_shards() {
        for shards in 1..=16u16 {
            let mut counts = vec![0; usize::from(shards)];
            for partition in 0..i32::from(shards) * 3 {
                let key = TopicPartition { topic: TopicId([9; 16]), partition: PartitionIndex(partition) };
                counts[usize::from(owner_shard(key, shards).0)] += 1;
            }
            assert!(counts.iter().all(|count| *count == 3), "{counts:?}");
        }
    }

    fn cluster(brokers: &[(i32, Option<&str>, bool)]) -> ClusterState {
        let mut state = ClusterState::new("c");
        for (id, rack, fenced) in brokers {
            let rack = rack.map(Into::into);
            let entry = BrokerEntry { rack, fenced: *fenced, ..broker_entry() };
            state.apply(&Record::Broker { id: NodeId(*id), entry });
        }
        state
    }

    fn broker_entry() -> BrokerEntry {
        BrokerEntry {
            epoch: BrokerEpoch(1),
            incarnation: [1; 16],
            host: "h".into(),
            port: 9092,
            peer: "h:9192".into(),
            rack: None,
            shards: 1,
            fenced: false,
            shutting_down: false,
            resumed: None,
        }
    }

    /// How often each broker is in the lists, and how often at their head.
    fn counts(lists: &[Vec<NodeId>], id: i32) -> (usize, usize) {
        let all = lists.iter().flatten().filter(|node| node.0 == id).count();
        (all, lists.iter().filter(|list| list[0].0 == id).count())
    }

    #[test]
    fn leaders_and_replicas_spread_over_all_brokers() {
        for count in [3, 4, 5, 7] {
            let brokers: Vec<_> = (1..=count).map(|id| (id, None, false)).collect();
            let state = cluster(&brokers);
            let all = usize::try_from(count).unwrap();
            for factor in 1..=all.min(4) {
                let lists = place(&state, all * 6, factor, 1).unwrap();
                let told = format!("{count} brokers, factor {factor}, {lists:?}");
                for id in 1..=count {
                    let (copies, leads) = counts(&lists, id);
                    assert!(copies.abs_diff(6 * factor) <= 1 && leads == 6, "{told}");
                }
                let once = |list: &Vec<NodeId>| list.iter().collect::<BTreeSet<_>>().len() == factor;
                assert!(lists.iter().all(once), "nobody has two copies: {lists:?}");
            }
        }
        let lists =
            place(&cluster(&[(1, None, false), (2, None, false), (3, None, false)]), 6, 3, 0).unwrap();
        let heirs: BTreeSet<_> =
            lists.iter().filter(|list| list[0] == NodeId(1)).map(|list| list[1]).collect();
        assert_eq!(heirs.len(), 2, "whoever fails has more than one heir: {lists:?}");
    }

    #[test]
    fn replicas_stand_in_as_many_racks_as_can_be() {
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        let even = [(1, a, false), (2, a, false), (3, b, false), (4, b, false), (5, c, false), (6, c, false)];
        let uneven = [(1, a, false), (2, b, false), (3, b, false), (4, b, false), (5, None, false)];
        for brokers in [&even[..], &uneven[..]] {
            let state = cluster(brokers);
            for factor in 1..=brokers.len() {
                let lists = place(&state, 30, factor, 0).unwrap();
                let rack = |id: &NodeId| brokers.iter().find(|broker| broker.0 == id.0).unwrap().1;
                for list in &lists {
                    let racks: BTreeSet<_> = list.iter().map(rack).collect();
                    assert_eq!(racks.len(), factor.min(3), "{list:?}");
                }
                let leads: Vec<usize> = brokers.iter().map(|broker| counts(&lists, broker.0).1).collect();
                assert!(leads.iter().all(|leads| *leads == 30 / brokers.len()), "{leads:?}");
            }
        }
        let lists = place(&cluster(&even), 30, 3, 0).unwrap();
        assert!((1..=6).all(|id| counts(&lists, id).0.abs_diff(15) <= 1), "{lists:?}");
    }

    #[test]
    fn fenced_brokers_get_replicas_only_in_need_and_never_lead() {
        let state = cluster(&[(1, None, false), (2, None, true), (3, None, false)]);
        let lists = place(&state, 12, 2, 0).unwrap();
        assert_eq!([1, 2, 3].map(|id| counts(&lists, id)), [(12, 6), (0, 0), (12, 6)]);
        let lists = place(&state, 12, 3, 0).unwrap();
        assert_eq!([1, 2, 3].map(|id| counts(&lists, id)), [(12, 6), (12, 0), (12, 6)]);
        let all = cluster(&[(1, None, true)]);
        assert_eq!(place(&all, 1, 1, 0), Err("All brokers are currently fenced.".to_owned()));
        assert!(place(&state, 1, 4, 0).is_err_and(|why| why.contains("only 3 broker(s) are registered")));
    }
}
