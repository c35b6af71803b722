//! What befalls a cluster. Never more than its promise covers: disks lose only what wasn't flushed.

use super::Cluster;
use crate::sim::broker::{End, Node};
use crate::sim::net::{CLIENTS, Host};
use std::rc::Rc;

/// One trouble, which may overlap with the next: what is broken is mended some time later.
pub(super) async fn trouble(cluster: &Rc<Cluster>) {
    let exec = &cluster.exec;
    exec.sleep(exec.micros(0, 2_000_000)).await;
    let (one, other) = (some_node(cluster), some_node(cluster));
    match exec.below(12) {
        0..3 => strike(cluster, &one, End::Kill),
        3..5 => strike(cluster, &one, End::PowerCut),
        5 => strike(cluster, &one, End::Stop),
        6 => strike(cluster, &one, End::DiskError),
        7 => {
            let how = if exec.chance(50) { End::PowerCut } else { End::Kill };
            cluster.nodes.iter().for_each(|node| strike(cluster, node, how));
        }
        8 => cut(cluster, vec![(one.host(), other.host())]),
        9 => isolate(cluster, &one),
        10 => {
            let lines = [(one.host(), other.host()), (other.host(), one.host())];
            lines.iter().for_each(|(from, to)| cluster.network.slow_down(*from, *to, true));
        }
        _ => cluster.network.break_connections(one.host(), other.host()),
    }
}

fn some_node(cluster: &Cluster) -> Rc<Node> {
    let index = cluster.exec.below(cluster.nodes.len() as u64);
    cluster.nodes[usize::try_from(index).expect("an index")].clone()
}

/// Ends a node's process; it starts again some time later.
fn strike(cluster: &Rc<Cluster>, node: &Rc<Node>, how: End) {
    let (cluster, node) = (cluster.clone(), node.clone());
    if !node.begin_trouble() {
        return;
    }
    tracing::info!(at = ?cluster.exec.now(), node = node.id(), ?how, "a process ends");
    cluster.exec.clone().spawn(super::CLIENTS, async move {
        node.end(how).await;
        let exec = &cluster.exec;
        exec.sleep(if exec.chance(60) { exec.micros(0, 300_000) } else { exec.micros(0, 4_000_000) }).await;
        tracing::info!(at = ?exec.now(), node = node.id(), "a process starts");
        node.launch();
        node.end_trouble();
    });
}

/// Cuts lines; they are mended some time later.
fn cut(cluster: &Rc<Cluster>, lines: Vec<(Host, Host)>) {
    tracing::info!(at = ?cluster.exec.now(), ?lines, "lines are cut");
    lines.iter().for_each(|(from, to)| cluster.network.cut(*from, *to));
    let cluster = cluster.clone();
    cluster.exec.clone().spawn(super::CLIENTS, async move {
        cluster.exec.sleep(cluster.exec.micros(10_000, 5_000_000)).await;
        tracing::info!(at = ?cluster.exec.now(), ?lines, "lines are mended");
        lines.iter().for_each(|(from, to)| cluster.network.heal(*from, *to));
    });
}

/// Cuts a node off from the others in one or both directions, and perhaps from clients.
fn isolate(cluster: &Rc<Cluster>, node: &Rc<Node>) {
    let (host, exec) = (node.host(), &cluster.exec);
    let (deaf, dumb) =
        [(true, true), (true, false), (false, true)][usize::try_from(exec.below(3)).expect("below 3")];
    let mut others: Vec<Host> =
        cluster.nodes.iter().map(|node| node.host()).filter(|it| *it != host).collect();
    if exec.chance(30) {
        others.push(CLIENTS);
    }
    let deafness = others.iter().filter(|_| deaf).map(|other| (*other, host));
    let dumbness = others.iter().filter(|_| dumb).map(|other| (host, *other));
    cut(cluster, deafness.chain(dumbness).collect());
}

/// No further trouble comes, and the lines are whole. Processes that are down come back by themselves.
pub(super) fn over(cluster: &Rc<Cluster>) {
    tracing::info!(at = ?cluster.exec.now(), "the trouble is over");
    cluster.calm.set(true);
    cluster.network.heal_all();
}
