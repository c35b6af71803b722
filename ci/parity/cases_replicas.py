"""ElectLeaders, AlterPartitionReassignments and DescribeQuorum: what one broker alone can say."""
from broker import case

PREFERRED, UNCLEAN = 0, 1


@case
def elections(b):
    t = b.topic("el", 2)

    def elect(topics, version=2, kind=PREFERRED):
        asked = topics and [{"Topic": name, "Partitions": partitions} for name, partitions in topics]
        answer = b.call("ElectLeaders", version, ElectionType=kind, TopicPartitions=asked, TimeoutMs=5000)
        results = answer["ReplicaElectionResults"]
        # Two brokers have different topics: of all of them only those count that answer something.
        asked = {name for name, _ in topics or []}
        answer["ReplicaElectionResults"] = sorted(
            (result for result in results if result["Topic"] in asked or result["PartitionResult"]),
            key=lambda result: result["Topic"],
        )
        return answer

    for version in range(3):
        for kind in (PREFERRED, UNCLEAN):
            if version or kind == PREFERRED:
                yield f"v{version} type {kind}", elect([(t, [0, 1])], version, kind)
                yield f"v{version} type {kind} unknown", elect([("nothing", [0]), (t, [9])], version, kind)
                yield f"v{version} type {kind} all", elect(None, version, kind)
    yield "type 7", elect([(t, [0])], kind=7)
    yield "twice", elect([(t, [0, 0])])
    yield "nothing", elect([])
    yield "bad name", elect([("a/b", [0])])


@case
def reassign(b):
    t = b.topic("ra", 2)

    def move(topics, version=1, **more):
        asked = [
            {"Name": name, "Partitions": [{"PartitionIndex": index, "Replicas": ids} for index, ids in partitions]}
            for name, partitions in topics
        ]
        return b.call("AlterPartitionReassignments", version, TimeoutMs=5000, Topics=asked, **more)

    for version in range(2):
        yield f"v{version} to where it is", move([(t, [(0, [1])])], version)
        yield f"v{version} cancel", move([(t, [(0, None)])], version)
    for label, partitions in {
        "broker 7": [(0, [7])],
        "two brokers": [(0, [1, 7])],
        "nobody": [(0, [])],
        "one twice": [(0, [1, 1])],
        "negative": [(0, [-1])],
        "partition 9": [(9, [1])],
        "cancel partition 9": [(9, None)],
        "good and bad": [(0, [1]), (1, [7])],
    }.items():
        yield label, move([(t, partitions)])
    yield "unknown topic", move([("nothing", [(0, [1])])])
    yield "cancel an unknown topic's", move([("nothing", [(0, None)])])
    yield "nothing", move([])
    yield "twice", move([(t, [(0, [1]), (0, [1])])])
    yield "list", b.call("ListPartitionReassignments", 0, TimeoutMs=5000, Topics=None)
    yield "other factors forbidden", move([(t, [(0, [1])])], AllowReplicationFactorChange=False)


@case
def quorum(b):
    for version in range(3):
        for label, topics in {
            "metadata": [{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}],
            "another": [{"TopicName": "nothing", "Partitions": [{"PartitionIndex": 0}]}],
            "partition 1": [{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 1}]}],
            "none": [],
        }.items():
            answer = b.call("DescribeQuorum", version, Topics=topics)
            for topic in answer["Topics"]:
                for partition in topic["Partitions"]:
                    partition["HighWatermark"] = partition["HighWatermark"] > 0
            yield f"v{version} {label}", answer
