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
    leaders: Vec<i32>,
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
        self.known.borrow().leaders[part]
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
        loop {
            self.asked.wait().await;
            let mut addresses: Vec<String> = self.known.borrow().brokers.values().cloned().collect();
            addresses.extend(fixed.iter().cloned());
            if wire.is_none() {
                wire = bootstrap(world, dial, &addresses).await.ok();
            }
            let found = match &mut wire {
                Some(open) => topology(open, topics).await.ok(),
                None => None,
            };
            match found {
                Some(found) => {
                    let new = read(&found, topics, parts);
                    let whole = new.leaders.iter().all(|leader| *leader >= 0);
                    let same = new.leaders == self.known.borrow().leaders;
                    *self.known.borrow_mut() = new;
                    if !same {
                        changed();
                    }
                    if !whole {
                        self.asked.set();
                    }
                }
                None => {
                    wire = None;
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
        info.and_then(|info| info.leaders.get(place)).copied().unwrap_or(-1)
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
            topics: [("t".to_owned(), TopicInfo { error: 0, leaders: vec![3, -1] })].into(),
            ..Topology::default()
        };
        let leaders = Leaders::new(&topology, &["t".to_owned()], &[(0, 0), (0, 1), (0, 2)]);
        assert_eq!((leaders.of(0), leaders.of(1), leaders.of(2)), (3, -1, -1));
        assert_eq!((leaders.address(3).as_deref(), leaders.address(4)), (Some("h:1"), None));
    }
}
