#!/usr/bin/env python3
"""At most once: commit first, work then. A crash between the two leaves work out; none is done twice.

usage: at_most_once.py HOST:PORT TOPIC GROUP          (pip install confluent-kafka)

The commit waits for its answer, and a broker answers once the offset is durable. Only then is the work begun: whoever
goes on after a crash begins behind it.
"""
import sys

from confluent_kafka import Consumer, KafkaException


def work(record):
    print("worked", record.partition(), record.offset(), record.value().decode(), flush=True)


def main(broker, topic, group):
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    while True:
        records = [record for record in consumer.consume(100, timeout=1.0) if record.error() is None]
        if not records:
            continue
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            # Not known to be committed, so not begun: what the broker took is left out, the rest comes again.
            print("commit", error, file=sys.stderr)
            continue
        for record in records:
            work(record)


if __name__ == "__main__":
    main(*sys.argv[1:])
