"""Transactions of both protocols, and what kafka-transactions asks: rows 60 to 76."""
import time

from broker import CLOSED, case
from cases_groups import Consumers, ready
from client import batch, record

# The coordinator isn't there yet, or the last transaction isn't over yet: clients ask again.
SOON = (14, 15, 16, 51)


class Producer:
    """A transactional producer that does what it is told."""

    def __init__(self, b, stem):
        self.b, self.id = b, b.name(stem)
        # Whoever asks for a coordinator first makes it: of groups, and of transactions.
        for kind in (0, 1):
            while b.call("FindCoordinator", 3, Key=self.id, KeyType=kind)["ErrorCode"]:
                pass
        self.pid = self.epoch = -1
        self.sequences = {}

    def settled(self, api, version, **fields):
        while True:
            answer = self.b.call(api, version, **fields)
            if answer == CLOSED or answer.get("ErrorCode") not in SOON:
                return answer

    def who(self, **more):
        return {"TransactionalId": self.id, "ProducerId": self.pid, "ProducerEpoch": self.epoch, **more}

    def init(self, version=5, **more):
        fields = {"TransactionalId": self.id, "TransactionTimeoutMs": 60000, **more}
        answer = self.settled("InitProducerId", version, **fields)
        if answer != CLOSED and not answer["ErrorCode"]:
            self.take(answer)
        return answer

    def take(self, answer):
        """Its identity from now on."""
        self.pid, self.epoch, self.sequences = answer["ProducerId"], answer["ProducerEpoch"], {}

    def add(self, version, *partitions, **more):
        """Adds (topic, index)... as clients do."""
        topics = {}
        for topic, index in partitions:
            topics.setdefault(topic, []).append(index)
        fields = {f"V3AndBelow{key}": value for key, value in self.who(**more).items()}
        fields["V3AndBelowTopics"] = [{"Name": name, "Partitions": indexes} for name, indexes in topics.items()]
        while True:
            answer = self.b.call("AddPartitionsToTxn", version, **fields)
            if answer == CLOSED or not errors(answer) & set(SOON):
                return ordered(answer)

    def send(self, topic, version=9, partition=0, **more):
        """A record into a partition; the next one if it is taken."""
        sequence = self.sequences.get((topic, partition), 0)
        fields = {"producer_id": self.pid, "producer_epoch": self.epoch, "sequence": sequence, **more}
        data = batch([record(0)], attributes=0x10, **fields)
        while True:
            answer = self.b.produce(topic, data, version, partition=partition, transaction=self.id)
            if answer == CLOSED or answer["ErrorCode"] not in SOON:
                break
        if answer != CLOSED and not answer["ErrorCode"]:
            self.sequences[topic, partition] = sequence + 1
        return answer

    def end(self, version, committed=True, **more):
        """Ends, and waits until it is over. A new epoch isn't taken: the case may want to say the old one again."""
        answer = self.settled("EndTxn", version, **self.who(Committed=committed, **more))
        self.described()
        return answer

    def add_offsets(self, version, group, **more):
        return self.settled("AddOffsetsToTxn", version, **self.who(GroupId=group, **more))

    def commit_offset(self, version, group, topic, offset=5, index=0, **more):
        partition = {"PartitionIndex": index, "CommittedOffset": offset, "CommittedMetadata": "m"}
        topics = [{"TopicId" if version >= 6 else "Name": topic, "Partitions": [partition]}]
        while True:
            answer = self.b.call("TxnOffsetCommit", version, **self.who(GroupId=group, Topics=topics, **more))
            if answer == CLOSED or answer["Topics"][0]["Partitions"][0]["ErrorCode"] not in SOON:
                return answer

    def described(self):
        """How the coordinator sees it once markers are written."""
        while True:
            answer = self.b.call("DescribeTransactions", 0, TransactionalIds=[self.id])["TransactionStates"][0]
            if answer["ErrorCode"] not in SOON and not answer["TransactionState"].startswith("Prepare"):
                return tidied(answer)


def tidied(answer):
    """In an order; which partition of __consumer_offsets it is depends on how many there are."""
    for topic in answer["Topics"]:
        topic["Partitions"] = [] if topic["Topic"].startswith("__") else sorted(topic["Partitions"])
    answer["Topics"].sort(key=lambda topic: topic["Topic"])
    return answer


