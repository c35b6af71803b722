"""Groups of both protocols and their offsets: rows 100 to 116."""
import time

from broker import CLOSED, case

SESSION = 10000
# A consumer's metadata of version 0: one topic, no user data.


def subscription(topic):
    name = topic.encode()
    return b"\0\0\0\0\0\1" + len(name).to_bytes(2, "big") + name + b"\xff\xff\xff\xff"


class Group:
    """One group of a broker, asked over connections of its own: a JoinGroup may wait."""

    def __init__(self, b, stem, topic="t", kind="consumer"):
        self.b, self.id, self.topic, self.kind = b, b.name(stem), topic, kind

    def join(self, version=9, member="", protocols=("range",), session=SESSION, rebalance=SESSION, **more):
        metadata = [{"Name": name, "Metadata": subscription(self.topic)} for name in protocols]
        fields = {"GroupId": self.id, "MemberId": member, "SessionTimeoutMs": session, "ProtocolType": self.kind}
        if version >= 1:
            fields["RebalanceTimeoutMs"] = rebalance
        return self.settled("JoinGroup", version, **{**fields, "Protocols": metadata, **more})

    def settled(self, api, version, **fields):
        """Right after its topic is there Apache Kafka's coordinator may not be."""
        while True:
            answer = self.b.call(api, version, **fields)
            if answer == CLOSED or answer.get("ErrorCode") not in (14, 15, 16):
                return answer

    def member(self, version=9, **more):
        """Joins as a member and answers its id."""
        answer = self.join(version, **more)
        if answer["ErrorCode"] == 79:
            answer = self.join(version, answer["MemberId"], **more)
        return answer

    def sync(self, version, member, generation, shares=(), **more):
        shares = [{"MemberId": id, "Assignment": share} for id, share in shares]
        fields = {"GroupId": self.id, "GenerationId": generation, "MemberId": member, "Assignments": shares}
        if version >= 5:
            fields |= {"ProtocolType": self.kind, "ProtocolName": "range"}
        return self.b.call("SyncGroup", version, **{**fields, **more})

    def beat(self, version, member, generation, **more):
        return self.b.call("Heartbeat", version, GroupId=self.id, GenerationId=generation, MemberId=member, **more)

    def leave(self, version, *members):
        if version < 3:
            return self.b.call("LeaveGroup", version, GroupId=self.id, MemberId=members[0])
        members = [{"MemberId": id} if isinstance(id, str) else id for id in members]
        return self.b.call("LeaveGroup", version, GroupId=self.id, Members=members)

    def commit(self, version, topic, offset=5, member="", generation=-1, metadata="m", partition=0, **more):
        partition = {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": metadata}
        fields = {"GroupId": self.id, "GenerationIdOrMemberEpoch": generation, "MemberId": member}
        key = "TopicId" if version >= 10 else "Name"
        topics = [{key: topic, "Partitions": [partition]}]
        while True:
            answer = self.b.call("OffsetCommit", version, **{**fields, "Topics": topics, **more})
            if answer == CLOSED or answer["Topics"][0]["Partitions"][0]["ErrorCode"] not in (14, 15, 16):
                return answer

    def fetch(self, version, topic, partitions=(0, 7), all=False, **more):
        key = "TopicId" if version >= 10 else "Name"
        topics = None if all else [{key: topic, "PartitionIndexes": list(partitions)}]
        if version >= 8:
            return self.b.call("OffsetFetch", version, Groups=[{"GroupId": self.id, "Topics": topics}], **more)
        return self.b.call("OffsetFetch", version, GroupId=self.id, Topics=topics, **more)

    def describe(self, version, *others, **more):
        """The groups by name: Apache Kafka has them in the order of their partitions."""
        answer = self.b.call("DescribeGroups", version, Groups=[self.id, *others], **more)
        answer["Groups"].sort(key=lambda group: group["GroupId"])
        return answer

    def stable(self, version=9, **more):
        """A group of one member with its share; the member's id and the generation."""
        joined = self.member(version, **more)
        self.sync(min(version, 5), joined["MemberId"], joined["GenerationId"], [(joined["MemberId"], b"share")])
        return joined["MemberId"], joined["GenerationId"]


def ready(b):
    """Waits until the broker keeps groups."""
    while True:
        answer = b.call("FindCoordinator", 3, Key="g", KeyType=0)
        if not answer["ErrorCode"]:
            return


@case
def find_coordinator(b):
    ready(b)
    for version in range(7):
        for kind in (0, 3, -1) if version else (0,):
            for key in ("g", ""):
                fields = {"CoordinatorKeys": [key, "other"]} if version >= 4 else {"Key": key}
                if version:
                    fields["KeyType"] = kind
                yield f"v{version} {kind} {key!r}", b.call("FindCoordinator", version, **fields)


@case
def group_life(b):
    ready(b)
    t = b.topic("gl")
    for version in range(10):
        group = Group(b, f"life{version}", t)
        first = group.join(version)
        yield f"v{version} join", first
        member = first["MemberId"]
        joined = group.join(version, member) if first["ErrorCode"] else first
        yield f"v{version} joined", joined
        generation = joined["GenerationId"]
        yield f"v{version} unknown member joins", group.join(version, "nobody")
        sync = min(version, 5)
        yield f"v{version} describe completing", group.describe(min(version, 6))
        yield f"v{version} beat completing", group.beat(min(version, 4), member, generation)
        yield f"v{version} commit completing", group.commit(max(2, min(version, 9)), t, 5, member, generation)
        yield f"v{version} sync old", group.sync(sync, member, generation - 1)
        yield f"v{version} sync unknown", group.sync(sync, "nobody", generation)
        yield f"v{version} sync", group.sync(sync, member, generation, [(member, b"share"), ("x", b"y")])
        yield f"v{version} sync again", group.sync(sync, member, generation)
        yield f"v{version} describe stable", group.describe(min(version, 6))
        yield f"v{version} beat", group.beat(min(version, 4), member, generation)
        yield f"v{version} beat old", group.beat(min(version, 4), member, generation + 1)
        yield f"v{version} beat unknown", group.beat(min(version, 4), "nobody", generation)
        yield f"v{version} leader joins", group.join(version, member)
        yield f"v{version} beat old", group.beat(min(version, 4), member, generation)
        yield f"v{version} leave", group.leave(sync, member)
        yield f"v{version} leave again", group.leave(sync, member)
        yield f"v{version} describe empty", group.describe(min(version, 6))
        yield f"v{version} beat empty", group.beat(min(version, 4), member, generation)
        yield f"v{version} join empty", group.join(version, member)


@case
def group_refusals(b):
    ready(b)
    group = Group(b, "refused")
    for version in (0, 4, 9):
        for session in (-1, 0, 5999, 1800001):
            yield f"v{version} session {session}", group.join(version, session=session)
        yield f"v{version} unknown group", group.join(version, "nobody")
        yield f"v{version} no protocol", group.join(version, protocols=())
        yield f"v{version} no type", group.join(version, ProtocolType="")
        yield f"v{version} no group", group.join(version, GroupId="")
    for version in range(6):
        yield f"v{version} sync unknown", group.sync(version, "nobody", 1)
        yield f"v{version} sync no group", group.sync(version, "nobody", 1, GroupId="")
        yield f"v{version} leave unknown", group.leave(version, "nobody")
        if version < 5:
            yield f"v{version} beat unknown", group.beat(version, "nobody", 1)
            yield f"v{version} beat no group", group.beat(version, "nobody", 1, GroupId="")
    yield "sync unnamed", group.sync(5, "nobody", 1, ProtocolType=None)
    member, generation = group.stable()
    yield "another type", group.join(9, ProtocolType="connect")
    yield "another protocol", group.join(9, protocols=("other",))
    yield "another type syncs", group.sync(5, member, generation, ProtocolType="connect")
    yield "another protocol syncs", group.sync(5, member, generation, ProtocolName="other")


@case
def group_static(b):
    ready(b)
    t = b.topic("gs")
    for version in range(5, 10):
        group = Group(b, f"static{version}", t)
        named = {"GroupInstanceId": "i"}
        joined = group.join(version, **named)
        yield f"v{version} join", joined
        member, generation = joined["MemberId"], joined["GenerationId"]
        yield f"v{version} sync", group.sync(5, member, generation, [(member, b"share")], **named)
        again = group.join(version, **named)
        yield f"v{version} join again", again
        new = again["MemberId"]
        yield f"v{version} sync again", group.sync(5, new, generation, **named)
        yield f"v{version} fenced join", group.join(version, member, **named)
        yield f"v{version} fenced sync", group.sync(5, member, generation, **named)
        yield f"v{version} fenced beat", group.beat(4, member, generation, **named)
        yield f"v{version} fenced commit", group.commit(8, t, 5, member, generation, **named)
        yield f"v{version} another instance", group.beat(4, new, generation, GroupInstanceId="j")
        yield f"v{version} changed protocols", group.join(version, new, protocols=("range", "b"), **named)
        leaving = [{"MemberId": member, "GroupInstanceId": "i"}, {"MemberId": "", "GroupInstanceId": "j"}]
        yield f"v{version} leave", group.leave(5, *leaving, {"MemberId": "", "GroupInstanceId": "i"})
        yield f"v{version} describe", group.describe(6)


@case
def group_offsets(b):
    ready(b)
    t = b.topic("go", 2)
    id = b.topic_id(t)
    group = Group(b, "offsets", t)
    yield "unknown group v8", group.commit(8, t, 5, "nobody", 1)
    yield "unknown group v9", group.commit(9, t, 5, "nobody", 1)
    for version in range(2, 11):
        group = Group(b, f"offsets{version}", t)
        name = id if version >= 10 else t
        nothing = "11111111-2222-3333-4444-555555555555" if version >= 10 else "nothing"
        for asked in range(1, 11):
            if asked < 10:
                yield f"v{version} {asked} unknown group", group.fetch(asked, t)
        yield f"v{version} commit", group.commit(version, name, 5)
        yield f"v{version} unknown topic", group.commit(version, nothing, 5)
        yield f"v{version} unknown partition", group.commit(version, name, 5, partition=9)
        yield f"v{version} negative", group.commit(version, name, -1, partition=1)
        yield f"v{version} null metadata", group.commit(version, name, 6, partition=1, metadata=None)
        yield f"v{version} large metadata", group.commit(version, name, 7, metadata="x" * 4097)
        yield f"v{version} a member", group.commit(version, name, 7, "nobody", -1)
        yield f"v{version} a generation", group.commit(version, name, 7, "nobody", 3)
        for asked in range(1, 11):
            topic = id if asked >= 10 else t
            yield f"v{version} fetch {asked}", group.fetch(asked, topic, (0, 1, 7))
            if asked > 1:
                yield f"v{version} fetch {asked} all", group.fetch(asked, topic, all=True)
            if asked > 6:
                yield f"v{version} fetch {asked} stable", group.fetch(asked, topic, RequireStable=True)
    unknown = "11111111-2222-3333-4444-555555555555"
    yield "fetch unknown id", group.fetch(10, unknown)
    yield "fetch unknown name", group.fetch(9, "nothing")
    two = [{"GroupId": group.id, "Topics": None}, {"GroupId": b.name("nobody"), "Topics": None}]
    yield "fetch two groups", b.call("OffsetFetch", 9, Groups=two)


@case
def group_admin(b):
    ready(b)
    t, u = b.topic("ga"), b.topic("gb")
    simple, full, other = Group(b, "simple", t), Group(b, "full", t), Group(b, "connect", t, "connect")
    simple.commit(8, t)
    member, generation = full.stable()
    full.commit(8, t, 5, member, generation)
    full.commit(8, u, 5, member, generation)
    other.stable()
    ids = {simple.id, full.id, other.id}
    for version in range(6):
        filters = [{}]
        if version >= 4:
            filters += [{"StatesFilter": ["stable"]}, {"StatesFilter": ["EMPTY"]}, {"StatesFilter": ["zzz"]}]
        if version >= 5:
            filters += [{"TypesFilter": ["Classic"]}, {"TypesFilter": ["consumer"]}, {"TypesFilter": ["zzz"]}]
        for filter in filters:
            answer = b.call("ListGroups", version, **filter)
            mine = [group for group in answer["Groups"] if group["GroupId"] in ids]
            answer["Groups"] = sorted(mine, key=lambda group: group["GroupId"])
            yield f"list v{version} {filter}", answer
    for version in range(7):
        more = {"IncludeAuthorizedOperations": True} if version >= 3 else {}
        yield f"describe v{version}", full.describe(version, simple.id, b.name("nobody"), "", **more)

    def offsets(group, *topics):
        topics = [{"Name": topic, "Partitions": [{"PartitionIndex": n} for n in (0, 9)]} for topic in topics]
        answer = b.call("OffsetDelete", 0, GroupId=group, Topics=topics)
        for topic in answer["Topics"]:
            topic["Partitions"].sort(key=lambda partition: partition["PartitionIndex"])
        return answer

    yield "delete offsets", offsets(full.id, t, u, "nothing")
    yield "delete offsets again", offsets(full.id, u)
    yield "delete offsets of nobody", offsets(b.name("nobody"), t)
    yield "delete offsets of no group", offsets("", t)
    yield "delete offsets of connect", offsets(other.id, t)
    yield "delete offsets of simple", offsets(simple.id, t)
    yield "what is left", full.fetch(7, t, all=True)
    for version in range(4):
        names = [full.id, b.name("nobody"), ""]
        answer = b.call("DeleteGroups", version, GroupsNames=names)
        answer["Results"].sort(key=lambda result: result["GroupId"])
        yield f"delete v{version}", answer
    yield "delete", b.call("DeleteGroups", 2, GroupsNames=[simple.id])
    yield "gone", simple.describe(6)
    full.leave(5, member)
    yield "delete after leave", b.call("DeleteGroups", 2, GroupsNames=[full.id])


def told(answer):
    """Texts differ: Apache Kafka's name the group and the member."""
    if answer != CLOSED and answer.get("ErrorCode") not in (0, None):
        answer["ErrorMessage"] = None
    return answer


class Consumers:
    """A group of the consumer protocol over one topic."""

    def __init__(self, b, stem, topic):
        self.b, self.id, self.topic, self.topic_id = b, b.name(stem), topic, b.topic_id(topic)

    def beat(self, member, epoch, version=1, **more):
        fields = {"GroupId": self.id, "MemberId": member, "MemberEpoch": epoch, "RebalanceTimeoutMs": -1}
        return told(self.b.call("ConsumerGroupHeartbeat", version, **{**fields, **more}))

    def first(self, member, **more):
        fields = {"RebalanceTimeoutMs": SESSION, "SubscribedTopicNames": [self.topic], "TopicPartitions": []}
        return self.beat(member, 0, **{**fields, **more})

    def own(self, *partitions):
        return [{"TopicId": self.topic_id, "Partitions": list(partitions)}]


@case
def consumer_group(b):
    ready(b)
    t = b.topic("cg", 6)
    consumers = Consumers(b, "consumers", t)
    group, beat, first, own = consumers.id, consumers.beat, consumers.first, consumers.own
    yield "no group", first("a", GroupId="")
    yield "no member", first("")
    yield "no timeout", first("a", RebalanceTimeoutMs=-1)
    yield "no partitions", first("a", TopicPartitions=None)
    yield "some partitions", first("a", TopicPartitions=own(1))
    yield "no topics", first("a", SubscribedTopicNames=None)
    yield "assignor", first("a", ServerAssignor="zzz")
    yield "no instance", first("a", InstanceId="")
    yield "unknown group", beat("a", 1)
    yield "unknown group leaves", beat("a", -1)
    yield "bad epoch", beat("a", -3)
    yield "bad expression", first("a", SubscribedTopicNames=None, SubscribedTopicRegex="([")
    joined = first("a")
    yield "a joins", joined
    epoch = joined["MemberEpoch"]
    yield "a again", beat("a", epoch, TopicPartitions=own(*range(6)))
    full = {"RebalanceTimeoutMs": SESSION, "SubscribedTopicNames": [t], "TopicPartitions": own(*range(6))}
    yield "a full", beat("a", epoch, **full)
    yield "a ahead", beat("a", 9)
    yield "unknown member", beat("b", 1)
    yield "b joins", first("b")
    # Apache Kafka shares out within a second.
    time.sleep(2)
    beat("b", epoch + 1, TopicPartitions=[])
    asked = beat("a", epoch, TopicPartitions=own(*range(6)))
    if asked.get("Assignment"):
        asked["Assignment"] = [len(topic["Partitions"]) for topic in asked["Assignment"]["TopicPartitions"]]
    yield "a must give up", asked
    yield "a still owns", beat("a", epoch, TopicPartitions=own(*range(6)))
    for version in range(2):
        answer = b.call("ConsumerGroupDescribe", version, GroupIds=[group], IncludeAuthorizedOperations=True)
        answer["Groups"][0]["Members"].sort(key=lambda member: member["MemberId"])
        for member in answer["Groups"][0]["Members"]:
            for share in (member["Assignment"], member["TargetAssignment"]):
                # Which ones is up to the assignor.
                share["TopicPartitions"] = [len(topic["Partitions"]) for topic in share["TopicPartitions"]]
        yield f"describe v{version}", answer
    yield "describe as classic", b.call("DescribeGroups", 6, Groups=[group])
    yield "describe nobody", told(b.call("ConsumerGroupDescribe", 1, GroupIds=[b.name("nobody")])["Groups"][0])
    partition = [{"PartitionIndex": 0, "CommittedOffset": 5}]
    for at, member in ((epoch, "a"), (0, "a"), (epoch, "c"), (-1, "")):
        fields = {"GroupId": group, "GenerationIdOrMemberEpoch": at, "MemberId": member}
        topics = [{"Name": t, "Partitions": partition}]
        yield f"commit {at} {member}", b.call("OffsetCommit", 9, **fields, Topics=topics)
        topics = [{"Name": t, "PartitionIndexes": [0]}]
        asked = [{"GroupId": group, "MemberId": member or None, "MemberEpoch": at, "Topics": topics}]
        yield f"fetch {at} {member}", b.call("OffsetFetch", 9, Groups=asked)
    yield "delete", b.call("DeleteGroups", 2, GroupsNames=[group])
    yield "a leaves", beat("a", -1)
    yield "b leaves", beat("b", -1)
    yield "b left", beat("b", -1)
    yield "static joins", first("s", InstanceId="i")
    yield "static again", first("s2", InstanceId="i")
    yield "static goes", beat("s", -2, InstanceId="i")
    yield "static comes back", first("s2", InstanceId="i")
    yield "static fenced", beat("s", epoch, InstanceId="i")
    yield "static leaves", beat("s2", -1, InstanceId="i")
    answer = b.call("ListGroups", 5)
    yield "list", [one for one in answer["Groups"] if one["GroupId"] == group]
    yield "delete empty", b.call("DeleteGroups", 2, GroupsNames=[group])
