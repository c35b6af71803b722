"""One member of a group, a process of its own so that it can be killed. usage: member.py CLIENT ADDRESS TOPIC GROUP

Reads from the group's committed offsets on and commits what it has read after each poll. Prints a line each: `own
PARTITION...` when its share changes, `read PARTITION OFFSET NUMBER` for each record. SIGTERM makes it leave.
"""

import asyncio
import logging
import signal
import sys

SESSION_MS = 6000
BEAT_MS = 1000

stopping = False


def stop(*_):
    global stopping
    stopping = True


def own(partitions):
    print("own", *sorted(partitions), flush=True)


def read(partition, offset, value):
    print("read", partition, offset, int(value), flush=True)


def confluent(address, topic, group):
    from confluent_kafka import Consumer

    classic = {
        "partition.assignment.strategy": "roundrobin",
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": BEAT_MS,
    }
    consumer = Consumer(_confluent_config(address, group) | classic)
    consumer.subscribe(
        [topic],
        on_assign=lambda _, parts: own(part.partition for part in parts),
        on_revoke=lambda *_: own([]),
    )
    _confluent_reads(consumer)


def confluent_848(address, topic, group):
    """The consumer protocol: the broker shares out, and only what changes is told."""
    from confluent_kafka import Consumer

    consumer = Consumer(_confluent_config(address, group) | {"group.protocol": "consumer"})
    share = set()

    def assigned(_, parts):
        share.update(part.partition for part in parts)
        consumer.incremental_assign(parts)
        own(share)

    def revoked(_, parts):
        share.difference_update(part.partition for part in parts)
        consumer.incremental_unassign(parts)
        own(share)

    def lost(_, parts):
        share.clear()
        own(share)

    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    _confluent_reads(consumer)


def _confluent_config(address, group):
    return {
        "bootstrap.servers": address,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "log_level": 0,
    }


def _confluent_reads(consumer):
    while not stopping:
        messages = [message for message in consumer.consume(500, timeout=0.2) if message.error() is None]
        for message in messages:
            read(message.partition(), message.offset(), message.value())
        if messages:
            try:
                consumer.commit(asynchronous=False)
            except Exception as error:  # noqa: BLE001: the group may be rebalancing; whoever gets the share reads again
                print("commit", error, flush=True)
    consumer.close()


def kafka_python(address, topic, group):
    from kafka import ConsumerRebalanceListener, KafkaConsumer
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            own(part.partition for part in assigned)

        def on_partitions_revoked(self, revoked):
            own([])

    consumer = KafkaConsumer(
        bootstrap_servers=address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=BEAT_MS,
    )
    consumer.subscribe([topic], listener=Listener())
    while not stopping:
        records = consumer.poll(200)
        for part, batch in records.items():
            for record in batch:
                read(part.partition, record.offset, record.value)
        if records:
            try:
                consumer.commit()
            except Exception as error:  # noqa: BLE001: as above
                print("commit", error, flush=True)
    consumer.close(autocommit=False)


def aiokafka(address, topic, group):
    asyncio.run(_aiokafka(address, topic, group))


async def _aiokafka(address, topic, group):
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_assigned(self, assigned):
            own(part.partition for part in assigned)

        async def on_partitions_revoked(self, revoked):
            own([])

    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=BEAT_MS,
    )
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    while not stopping:
        records = await consumer.getmany(timeout_ms=200)
        for part, batch in records.items():
            for record in batch:
                read(part.partition, record.offset, record.value)
        if records:
            try:
                await consumer.commit()
            except Exception as error:  # noqa: BLE001: as above
                print("commit", error, flush=True)
    await consumer.stop()


MEMBERS = {
    "confluent-kafka": confluent,
    "confluent-kafka-848": confluent_848,
    "kafka-python": kafka_python,
    "aiokafka": aiokafka,
}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    logging.disable(logging.CRITICAL)
    MEMBERS[sys.argv[1]](*sys.argv[2:])
