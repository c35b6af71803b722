//! Who leads which partition, for all clients of one thread. Anybody may say that it is out of date.

use crate::load::client::{Dial, PartitionKey, Topology, Wire, bootstrap, topology};
use crate::rt::{Event, World};
use crate::seam::World as _;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time between two questions at least.
const ASK_PAUSE: Duration = Duration::from_millis(100);

/// Brokers, and the leader of each partition.
#[derive(Clone, Debug, Default)]
struct Known {
    brokers: BTreeMap<i32, String>,
    /// Who leads, and its epoch.
    leaders: Vec<(i32, i32)>,
}

impl Known {
    /// What is known once a broker has said this; a broker that is cut off from the others may tell of leaders that
    /// have been replaced, whose epochs are lower (KIP-320).
    fn with(&self, said: Known) -> Known {
        let newer = |(known, said): (&(i32, i32), &(i32, i32))| if said.1 < known.1 { *known } else { *said };
        let leaders = self.leaders.iter().zip(&said.leaders).map(newer).collect();
        Known { brokers: said.brokers, leaders }
    }
}

/// The cluster as one thread sees it.
pub(super) struct Leaders {
    known: RefCell<Known>,
    asked: Event,
}

impl Leaders {
    /// As a topology says.
    pub(super) fn new(topology: &Topology, topics: &[String], parts: &[PartitionKey]) -> Self {
        let known = RefCell::new(read(topology, topics, parts));
        Leaders { known, asked: Event::default() }
    }

    /// The partition's leader; -1 for none.
    pub(super) fn of(&self, part: usize) -> i32 {
        self.known.borrow().leaders[part].0
    }

    /// A broker's HOST:PORT.
    pub(super) fn address(&self, broker: i32) -> Option<String> {
        self.known.borrow().brokers.get(&broker).cloned()
    }

    /// Asks the cluster again, soon.
    pub(super) fn refresh(&self) {
        self.asked.set();
    }

    /// Asks the cluster whenever somebody wants it to; `changed` runs when a leader has changed.
    pub(super) async fn keep(
        &self,
        world: &World,
        (dial, fixed): (&Dial, &[String]),
        (topics, parts): (&[String], &[PartitionKey]),
        changed: impl Fn(),
    ) {
        let mut wire: Option<Wire> = None;
        let mut first = 0;
        loop {
            self.asked.wait().await;
            let mut addresses: Vec<String> = self.known.borrow().brokers.values().cloned().collect();
            addresses.extend(fixed.iter().cloned());
            if wire.is_none() && !addresses.is_empty() {
                let count = addresses.len();
                addresses.rotate_left(first % count);
                wire = bootstrap(world, dial, &addresses).await.ok();
            }
            let found = match &mut wire {
                Some(open) => topology(open, topics).await.ok(),
                None => None,
            };
            match found {
                Some(found) => {
                    let new = self.known.borrow().with(read(&found, topics, parts));
                    let whole = new.leaders.iter().all(|(leader, _)| *leader >= 0);
                    let same = new.leaders == self.known.borrow().leaders;
                    *self.known.borrow_mut() = new;
                    if same {
                        // Somebody thinks otherwise: another broker may know more.
                        wire = None;
                        first += 1;
                    } else {
                        changed();
                    }
                    if !whole {
                        self.asked.set();
                    }
                }
                None => {
                    wire = None;
                    first += 1;
                    self.asked.set();
                }
            }
            world.sleep(ASK_PAUSE).await;
        }
    }
}

fn read(topology: &Topology, topics: &[String], parts: &[PartitionKey]) -> Known {
    let leader = |(topic, partition): &PartitionKey| {
        let info = topics.get(*topic as usize).and_then(|name| topology.topics.get(name));
        let place = usize::try_from(*partition).unwrap_or(usize::MAX);
        info.and_then(|info| Some((*info.leaders.get(place)?, *info.epochs.get(place)?))).unwrap_or((-1, -1))
    };
    Known { brokers: topology.brokers.clone(), leaders: parts.iter().map(leader).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::client::TopicInfo;

    #[test]
    fn leaders_are_found_by_place() {
        let topology = Topology {
            brokers: [(3, "h:1".to_owned())].into(),
            topics: [("t".to_owned(), TopicInfo { error: 0, leaders: vec![3, -1], epochs: vec![5, 6] })]
                .into(),
            ..Topology::default()
        };
        let leaders = Leaders::new(&topology, &["t".to_owned()], &[(0, 0), (0, 1), (0, 2)]);
        assert_eq!((leaders.of(0), leaders.of(1), leaders.of(2)), (3, -1, -1));
        assert_eq!((leaders.address(3).as_deref(), leaders.address(4)), (Some("h:1"), None));
    }

    #[test]
    fn a_leader_isnt_replaced_by_an_earlier_one() {
        let known = |leaders| Known { brokers: BTreeMap::new(), leaders };
        let now = known(vec![(1, 5), (2, 5), (1, -1)]);
        assert_eq!(now.with(known(vec![(2, 4), (1, 6), (2, -1)])).leaders, [(1, 5), (1, 6), (2, -1)]);
        assert_eq!(now.with(known(vec![(-1, 5), (2, 5), (2, 0)])).leaders, [(-1, 5), (2, 5), (2, 0)]);
    }
}
