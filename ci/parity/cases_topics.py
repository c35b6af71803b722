"""Metadata, CreateTopics, DeleteTopics, CreatePartitions and DescribeTopicPartitions: rows 12 to 24, 28, 29."""
import struct
import time

from broker import case
from client import batch

NO_TOPIC = "00000000-0000-0000-0000-000000000099"


def only(answer, *names):
    """A Metadata answer without topics that aren't of this case."""
    if isinstance(answer, dict):
        answer["Topics"] = [topic for topic in answer["Topics"] if topic["Name"] in names]
    return answer


@case
def metadata(b):
    t = b.topic("me", 2)
    topic_id = b.topic_id(t)
    for version in range(14):
        flags = {"AllowAutoTopicCreation": False} if version >= 4 else {}
        if 8 <= version <= 10:
            flags |= {"IncludeClusterAuthorizedOperations": True}
        if version >= 8:
            flags |= {"IncludeTopicAuthorizedOperations": True}
        yield f"v{version}", b.call("Metadata", version, Topics=[{"Name": t}], **flags)
        yield f"v{version} empty", only(b.call("Metadata", version, Topics=[], **flags), t)
        if version >= 1:
            yield f"v{version} all", only(b.call("Metadata", version, Topics=None, **flags), t)
        if version >= 4:
            for name in ("nothing", "a/b", "", ".", "x" * 250, "__consumer_offsets"):
                yield f"v{version} {name[:20]}", b.call("Metadata", version, Topics=[{"Name": name}], **flags)
        yield f"v{version} twice", b.call("Metadata", version, Topics=[{"Name": t}] * 2, **flags)
        if version >= 10:
            by_id = [{"Name": None, "TopicId": topic_id}]
            yield f"v{version} id", b.call("Metadata", version, Topics=by_id, **flags)
            by_id = [{"Name": None, "TopicId": NO_TOPIC}]
            yield f"v{version} unknown id", b.call("Metadata", version, Topics=by_id, **flags)
            yield f"v{version} no id, no name", b.call("Metadata", version, Topics=[{"Name": None}], **flags)
            by_both = [{"Name": t, "TopicId": topic_id}]
            yield f"v{version} id and name", b.call("Metadata", version, Topics=by_both, **flags)
            mixed = [{"Name": t}, {"Name": None, "TopicId": NO_TOPIC}, {"Name": "nothing"}]
            yield f"v{version} mixed", b.call("Metadata", version, Topics=mixed, **flags)


@case
def metadata_creates(b):
    for version in (0, 1, 3, 4, 9, 12, 13):
        name = b.name(f"auto{version}")
        yield f"v{version} first", b.call("Metadata", version, Topics=[{"Name": name}])
        answer = None
        for _ in range(100):
            answer = b.call("Metadata", version, Topics=[{"Name": name}])
            if not answer["Topics"][0]["ErrorCode"]:
                break
            time.sleep(0.05)
        yield f"v{version} then", answer
    name = b.name("noauto")
    b.call("Metadata", 12, Topics=[{"Name": name}], AllowAutoTopicCreation=False)
    time.sleep(0.3)
    yield "not allowed", b.call("Metadata", 12, Topics=[{"Name": name}], AllowAutoTopicCreation=False)
    for name in ("a b", "", ".."):
        yield f"bad {name}", b.call("Metadata", 12, Topics=[{"Name": name}])
    dotted = b.topic("col.lide")
    yield "collides", b.call("Metadata", 12, Topics=[{"Name": dotted.replace(".", "_")}])
    time.sleep(0.3)
    yield "collides still", b.call("Metadata", 12, Topics=[{"Name": dotted.replace(".", "_")}])


def creatable(name, partitions=1, factor=1, configs=(), assignments=()):
    return {
        "Name": name, "NumPartitions": partitions, "ReplicationFactor": factor,
        "Configs": [{"Name": key, "Value": value} for key, value in configs],
        "Assignments": [{"PartitionIndex": index, "BrokerIds": list(ids)} for index, ids in assignments],
    }  # fmt: skip


