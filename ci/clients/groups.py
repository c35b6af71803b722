"""Groups of real clients: members join, leave and are killed, and so is the broker. Every record is read, a share has
one owner at a time, and what was committed is where the next member begins. In the mixed group, members of the classic
and of the consumer protocol (KIP-848) share the partitions: the group changes its protocol while it reads."""

import argparse
import logging
import pathlib
import subprocess
import sys
import threading
import time

from broker import Broker
from member import MEMBERS

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 90


class Member:
    """A process of `member.py` and what it has said."""

    def __init__(self, client, address, topic, group):
        command = [sys.executable, str(HERE / "member.py"), client, address, topic, group]
        self.client, self.owned, self.read, self.said = client, set(), [], []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            word, *rest = line.split() or [""]
            if word == "own":
                self.owned = {int(partition) for partition in rest}
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

    def __init__(self, broker, name, clients, records, partitions):
        from confluent_kafka.admin import AdminClient, NewTopic

        self.broker, self.topic, self.group, self.partitions = broker, f"t-{name}", f"g-{name}", partitions
        self.clients, self.records, self.sent, self.members = clients, records, 0, []
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        for made in admin.create_topics([NewTopic(self.topic, partitions, 1)]).values():
            made.result(30)

    def produce(self):
        from confluent_kafka import Producer

        config = {"bootstrap.servers": self.broker.address, "enable.idempotence": True, "log_level": 0}
        producer = Producer(config)
        for _ in range(self.records):
            producer.produce(self.topic, str(self.sent), partition=self.sent % self.partitions)
            self.sent += 1
        assert producer.flush(60) == 0, "the records could not be produced"

    def join(self, nth):
        client = self.clients[nth % len(self.clients)]
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

    def settle(self, what):
        """Everything that was sent is read, by members that share the partitions."""
        self.wait(f"{what}, sharing out", self.shared_out)
        self.produce()
        self.wait(f"{what}, reading", self.all_read)
        assert self.shared_out(), f"{what}: the shares changed"

    def committed(self):
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": self.group, "log_level": 0})
        asked = [TopicPartition(self.topic, nth) for nth in range(self.partitions)]
        offsets = [part.offset for part in consumer.committed(asked, timeout=30)]
        ends = [consumer.get_watermark_offsets(part, timeout=30)[1] for part in asked]
        consumer.close()
        return offsets, ends

    def through(self):
        self.produce()
        self.join(0)
        self.join(1)
        self.settle("two members")
        self.join(2)
        self.settle("a third one")
        self.members[1].leave()
        self.settle("one leaves")
        self.join(3)
        self.settle("another joins")
        self.members[2].kill()
        self.settle("one is killed")
        self.broker.kill()
        self.broker.start()
        self.settle("the broker is killed")
        for member in self.living():
            member.leave()
        offsets, ends = self.committed()
        assert offsets == ends, f"committed {offsets}, not {ends}"
        self.broker.kill()
        self.broker.start()
        self.join(0)
        self.settle("a new member")
        first = self.members[-1].read[0]
        assert first[1] >= ends[first[0]], f"it read again what was committed: {first}, {ends}"
        self.members[-1].leave()
        twice = sum(len(member.read) for member in self.members) - self.sent
        return f"{self.sent} records read, {twice} of them twice"

    def end(self):
        for member in self.living():
            member.kill()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=600, help="per step; there are eight")
    arguments.add_argument("--partitions", type=int, default=6)
    arguments.add_argument("--groups", default=",".join([*MEMBERS, "mixed"]))
    chosen = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    failed = 0
    for name in chosen.groups.split(","):
        clients = list(MEMBERS) if name == "mixed" else [name]
        with Broker() as broker:
            run = None
            try:
                run = Run(broker, name, clients, chosen.records, chosen.partitions)
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
