//! When two worlds are the same: epochs count by their order alone.

use super::*;

/// Numbers by their place among those that occur.
struct Ranks(Vec<i64>);

impl Ranks {
    fn of(mut numbers: Vec<i64>) -> Self {
        numbers.sort_unstable();
        numbers.dedup();
        Ranks(numbers)
    }

    fn rank(&self, number: i64) -> u8 {
        u8::try_from(self.0.binary_search(&number).expect("it occurs")).expect("few occur")
    }
}

impl World {
    fn views(&self) -> impl Iterator<Item = &View> {
        self.nodes.iter().map(|node| &node.view).chain([&self.truth])
    }

    /// All that the future depends on.
    pub(super) fn key(&self) -> Vec<u8> {
        let wire = self.wire.iter();
        let logs = self.nodes.iter().map(|node| &node.log).chain([&self.acked]).flatten();
        let terms = self.views().map(|view| view.entry.leader_epoch).chain(logs.map(|(term, _)| *term));
        let terms = terms.chain(wire.clone().map(|(_, _, change)| change.leader_epoch));
        let terms = Ranks::of(terms.map(|LeaderEpoch(epoch)| i64::from(epoch)).collect());
        let versions = self.views().map(|view| view.entry.partition_epoch);
        let versions = versions.chain(wire.clone().map(|(_, _, change)| change.partition_epoch));
        let versions = Ranks::of(versions.map(|PartitionEpoch(epoch)| i64::from(epoch)).collect());
        let told =
            self.nodes.iter().flat_map(|node| node.followers.iter().flatten().map(|(epoch, _)| *epoch));
        let named = wire.flat_map(|(_, epoch, change)| {
            std::iter::once(*epoch).chain(change.isr.iter().map(|(_, epoch)| *epoch))
        });
        let epochs =
            self.views().flat_map(|view| view.epochs).chain(self.nodes.iter().map(|node| node.epoch));
        let epochs = Ranks::of(epochs.chain(told).chain(named).map(|BrokerEpoch(epoch)| epoch).collect());
        Writer { key: Vec::with_capacity(160), terms, versions, epochs }.write(self)
    }
}

struct Writer {
    key: Vec<u8>,
    terms: Ranks,
    versions: Ranks,
    epochs: Ranks,
}

impl Writer {
    fn write(mut self, world: &World) -> Vec<u8> {
        self.view(&world.truth);
        for node in &world.nodes {
            self.view(&node.view);
            self.key.push(u8::from(node.up));
            self.epoch(node.epoch);
            self.log(&node.log);
            self.key.push(u8::try_from(node.term_start).expect("a short log"));
            for follower in node.followers {
                match follower {
                    None => self.key.push(255),
                    Some((epoch, end)) => {
                        self.epoch(epoch);
                        self.key.push(u8::try_from(end).expect("a short log"));
                    }
                }
            }
            self.nodes(&node.proposed);
        }
        if let Some((leader, epoch, change)) = &world.wire {
            self.nodes(&[*leader]);
            self.epoch(*epoch);
            self.key.push(self.terms.rank(i64::from(change.leader_epoch.0)));
            self.key.push(self.versions.rank(i64::from(change.partition_epoch.0)));
            for (node, epoch) in &change.isr {
                self.nodes(&[*node]);
                self.epoch(*epoch);
            }
        }
        self.log(&world.acked);
        self.key.extend([world.produced, world.losses].map(|number| u8::try_from(number).expect("few")));
        self.key
    }

    fn view(&mut self, view: &View) {
        let entry = &view.entry;
        self.nodes(&[entry.leader]);
        self.key.push(self.terms.rank(i64::from(entry.leader_epoch.0)));
        self.key.push(self.versions.rank(i64::from(entry.partition_epoch.0)));
        for list in
            [&entry.replicas, &entry.isr, &entry.elr, &entry.last_known_elr, &entry.adding, &entry.removing]
        {
            self.nodes(list);
        }
        view.epochs.into_iter().for_each(|epoch| self.epoch(epoch));
        self.key.extend(view.active.map(u8::from));
    }

    fn epoch(&mut self, epoch: BrokerEpoch) {
        let rank = self.epochs.rank(epoch.0);
        self.key.push(rank);
    }

    fn nodes(&mut self, nodes: &[NodeId]) {
        self.key.push(u8::try_from(nodes.len()).expect("few"));
        self.key.extend(nodes.iter().map(|node| u8::try_from(node.0 + 1).expect("small")));
    }

    fn log(&mut self, log: &[Entry]) {
        self.key.push(u8::try_from(log.len()).expect("a short log"));
        for (LeaderEpoch(term), number) in log {
            self.key.push(self.terms.rank(i64::from(*term)));
            self.key.push(u8::try_from(*number).expect("few"));
        }
    }
}
