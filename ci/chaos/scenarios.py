"""What is done to a cluster under load. Each scenario returns the longest waits for an acknowledgement, in ms."""

import itertools
import signal
import time

from load import Load
from nodes import wait_for


class Bench:
    """One cluster and a topic on it; each round has a load of its own."""

    def __init__(self, cluster, topic="chaos", rate=1000):
        self.cluster, self.topic, self.rate, self.round = cluster, topic, rate, 0

    def load(self, seconds, words=()):
        self.round += 1
        out = self.cluster.folder / f"load-{self.round}"
        # A topic for each round, so that reading back stays short.
        self.current = f"{self.topic}-{self.round}"
        running = Load(self.cluster.bootstrap, self.current, seconds, out, self.rate, words)
        wait_for("the load's topic has a leader", lambda: self.leader() > 0, pause=0.02)
        self.cluster.in_sync(self.current)
        time.sleep(0.5)
        return running

    def leader(self):
        partitions = self.cluster.metadata(self.current).partitions
        return partitions[0].leader if partitions else -1

    def revive(self):
        for node in self.cluster.nodes:
            if not node.is_alive():
                node.start()
        count = len(self.cluster.brokers)
        wait_for("all brokers are back", lambda: len(self.cluster.metadata().brokers) == count)


def leader(bench, rounds):
    """kill -9 of the leader."""
    return [_kill(bench, bench.leader) for _ in range(rounds)]


def acting(bench, rounds):
    """kill -9 of the leader that is the acting coordinator at the same time."""
    def controller():
        return bench.cluster.metadata().controller
    # A leader on the acting coordinator: as many partitions as brokers, so that one is there.
    words = ["--partitions", str(len(bench.cluster.brokers))]
    return [_kill(bench, controller, words) for _ in range(rounds)]


def _kill(bench, whom, words=()):
    running = bench.load(7, words)
    bench.cluster.node(whom()).kill()
    # Long enough for others to lead; it catches up under load.
    time.sleep(3)
    bench.revive()
    result = running.result().check()
    bench.cluster.in_sync(bench.current)
    return result.gap_ms


def everything(bench, rounds):
    """kill -9 of all nodes at once; they start again at once."""
    gaps = []
    for _ in range(rounds):
        running = bench.load(8)
        for node in bench.cluster.nodes:
            node.signal(signal.SIGKILL)
        for node in bench.cluster.nodes:
            node.process.wait()
            node.start()
        gaps.append(running.result().check().gap_ms)
        bench.revive()
        bench.cluster.in_sync(bench.current)
    return gaps


def pause(bench, rounds):
    """SIGSTOP of the leader for some seconds: it wakes up as one that has been replaced."""
    gaps = []
    for _ in range(rounds):
        running = bench.load(9)
        node = bench.cluster.node(bench.leader())
        node.signal(signal.SIGSTOP)
        time.sleep(4)
        node.signal(signal.SIGCONT)
        gaps.append(running.result().check().gap_ms)
        bench.cluster.in_sync(bench.current)
    return gaps


def rolling(bench, rounds):
    """SIGTERM and start of one broker after the other."""
    gaps = []
    for _ in range(rounds):
        running = bench.load(30)
        for node in bench.cluster.nodes:
            node.stop()
            node.start()
            bench.revive()
            bench.cluster.in_sync(bench.current)
        gaps.append(running.result().check().gap_ms)
    return gaps


def outlive(bench, rounds):
    """All replicas but one are killed, one after the other, in each order: the last one has everything. Coordinators
    must be elsewhere: embedded ones would have lost their majority."""
    assert bench.cluster.has_coordinators_apart, "outlive needs --coordinators 3"
    gaps = []
    orders = itertools.cycle(itertools.permutations([node.number for node in bench.cluster.brokers]))
    for order in itertools.islice(orders, rounds):
        running = bench.load(10)
        members = bench.cluster.metadata(bench.current).partitions[0].replicas
        killed = []
        for number in [number for number in order if number in members][:-1]:
            bench.cluster.node(number).kill()
            killed.append(number)
            wait_for("somebody leads", lambda: bench.leader() not in (-1, *killed), pause=0.02)
            time.sleep(1)
        bench.revive()
        gaps.append(running.result().check().gap_ms)
        bench.cluster.in_sync(bench.current)
    return gaps


SECONDS = 15


def _through(bench, seconds, trouble, heal):
    """Trouble under load for some seconds."""
    running = bench.load(seconds + 6)
    trouble(bench.leader())
    time.sleep(seconds)
    heal()
    gap = running.result().check().gap_ms
    bench.cluster.in_sync(bench.current)
    return gap


def _cuts(bench, rounds, pairs):
    """Cuts lines between the leader and each other node."""
    lines, numbers = bench.cluster.machine.lines, [node.number for node in bench.cluster.nodes]

    def cut(leader):
        for other in numbers:
            for sender, receiver in pairs(leader, other) if other != leader else []:
                lines.cut(sender, receiver)
    return [_through(bench, SECONDS, cut, lines.heal) for _ in range(rounds)]


def mute(bench, rounds):
    """What the leader sends to other nodes gets lost; it hears them, and clients reach it."""
    return _cuts(bench, rounds, lambda leader, other: [(leader, other)])


def deaf(bench, rounds):
    """What other nodes send to the leader gets lost."""
    return _cuts(bench, rounds, lambda leader, other: [(other, leader)])


def alone(bench, rounds):
    """The leader is cut off from all other nodes, and clients reach it."""
    return _cuts(bench, rounds, lambda leader, other: [(leader, other), (other, leader)])


def slow(bench, rounds):
    """What goes to a follower goes slowly."""
    lines, numbers = bench.cluster.machine.lines, [node.number for node in bench.cluster.brokers]

    def slow_down(leader):
        lines.slow(next(number for number in numbers if number != leader))
    return [_through(bench, 5, slow_down, lines.heal) for _ in range(rounds)]


def full(bench, rounds):
    """The leader's disk is full for some seconds."""
    disks = bench.cluster.machine.disks

    def free():
        for node in bench.cluster.nodes:
            disks.free(node.number)
        bench.revive()
    return [_through(bench, 5, disks.fill, free) for _ in range(rounds)]


def clock(bench, rounds):
    """The leader's clock jumps an hour, ahead and back in turn."""
    clocks = bench.cluster.machine.clocks
    gaps = []
    for nth in range(rounds):
        ahead = 3600 if nth % 2 == 0 else -3600
        gaps.append(_through(bench, 3, lambda leader: clocks.set(leader, ahead), lambda: None))
    return gaps


SCENARIOS = {
    "leader": leader,
    "acting": acting,
    "everything": everything,
    "pause": pause,
    "rolling": rolling,
    "outlive": outlive,
    "mute": mute,
    "deaf": deaf,
    "alone": alone,
    "slow": slow,
    "full": full,
    "clock": clock,
}

OF_LINES = ("mute", "deaf", "alone", "slow")


def usual(cluster):
    """Those that can be had of this cluster."""
    lacks = [
        *(() if cluster.has_coordinators_apart else ("outlive",)),
        *(() if cluster.machine.lines else OF_LINES),
        *(() if cluster.machine.disks else ("full",)),
        *(() if cluster.machine.clocks else ("clock",)),
    ]
    return [name for name in SCENARIOS if name not in lacks]
