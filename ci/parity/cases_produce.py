"""Produce: rows 32 to 58 of what Kafka's clients rely on, and the text that goes with a refusal."""
from broker import case
from client import batch, now_ms, record


@case
def produce_batches(b):
    t = b.topic("pb")
    for version in (3, 4, 5, 7, 8, 9, 10, 11, 12, 13):
        yield f"v{version}", b.produce(t, batch(), version)
        yield f"v{version} two records", b.produce(t, batch([record(0), record(1)]), version)
        yield f"v{version} bad CRC", b.produce(t, batch(crc_xor=1), version)
        yield f"v{version} count", b.produce(t, batch(count=3, last_offset_delta=0), version)
        yield f"v{version} no batch", b.produce(t, b"", version)
    yield "v2", b.produce(t, batch(), 2)


@case
def produce_malformed(b):
    t = b.topic("pm")
    tries = {
        "magic 0": batch(magic=0),
        "magic 1": batch(magic=1),
        "magic 3": batch(magic=3),
        "two batches": batch() + batch(),
        "half a batch": batch()[:40],
        "a batch without its end": batch()[:-1],
        "a batch and a half": batch() + batch()[:30],
        "a byte too many": batch() + b"\0",
        "a length below the header's": batch(length=10),
        "a negative length": batch(length=-5),
        "a base offset": batch(base_offset=77),
        "a leader epoch": batch(leader_epoch=5),
        "control batch": batch(attributes=0x20),
        "control and transactional": batch(attributes=0x30),
        "delete horizon": batch(attributes=0x40),
        "an unknown attribute": batch(attributes=0x100),
        "codec 5": batch(attributes=5),
        "codec 7": batch(attributes=7),
        "no records": batch([], count=0, last_offset_delta=-1),
        "no records, delta 0": batch([], count=0, last_offset_delta=0),
        "count too small": batch([record(0), record(1)], count=1, last_offset_delta=0),
        "count too large": batch([record(0)], count=2, last_offset_delta=1),
        "count 1, delta 1": batch([record(0)], count=1, last_offset_delta=1),
        "negative count": batch([record(0)], count=-1, last_offset_delta=-2),
        "bytes after the record": batch([record(0, tail=b"zz")]),
        "bytes after the last record": batch(payload=record(0) + b"zz", count=1),
        "record cut": batch(payload=record(0, value=b"x" * 50)[:-10], count=1),
        "record of negative length": batch(payload=b"\x01\x00", count=1),
        "null header key": batch([record(0, headers=[(None, b"v")])]),
        "null header value": batch([record(0, headers=[(b"k", None)])]),
    }
    for label, data in tries.items():
        yield label, b.produce(t, data)
    yield "end", b.list_offsets(t, -1)
    u = b.topic("pmo")
    yield "offset deltas fall", b.produce(u, batch([record(0, offset=1), record(1, offset=0)]))
    yield "offset deltas have a gap", b.produce(u, batch([record(0), record(1, offset=5)]))


@case
def produce_compressed(b):
    t, lat = b.topic("pz"), b.topic("pzl", message_timestamp_type="LogAppendTime")
    good = b"".join(record(nth) for nth in range(3))
    for name, topic in (("create time", t), ("append time", lat)):
        tries = {
            "gzip": batch(payload=good, count=3, gzip=True),
            "gzip, damaged": batch(attributes=1),
            "snappy, damaged": batch(attributes=2),
            "lz4, damaged": batch(attributes=3),
            "zstd, damaged": batch(attributes=4),
            "gzip, cut": batch(payload=batch(payload=good, count=3, gzip=True)[61:-12], count=3, attributes=1),
            "gzip, count too small": batch(payload=good, count=2, gzip=True),
            "gzip, count too large": batch(payload=good, count=4, gzip=True),
            "gzip, deltas fall": batch([record(0, offset=1), record(1, offset=0)], gzip=True),
            "gzip, no payload": batch(payload=b"", count=1, attributes=1),
            "gzip of nothing": batch(payload=b"", count=1, gzip=True),
            "zstd, no payload": batch(payload=b"", count=1, attributes=4),
        }
        for label, data in tries.items():
            yield f"{name}: {label}", b.produce(topic, data)
    yield "zstd in v6", b.produce(t, batch(attributes=4), 6)
    yield "zstd in v3", b.produce(t, batch(attributes=4), 3)


@case
def produce_keys(b):
    t, both = b.topic("pk", cleanup_policy="compact"), b.topic("pkb", cleanup_policy="compact,delete")
    for topic in (t, both):
        yield "key", b.produce(topic, batch([record(0, key=b"k")]))
        yield "no key", b.produce(topic, batch())
        yield "no key, v3", b.produce(topic, batch(), 3)
        yield "no key, v7", b.produce(topic, batch(), 7)
        yield "no key, v13", b.produce(topic, batch(), 13)
        some = [record(0, key=b"k"), record(1), record(2, key=b"k"), record(3)]
        yield "two of four without", b.produce(topic, batch(some))
        yield "two of four without, gzip", b.produce(topic, batch(some, gzip=True))
        keyed = [record(nth, key=b"k") for nth in range(3)]
        yield "gzip, all with keys", b.produce(topic, batch(keyed, gzip=True))
        yield "tombstone", b.produce(topic, batch([record(0, key=b"k", value=None)]))
        yield "empty key", b.produce(topic, batch([record(0, key=b"")]))
        yield "idempotent without key", b.produce(topic, batch(producer_id=7, producer_epoch=0, sequence=0))


