"""DescribeConfigs, IncrementalAlterConfigs and AlterConfigs: rows 25 to 27."""
import time

from broker import case
from client import batch

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def by_name(answer):
    if isinstance(answer, dict) and answer.get("Configs"):
        answer["Configs"].sort(key=lambda config: config["Name"])
    return answer


def described(answer):
    """A DescribeConfigs answer by key, without texts of documentation."""
    if isinstance(answer, dict):
        for config in answer.get("Configs", []):
            if "Documentation" in config:
                config["Documentation"] = bool(config["Documentation"])
    return by_name(answer)


@case
def describe_topic_configs(b):
    t = b.topic("dc", retention_ms="5000", cleanup_policy="compact")
    for version in range(1, 5):
        yield f"v{version}", described(b.configs(TOPIC, t, version=version))
        yield f"v{version} no synonyms", described(b.configs(TOPIC, t, version=version, synonyms=False))
    yield "docs", described(b.configs(TOPIC, t, docs=True))
    yield "some keys", described(b.configs(TOPIC, t, ["retention.ms", "no.such", "segment.bytes"]))
    yield "no keys", described(b.configs(TOPIC, t, []))
    yield "a key twice", described(b.configs(TOPIC, t, ["retention.ms", "retention.ms"]))
    yield "unknown topic", b.configs(TOPIC, "nothing")
    yield "bad name", b.configs(TOPIC, "a/b")
    yield "empty name", b.configs(TOPIC, "")


@case
def describe_other_configs(b):
    for kind in (0, 1, 3, 5, 7, 9, 64, -1, 127):
        yield f"type {kind}", b.configs(kind, "1")
    yield "broker x", b.configs(BROKER, "x")
    yield "broker 7", b.configs(BROKER, "7")
    yield "broker -1", b.configs(BROKER, "-1")
    yield "all brokers", described(b.configs(BROKER, ""))
    yield "logger x", b.configs(LOGGER, "x")
    yield "logger 7", b.configs(LOGGER, "7")
    yield "logger", b.configs(LOGGER, "")
    answer = b.configs(LOGGER, "1")
    answer["Configs"] = len(answer["Configs"]) > 0
    yield "logger 1", answer
    yield "client metrics", b.configs(CLIENT_METRICS, "m")
    yield "no client metrics", b.configs(CLIENT_METRICS, "")


SHARED = [
    "log.cleanup.policy", "log.retention.ms", "log.retention.bytes", "log.segment.bytes", "log.roll.ms",
    "message.max.bytes", "min.insync.replicas", "compression.type", "num.partitions", "default.replication.factor",
    "auto.create.topics.enable", "log.message.timestamp.type", "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms", "log.retention.check.interval.ms", "node.id", "broker.rack",
    "socket.request.max.bytes", "connections.max.idle.ms", "fetch.max.bytes", "producer.id.expiration.ms",
]  # fmt: skip


@case
def describe_broker_configs(b):
    yield "shared keys", described(b.configs(BROKER, "1", SHARED))
    yield "docs", described(b.configs(BROKER, "1", SHARED[:3], docs=True))
    answer = described(b.configs(BROKER, "1", docs=True))
    names = {config["Name"] for config in answer["Configs"]}
    for key in SHARED + ["log.dirs", "listeners", "advertised.listeners", "log.retention.hours", "broker.id"]:
        yield f"has {key}", key in names
    for config in answer["Configs"]:
        if config["Name"] in ("log.retention.hours", "broker.id", "delete.topic.enable", "log.roll.hours",
                              "message.max.bytes", "unclean.leader.election.enable"):  # fmt: skip
            yield config["Name"], config