def errors(answer):
    """The error codes of partitions in an answer to AddPartitionsToTxn."""
    return {
        partition["PartitionErrorCode"]
        for topic in answer["ResultsByTopicV3AndBelow"]
        for partition in topic["ResultsByPartition"]
    }


def ordered(answer):
    """Apache Kafka answers in no particular order."""
    if answer != CLOSED:
        answer["ResultsByTopicV3AndBelow"].sort(key=lambda topic: topic["Name"])
        for topic in answer["ResultsByTopicV3AndBelow"]:
            topic["ResultsByPartition"].sort(key=lambda partition: partition["PartitionIndex"])
    return answer


def producers(b, topic, *indexes):
    """What kafka-transactions describe-producers is told."""
    asked = [{"Name": topic, "PartitionIndexes": list(indexes or (0,))}]
    return b.call("DescribeProducers", 0, Topics=asked)["Topics"][0]


def committed(b, topic, offset=0):
    """What a reader of committed records gets: how much, how far, and what to leave out."""
    return b.fetch([(topic, 0, offset)], IsolationLevel=1)


@case
def txn_init(b):
    for version in range(6):
        p = Producer(b, f"init{version}")
        yield f"v{version}", p.init(version)
        yield f"v{version} again", p.init(version)
        for timeout in (0, -1, 900_001):
            yield f"v{version} timeout {timeout}", p.init(version, TransactionTimeoutMs=timeout)
        yield f"v{version} no id", p.init(version, TransactionalId="")
        if version < 3:
            continue
        yield f"v{version} goes on", p.init(version, ProducerId=p.pid, ProducerEpoch=p.epoch)
        yield f"v{version} that of before", p.init(version, ProducerId=p.pid, ProducerEpoch=p.epoch - 1)
        yield f"v{version} an old one", p.init(version, ProducerId=p.pid, ProducerEpoch=0)
        yield f"v{version} another's", p.init(version, ProducerId=p.pid + 1000, ProducerEpoch=p.epoch)
        yield f"v{version} ahead", p.init(version, ProducerId=p.pid, ProducerEpoch=p.epoch + 5)
        yield f"v{version} id alone", p.init(version, ProducerId=p.pid)
        yield f"v{version} described", p.described()


@case
def txn_of_old_clients(b):
    """Clients that add partitions themselves: librdkafka, and Java before 4.0."""
    t = b.topic("to", 3)
    for version in range(4):
        p, topic = Producer(b, f"old{version}"), b.topic(f"to{version}")
        p.init(version)
        yield f"v{version} commit nothing", p.end(version)
        yield f"v{version} abort nothing", p.end(version, False)
        yield f"v{version} send unadded", p.send(topic)
        yield f"v{version} add unknown", p.add(version, (topic, 0), ("nothing", 0), (topic, 9))
        yield f"v{version} add", p.add(version, (topic, 0), (t, 1), (t, 2))
        yield f"v{version} add again", p.add(version, (topic, 0))
        yield f"v{version} send", p.send(topic)
        yield f"v{version} send more", p.send(topic)
        yield f"v{version} send elsewhere", p.send(t)
        yield f"v{version} described", p.described()
        yield f"v{version} producers", producers(b, topic)
        yield f"v{version} nothing committed", committed(b, topic)
        yield f"v{version} end offset", b.list_offsets(topic, -1, isolation=1)
        yield f"v{version} commit", p.end(version)
        yield f"v{version} commit again", p.end(version)
        yield f"v{version} abort the committed", p.end(version, False)
        yield f"v{version} described after", p.described()
        yield f"v{version} producers after", producers(b, topic)
        yield f"v{version} committed", committed(b, topic)
        yield f"v{version} send after", p.send(topic)
        p.add(version, (topic, 0))
        yield f"v{version} send the next", p.send(topic)
        yield f"v{version} abort", p.end(version, False)
        yield f"v{version} abort again", p.end(version, False)
        yield f"v{version} commit the aborted", p.end(version)
        yield f"v{version} aborted", committed(b, topic)
        yield f"v{version} end offset after", b.list_offsets(topic, -1, isolation=1)


