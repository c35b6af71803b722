"""Each client library behind the same two calls: `produce(address, topic, codec, ledger)` creates the topic and sends
every record of the ledger; `read(address, topic, reading)` assigns all partitions and reads them to their end."""

import asyncio
import threading
import time

from ledger import value_of

DELIVERY_LIMIT_MS = 120_000
READ_LIMIT_S = 300
IN_FLIGHT_MAX = 50_000


def _check_time(deadline):
    if time.monotonic() > deadline:
        raise TimeoutError(f"not read to the end within {READ_LIMIT_S} s")


class Confluent:
    """confluent-kafka, which is librdkafka."""

    @staticmethod
    def produce(address, topic, codec, ledger):
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        for made in admin.create_topics([NewTopic(topic, ledger.partitions, 1)]).values():
            made.result(30)
        producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "compression.type": codec,
                "linger.ms": 5,
                "message.timeout.ms": DELIVERY_LIMIT_MS,
                "queue.buffering.max.messages": IN_FLIGHT_MAX,
                "log_level": 0,
            }
        )

        def delivered(error, message):
            if error is None:
                ledger.acknowledge(int(message.value()[:10]), message.partition(), message.offset())
            else:
                ledger.refuse(error)

        for number in range(ledger.records):
            while True:
                try:
                    producer.produce(
                        topic, value_of(number), partition=ledger.partition_of(number), on_delivery=delivered
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush(DELIVERY_LIMIT_MS / 1000)

    @staticmethod
    def read(address, topic, reading):
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "never-joined",
                "enable.auto.commit": False,
                "check.crcs": True,
                "log_level": 0,
            }
        )
        parts = [TopicPartition(topic, nth, 0) for nth in range(reading.ledger.partitions)]
        deadline = time.monotonic() + READ_LIMIT_S
        ends = [Confluent._end(consumer, part, deadline) for part in parts]
        consumer.assign(parts)
        while reading.next_offset != ends:
            _check_time(deadline)
            for message in consumer.consume(10_000, timeout=1):
                if message.error() is not None:
                    raise RuntimeError(message.error())
                reading.feed(message.partition(), message.offset(), message.value())
        consumer.close()


    @staticmethod
    def _end(consumer, part, deadline):
        """The end offset; a broker that has just started may not lead its partitions yet."""
        from confluent_kafka import KafkaException

        while True:
            try:
                return consumer.get_watermark_offsets(part, timeout=30)[1]
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
                _check_time(deadline)
                time.sleep(0.1)


class KafkaPython:
    """kafka-python, pure Python."""

    @staticmethod
    def produce(address, topic, codec, ledger):
        from kafka import KafkaAdminClient, KafkaProducer
        from kafka.admin import NewTopic

        admin = KafkaAdminClient(bootstrap_servers=address)
        admin.create_topics([NewTopic(topic, ledger.partitions, 1)])
        admin.close()
        producer = KafkaProducer(
            bootstrap_servers=address,
            enable_idempotence=True,
            acks="all",
            compression_type=None if codec == "none" else codec,
            linger_ms=5,
            batch_size=65536,
            delivery_timeout_ms=DELIVERY_LIMIT_MS,
            max_block_ms=DELIVERY_LIMIT_MS,
        )
        room = threading.Semaphore(IN_FLIGHT_MAX)

        def done(number):
            def acknowledged(where):
                ledger.acknowledge(number, where.partition, where.offset)
                room.release()

            return acknowledged

        def refused(error):
            ledger.refuse(error)
            room.release()

        for number in range(ledger.records):
            room.acquire()
            sent = producer.send(topic, value_of(number), partition=ledger.partition_of(number))
            sent.add_callback(done(number))
            sent.add_errback(refused)
        producer.flush(DELIVERY_LIMIT_MS / 1000)
        producer.close()

    @staticmethod
    def read(address, topic, reading):
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=address, group_id=None, check_crcs=True)
        parts = [TopicPartition(topic, nth) for nth in range(reading.ledger.partitions)]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        found = consumer.end_offsets(parts)
        ends = [found[part] for part in parts]
        deadline = time.monotonic() + READ_LIMIT_S
        while reading.next_offset != ends:
            _check_time(deadline)
            for part, records in consumer.poll(1000, max_records=10_000).items():
                for record in records:
                    reading.feed(part.partition, record.offset, record.value)
        consumer.close()


class Aiokafka:
    """aiokafka, asyncio."""

    @staticmethod
    def produce(address, topic, codec, ledger):
        asyncio.run(Aiokafka._produce(address, topic, codec, ledger))

    @staticmethod
    async def _produce(address, topic, codec, ledger):
        from aiokafka import AIOKafkaProducer
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        await admin.create_topics([NewTopic(topic, ledger.partitions, 1)])
        await admin.close()
        producer = AIOKafkaProducer(
            bootstrap_servers=address,
            enable_idempotence=True,
            compression_type=None if codec == "none" else codec,
            linger_ms=5,
            max_batch_size=65536,
            request_timeout_ms=DELIVERY_LIMIT_MS,
        )
        await producer.start()
        room = asyncio.Semaphore(IN_FLIGHT_MAX)

        def done(number):
            def settled(sent):
                room.release()
                if sent.exception() is None:
                    ledger.acknowledge(number, sent.result().partition, sent.result().offset)
                else:
                    ledger.refuse(sent.exception())

            return settled

        for number in range(ledger.records):
            await room.acquire()
            sent = await producer.send(topic, value_of(number), partition=ledger.partition_of(number))
            sent.add_done_callback(done(number))
        await asyncio.wait_for(producer.flush(), DELIVERY_LIMIT_MS / 1000)
        await producer.stop()

    @staticmethod
    def read(address, topic, reading):
        asyncio.run(Aiokafka._read(address, topic, reading))

    @staticmethod
    async def _read(address, topic, reading):
        from aiokafka import AIOKafkaConsumer, TopicPartition

        consumer = AIOKafkaConsumer(bootstrap_servers=address, group_id=None, check_crcs=True)
        await consumer.start()
        parts = [TopicPartition(topic, nth) for nth in range(reading.ledger.partitions)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        found = await consumer.end_offsets(parts)
        ends = [found[part] for part in parts]
        deadline = time.monotonic() + READ_LIMIT_S
        while reading.next_offset != ends:
            _check_time(deadline)
            for part, records in (await consumer.getmany(timeout_ms=1000, max_records=10_000)).items():
                for record in records:
                    reading.feed(part.partition, record.offset, record.value)
        await consumer.stop()


CLIENTS = {"confluent-kafka": Confluent, "kafka-python": KafkaPython, "aiokafka": Aiokafka}