@case
def alter_topic_configs(b):
    t = b.topic("ac")

    def look(*keys):
        time.sleep(0.2)  # Apache Kafka's brokers follow the controller a little later.
        return described(b.configs(TOPIC, t, list(keys)))

    yield "set", b.alter(TOPIC, t, ("retention.ms", SET, "5000"))
    yield "is set", look("retention.ms")
    yield "delete", b.alter(TOPIC, t, ("retention.ms", DELETE, None))
    yield "is deleted", look("retention.ms")
    yield "delete what isn't set", b.alter(TOPIC, t, ("retention.ms", DELETE, None))
    yield "append", b.alter(TOPIC, t, ("cleanup.policy", APPEND, "compact"))
    yield "is appended", look("cleanup.policy")
    yield "append again", b.alter(TOPIC, t, ("cleanup.policy", APPEND, "compact"))
    yield "is appended once", look("cleanup.policy")
    yield "subtract", b.alter(TOPIC, t, ("cleanup.policy", SUBTRACT, "delete"))
    yield "is subtracted", look("cleanup.policy")
    yield "subtract what isn't there", b.alter(TOPIC, t, ("cleanup.policy", SUBTRACT, "delete"))
    yield "subtract all", b.alter(TOPIC, t, ("cleanup.policy", SUBTRACT, "compact"))
    yield "all subtracted", look("cleanup.policy")
    yield "append to a number", b.alter(TOPIC, t, ("retention.ms", APPEND, "1"))
    yield "subtract from a number", b.alter(TOPIC, t, ("retention.ms", SUBTRACT, "1"))
    yield "unknown key", b.alter(TOPIC, t, ("no.such", SET, "1"))
    yield "delete unknown key", b.alter(TOPIC, t, ("no.such", DELETE, None))
    yield "bad value", b.alter(TOPIC, t, ("retention.ms", SET, "banana"))
    yield "out of range", b.alter(TOPIC, t, ("segment.bytes", SET, "1"))
    yield "null value", b.alter(TOPIC, t, ("retention.ms", SET, None))
    yield "empty value", b.alter(TOPIC, t, ("retention.ms", SET, ""))
    yield "spaces", b.alter(TOPIC, t, ("retention.ms", SET, " 77 "))
    yield "spaces are", look("retention.ms")
    yield "a key twice", b.alter(TOPIC, t, ("retention.ms", SET, "1"), ("retention.ms", SET, "2"))
    yield "operation 9", b.alter(TOPIC, t, ("retention.ms", 9, "1"))
    yield "no changes", b.alter(TOPIC, t)
    yield "only validated", b.alter(TOPIC, t, ("retention.ms", SET, "99"), validate_only=True)
    yield "not set", look("retention.ms")
    yield "only validated, bad", b.alter(TOPIC, t, ("retention.ms", SET, "x"), validate_only=True)
    yield "one good, one bad", b.alter(TOPIC, t, ("retention.bytes", SET, "1"), ("retention.ms", SET, "x"))
    yield "neither", look("retention.ms", "retention.bytes")
    yield "empty key", b.alter(TOPIC, t, ("", SET, "1"))
    yield "unknown topic", b.alter(TOPIC, "nothing", ("retention.ms", SET, "1"))
    yield "bad name", b.alter(TOPIC, "a/b", ("retention.ms", SET, "1"))
    yield "empty name", b.alter(TOPIC, "", ("retention.ms", SET, "1"))
    yield "v0", b.alter(TOPIC, t, ("retention.ms", SET, "123"), version=0)
    for key, value in (
        ("leader.replication.throttled.replicas", "0:1"), ("follower.replication.throttled.replicas", "*"),
        ("leader.replication.throttled.replicas", "zz"), ("cleanup.policy", ""), ("cleanup.policy", "delete,delete"),
        ("cleanup.policy", "none"), ("compression.type", "GZIP"), ("preallocate", "yes"), ("preallocate", "TRUE"),
        ("min.cleanable.dirty.ratio", "2"), ("min.cleanable.dirty.ratio", "x"), ("message.timestamp.type", "Never"),
        ("min.insync.replicas", "0"), ("min.insync.replicas", "5"), ("max.message.bytes", "-1"),
        ("segment.ms", "0"), ("retention.bytes", "-2"), ("flush.ms", "-1"), ("file.delete.delay.ms", "-1"),
        ("retention.ms", "-1"), ("retention.ms", "9223372036854775808"), ("segment.bytes", "2147483648"),
        ("segment.bytes", "1048575"), ("unclean.leader.election.enable", "maybe"), ("compression.gzip.level", "0"),
        ("compression.zstd.level", "23"), ("compression.lz4.level", "0"), ("local.retention.ms", "-3"),
    ):  # fmt: skip
        yield f"{key}={value}", b.alter(TOPIC, t, (key, SET, value), validate_only=True)
    resource = {"ResourceType": TOPIC, "ResourceName": t, "Configs": []}
    answer = b.call("IncrementalAlterConfigs", 1, Resources=[resource, resource], ValidateOnly=False)
    yield "a resource twice", answer
    yield "no resources", b.call("IncrementalAlterConfigs", 1, Resources=[], ValidateOnly=False)


@case
def replace_topic_configs(b):
    t = b.topic("rc", retention_ms="5000", segment_bytes="2000000")

    def replace(name, configs, kind=TOPIC, version=2, validate_only=False):
        configs = [{"Name": key, "Value": value} for key, value in configs]
        resource = {"ResourceType": kind, "ResourceName": name, "Configs": configs}
        return b.call("AlterConfigs", version, Resources=[resource], ValidateOnly=validate_only)

    for version in range(3):
        yield f"v{version}", replace(t, [("retention.bytes", f"{version + 5}")], version=version)
        time.sleep(0.2)
        yield f"v{version} is", described(b.configs(TOPIC, t, ["retention.ms", "retention.bytes", "segment.bytes"]))
    yield "bad value", replace(t, [("retention.ms", "banana")])
    yield "unknown key", replace(t, [("no.such", "banana")])
    yield "null value", replace(t, [("retention.ms", None)])
    yield "a key twice", replace(t, [("retention.ms", "1"), ("retention.ms", "2")])
    yield "only validated", replace(t, [("retention.ms", "99")], validate_only=True)
    yield "unknown topic", replace("nothing", [("retention.ms", "1")])
    yield "to nothing", replace(t, [])
    time.sleep(0.2)
    yield "is nothing", described(b.configs(TOPIC, t, ["retention.ms", "retention.bytes"]))
    for kind, name in ((0, "1"), (3, "1"), (LOGGER, "1"), (BROKER, "7"), (BROKER, "x")):
        yield f"type {kind} {name}", replace(name, [("retention.ms", "1")], kind=kind)


