"""ApiVersions, DescribeCluster, DescribeLogDirs, ListPartitionReassignments: rows 1 to 11, 29, 31."""
from broker import CLOSED, case
from client import batch, record

# Everything that needs no group, transaction, ACL, quota, replica or raft voter.
SERVED = {0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 43, 44, 45, 46, 55, 60, 75}


@case
def api_versions(b):
    def ask(version, **more):
        name = {"ClientSoftwareName": "parity", "ClientSoftwareVersion": "1.0"} if version >= 3 else {}
        answer = b.call("ApiVersions", version, **{**name, **more})
        if answer != CLOSED:
            answer["ApiKeys"] = [key for key in answer["ApiKeys"] if key["ApiKey"] in SERVED]
            answer["ApiKeys"] = {f"key {key['ApiKey']}": key for key in answer["ApiKeys"]}
        return answer

    for version in range(6):
        yield f"v{version}", ask(version)
    for name in ("", " ", "a", "a b", "-a", "a-", "a.b", "a_b", "ä", "a-b.c9", "x" * 300, "a/b"):
        for version in (3, 5):
            yield f"v{version} name {name[:9]}", ask(version, ClientSoftwareName=name)["ErrorCode"]
            yield f"v{version} version {name[:9]}", ask(version, ClientSoftwareVersion=name)["ErrorCode"]
    cluster = b.call("DescribeCluster", 0)["ClusterId"]
    for given in (None, "", cluster, "another"):
        for node in (-1, 0, 1, 7):
            label = "this" if given == cluster else given
            yield f"cluster {label} node {node}", ask(5, ClusterId=given, NodeId=node)
    connection = b.connect()
    connection.send(18, 77, b"")
    yield "v77", connection.receive("ApiVersions", 0)
    connection.send(18, -1, b"")
    yield "v-1", connection.is_closed() or connection.receive("ApiVersions", 0)
    connection.close()


@case
def describe_cluster(b):
    for version in range(3):
        yield f"v{version}", b.call("DescribeCluster", version)
        yield f"v{version} operations", b.call("DescribeCluster", version, IncludeClusterAuthorizedOperations=True)
    for kind in (0, 1, 2, 3):
        yield f"endpoint type {kind}", b.call("DescribeCluster", 1, EndpointType=kind)
        yield f"v2 endpoint type {kind}", b.call("DescribeCluster", 2, EndpointType=kind)
    yield "fenced ones too", b.call("DescribeCluster", 2, IncludeFencedBrokers=True)


@case
def log_dirs(b):
    t = b.topic("ld", 2)
    for version in range(1, 6):
        for label, topics in {
            "one": [{"Topic": t, "Partitions": [0, 1]}],
            "unknown": [{"Topic": "nothing", "Partitions": [0]}],
            "partition 5": [{"Topic": t, "Partitions": [5]}],
            "none": [],
        }.items():
            yield f"v{version} {label}", in_order(b.call("DescribeLogDirs", version, Topics=topics))
        answer = b.call("DescribeLogDirs", version, Topics=None)
        for result in answer["Results"]:
            result["Topics"] = [topic for topic in result["Topics"] if topic["Name"] == t]
        yield f"v{version} all", in_order(answer)
    before = size(b, t)
    b.produce(t, batch([record(0, value=b"v" * 1000)]))
    yield "grows by the batch's bytes", size(b, t) - before


def in_order(answer):
    for result in answer["Results"]:
        for topic in result["Topics"]:
            topic["Partitions"].sort(key=lambda partition: partition["PartitionIndex"])
    return answer


def size(b, topic):
    answer = b.call("DescribeLogDirs", 4, Topics=[{"Topic": topic, "Partitions": [0]}])
    return answer["Results"][0]["Topics"][0]["Partitions"][0]["PartitionSize"]


@case
def reassignments(b):
    t = b.topic("lr", 2)
    for label, topics in {
        "all": None,
        "one": [{"Name": t, "PartitionIndexes": [0, 1]}],
        "unknown": [{"Name": "nothing", "PartitionIndexes": [0]}],
        "partition 9": [{"Name": t, "PartitionIndexes": [9]}],
        "none": [],
    }.items():
        yield label, b.call("ListPartitionReassignments", 0, TimeoutMs=5000, Topics=topics)


@case
def pipelining(b):
    connection = b.connect()
    t = b.topic("pl", 2)
    requests = b.schemas[0]
    produce, metadata = requests["Produce"], requests["Metadata"]
    fetch = requests["Fetch"].encode(b.fetch_request([(t, 0, 1)], 11, max_wait=300), 11)
    part = [{"Name": t, "PartitionData": [{"Index": 0, "Records": batch()}]}]
    data = produce.encode({"Acks": -1, "TimeoutMs": 1000, "TopicData": part}, 9)
    connection.send(0, 9, data, flexible=True)
    connection.send(1, 11, fetch)
    connection.send(3, 9, metadata.encode({"Topics": []}, 9), flexible=True)
    connection.send(0, 9, data, flexible=True)
    order = [int.from_bytes(connection.frame()[:4], "big") for _ in range(4)]
    yield "answers in order", str(order)
    connection.close()