@case
def produce_sizes(b):
    t = b.topic("ps", max_message_bytes="2000", segment_bytes="1048576")
    yield "fits", b.produce(t, batch([record(0, value=b"z" * 1500)]))
    yield "too large", b.produce(t, batch([record(0, value=b"z" * 2500)]))
    yield "too large, v3", b.produce(t, batch([record(0, value=b"z" * 2500)]), 3)
    small = b.topic("ps2", max_message_bytes="5000000", segment_bytes="1048576")
    yield "larger than a segment", b.produce(small, batch([record(0, value=b"z" * 1200000)]))
    zero = b.topic("ps0", max_message_bytes="0")
    yield "nothing fits", b.produce(zero, batch())


@case
def produce_timestamps(b):
    t = b.topic("pt")
    hour = 3600_000
    tries = {
        "-1": batch(time=-1),
        "-2": batch(time=-2),
        "0": batch(time=0),
        "a year ago": batch(time=now_ms() - 365 * 24 * hour),
        "half an hour ahead": batch(time=now_ms() + hour // 2),
        "two hours ahead": batch(time=now_ms() + 2 * hour),
        "one of two ahead": batch([record(0), record(1, timestamp=2 * hour)]),
        "three of five ahead": batch([record(n, timestamp=2 * hour * (n % 2 == 0)) for n in range(5)]),
        "maximum too small": batch([record(0), record(1, timestamp=5000)], max_time=now_ms()),
        "maximum far too large": batch([record(0)], max_time=now_ms() + 100 * hour),
        "gzip, ahead": batch([record(0), record(1, timestamp=2 * hour)], gzip=True),
        "append time by a client": batch(attributes=8),
    }
    for label, data in tries.items():
        yield label, b.produce(t, data)
    near = b.topic("ptn", message_timestamp_before_max_ms="1000", message_timestamp_after_max_ms="1000")
    yield "narrow, before", b.produce(near, batch(time=now_ms() - 60000))
    yield "narrow, after", b.produce(near, batch(time=now_ms() + 60000))
    yield "narrow, -1", b.produce(near, batch(time=-1))
    yield "narrow, now", b.produce(near, batch())
    lat = b.topic("ptl", message_timestamp_type="LogAppendTime")
    yield "append time", b.produce(lat, batch([record(0), record(1)]))
    yield "append time, ahead", b.produce(lat, batch(time=now_ms() + 9 * hour))
    yield "append time, v3", b.produce(lat, batch(), 3)
    yield "append time, gzip", b.produce(lat, batch(gzip=True))


@case
def produce_targets(b):
    t = b.topic("pp", 2)
    yield "unknown topic", b.produce("nothing-here", batch())
    yield "bad name", b.produce("a/b", batch())
    yield "empty name", b.produce("", batch())
    yield "unknown partition", b.produce(t, batch(), partition=2)
    yield "negative partition", b.produce(t, batch(), partition=-1)
    yield "unknown id", b.produce("00000000-0000-0000-0000-000000000099", batch(), 13)
    yield "no id", b.produce("00000000-0000-0000-0000-000000000000", batch(), 13)
    for name in ("__consumer_offsets", "__transaction_state", "__share_group_state"):
        yield name, b.produce(name, batch())
    for acks in (-2, 2, 32767):
        yield f"acks {acks}", b.produce(t, batch(), acks=acks)
        yield f"acks {acks}, v13", b.produce(t, batch(), 13, acks=acks)
    yield "acks 1", b.produce(t, batch(), acks=1)
    several = [
        {"Name": t, "PartitionData": [{"Index": 0, "Records": batch()}, {"Index": 5, "Records": batch()}]},
        {"Name": "nothing", "PartitionData": [{"Index": 0, "Records": batch()}]},
    ]
    yield "good and bad", b.call("Produce", 9, Acks=-1, TimeoutMs=5000, TopicData=several)
    yield "nothing", b.call("Produce", 9, Acks=-1, TimeoutMs=5000, TopicData=[])
    twice = [{"Name": t, "PartitionData": [{"Index": 0, "Records": batch()}] * 2}]
    yield "a partition twice", b.call("Produce", 9, Acks=-1, TimeoutMs=5000, TopicData=twice)
    again = [{"Name": t, "PartitionData": [{"Index": 1, "Records": batch()}]}] * 2
    yield "a topic twice", b.call("Produce", 9, Acks=-1, TimeoutMs=5000, TopicData=again)


@case
def produce_without_answer(b):
    t = b.topic("pn")
    schema = b.schemas[0]["Produce"]
    for label, topic, data in (("ok", t, batch()), ("unknown", "nothing", batch()), ("bad", t, batch(crc_xor=1))):
        connection = b.connect()
        part = [{"Name": topic, "PartitionData": [{"Index": 0, "Records": data}]}]
        value = {"Acks": 0, "TimeoutMs": 1000, "TopicData": part}
        connection.send(0, 9, schema.encode(value, 9), flexible=True)
        yield label, connection.is_closed(1.0)
        connection.close()


@case
def produce_idempotent(b):
    t = b.topic("pi")

    def send(pid, epoch, sequence, records=1, time=None):
        data = batch([record(n) for n in range(records)], producer_id=pid, producer_epoch=epoch, sequence=sequence,
                     time=time)  # fmt: skip
        return b.produce(t, data)

    yield "first", send(9001, 0, 0)
    yield "again", send(9001, 0, 0)
    yield "gap", send(9001, 0, 5)
    yield "next", send(9001, 0, 1, 3)
    yield "inside it", send(9001, 0, 2)
    yield "its start, shorter", send(9001, 0, 1, 2)
    yield "after it", send(9001, 0, 4)
    yield "new epoch, not at 0", send(9001, 1, 3)
    yield "new epoch", send(9001, 1, 0)
    yield "stale epoch", send(9001, 0, 5)
    yield "unknown at 9", send(9002, 0, 9)
    yield "unknown goes on", send(9002, 0, 10)
    yield "without sequence", send(9003, 0, -1)
    yield "without epoch", send(9003, -1, 0)
    yield "negative id, sequence", send(-1, 0, 3)
    yield "id -2", send(-2, 0, 0)
    for sequence in range(1, 8):
        send(9001, 1, sequence)
    yield "the sixth last", send(9001, 1, 1)
    yield "the fifth last", send(9001, 1, 3)
    yield "the last", send(9001, 1, 7)
    yield "wraps", send(9004, 0, 2**31 - 2, 4)
    yield "after the wrap", send(9004, 0, 2)
    yield "transactional, no id", b.produce(t, batch(attributes=0x10, producer_id=1, producer_epoch=0, sequence=0))
    lat = b.topic("pil", message_timestamp_type="LogAppendTime")
    first = batch(producer_id=5, producer_epoch=0, sequence=0)
    yield "append time, first", b.produce(lat, first)
    yield "append time, again", b.produce(lat, first)


@case
def produce_in_sync(b):
    t = b.topic("pis", min_insync_replicas="2")
    for version in (3, 9, 13):
        for acks in (-1, 1):
            yield f"v{version} acks {acks}", b.produce(t, batch(), version, acks=acks)
    yield "bad and too few", b.produce(t, batch(crc_xor=1))
    yield "control and too few", b.produce(t, batch(attributes=0x20))
    yield "end", b.list_offsets(t, -1)


@case
def produce_after_deletion(b):
    t = b.topic("pad")
    old = b.topic_id(t)
    yield "before", b.produce(old, batch(), 13)
    b.call("DeleteTopics", 6, Topics=[{"Name": t}], TimeoutMs=5000)
    while b.list_offsets(t, -1)["ErrorCode"] == 0:
        pass
    yield "deleted, by id", b.produce(old, batch(), 13)
    yield "deleted, by name", b.produce(t, batch(), 12)
    b.topic("pad")
    yield "anew, by the old id", b.produce(old, batch(), 13)
    yield "anew, by the new id", b.produce(b.topic_id(t), batch(), 13)
    yield "anew, by name", b.produce(t, batch(), 12)
    yield "fetched by the old id", b.fetch([(old, 0, 0)], 13)
    yield "fetched by the new id", b.fetch([(b.topic_id(t), 0, 0)], 13)


@case
def produce_log_start(b):
    t = b.topic("pls")
    b.produce(t, batch([record(n) for n in range(10)]))
    topics = [{"Name": t, "Partitions": [{"PartitionIndex": 0, "Offset": 4}]}]
    b.call("DeleteRecords", 2, Topics=topics, TimeoutMs=5000)
    for version in (3, 5, 8, 13):
        yield f"v{version} good", b.produce(t, batch(), version)
        yield f"v{version} bad CRC", b.produce(t, batch(crc_xor=1), version)
        yield f"v{version} count", b.produce(t, batch(count=3, last_offset_delta=0), version)
        yield f"v{version} ahead", b.produce(t, batch(time=now_ms() + 10**9), version)
        yield f"v{version} magic", b.produce(t, batch(magic=1), version)
        gap = batch(producer_id=3, producer_epoch=0, sequence=0)
        b.produce(t, gap)
        yield f"v{version} again", b.produce(t, gap, version)
        gap = batch(producer_id=3, producer_epoch=0, sequence=9)
        yield f"v{version} gap", b.produce(t, gap, version)