@case
def create_topics(b):
    def create(*topics, version=7, validate_only=False):
        return b.call("CreateTopics", version, Topics=list(topics), timeoutMs=15000, validateOnly=validate_only)

    for version in range(2, 8):
        name = b.name(f"ct{version}")
        yield f"v{version}", create(creatable(name, 2), version=version)
        yield f"v{version} again", create(creatable(name, 2), version=version)
        configured = [("cleanup.policy", "compact"), ("retention.ms", "5000")]
        yield f"v{version} configs", create(creatable(name + "c", configs=configured), version=version)
        yield f"v{version} defaults", create(creatable(name + "d", -1, -1), version=version)
        yield f"v{version} only validated", create(creatable(name + "v"), version=version, validate_only=True)
        yield f"v{version} factor 9", create(creatable(name + "f", factor=9), version=version)
    tries = {
        "no partitions": creatable(b.name("ctx"), 0),
        "-2 partitions": creatable(b.name("ctx"), -2),
        "factor 0": creatable(b.name("ctx"), 1, 0),
        "factor -2": creatable(b.name("ctx"), 1, -2),
        "slash": creatable("a/b"),
        "dot": creatable("."),
        "dots": creatable(".."),
        "empty": creatable(""),
        "long": creatable("y" * 250),
        "space": creatable("a b"),
        "umlaut": creatable("ä"),
        "unknown config": creatable(b.name("ctx"), configs=[("no.such", "1")]),
        "bad policy": creatable(b.name("ctx"), configs=[("cleanup.policy", "zzz")]),
        "bad number": creatable(b.name("ctx"), configs=[("retention.ms", "soon")]),
        "number out of range": creatable(b.name("ctx"), configs=[("retention.ms", "-2")]),
        "two bad configs": creatable(b.name("ctx"), configs=[("retention.ms", "x"), ("segment.bytes", "1")]),
        "null config": creatable(b.name("ctx"), configs=[("retention.ms", None)]),
        "config twice": creatable(b.name("cttwice"), configs=[("retention.ms", "5"), ("retention.ms", "6")]),
        "empty config name": creatable(b.name("ctx"), configs=[("", "6")]),
        "assignment": creatable(b.name("ctm"), -1, -1, assignments=[(0, [1]), (1, [1])]),
        "assignment and count": creatable(b.name("ctx"), 1, -1, assignments=[(0, [1])]),
        "assignment and factor": creatable(b.name("ctx"), -1, 1, assignments=[(0, [1])]),
        "assignment with a gap": creatable(b.name("ctx"), -1, -1, assignments=[(0, [1]), (2, [1])]),
        "assignment from 1": creatable(b.name("ctx"), -1, -1, assignments=[(1, [1])]),
        "assignment twice": creatable(b.name("ctx"), -1, -1, assignments=[(0, [1]), (0, [1])]),
        "assignment to nobody": creatable(b.name("ctx"), -1, -1, assignments=[(0, [])]),
        "assignment to one twice": creatable(b.name("ctx"), -1, -1, assignments=[(0, [1, 1])]),
        "assignment to broker 7": creatable(b.name("ctx"), -1, -1, assignments=[(0, [7])]),
        "assignment to 1 and 7": creatable(b.name("ctx"), -1, -1, assignments=[(0, [1, 7])]),
        "__consumer_offsets by hand": creatable(b.name("__transaction_state")),
    }
    for label, topic in tries.items():
        yield label, create(topic)
    twice = creatable(b.name("ctt"))
    yield "a name twice", create(twice, creatable(b.name("ctt"), 3), creatable(b.name("ctok")))
    yield "nothing", create()
    b.topic("ct.col")
    yield "collides", create(creatable(b.name("ct_col")))
    yield "collide with each other", create(creatable(b.name("ct.two")), creatable(b.name("ct_two")))


@case
def delete_topics(b):
    def named(name, version):
        return {"Topics": [{"Name": name}]} if version >= 6 else {"TopicNames": [name]}

    for version in range(1, 7):
        name = b.topic(f"dt{version}")
        yield f"v{version}", b.call("DeleteTopics", version, TimeoutMs=15000, **named(name, version))
        yield f"v{version} again", b.call("DeleteTopics", version, TimeoutMs=15000, **named(name, version))
        yield f"v{version} bad name", b.call("DeleteTopics", version, TimeoutMs=15000, **named("a/b", version))
    t, u = b.topic("dti"), b.topic("dtj")
    topic_id = b.topic_id(t)
    for label, topics in {
        "unknown id": [{"Name": None, "TopicId": NO_TOPIC}],
        "neither": [{"Name": None}],
        "both": [{"Name": t, "TopicId": topic_id}],
        "a name twice": [{"Name": u}, {"Name": u}],
        "unknown name twice": [{"Name": "nothing"}, {"Name": "nothing"}],
        "id and name of the same": [{"Name": t}, {"Name": None, "TopicId": topic_id}],
        "nothing": [],
        "id": [{"Name": None, "TopicId": topic_id}],
        "id again": [{"Name": None, "TopicId": topic_id}],
        "unknown id twice": [{"Name": None, "TopicId": NO_TOPIC}] * 2,
    }.items():
        answer = b.call("DeleteTopics", 6, Topics=topics, TimeoutMs=15000)
        answer["Responses"].sort(key=str)
        yield label, answer