@case
def txn_of_new_clients(b):
    """KIP-890: the broker adds partitions, every transaction has an epoch of its own."""
    for version in (12, 13):
        t, p = b.topic(f"tn{version}"), Producer(b, f"new{version}")
        yield f"v{version} init", p.init()
        yield f"v{version} send", p.send(t, version)
        yield f"v{version} described", p.described()
        yield f"v{version} producers", producers(b, t)
        ended = p.end(5)
        yield f"v{version} commit", ended
        yield f"v{version} commit again", p.end(5)
        yield f"v{version} abort the committed", p.end(5, False)
        yield f"v{version} send with the old epoch", p.send(t, version)
        yield f"v{version} producers after", producers(b, t)
        p.take(ended)
        yield f"v{version} commit nothing", p.end(5)
        aborted = p.end(5, False)
        yield f"v{version} abort nothing", aborted
        p.take(aborted)
        yield f"v{version} send the next", p.send(t, version)
        yield f"v{version} send out of order", p.send(t, version, sequence=7)
        yield f"v{version} an old client's end", p.end(4, False)
        yield f"v{version} described after", p.described()
        yield f"v{version} committed", committed(b, t)
        yield f"v{version} as old clients send", p.send(t, 9)
        yield f"v{version} as newer ones send", p.send(t, 11)


@case
def txn_fencing(b):
    t = b.topic("tf")
    for version in (0, 1, 2, 3):
        p = Producer(b, f"fenced{version}")
        p.init()
        old = p.pid, p.epoch
        p.add(version, (t, 0))
        p.send(t)
        yield f"v{version} the next one", p.init()
        new = p.pid, p.epoch
        yield f"v{version} described", p.described()
        for name, (pid, epoch) in (("old", old), ("ahead", (new[0], new[1] + 1)), ("stranger", (new[0] + 999, 0))):
            p.pid, p.epoch, p.sequences = pid, epoch, {}
            yield f"v{version} {name} adds", p.add(version, (t, 0))
            yield f"v{version} {name} sends", p.send(t)
            yield f"v{version} {name} sends newly", p.send(t, 12)
            yield f"v{version} {name} ends", p.end(version)
            yield f"v{version} {name} ends newly", p.end(5)
            yield f"v{version} {name} adds offsets", p.add_offsets(version, "g")
            yield f"v{version} {name} commits offsets", p.commit_offset(version, "g", t)
            if version >= 3:
                yield f"v{version} {name} begins anew", p.init(version, ProducerId=pid, ProducerEpoch=epoch)
    nobody = Producer(b, "nobody")
    nobody.pid, nobody.epoch = 1, 0
    yield "nobody adds", nobody.add(3, (t, 0))
    yield "nobody sends", nobody.send(t)
    yield "nobody sends newly", nobody.send(t, 12)
    yield "nobody ends", nobody.end(3)
    yield "nobody ends newly", nobody.end(5)
    yield "nobody adds offsets", nobody.add_offsets(3, "g")
    yield "nobody commits offsets", nobody.commit_offset(5, "g", t)


@case
def txn_offsets(b):
    t = b.topic("tg", 2)
    for version in range(6):
        p, group = Producer(b, f"offsets{version}"), b.name(f"og{version}")
        p.init()

        def fetch(stable):
            topics = [{"Name": t, "PartitionIndexes": [0, 1]}]
            return b.call("OffsetFetch", 9, Groups=[{"GroupId": group, "Topics": topics}], RequireStable=stable)

        yield f"v{version} unadded", p.commit_offset(min(version, 4), group, t)
        if version < 5:
            yield f"v{version} add no group", p.add_offsets(version, "")
            yield f"v{version} add", p.add_offsets(version, group)
        yield f"v{version} commit", p.commit_offset(version, group, t)
        yield f"v{version} unknown topic", p.commit_offset(version, group, "nothing")
        yield f"v{version} unknown partition", p.commit_offset(version, group, t, index=9)
        yield f"v{version} no group", p.commit_offset(version, "", t)
        if version >= 3:
            member = {"MemberId": "nobody", "GenerationIdOrMemberEpoch": 1}
            yield f"v{version} stranger", p.commit_offset(version, group, t, **member)
            unknown = b.name("unknown")
            if version < 5:
                p.add_offsets(version, unknown)
            yield f"v{version} stranger of nothing", p.commit_offset(version, unknown, t, **member)
        yield f"v{version} described", p.described()
        yield f"v{version} fetch", fetch(False)
        yield f"v{version} fetch stable", fetch(True)
        yield f"v{version} end", p.end(5 if version == 5 else min(version, 4))
        while "88" in str(fetch(True)):
            pass
        yield f"v{version} fetch after", fetch(True)
    member = Producer(b, "by-id")
    member.init()
    id = b.topic_id(t)
    yield "by id", member.commit_offset(6, b.name("og6"), id)
    stranger = {"MemberId": "nobody", "GenerationIdOrMemberEpoch": 1}
    yield "by id, stranger of nothing", member.commit_offset(6, b.name("unknown"), id, **stranger)
    yield "by unknown id", member.commit_offset(6, b.name("og6"), "00000000-0000-0000-0000-000000000099")
    yield "end", member.end(5)


