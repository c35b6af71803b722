"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords and InitProducerId: rows 57 and 94 to 99."""
from broker import case
from client import batch, record

T0 = 1_600_000_000_000


@case
def list_offsets_special(b):
    t, empty = b.topic("ls"), b.topic("lse")
    b.produce(t, batch([record(n, timestamp=n) for n in range(5)], time=T0, max_time=T0 + 4))
    for version in range(1, 12):
        for timestamp in (-1, -2, -3, -4, -5, -6, -7, -100):
            yield f"v{version} {timestamp}", b.list_offsets(t, timestamp, version)
            yield f"v{version} {timestamp}, empty", b.list_offsets(empty, timestamp, version)
        for timestamp in (0, T0, T0 + 3, T0 + 4, T0 + 5, 2**62):
            yield f"v{version} {timestamp}", b.list_offsets(t, timestamp, version)
    yield "0, empty", b.list_offsets(empty, 0)
    for isolation in (0, 1, 2):
        yield f"isolation {isolation}", b.list_offsets(t, -1, isolation=isolation)
    for epoch in (-2, -1, 0, 9):
        yield f"epoch {epoch}", b.list_offsets(t, -1, epoch=epoch)
        yield f"epoch {epoch}, by time", b.list_offsets(t, T0, epoch=epoch)
    yield "unknown topic", b.list_offsets("nothing", -1)
    yield "bad name", b.list_offsets("a/b", -1)
    yield "unknown partition", b.list_offsets(t, -1, partition=3)
    asked = [{"PartitionIndex": 0, "Timestamp": stamp} for stamp in (-1, -2)]
    yield "a partition twice", b.call("ListOffsets", 7, ReplicaId=-1, Topics=[{"Name": t, "Partitions": asked}])
    for replica in (-3, -2, 0, 1):
        topics = [{"Name": t, "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]
        yield f"replica {replica}", b.call("ListOffsets", 7, ReplicaId=replica, Topics=topics)


@case
def list_offsets_by_time(b):
    t = b.topic("lt")

    def produce(*times, **fields):
        start = times[0]
        records = [record(n, timestamp=time - start) for n, time in enumerate(times)]
        b.produce(t, batch(records, time=T0 + start, max_time=T0 + max(times), **fields))

    produce(10, 30, 20)
    produce(25, 30, 30)
    produce(5, 40, 40, gzip=True)
    produce(40, 1)
    produce(2, 3, 35, gzip=True)
    for time in (0, 1, 10, 11, 20, 29, 30, 31, 36, 40, 41):
        yield f"{time}", b.list_offsets(t, T0 + time)
    yield "largest", b.list_offsets(t, -3)
    for before in (2, 4, 7, 11, 14):
        topics = [{"Name": t, "Partitions": [{"PartitionIndex": 0, "Offset": before}]}]
        yield f"delete below {before}", b.call("DeleteRecords", 2, Topics=topics, TimeoutMs=5000)
        for time in (0, 30, 36, 40):
            yield f"{time} from {before}", b.list_offsets(t, T0 + time)
        for special in (-1, -2, -3, -4):
            yield f"{special} from {before}", b.list_offsets(t, special)


@case
def list_offsets_append_time(b):
    t = b.topic("la", message_timestamp_type="LogAppendTime")
    b.produce(t, batch([record(n, timestamp=n) for n in range(5)], time=T0))
    b.produce(t, batch([record(n, timestamp=n) for n in range(5)], time=T0, gzip=True))
    for timestamp in (0, T0, -3, 2**61):
        yield f"{timestamp}", b.list_offsets(t, timestamp)
    plain = b.topic("lan")
    b.produce(plain, batch(time=-1))
    for timestamp in (0, 1, -3, -1):
        yield f"no timestamp: {timestamp}", b.list_offsets(plain, timestamp)
    b.produce(plain, batch(time=0))
    for timestamp in (0, 1, -3):
        yield f"timestamp 0: {timestamp}", b.list_offsets(plain, timestamp)


@case
def epochs(b):
    t, empty = b.topic("ep"), b.topic("epe")
    b.produce(t, batch([record(0), record(1)]))
    for version in (2, 3, 4):
        for topic in (t, empty, "nothing"):
            for epoch in (-2, -1, 0, 1, 5):
                for current in (-1, 0, 7):
                    asked = [{"Partition": 0, "LeaderEpoch": epoch, "CurrentLeaderEpoch": current}]
                    topics = [{"Topic": topic, "Partitions": asked}]
                    answer = b.call("OffsetForLeaderEpoch", version, Topics=topics)
                    yield f"v{version} {topic} {epoch} current {current}", answer
    asked = [{"Partition": 6, "LeaderEpoch": 0}]
    yield "partition 6", b.call("OffsetForLeaderEpoch", 4, Topics=[{"Topic": t, "Partitions": asked}])
    yield "nothing", b.call("OffsetForLeaderEpoch", 4, Topics=[])


@case
def delete_records(b):
    t, compact = b.topic("dr"), b.topic("drc", cleanup_policy="compact")
    both = b.topic("drb", cleanup_policy="compact,delete")
    for topic in (t, compact, both):
        b.produce(topic, batch([record(n, key=b"k") for n in range(10)]))
    for version in (0, 1, 2):
        for topic in (t, compact, both, "nothing", "a/b", "__consumer_offsets", "__transaction_state"):
            for before in (-2, -3, 0, version + 2, 1, 11, 2**40):
                topics = [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Offset": before}]}]
                answer = b.call("DeleteRecords", version, Topics=topics, TimeoutMs=5000)
                yield f"v{version} {topic} {before}", answer
    topics = [{"Name": t, "Partitions": [{"PartitionIndex": 4, "Offset": 1}, {"PartitionIndex": 0, "Offset": 6}]}]
    yield "good and bad", b.call("DeleteRecords", 2, Topics=topics, TimeoutMs=5000)
    topics = [{"Name": t, "Partitions": [{"PartitionIndex": 0, "Offset": -1}]}]
    yield "to the end", b.call("DeleteRecords", 2, Topics=topics, TimeoutMs=5000)
    yield "start", b.list_offsets(t, -2)
    yield "nothing", b.call("DeleteRecords", 2, Topics=[], TimeoutMs=5000)


@case
def producer_ids(b):
    def init(version, **more):
        fields = {"TransactionalId": None, "TransactionTimeoutMs": 1000, **more}
        answer = b.call("InitProducerId", version, **fields)
        # The first block of ids is fetched from the controller: clients retry.
        while isinstance(answer, dict) and answer["ErrorCode"] == 14:
            answer = b.call("InitProducerId", version, **fields)
        return answer

    for version in range(6):
        yield f"v{version}", init(version)
        yield f"v{version} timeout 0", init(version, TransactionTimeoutMs=0)
        yield f"v{version} timeout -1", init(version, TransactionTimeoutMs=-1)
        yield f"v{version} empty id", init(version, TransactionalId="")
    yield "id and epoch", init(5, ProducerId=5, ProducerEpoch=1)
    yield "id alone", init(5, ProducerId=5)
    yield "epoch alone", init(5, ProducerEpoch=5)
    yield "epoch at its end", init(5, ProducerId=5, ProducerEpoch=32767)
    first, second = init(4)["ProducerId"], init(4)["ProducerId"]
    yield "one after the other", second - first