@case
def create_partitions(b):
    t = b.topic("cp", 2)

    def create(*topics, version=3, validate_only=False):
        asked = [
            {"Name": name, "Count": count, "Assignments": lists and [{"BrokerIds": ids} for ids in lists]}
            for name, count, lists in topics
        ]
        return b.call("CreatePartitions", version, Topics=asked, TimeoutMs=15000, ValidateOnly=validate_only)

    for version in range(4):
        yield f"v{version}", create((t, 3 + version, None), version=version)
        yield f"v{version} same", create((t, 3 + version, None), version=version)
    for label, topic in {
        "fewer": (t, 1, None),
        "none": (t, 0, None),
        "negative": (t, -3, None),
        "unknown topic": ("nothing", 3, None),
        "bad name": ("a/b", 3, None),
        "assigned": (t, 7, [[1]]),
        "assigned too few": (t, 9, [[1]]),
        "assigned too many": (t, 8, [[1], [1]]),
        "assigned to nobody": (t, 8, [[]]),
        "assigned to broker 7": (t, 8, [[7]]),
        "assigned twice": (t, 8, [[1, 1]]),
        "assigned nothing": (t, 8, []),
    }.items():
        yield label, create(topic)
    yield "only validated", create((t, 20, None), validate_only=True)
    yield "a name twice", create((t, 20, None), (t, 21, None))
    yield "nothing", create()


@case
def describe_topic_partitions(b):
    t, u = b.topic("dtp", 5), b.topic("dtq", 3)

    def describe(names, limit=2000, cursor=None):
        topics = [{"Name": name} for name in names]
        return b.call("DescribeTopicPartitions", 0, Topics=topics, ResponsePartitionLimit=limit, Cursor=cursor)

    def at(name, index):
        return {"TopicName": name, "PartitionIndex": index}

    yield "two", describe([t, u])
    yield "two, otherwise", describe([u, t])
    yield "unknown", describe(["nothing", t, "a/b", ""])
    yield "twice", describe([t, t])
    for limit in (-1, 0, 1, 2, 5, 6, 7, 8):
        yield f"limit {limit}", describe([t, u], limit)
    for name, index in ((t, 0), (t, 3), (t, 5), (t, 9), (u, 0), (u, 2), ("zzz", 0), ("aaa", 1)):
        yield f"cursor {name} {index}", describe([t, u], 2, at(name, index))
    yield "cursor -1", describe([t, u], 2, at(t, -1))
    yield "cursor to an unknown one", describe(["nothing", t], 2, at("nothing", 0))


@case
def headers(b):
    connection = b.connect()
    schema = b.schemas[0]["Metadata"]
    body = schema.encode({"Topics": []}, 9)
    for label, client, tags in (
        ("no client id", b"\xff\xff", b"\0"),
        ("empty client id", b"\0\0", b"\0"),
        ("an unknown tag", b"\0\1p", b"\1\x63\3abc"),
        ("two unknown tags", b"\0\1p", b"\2\x63\0\x64\1z"),
    ):
        frame = struct.pack(">hhi", 3, 9, 12345) + client + tags + body
        connection.raw(struct.pack(">i", len(frame)) + frame)
        yield label, connection.frame()[:4].hex()
    frame = struct.pack(">hhih", 3, 9, 77, 1) + b"p\0" + body[:-1] + b"\1\x63\2xy"
    connection.raw(struct.pack(">i", len(frame)) + frame)
    yield "an unknown tag in the body", connection.frame()[:4].hex()
    frame = struct.pack(">hhih", 3, 9, 78, 1) + b"p\0" + body + b"zzz"
    connection.raw(struct.pack(">i", len(frame)) + frame)
    yield "bytes behind the body", connection.is_closed(0.5)
    connection.close()


@case
def requests_that_do_not_parse(b):
    t = b.topic("junk")
    for key, version, body in (
        (3, 12, b"\xff\xff\xff"), (1, 11, b"\0" * 10), (19, 7, b"\x05"), (0, 9, b"\0"), (3, 1, b"\x40\0\0\0"),
        (32, 4, b"\0\x05"), (999, 0, b""), (-1, 0, b""), (3, 14, b""), (3, -1, b""), (1, 3, b""), (1, 19, b""),
    ):  # fmt: skip
        connection = b.connect()
        connection.send(key, version, body)
        yield f"key {key} v{version} {body!r}", connection.is_closed()
        connection.close()
    for label, data in {
        "a frame of 200 MiB": struct.pack(">i", 200 << 20),
        "a negative frame": struct.pack(">i", -1),
        "an empty frame": struct.pack(">i", 0),
        "a frame of 3 bytes": struct.pack(">i", 3) + b"abc",
        "half a header": struct.pack(">i", 8) + b"\0\x12\0\0\0\0\0\1",
    }.items():
        connection = b.connect()
        connection.raw(data)
        yield label, connection.is_closed()
        connection.close()
    yield "and still", b.produce(t, batch())