@case
def txn_of_brokers(b):
    """AddPartitionsToTxn as brokers ask one another, several transactions at once."""
    t = b.topic("tb", 2)
    p, q = Producer(b, "broker-a"), Producer(b, "broker-b")
    p.init()
    q.init()

    def ask(version, *producers, verify=True, indexes=(0, 1)):
        topics = [{"Name": t, "Partitions": list(indexes)}]
        transactions = [{**one.who(), "VerifyOnly": verify, "Topics": topics} for one in producers]
        answer = b.call("AddPartitionsToTxn", version, Transactions=transactions)
        for result in answer["ResultsByTransaction"]:
            for topic in result["TopicResults"]:
                topic["ResultsByPartition"].sort(key=lambda partition: partition["PartitionIndex"])
        answer["ResultsByTransaction"].sort(key=lambda result: result["TransactionalId"])
        return answer

    for version in (4, 5):
        yield f"v{version} verify what isn't open", ask(version, p)
        yield f"v{version} add", ask(version, p, verify=False, indexes=(0,))
        yield f"v{version} verify", ask(version, p)
        yield f"v{version} both", ask(version, p, q)
        yield f"v{version} described", p.described()
        p.epoch += 1
        yield f"v{version} wrong epoch", ask(version, p)
        yield f"v{version} wrong epoch adds", ask(version, p, verify=False)
        p.epoch -= 1
        yield f"v{version} end", p.end(4, False)


