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
        if listens(self.port):
            sys.exit(f"port {self.port} is in use: something else runs there")
        command, environment = self.command()
        log = self.work / "log"
        with open(log, "ab") as file:
            began = time.monotonic()
            self.process = subprocess.Popen(["taskset", "-c", str(self.core), *map(str, command)], stdout=file,
                                            stderr=file, env=os.environ | environment, preexec_fn=more_files)
        while not listens(self.port):
            if self.process.poll() is not None or time.monotonic() - began > START_MAX:
                sys.exit(f"{self.side} did not start:\n{log.read_text(errors='replace')[-2000:]}")
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
    def pid(self):
        return self.process.pid

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self):
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / 1e6


class Ringlog(Peer):
    title = "Ringlog"
    caches_itself = True

    def __init__(self, side, work, port, core, profile="balanced"):
        super().__init__(side, work, port, core)
        self.profile = profile

    def command(self):
        return [RINGLOG, "start", "--profile", self.profile, "--shards", "1", "--data-dir", self.work / "data",
                "--listen", f"127.0.0.1:{self.port}"], {}

    def told(self):
        return f"profile `{self.profile}`, `--shards 1`"


class Kafka(Peer):
    title = "Apache Kafka"
    HEAP = "-Xms1g -Xmx1g -XX:+UseG1GC"

    def __init__(self, side, work, port, core, equal=False):
        super().__init__(side, work, port, core)
        self.equal = equal

    def command(self):
        conf = self.work / "more.properties"
        conf.write_text(KAFKA_EQUAL if self.equal else "")
        return [ROOT / "ci/kafka", self.work / "data", self.port], {"KAFKA_CONF": str(conf),
                                                                    "KAFKA_JAVA_OPTS": self.HEAP}

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
