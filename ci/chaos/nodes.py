"""A cluster of real processes on this machine, each of which can be killed, stopped, paused and started again."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("RINGLOG", str(ROOT / "target/release/ringlog"))
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAA"


def wait_for(what, holds, seconds=60, pause=0.05):
    """Waits until something holds, and returns what it came to."""
    until = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not so after {seconds} s")
        time.sleep(pause)


class Node:
    """One node: its configuration, and the process that runs now."""

    def __init__(self, number, host, port, folder, settings, prefix=()):
        self.number, self.host, self.port, self.folder = number, host, port, folder
        self.settings, self.prefix, self.process = settings, list(prefix), None

    @property
    def serves_clients(self):
        return self.port is not None

    def start(self):
        sets = [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]
        log = open(self.folder / f"node-{self.number}.log", "ab")
        command = [*self.prefix, BINARY, "start", "--data-dir", str(self.folder / f"node-{self.number}"), *sets]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def signal(self, number):
        if self.process:
            os.kill(self.process.pid, number)

    def kill(self):
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self, seconds=30):
        """SIGTERM, and a good end in time."""
        self.signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.process = None
        assert status == 0, f"node {self.number} ended with status {status} after SIGTERM"

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def last_words(self, lines=15):
        text = (self.folder / f"node-{self.number}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


class Machine:
    """Where nodes run, and what can be done to them from outside."""

    def __init__(self, lines=None, disks=None, clocks=None):
        self.lines, self.disks, self.clocks = lines, disks, clocks

    def place(self, number):
        """A host, and what runs a command there."""
        host, prefix = self.lines.place(number) if self.lines else ("127.0.0.1", ())
        return host, (*prefix, *(self.clocks.prefix(number) if self.clocks else ()))

    def take_down(self):
        for part in (self.disks, self.lines):
            if part:
                part.take_down()


class Cluster:
    """Some brokers, and coordinators apart from them if asked for."""

    def __init__(self, folder, port, brokers=3, coordinators=0, settings=None, machine=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = range(1, brokers + coordinators + 1)
        self.machine = machine or Machine()
        places = {number: self.machine.place(number) for number in numbers}
        voters = [number for number in numbers if not coordinators or number > brokers]
        peers = {number: f"{places[number][0]}:{port + 50 + number}" for number in numbers}
        self.nodes = []
        for number in numbers:
            host, prefix = places[number]
            is_broker = number <= brokers
            roles = ["broker"] * is_broker + ["coordinator"] * (number in voters)
            own = {
                "node.id": number,
                "cluster.id": CLUSTER_ID,
                "process.roles": ",".join(roles),
                "peer.listen": peers[number],
                "coordinator.voters": ",".join(f"{voter}@{peers[voter]}" for voter in voters),
                "shards": 1,
                "memory.bytes": 256 << 20,
                "default.replication.factor": min(3, brokers),
                "offsets.topic.replication.factor": min(3, brokers),
                "transaction.state.log.replication.factor": min(3, brokers),
                **(settings or {}),
            }
            if is_broker:
                own["listen"] = f"{host}:{port + number}"
            self.nodes.append(Node(number, host, port + number if is_broker else None, self.folder, own, prefix))

    @property
    def brokers(self):
        return [node for node in self.nodes if node.serves_clients]

    @property
    def has_coordinators_apart(self):
        return len(self.brokers) < len(self.nodes)

    @property
    def bootstrap(self):
        return ",".join(f"{node.host}:{node.port}" for node in self.brokers)

    def node(self, number):
        return next(node for node in self.nodes if node.number == number)

    def start(self):
        for node in self.nodes:
            node.start()
        wait_for("all brokers are registered", lambda: len(self.metadata().brokers) == len(self.brokers))
        return self

    def metadata(self, topic=None):
        """What the brokers that live say of the cluster, by kcat."""
        alive = ",".join(f"{node.host}:{node.port}" for node in self.brokers if node.is_alive())
        words = ["kcat", "-b", alive or self.bootstrap, "-L", "-m", "2", "-X", "socket.timeout.ms=2000"]
        done = subprocess.run([*words, *(["-t", topic] if topic else [])], capture_output=True, text=True)
        return Metadata(done.stdout)

    def in_sync(self, topic):
        """Waits until all replicas of a topic are in sync."""
        def whole():
            partitions = self.metadata(topic).partitions
            return partitions and all(p.leader > 0 and sorted(p.isr) == sorted(p.replicas) for p in partitions)
        wait_for(f"all replicas of {topic} are in sync", whole)

    def end(self):
        for node in self.nodes:
            if node.is_alive():
                node.signal(signal.SIGCONT)
                node.kill()


class Partition:
    def __init__(self, leader, replicas, isr):
        self.leader, self.replicas, self.isr = leader, replicas, isr


class Metadata:
    """kcat -L, read."""

    def __init__(self, text):
        self.brokers = [int(number) for number in re.findall(r"^  broker (\d+) at ", text, re.M)]
        found = re.search(r"^  broker (\d+) at .*\(controller\)$", text, re.M)
        self.controller = int(found.group(1)) if found else None
        line = re.compile(r"^    partition \d+, leader (-?\d+), replicas: ([\d,]*), isrs: ([\d,]*)", re.M)
        numbers = lambda words: [int(word) for word in words.split(",") if word]
        self.partitions = [Partition(int(a), numbers(b), numbers(c)) for a, b, c in line.findall(text)]
