"""The programs of docs/examples against a broker: consumers and broker get kill -9 again and again, then what was
worked on is counted. At least once leaves nothing out, at most once repeats nothing."""

import argparse
import collections
import pathlib
import random
import subprocess
import sys
import threading
import time

from broker import ROOT, Broker

EXAMPLES = ROOT / "docs" / "examples"
PARTITIONS = 4
LIMIT_S = 180


class Worker:
    """A process of an example and what it has said."""

    def __init__(self, example, address, topic, worked):
        command = [sys.executable, str(EXAMPLES / f"{example}.py"), address, topic, f"g-{topic}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.worked = worked
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        for line in self.process.stdout:
            word, *rest = line.split() or [""]
            # The last line of one that was killed may be cut off.
            if word == "worked" and line.endswith("\n"):
                self.worked[int(rest[2])] += 1

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()


def produce(address, topic, records):
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "log_level": 0})
    for number in range(records):
        producer.produce(topic, str(number), partition=number % PARTITIONS)
        producer.poll(0)
    assert producer.flush(60) == 0, "the records could not be produced"


def committed(address, topic):
    """How much of the topic is committed."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": f"g-{topic}", "log_level": 0})
    asked = [TopicPartition(topic, nth) for nth in range(PARTITIONS)]
    offsets = [max(part.offset, 0) for part in consumer.committed(asked, timeout=30)]
    consumer.close()
    return sum(offsets)


def through(example, records, kills):
    topic, worked, random_ = example, collections.Counter(), random.Random(example)
    with Broker() as broker:
        produce(broker.address, topic, records)
        for nth in range(kills):
            worker = Worker(example, broker.address, topic, worked)
            before, deadline = worked.total(), time.monotonic() + LIMIT_S
            wanted = before + random_.randrange(1, records // (2 * kills))
            while worked.total() < wanted and time.monotonic() < deadline:
                time.sleep(0.002)
            worker.kill()
            assert worked.total() > before, f"{example}: consumer {nth} did no work"
            if nth % 3 == 2:
                broker.kill()
                broker.start()
        worker = Worker(example, broker.address, topic, worked)
        deadline = time.monotonic() + LIMIT_S
        while committed(broker.address, topic) < records:
            assert time.monotonic() < deadline, f"{example}: the rest isn't read"
            time.sleep(0.5)
        # What was committed last may still be worked on.
        quiet = -1
        while quiet != worked.total():
            quiet = worked.total()
            time.sleep(1)
        worker.kill()
    missing = records - len(worked)
    twice = worked.total() - len(worked)
    return missing, twice


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=20_000)
    arguments.add_argument("--kills", type=int, default=6)
    chosen = arguments.parse_args()
    for example in ["at_least_once", "at_most_once"]:
        missing, twice = through(example, chosen.records, chosen.kills)
        print(f"{example}: {chosen.records} records, {missing} left out, {twice} worked on again", flush=True)
        wrong = missing if example == "at_least_once" else twice
        assert wrong == 0, f"{example} broke its promise"


if __name__ == "__main__":
    main()
