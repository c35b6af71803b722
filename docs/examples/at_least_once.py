#!/usr/bin/env python3
"""At least once: work first, commit then. A crash between the two repeats work; nothing is left out.

usage: at_least_once.py HOST:PORT TOPIC GROUP          (pip install confluent-kafka)

The commit waits for its answer, and a broker answers once the offset is durable. So whoever goes on from it begins with
the first record whose work wasn't known to be done. Work that may be repeated should make no difference the second
time: here it is a line of output.
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
            # Committed when the work is done, not when the client thinks it is time.
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    while True:
        records = [record for record in consumer.consume(100, timeout=1.0) if record.error() is None]
        for record in records:
            work(record)
        if records:
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                # The partitions may be another member's by now: it repeats what wasn't committed.
                print("commit", error, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
