"""The brokers that are compared: how each is started, stopped and looked at."""
import copy
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time

from lib import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / "target/perf"
RINGLOG = ROOT / "target/release/ringlog"
START_MAX = 180
TICKS = os.sysconf("SC_CLK_TCK")
FILES = 1 << 17
# How far the ports of brokers that are started besides lie above those of the others.
BESIDE = 20

# What equal durability means for each: nothing is acknowledged before it is flushed.
KAFKA_EQUAL = "log.flush.interval.messages=1\n"
NATS_EQUAL = "always"
NATS_DEFAULT = "2m"


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def more_files():
    """10,000 partitions have more files than the usual limit."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    except (ValueError, OSError):
        pass


class Peer:
    """One broker with a data folder of its own, pinned to one processor."""

    wire = wire.Kafka
    # Whether its caches are in its own memory, so that only a restart empties them.
    caches_itself = False
    # What a reader knows it by.
    title = ""

    def __init__(self, side, work, port, core):
        self.side, self.work, self.port, self.core = side, work / side, port, core
        self.process = None
        self.work.mkdir(parents=True, exist_ok=True)

    def command(self):
        """Its command line and environment."""
        raise NotImplementedError

    def start(self):
        """Starts it, and waits until it accepts connections; how many seconds that took."""
        began = self.launch()
        return self.await_listening(began)

    @property
    def log(self):
        return self.work / "log"

    def launch(self):
        """Starts the process; when that was."""
        if listens(self.port):
            sys.exit(f"port {self.port} is in use: something else runs there")
        command, environment = self.command()
        with open(self.log, "ab") as file:
            began = time.monotonic()
            self.process = subprocess.Popen(["taskset", "-c", str(self.core), *map(str, command)], stdout=file,
                                            stderr=file, env=os.environ | environment, preexec_fn=more_files)
        return began

    def await_listening(self, began):
        while not listens(self.port):
            if self.process.poll() is not None or time.monotonic() - began > START_MAX:
                sys.exit(f"{self.side} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.002)
        return time.monotonic() - began

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def beside(self, name):
        """Another of the same kind, with a data folder and a port of its own."""
        other = copy.copy(self)
        other.work, other.port, other.process = self.work.parent / f"{self.side}-{name}", self.port + BESIDE, None
        other.work.mkdir(parents=True)
        return other

    def client(self, patience=600):
        return self.wire(self.port, patience)

    @property
    def pids(self):
        return [self.process.pid]

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def cpu_seconds(self):
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids]
        return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS

    def rss_mb(self):
        lines = [line for pid in self.pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / 1e6


class Member:
    """What a broker has to know of the cluster that it is one of."""

    # How far the ports on which brokers talk to each other lie above those for clients.
    PEERS = 100

    def __init__(self, node, ports):
        self.node, self.ports = node, ports

    def ringlog(self):
        voters = ",".join(f"{nth + 1}@127.0.0.1:{port + self.PEERS}" for nth, port in enumerate(self.ports))
        peer = self.ports[self.node - 1] + self.PEERS
        pairs = {"node.id": self.node, "cluster.id": "perf-cluster-of-threeA", "peer.listen": f"127.0.0.1:{peer}",
                 "coordinator.voters": voters}
        return [word for key, value in pairs.items() for word in ("--set", f"{key}={value}")]

    def kafka(self):
        return {"KAFKA_NODE": str(self.node), "KAFKA_PORTS": " ".join(map(str, self.ports))}


class Cluster(Peer):
    """Several brokers of one kind, all pinned to one processor."""

    def __init__(self, members):
        first = members[0]
        self.members = members
        self.side, self.port, self.caches_itself, self.title = first.side, first.port, first.caches_itself, first.title

    def start(self):
        began = time.monotonic()
        for member in self.members:
            member.launch()
        for member in self.members:
            member.await_listening(began)
        return time.monotonic() - began

    def stop(self):
        for member in self.members:
            member.stop()

    def told(self):
        return f"{len(self.members)} brokers, each: {self.members[0].told()}"

    @property
    def pids(self):
        return [member.process.pid for member in self.members]

    @property
    def bootstrap(self):
        return ",".join(member.bootstrap for member in self.members)


class Ringlog(Peer):
    title = "Ringlog"
    caches_itself = True

    def __init__(self, side, work, port, core, profile="balanced", member=None):
        super().__init__(side, work, port, core)
        self.profile, self.member = profile, member

    def command(self):
        cluster = self.member.ringlog() if self.member else []
        return [RINGLOG, "start", "--profile", self.profile, "--shards", "1", "--data-dir", self.work / "data",
                "--listen", f"127.0.0.1:{self.port}", *cluster], {}

    def told(self):
        return f"profile `{self.profile}`, `--shards 1`"


class Kafka(Peer):
    title = "Apache Kafka"
    HEAP = "-Xms1g -Xmx1g -XX:+UseG1GC"

    def __init__(self, side, work, port, core, equal=False, member=None):
        super().__init__(side, work, port, core)
        self.equal, self.member = equal, member

    def command(self):
        conf = self.work / "more.properties"
        conf.write_text(KAFKA_EQUAL if self.equal else "")
        environment = {"KAFKA_CONF": str(conf), "KAFKA_JAVA_OPTS": self.HEAP}
        return [ROOT / "ci/kafka", self.work / "data", self.port], environment | (self.member.kafka() if self.member
                                                                                  else {})

    def told(self):
        flush = "`log.flush.interval.messages=1`" if self.equal else "its defaults (no flush)"
        return f"one KRaft node, `{self.HEAP}`, {flush}"


class Nats(Peer):
    title = "NATS JetStream"
    wire = wire.Nats
    caches_itself = True

    def __init__(self, side, work, port, core, equal=False):
        super().__init__(side, work, port, core)
        self.sync = NATS_EQUAL if equal else NATS_DEFAULT

    def command(self):
        conf = self.work / "nats.conf"
        conf.write_text(f'listen: "127.0.0.1:{self.port}"\n'
                        f'jetstream {{ store_dir: "{self.work}/data", sync_interval: {self.sync} }}\n')
        return [BUILT / "nats-server", "-c", conf], {}

    def told(self):
        default = " (its default)" if self.sync == NATS_DEFAULT else ""
        return f"JetStream, file storage, one replica, `sync_interval: {self.sync}`{default}"


def drop_caches(peer):
    """Nothing of its data is in memory afterwards. Needs to be root."""
    if peer.caches_itself:
        peer.stop()
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
    if peer.caches_itself:
        peer.start()
