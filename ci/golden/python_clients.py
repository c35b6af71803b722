#!/usr/bin/env python3
"""Python's clients, made to send what they can: python_clients.py CLIENT ADDRESS [CODEC].

With a codec only a few compressed records are written and read; without one also groups, transactions, administration.
"""
import asyncio
import contextlib
import sys
import time

RECORDS = [(b"key %d" % nth, b"value %d, value %d, value %d" % (nth, nth, nth)) for nth in range(5)]


@contextlib.contextmanager
def attempt(what):
    """A refusal is an answer too, and it is recorded."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        print(f"   {what}: {type(error).__name__}: {error}", file=sys.stderr)


class Confluent:
    def __init__(self, address):
        self.common = {"bootstrap.servers": address, "client.id": "golden", "log_level": 0}

    def produce(self, topic, codec):
        from confluent_kafka import Producer

        producer = Producer({**self.common, "compression.type": codec, "linger.ms": 100, "enable.idempotence": True})
        for key, value in RECORDS:
            producer.produce(topic, value, key, headers={"header": b"x"})
        producer.flush(20)

    def consume(self, topic, group, **more):
        from confluent_kafka import Consumer

        consumer = Consumer({**self.common, "group.id": group, "auto.offset.reset": "earliest", **more})
        consumer.subscribe([topic])
        read, until = 0, time.monotonic() + 20
        while read < len(RECORDS) and time.monotonic() < until:
            read += len(consumer.consume(10, timeout=1))
        with attempt("commit"):
            consumer.commit(asynchronous=False)
        consumer.close()

    def transact(self, topic):
        from confluent_kafka import Consumer, Producer, TopicPartition

        producer = Producer({**self.common, "transactional.id": "golden-confluent"})
        producer.init_transactions(20)
        group = Consumer({**self.common, "group.id": "golden-confluent-in-transaction"}).consumer_group_metadata()
        for end in (producer.commit_transaction, producer.abort_transaction):
            producer.begin_transaction()
            producer.produce(topic, b"in a transaction")
            producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], group, 20)
            end(20)

    def administer(self, topic):
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import (
            AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
        )

        admin = AdminClient(self.common)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        change = ConfigEntry("retention.ms", "86400000", incremental_operation=AlterConfigOpType.SET)
        changed = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
        calls = {
            "create": lambda: admin.create_topics([NewTopic("golden-made", 1, 1)]),
            "grow": lambda: admin.create_partitions([NewPartitions("golden-made", 2)]),
            "alter": lambda: admin.incremental_alter_configs([changed]),
            "configs": lambda: admin.describe_configs([resource]),
            "offsets": lambda: admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.latest()}),
            "groups": lambda: {"": admin.list_consumer_groups()},
            "group": lambda: admin.describe_consumer_groups(["golden-confluent"]),
            "records": lambda: admin.delete_records([TopicPartition(topic, 0, 1)]),
            "cluster": lambda: {"": admin.describe_cluster()},
            "topics": lambda: {"": admin.list_topics(timeout=10)},
            "delete group": lambda: admin.delete_consumer_groups(["golden-confluent"]),
            "delete": lambda: admin.delete_topics(["golden-made"]),
        }
        for what, call in calls.items():
            with attempt(what):
                for future in call().values():
                    if hasattr(future, "result"):
                        future.result(20)

    def everything(self, topic):
        self.produce(topic, "none")
        self.consume(topic, "golden-confluent")
        self.consume(topic, "golden-confluent-848", **{"group.protocol": "consumer"})
        self.transact(topic)
        self.administer(topic)


class KafkaPython:
    def __init__(self, address):
        self.common = {"bootstrap_servers": address, "client_id": "golden"}

    def produce(self, topic, codec, **more):
        from kafka import KafkaProducer

        codec = None if codec == "none" else codec
        producer = KafkaProducer(**self.common, compression_type=codec, linger_ms=100, **more)
        if more:
            producer.init_transactions()
            producer.begin_transaction()
        for key, value in RECORDS:
            producer.send(topic, value, key, headers=[("header", b"x")])
        if more:
            producer.commit_transaction()
        producer.flush(20)
        producer.close(20)

    def consume(self, topic, group):
        from kafka import KafkaConsumer

        consumer = KafkaConsumer(
            topic, **self.common, group_id=group, auto_offset_reset="earliest", consumer_timeout_ms=8000
        )
        for _, _ in zip(RECORDS, consumer):
            pass
        with attempt("commit"):
            consumer.commit()
        consumer.close()

    def administer(self, topic):
        from kafka import KafkaAdminClient, TopicPartition
        from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

        admin = KafkaAdminClient(**self.common)
        calls = {
            "create": lambda: admin.create_topics([NewTopic("golden-made", 1, 1)]),
            "grow": lambda: admin.create_partitions({"golden-made": NewPartitions(2)}),
            "configs": lambda: admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]),
            "alter": lambda: admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "86400000"})]
            ),
            "topics": lambda: admin.describe_topics([topic]),
            "groups": lambda: admin.list_groups(),
            "group": lambda: admin.describe_groups(["golden-kafka-python"]),
            "group offsets": lambda: admin.list_group_offsets({"golden-kafka-python": None}),
            "reassignments": lambda: admin.list_partition_reassignments(),
            "resources": lambda: admin.list_config_resources(),
            "quorum": lambda: admin.describe_metadata_quorum(),
            "producers": lambda: admin.describe_producers([TopicPartition(topic, 0)]),
            "transactions": lambda: admin.list_transactions(),
            "transaction": lambda: admin.describe_transactions(["golden-kafka-python"]),
            "scram": lambda: admin.describe_user_scram_credentials(),
            "log dirs": lambda: admin.describe_log_dirs(),
            "cluster": lambda: admin.describe_cluster(),
            "records": lambda: admin.delete_records({TopicPartition(topic, 0): 1}),
            "forget": lambda: admin.delete_group_offsets("golden-kafka-python", [TopicPartition(topic, 0)]),
            "delete group": lambda: admin.delete_groups(["golden-kafka-python"]),
            "delete": lambda: admin.delete_topics(["golden-made"]),
        }
        for what, call in calls.items():
            with attempt(what):
                call()
        admin.close()

    def everything(self, topic):
        self.produce(topic, "none")
        self.consume(topic, "golden-kafka-python")
        with attempt("transaction"):
            self.produce(topic, "none", transactional_id="golden-kafka-python")
        self.administer(topic)


class Aiokafka:
    def __init__(self, address):
        self.common = {"bootstrap_servers": address, "client_id": "golden"}

    def produce(self, topic, codec):
        asyncio.run(self._produce(topic, codec))

    async def _produce(self, topic, codec, **more):
        from aiokafka import AIOKafkaProducer

        codec = None if codec == "none" else codec
        producer = AIOKafkaProducer(**self.common, compression_type=codec, linger_ms=100, **more)
        await producer.start()
        async with producer.transaction() if more else contextlib.AsyncExitStack():
            sent = [await producer.send(topic, value, key, headers=[("header", b"x")]) for key, value in RECORDS]
            await asyncio.gather(*sent)
        await producer.stop()

    def consume(self, topic, group):
        asyncio.run(self._consume(topic, group))

    async def _consume(self, topic, group):
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(topic, **self.common, group_id=group, auto_offset_reset="earliest")
        await consumer.start()
        for _ in RECORDS:
            await asyncio.wait_for(consumer.getone(), 20)
        await consumer.commit()
        await consumer.stop()

    async def _administer(self, topic):
        from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
        from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

        admin = AIOKafkaAdminClient(**self.common)
        await admin.start()
        for what, call in {
            "create": lambda: admin.create_topics([NewTopic("golden-made", 1, 1)]),
            "grow": lambda: admin.create_partitions({"golden-made": NewPartitions(2)}),
            "configs": lambda: admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]),
            "topics": lambda: admin.describe_topics([topic]),
            "groups": lambda: admin.list_consumer_groups(),
            "group": lambda: admin.describe_consumer_groups(["golden-aiokafka"]),
            "group offsets": lambda: admin.list_consumer_group_offsets("golden-aiokafka"),
            "delete": lambda: admin.delete_topics(["golden-made"]),
        }.items():
            with attempt(what):
                await call()
        await admin.close()

    async def _rest(self, topic):
        with attempt("transaction"):
            await self._produce(topic, "none", transactional_id="golden-aiokafka")
        await self._administer(topic)

    def everything(self, topic):
        self.produce(topic, "none")
        self.consume(topic, "golden-aiokafka")
        asyncio.run(self._rest(topic))


CLIENTS = {"confluent-kafka": Confluent, "kafka-python": KafkaPython, "aiokafka": Aiokafka}


def main():
    name, address = sys.argv[1:3]
    client = CLIENTS[name](address)
    if len(sys.argv) > 3:
        codec = sys.argv[3]
        client.produce(f"{name}-{codec}", codec)
        client.consume(f"{name}-{codec}", f"{name}-{codec}")
    else:
        client.everything(f"{name}-topic")


if __name__ == "__main__":
    main()
