//! Before and after a run: topics made and deleted, leaders awaited, offsets asked for.

use crate::load::client::{
    About, ClientError, Dial, Edge, Offsets, PartitionKey, Topology, Wire, about, bootstrap, create_topic,
    delete_topic, offsets, topic, topology,
};
use crate::load::job::Load;
use crate::rt::World;
use crate::seam::World as _;
use crate::wire::Str;
use std::time::Duration;

/// How long leaders are waited for.
const LEADERS_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at the leaders.
const LEADERS_PAUSE: Duration = Duration::from_millis(20);

/// What a run writes to and reads from.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Topics by index.
    pub topics: Vec<String>,
    /// Those that were made for this run.
    pub made: Vec<String>,
    /// All partitions.
    pub parts: Vec<PartitionKey>,
    /// Who leads them.
    pub topology: Topology,
    /// Where the partitions began and ended when the run began.
    pub first: Vec<i64>,
    /// Behind the last record that was there.
    pub next: Vec<i64>,
    /// What the cluster says of itself.
    pub about: About,
}

/// How a load dials.
#[must_use]
pub(super) fn dial(load: &Load) -> Dial {
    Dial { client_id: Str::from(load.client_id.as_str()), timeout: load.request_timeout }
}

/// Makes the topics of a run, waits for their leaders and asks where they begin and end.
pub(super) async fn prepare(world: &World, load: &Load, run: u32) -> Result<Target, ClientError> {
    let dial = dial(load);
    let mut wire = bootstrap(world, &dial, &load.bootstrap).await?;
    let mut target = Target { topics: names(load, run), ..Target::default() };
    let known = topology(&mut wire, &[]).await?;
    if load.topic.is_empty() && !load.produces() && !load.churn {
        return Err(ClientError::Missing {
            what: "topic",
            why: "name the one that shall be read with --topic".to_owned(),
        });
    }
    if !load.churn || load.ask == "produce" {
        target.made = make(world, load, (&mut wire, &known), &target.topics).await?;
        target.topology = await_leaders(world, &mut wire, &target.topics).await?;
    } else {
        (target.topology, target.topics) = (known, Vec::new());
    }
    for (nth, name) in target.topics.iter().enumerate() {
        let count = target.topology.topics.get(name).map_or(0, |info| info.leaders.len());
        let nth = u32::try_from(nth).unwrap_or(u32::MAX);
        target.parts.extend((0..count).map(|partition| (nth, i32::try_from(partition).unwrap_or(0))));
    }
    target.about = about(&mut wire, &target.topology).await;
    ask_ends(world, load, &mut target).await?;
    Ok(target)
}

fn names(load: &Load, run: u32) -> Vec<String> {
    let base = if load.topic.is_empty() { format!("ringlog-load-{run:08x}") } else { load.topic.clone() };
    match load.topics {
        1 => vec![base],
        many => (0..many).map(|nth| format!("{base}-{nth}")).collect(),
    }
}

/// Makes what isn't there; the names of the topics that were made for this run only.
async fn make(
    world: &World,
    load: &Load,
    (wire, known): (&mut Wire, &Topology),
    names: &[String],
) -> Result<Vec<String>, ClientError> {
    let mut made = Vec::new();
    let there = topology(wire, names).await?;
    let dial = dial(load);
    for name in names {
        if there.topics.get(name).is_some_and(|info| info.error == 0 && !info.leaders.is_empty()) {
            continue;
        }
        if !load.produces() && !load.churn {
            let why = format!(
                "there is no topic {name:?} on this cluster to be read; check --topic and --bootstrap"
            );
            return Err(ClientError::Missing { what: "topic", why });
        }
        let wanted = topic(name, load.partitions, load.replication, &load.topic_config);
        if create_topic(world, &dial, known, &wanted).await? && load.topic.is_empty() {
            made.push(name.clone());
        }
    }
    Ok(made)
}

async fn await_leaders(world: &World, wire: &mut Wire, names: &[String]) -> Result<Topology, ClientError> {
    let until = world.mono() + LEADERS_PATIENCE;
    loop {
        let found = topology(wire, names).await?;
        let waits = names
            .iter()
            .find(|name| !found.topics.get(*name).is_some_and(crate::load::client::TopicInfo::is_ready));
        let Some(name) = waits else { return Ok(found) };
        if world.mono() > until {
            let why = format!("topic {name:?} has partitions without a leader; are all brokers up?");
            return Err(ClientError::Missing { what: "leader", why });
        }
        world.sleep(LEADERS_PAUSE).await;
    }
}

/// Asks all leaders where their partitions begin and end.
async fn ask_ends(world: &World, load: &Load, target: &mut Target) -> Result<(), ClientError> {
    target.first = edge(world, load, target, Edge::First).await?;
    target.next = edge(world, load, target, Edge::Next).await?;
    Ok(())
}

/// One edge of every partition. Who led a partition when the run began may not lead it any more, or not even live: it
/// is asked again who does until everything is answered.
pub(super) async fn edge(
    world: &World,
    load: &Load,
    target: &Target,
    edge: Edge,
) -> Result<Vec<i64>, ClientError> {
    let (dial, until) = (dial(load), world.mono() + LEADERS_PATIENCE);
    let mut known = target.topology.clone();
    let mut found = Offsets::new();
    loop {
        let asked = ask_leaders(world, &dial, (target, &known), edge, &mut found).await;
        if target.parts.iter().all(|key| found.contains_key(key)) {
            return Ok(target.parts.iter().map(|key| found[key]).collect());
        }
        if world.mono() > until {
            asked?;
            let why = "some partitions' leaders don't tell where they begin and end; are all brokers up?";
            return Err(ClientError::Missing { what: "leader", why: why.to_owned() });
        }
        world.sleep(LEADERS_PAUSE).await;
        if let Ok(mut wire) = bootstrap(world, &dial, &load.bootstrap).await
            && let Ok(now) = topology(&mut wire, &target.topics).await
        {
            known = now;
        }
    }
}

/// Asks each leader for what isn't found yet.
async fn ask_leaders(
    world: &World,
    dial: &Dial,
    (target, known): (&Target, &Topology),
    edge: Edge,
    found: &mut Offsets,
) -> Result<(), ClientError> {
    let leader = |key: &PartitionKey| {
        let info = known.topics.get(&target.topics[key.0 as usize]);
        let place = usize::try_from(key.1).unwrap_or(usize::MAX);
        info.and_then(|info| info.leaders.get(place)).copied().unwrap_or(-1)
    };
    for (broker, address) in &known.brokers {
        let wanted = |key: &&PartitionKey| leader(key) == *broker && !found.contains_key(*key);
        let own: Vec<PartitionKey> = target.parts.iter().filter(wanted).copied().collect();
        if !own.is_empty() {
            let mut wire = Wire::open(world, address, dial).await?;
            found.extend(offsets(&mut wire, &target.topics, &own, edge).await?);
        }
    }
    Ok(())
}

/// Deletes what was made for the run.
pub(super) async fn clean(world: &World, load: &Load, target: &Target) -> Result<(), ClientError> {
    for name in &target.made {
        delete_topic(world, &dial(load), &target.topology, name).await?;
    }
    Ok(())
}
