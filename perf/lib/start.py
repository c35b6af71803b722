"""The life of a broker of its own: begin, make partitions, begin again with them."""
import json
import shutil
import time

from lib.wire import Refused

# Many partitions take long, and their times are steady.
RUNS_MAX = {"start-1": 5, "start-1k": 3, "start-10k": 2}

PATIENCE = 300
PAUSE = 0.001
# Brokers with many partitions have things to do after a start.
SETTLE = 10


def acknowledged(peer, topic, began):
    """Seconds until a record is acknowledged, from `began` on."""
    while True:
        try:
            client = peer.client(PATIENCE)
            client.produce(topic, 1)
            client.close()
            return time.monotonic() - began
        except (OSError, Refused):
            if time.monotonic() - began > PATIENCE:
                raise
            time.sleep(PAUSE)


def everywhere(client, topics, partitions, began):
    """Seconds until every partition has taken a record."""
    for topic in topics:
        while True:
            try:
                client.produce(topic, partitions)
                break
            except Refused:
                if time.monotonic() - began > PATIENCE:
                    raise
                time.sleep(PAUSE)
    return time.monotonic() - began


def life(peer, case, options, at):
    """Its figures. A broker beside the one that is under load otherwise, with a data folder of its own."""
    own = peer.beside(case.name)
    topics = [f"topic{number}" for number in range(case.topics)]
    # The first start makes the data folder, for which Kafka needs a program of its own: it isn't timed.
    own.start()
    own.stop()
    found = {"start_ms": own.start() * 1000}
    try:
        client = own.client()
        began = time.monotonic()
        for topic in topics:
            client.create([topic], case.partitions)
        found["create_s"] = everywhere(client, topics, case.partitions, began)
        client.close()
        own.stop()
        began = time.monotonic()
        found["restart_ms"] = own.start() * 1000
        found["first_ack_ms"] = acknowledged(own, topics[-1], began) * 1000
        client = own.client()
        found["all_acks_ms"] = everywhere(client, topics, case.partitions, began) * 1000
        client.close()
        time.sleep(SETTLE)
        before = own.cpu_seconds()
        time.sleep(2 * options.seconds)
        found["idle_cpu_percent"] = (own.cpu_seconds() - before) / (2 * options.seconds) * 100
        found["rss_MB"] = own.rss_mb()
    finally:
        own.stop()
        shutil.rmtree(own.work, ignore_errors=True)
    at.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    return found