@case
def alter_broker_configs(b):
    def look(name, *keys):
        time.sleep(0.5)  # Apache Kafka's brokers follow the controller a little later.
        return described(b.configs(BROKER, name, list(keys) or None))

    t = b.topic("ab")
    keys = ["message.max.bytes", "log.flush.interval.messages", "log.flush.interval.ms", "log.retention.ms",
            "log.retention.bytes", "log.segment.bytes",
            "log.cleanup.policy", "min.insync.replicas", "log.message.timestamp.type",
            "log.message.timestamp.after.max.ms", "log.message.timestamp.before.max.ms", "log.roll.ms"]  # fmt: skip
    values = {"log.cleanup.policy": "compact", "log.message.timestamp.type": "LogAppendTime",
              "min.insync.replicas": "2"}  # fmt: skip
    topic_keys = ["max.message.bytes", "flush.messages", "flush.ms",
                  "retention.ms", "retention.bytes", "segment.bytes", "cleanup.policy",
                  "message.timestamp.type", "segment.ms"]  # fmt: skip
    for name in ("", "1"):
        for key in keys:
            if key == "min.insync.replicas":
                continue
            value = values.get(key, "2000000")
            yield f"broker '{name}' {key}", b.alter(BROKER, name, (key, SET, value))
        yield f"broker '{name}' has", look("1", *keys)
        yield f"broker '{name}' all", look(name, *keys)
        yield f"broker '{name}' default has", look("")
        yield f"broker '{name}' topic", described(b.configs(TOPIC, t, topic_keys))
        yield f"broker '{name}' produce", b.produce(t, batch())["ErrorCode"]
    yield "default beside", b.alter(BROKER, "", ("log.retention.ms", SET, "3000000"))
    yield "both", look("1", "log.retention.ms")
    yield "append", b.alter(BROKER, "1", ("log.cleanup.policy", APPEND, "delete"))
    yield "appended", look("1", "log.cleanup.policy")
    for name in ("1", ""):
        for key in keys:
            yield f"broker '{name}' without {key}", b.alter(BROKER, name, (key, DELETE, None))
        yield f"broker '{name}' without", look("1", *keys)
    for name in ("", "1"):
        for key, value in (
            ("node.id", "5"), ("listeners", "x"), ("log.dirs", "/x"), ("no.such.key", "1"), ("message.max.bytes", "x"),
            ("message.max.bytes", "-1"), ("log.retention.ms", "0"), ("broker.rack", "r"), ("num.partitions", "5"),
            ("auto.create.topics.enable", "false"), ("socket.request.max.bytes", "5000"), ("process.roles", "x"),
            ("min.insync.replicas", "0"), ("log.segment.bytes", "10"), ("compression.type", "zzz"),
            ("num.io.threads", "9"), ("default.replication.factor", "3"), ("log.roll.ms", "0"),
            ("leader.replication.throttled.rate", "1000"), ("fetch.max.bytes", "9999"),
            ("producer.id.expiration.ms", "77"), ("connections.max.idle.ms", "5000"),
            ("log.retention.check.interval.ms", "5"), ("log.retention.hours", "5"),
        ):  # fmt: skip
            answer = b.alter(BROKER, name, (key, SET, value), validate_only=True)
            yield f"broker '{name}' {key}={value}", answer
    yield "broker 7", b.alter(BROKER, "7", ("message.max.bytes", SET, "5000"), validate_only=True)
    yield "broker x", b.alter(BROKER, "x", ("message.max.bytes", SET, "5000"), validate_only=True)
    yield "broker -1", b.alter(BROKER, "-1", ("message.max.bytes", SET, "5000"), validate_only=True)
    yield "null", b.alter(BROKER, "1", ("message.max.bytes", SET, None), validate_only=True)


@case
def alter_other_configs(b):
    for kind in (0, 1, 3, 5, 7, 64, -1):
        yield f"type {kind}", b.alter(kind, "1", ("retention.ms", SET, "1"))
    yield "logger level", b.alter(LOGGER, "1", ("root", SET, "NOISY"))
    yield "logger 7", b.alter(LOGGER, "7", ("root", SET, "INFO"))
    yield "logger x", b.alter(LOGGER, "x", ("root", SET, "INFO"))
