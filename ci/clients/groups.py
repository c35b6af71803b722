"""Groups of real clients: members join, leave, are killed and come back, and the broker is killed too. Every record is
read, a partition has one owner at a time, while nothing moves each record is read once, and the next member begins
where the last one committed.

A group is named by its client, by several with + between them, or it is one of these:
    mixed      Python's clients, of both protocols: the group changes its protocol while it reads
    classic    one client of each language and library, of the classic protocol
    both       these and those of the consumer protocol (KIP-848)
"""

import argparse
import logging
import pathlib
import subprocess
import sys
import threading
import time

import languages
from broker import Broker
from member import MEMBERS

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 90
EVERY = [*MEMBERS, *languages.COMMANDS]
MIXES = {
    "mixed": list(MEMBERS),
    "classic": [client for client in EVERY if not client.endswith("-848")],
    "both": EVERY,
}


def command(client):
    """What starts a member, but for its address, topic and group."""
    if client in MEMBERS:
        return [sys.executable, str(HERE / "member.py"), client]
    return languages.COMMANDS[client]()


class Member:
    """A member's process and what it has said."""

    def __init__(self, client, address, topic, group):
        self.client, self.owned, self.read, self.said, self.moves = client, set(), [], [], 0
        started = [*command(client), address, topic, group]
        self.process = subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            word, *rest = line.split() or [""]
            if word == "own":
                self.owned = {int(partition) for partition in rest}
                self.moves += 1
            elif word == "read":
                self.read.append(tuple(int(number) for number in rest))
            else:
                self.said.append(line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def leave(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)


class Run:
    """One group over one topic."""

    def __init__(self, broker, name, clients, records):
        from confluent_kafka import Consumer
        from confluent_kafka.admin import AdminClient, NewTopic

        self.broker, self.topic, self.group, self.partitions = broker, f"t-{name}", f"g-{name}", 2 * len(clients)
        self.clients, self.records, self.sent, self.members, self.steady = clients, records, 0, [], 0
        common = {"bootstrap.servers": broker.address, "log_level": 0}
        self.observer = Consumer(common | {"group.id": self.group})
        admin = AdminClient(common)
        for made in admin.create_topics([NewTopic(self.topic, self.partitions, 1)]).values():
            made.result(30)

    def produce(self):
        from confluent_kafka import Producer

        config = {"bootstrap.servers": self.broker.address, "enable.idempotence": True, "log_level": 0}
        producer = Producer(config)
        for _ in range(self.records):
            producer.produce(self.topic, str(self.sent), partition=self.sent % self.partitions)
            self.sent += 1
        assert producer.flush(60) == 0, "the records could not be produced"

    def join(self, client):
        self.members.append(Member(client, self.broker.address, self.topic, self.group))

    def wait(self, what, condition):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                said = [(member.client, member.owned, len(member.read), member.said[-3:]) for member in self.members]
                raise AssertionError(f"{what}: not within {LIMIT_S} s; {said}")
            time.sleep(0.05)

    def living(self):
        return [member for member in self.members if member.process.poll() is None]

    def shared_out(self):
        """Every partition has one owner, every member a share."""
        shares = [member.owned for member in self.living()]
        return all(shares) and sorted(p for share in shares for p in share) == list(range(self.partitions))

    def all_read(self):
        numbers = {number for member in self.members for _, _, number in member.read}
        return len(numbers) == self.sent

    def ends(self):
        return [len(range(nth, self.sent, self.partitions)) for nth in range(self.partitions)]

    def all_committed(self):
        from confluent_kafka import KafkaException, TopicPartition

        asked = [TopicPartition(self.topic, nth) for nth in range(self.partitions)]
        try:
            return [part.offset for part in self.observer.committed(asked, timeout=10)] == self.ends()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            return False

    def moves(self):
        return sum(member.moves for member in self.members)

    def settle(self, what):
        """Everything that was sent is read and committed, by members that share the partitions; what is sent while no
        partition moves is read once."""
        self.wait(f"{what}, sharing out", self.shared_out)
        moves, first = self.moves(), self.sent
        self.produce()
        self.wait(f"{what}, reading", self.all_read)
        self.wait(f"{what}, committing", self.all_committed)
        assert self.shared_out(), f"{what}: the shares changed"
        if moves == self.moves():
            self.steady += 1
            read = sum(number >= first for member in self.members for _, _, number in member.read)
            assert read == self.records, f"{what}: of {self.records} records {read} were read though nothing moved"

    def through(self):
        self.produce()
        for client in self.clients:
            self.join(client)
        self.settle("the first members")
        for nth, client in enumerate(self.clients):
            # It goes while it reads.
            self.produce()
            if nth % 2:
                self.members[nth].leave()
            else:
                self.members[nth].kill()
            self.settle(f"{client} {'left' if nth % 2 else 'was killed'}")
            self.join(client)
            self.settle(f"{client} came back")
        self.broker.kill()
        self.broker.start()
        self.settle("the broker was killed")
        self.settle("after that")
        assert self.steady >= len(self.clients), f"the shares were steady only {self.steady} times"
        for member in self.living():
            member.leave()
        self.broker.kill()
        self.broker.start()
        ends = self.ends()
        self.join(self.clients[0])
        self.settle("a new member")
        for partition, offset, _ in self.members[-1].read:
            assert offset >= ends[partition], f"it read again what was committed: {partition}, {offset}, {ends}"
        self.members[-1].leave()
        twice = sum(len(member.read) for member in self.members) - self.sent
        return f"{self.sent} records read, {twice} of them twice while partitions moved"

    def end(self):
        self.observer.close()
        for member in self.living():
            member.kill()


def clients_of(name):
    """The first members of a group. One client alone is three members."""
    clients = MIXES.get(name, name.split("+"))
    return clients * 3 if len(clients) == 1 else clients


def main():
    kind = argparse.RawDescriptionHelpFormatter
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    arguments.add_argument("--records", type=int, default=600, help="per step")
    arguments.add_argument("--groups", default=",".join([*MEMBERS, "mixed"]), help=f"of {' '.join([*EVERY, *MIXES])}")
    chosen = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    failed = 0
    for name in chosen.groups.split(","):
        with Broker() as broker:
            run = None
            try:
                for client in clients_of(name):
                    command(client)
                run = Run(broker, name, clients_of(name), chosen.records)
                started = time.monotonic()
                outcome = run.through()
                print(f"ok      {name}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)
            except Exception as error:  # noqa: BLE001: every group that fails is a line, the others are still tried
                failed += 1
                print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
            finally:
                if run is not None:
                    run.end()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