@case
def txn_tools(b):
    """kafka-transactions list, describe, describe-producers, find-hanging, abort and its kind of markers."""
    t = b.topic("tt", 2)
    p, q = Producer(b, "tool-a"), Producer(b, "tool-b")
    for one, version in ((p, 9), (q, 12)):
        one.init()
        if version == 9:
            one.add(3, (t, 0), (t, 1))
        one.send(t, version)
    ids = [p.id, q.id, b.name("nobody"), ""]
    for id in ids:
        yield f"describe {id}", tidied(b.call("DescribeTransactions", 0, TransactionalIds=[id])["TransactionStates"][0])
    for asked in ((t, 0), (t, 1), (t, 9), ("nothing", 0), ("a/b", 0), ("__transaction_state", 0)):
        answer = producers(b, *asked)
        answer["Partitions"][0]["ActiveProducers"].sort(key=lambda producer: producer["ProducerId"])
        yield f"producers {asked}", answer

    def listed(version, **more):
        answer = b.call("ListTransactions", version, **more)
        if answer != CLOSED:
            mine = [one for one in answer["TransactionStates"] if one["TransactionalId"] in ids]
            answer["TransactionStates"] = sorted(mine, key=lambda one: one["TransactionalId"])
        return answer

    for version in range(3):
        yield f"list v{version}", listed(version)
        for states in (["Ongoing"], ["Empty", "CompleteCommit"], ["ongoing"], ["zzz", "Ongoing"], ["Dead"]):
            yield f"list v{version} {states}", listed(version, StateFilters=states)
        yield f"list v{version} by producer", listed(version, ProducerIdFilters=[p.pid])
        yield f"list v{version} by another", listed(version, ProducerIdFilters=[999_999])
        if version:
            for duration in (-1, 0, 3_600_000):
                yield f"list v{version} {duration}", listed(version, DurationFilter=duration)
    for pattern in ("", "tool-.*", ".*", "tool-a", "tool-a.*", "([", ".*-b.*"):
        yield f"list {pattern}", listed(2, TransactionalIdPattern=pattern)

    def mark(version, producer, result, topic=t, index=0, coordinator=0, **more):
        topics = [{"Name": topic, "PartitionIndexes": [index]}]
        marker = {"ProducerId": producer.pid, "ProducerEpoch": producer.epoch, "TransactionResult": result,
                  "Topics": topics, "CoordinatorEpoch": coordinator, **more}  # fmt: skip
        return b.call("WriteTxnMarkers", version, Markers=[marker])

    for version in (1, 2):
        more = {"TransactionVersion": 1} if version == 2 else {}
        yield f"mark v{version} unknown topic", mark(version, p, False, "nothing", **more)
        yield f"mark v{version} unknown partition", mark(version, p, False, index=9, **more)
        yield f"mark v{version} nothing", b.call("WriteTxnMarkers", version, Markers=[])
    p.epoch -= 1
    yield "mark with an old epoch", mark(1, p, False)
    p.epoch += 1
    yield "abort", mark(1, p, False)
    yield "producers after", producers(b, t)
    yield "abort again", mark(1, p, False)
    yield "abort with an old coordinator", mark(1, p, False, coordinator=-1)
    yield "described after", p.described()
    yield "end after", p.end(3)
    yield "a new client's, marked as an old one's", mark(2, q, False, TransactionVersion=1)
    yield "a new client's, with its own epoch", mark(2, q, False, TransactionVersion=2)
    q.epoch += 1
    yield "a new client's, with the next epoch", mark(2, q, False, TransactionVersion=2)
    q.epoch -= 1
    yield "end after that", q.end(5)
    yield "committed", committed(b, t)


@case
def txn_commits_late(b):
    """A member's heartbeat has moved it on while a commit was under way (KIP-1251), also in a transaction."""
    ready(b)
    t = b.topic("cl", 4)
    consumers = Consumers(b, "late", t)
    epoch = consumers.first("a")["MemberEpoch"]
    other = consumers.first("b")["MemberEpoch"]
    share, at = range(4), epoch
    while at == epoch or other != at:
        answer = consumers.beat("a", at, TopicPartitions=consumers.own(*share))
        at = answer["MemberEpoch"]
        if answer["Assignment"]:
            share = sorted(answer["Assignment"]["TopicPartitions"][0]["Partitions"])
        other = consumers.beat("b", other, TopicPartitions=[])["MemberEpoch"]
        time.sleep(0.1)
    kept, gave_up = share[0], next(index for index in range(4) if index not in share)
    producer = Producer(b, "late")
    producer.init()
    for name, indexes in (("kept", [kept]), ("gave up", [gave_up]), ("both", [kept, gave_up])):
        for member, told_epoch in (("a", at), ("a", epoch), ("a", epoch - 1), ("a", at + 1), ("b", epoch)):
            label = f"{name}, {member} {told_epoch - epoch}"
            partitions = [{"PartitionIndex": index, "CommittedOffset": 5} for index in indexes]
            fields = {"GenerationIdOrMemberEpoch": told_epoch, "MemberId": member}
            topics = [{"Name": t, "Partitions": partitions}]
            answer = b.call("OffsetCommit", 9, GroupId=consumers.id, Topics=topics, **fields)
            yield label, codes(answer)
            by_id = [{"TopicId": consumers.topic_id, "Partitions": partitions}]
            yield f"{label}, by id", codes(b.call("OffsetCommit", 10, GroupId=consumers.id, Topics=by_id, **fields))
            for version, named in ((5, topics), (6, by_id)):
                asked = producer.who(GroupId=consumers.id, Topics=named, **fields)
                answer = b.call("TxnOffsetCommit", version, **asked)
                while set(codes(answer)) & set(SOON):
                    answer = b.call("TxnOffsetCommit", version, **asked)
                yield f"{label}, transactional v{version}", codes(answer)


def codes(answer):
    """The errors of the only topic's partitions: which those are is up to the assignor."""
    return [partition["ErrorCode"] for partition in answer["Topics"][0]["Partitions"]]
