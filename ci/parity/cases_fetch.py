"""Fetch: rows 78 to 93."""
from broker import CLOSED, case
from client import batch, record

NO_TOPIC = "00000000-0000-0000-0000-000000000099"


@case
def fetch_versions(b):
    t = b.topic("fv")
    b.produce(t, batch([record(n) for n in range(3)]))
    b.produce(t, batch([record(0)]))
    for version in range(4, 19):
        key = b.topic_id(t) if version >= 13 else t
        yield f"v{version}", b.fetch([(key, 0, 0)], version)
        yield f"v{version} at the end", b.fetch([(key, 0, 4)], version, max_wait=50)
        yield f"v{version} beyond", b.fetch([(key, 0, 5)], version)
        yield f"v{version} negative", b.fetch([(key, 0, -1)], version)
        yield f"v{version} committed", b.fetch([(key, 0, 0)], version, IsolationLevel=1)
        unknown = NO_TOPIC if version >= 13 else "nothing"
        yield f"v{version} unknown", b.fetch([(unknown, 0, 0)], version)
        yield f"v{version} partition", b.fetch([(key, 7, 0)], version)
        yield f"v{version} epoch 9", b.fetch([(key, 0, 0, {"CurrentLeaderEpoch": 9})], version)


@case
def fetch_limits(b):
    t, u = b.topic("fl", 2), b.topic("flu")
    for partition in (0, 1):
        for _ in range(3):
            b.produce(t, batch([record(0, value=b"y" * 500)]), partition=partition)
    b.produce(u, batch([record(0, value=b"y" * 500)]))
    both = [(t, 0, 0), (t, 1, 0), (u, 0, 0)]
    for size in (0, 1, 100, 600, 1200, 1300, 1800, 2500, 10000):
        yield f"max_bytes {size}", b.fetch(both, max_bytes=size)
        yield f"partition_max_bytes {size}", b.fetch([(t, 0, 0, {"PartitionMaxBytes": size}), (t, 1, 0)])
        yield f"second's max {size}", b.fetch([(t, 0, 0), (t, 1, 0, {"PartitionMaxBytes": size})])
        yield f"v7, max_bytes {size}", b.fetch(both, 7, max_bytes=size)
    yield "empty one first", b.fetch([(t, 0, 3), (t, 1, 0)], max_bytes=1)
    yield "negative max_bytes", b.fetch(both, max_bytes=-1)
    yield "negative partition max", b.fetch([(t, 0, 0, {"PartitionMaxBytes": -1})])
    yield "min_bytes 0 at the end", b.fetch([(t, 0, 3)], min_bytes=0)
    yield "min_bytes not reached", b.fetch([(t, 0, 0)], min_bytes=100000, max_wait=100)
    yield "mid-batch", b.fetch([(t, 0, 1)])
    yield "no topics", b.fetch([])
    yield "a partition twice", b.fetch([(t, 0, 0), (t, 0, 1)])
    yield "one error, one empty", b.fetch([(t, 0, 3), (t, 9, 0)], max_wait=5000)
    yield "one with data, one out of range", b.fetch([(t, 0, 0), (t, 1, 99)])


@case
def fetch_epochs(b):
    t = b.topic("fe")
    b.produce(t, batch([record(n) for n in range(3)]))
    for last in (-1, 0, 1, 5):
        for offset in (0, 3):
            want = (t, 0, offset, {"LastFetchedEpoch": last})
            yield f"last fetched {last} at {offset}", b.fetch([want], max_wait=50)
    for current in (-2, -1, 0, 1):
        yield f"current {current}", b.fetch([(t, 0, 0, {"CurrentLeaderEpoch": current})])
        key = b.topic_id(t)
        yield f"current {current}, v17", b.fetch([(key, 0, 0, {"CurrentLeaderEpoch": current})], 17)
    for offset in (0, 2, 3, 4):
        want = (t, 0, offset, {"CurrentLeaderEpoch": 0, "LastFetchedEpoch": 0})
        yield f"both at {offset}", b.fetch([want], max_wait=50)


@case
def fetch_deleted_records(b):
    t = b.topic("fd")
    for _ in range(3):
        b.produce(t, batch([record(n) for n in range(5)]))
    topics = [{"Name": t, "Partitions": [{"PartitionIndex": 0, "Offset": 7}]}]
    b.call("DeleteRecords", 2, Topics=topics, TimeoutMs=5000)
    for offset in (0, 6, 7, 8, 14, 15, 16):
        yield f"at {offset}", b.fetch([(t, 0, offset)], max_wait=50)


@case
def fetch_sessions(b):
    t, u = b.topic("fs", 2), b.topic("fsu")
    for topic, partition in ((t, 0), (t, 1), (u, 0)):
        b.produce(topic, batch(), partition=partition)
    for version in (7, 12, 13, 17):
        tk, uk = (b.topic_id(t), b.topic_id(u)) if version >= 13 else (t, u)

        def session(wants, sid, epoch, version=version, **more):
            return b.fetch(wants, version, max_wait=50, SessionId=sid, SessionEpoch=epoch, **more)

        first = session([(tk, 0, 1), (tk, 1, 0)], 0, 0)
        sid = first["SessionId"]
        yield f"v{version} new", first
        yield f"v{version} nothing new", session([], sid, 1)
        yield f"v{version} at the end", session([(tk, 1, 1)], sid, 2)
        yield f"v{version} still nothing", session([], sid, 3)
        yield f"v{version} one more", session([(uk, 0, 0)], sid, 4)
        yield f"v{version} its data again", session([], sid, 5)
        forget = {"TopicId" if version >= 13 else "Topic": uk, "Partitions": [0]}
        yield f"v{version} forget it", session([], sid, 6, ForgottenTopicsData=[forget])
        yield f"v{version} forget it twice", session([], sid, 7, ForgottenTopicsData=[forget])
        yield f"v{version} out of range", session([(tk, 0, 50)], sid, 8)
        yield f"v{version} out of range again", session([], sid, 9)
        yield f"v{version} back", session([(tk, 0, 0)], sid, 10)
        unknown = NO_TOPIC if version >= 13 else "nothing"
        yield f"v{version} unknown topic", session([(unknown, 0, 0)], sid, 11)
        yield f"v{version} unknown topic again", session([], sid, 12)
        yield f"v{version} wrong epoch", session([], sid, 3)
        yield f"v{version} still there", session([], sid, 13)
        yield f"v{version} unknown session", session([], 12345, 1)
        yield f"v{version} negative epoch", session([], sid, -5)
        yield f"v{version} close", session([(tk, 0, 0)], sid, -1)
        yield f"v{version} closed", session([], sid, 14)
        again = session([(tk, 0, 1)], 0, 0)["SessionId"]
        yield f"v{version} replace", session([(tk, 1, 1)], again, 0)
        yield f"v{version} replaced", session([], again, 1)
        yield f"v{version} empty one", session([], 0, 0)
        yield f"v{version} epoch without session", session([(tk, 0, 0)], 0, 1)


@case
def fetch_session_ids_and_names(b):
    t = b.topic("fsn")
    b.produce(t, batch())
    by_name = b.fetch([(t, 0, 0)], 12, SessionEpoch=0)["SessionId"]
    yield "names, then ids", b.fetch([(b.topic_id(t), 0, 0)], 13, SessionId=by_name, SessionEpoch=1)
    yield "and names again", b.fetch([(t, 0, 0)], 12, SessionId=by_name, SessionEpoch=1)
    by_id = b.fetch([(b.topic_id(t), 0, 0)], 13, SessionEpoch=0)["SessionId"]
    yield "ids, then names", b.fetch([(t, 0, 0)], 12, SessionId=by_id, SessionEpoch=1)
    yield "ids, then no names", b.fetch([], 12, SessionId=by_id, SessionEpoch=1)


@case
def fetch_session_deleted_topic(b):
    t = b.topic("fsd")
    b.produce(t, batch())
    by_id = b.fetch([(b.topic_id(t), 0, 1)], 13, SessionEpoch=0, max_wait=50)["SessionId"]
    by_name = b.fetch([(t, 0, 1)], 12, SessionEpoch=0, max_wait=50)["SessionId"]
    b.call("DeleteTopics", 6, Topics=[{"Name": t}], TimeoutMs=5000)
    while b.list_offsets(t, -1)["ErrorCode"] == 0:
        pass
    yield "by id", b.fetch([], 13, SessionId=by_id, SessionEpoch=1, max_wait=50)
    yield "by name", b.fetch([], 12, SessionId=by_name, SessionEpoch=1, max_wait=50)
    b.topic("fsd")
    yield "by the old id", b.fetch([], 13, SessionId=by_id, SessionEpoch=2, max_wait=50)
    yield "by the same name", b.fetch([], 12, SessionId=by_name, SessionEpoch=2, max_wait=50)


@case
def fetch_followers(b):
    t = b.topic("ff")
    b.produce(t, batch())
    for version in (4, 11, 12):
        yield f"v{version} replica 1", b.fetch([(t, 0, 0)], version, ReplicaId=1)
        yield f"v{version} replica 99", b.fetch([(t, 0, 0)], version, ReplicaId=99)
        yield f"v{version} replica -2", b.fetch([(t, 0, 0)], version, ReplicaId=-2)
    if b.fetch([], 17) != CLOSED:
        state = {"ReplicaId": 99, "ReplicaEpoch": 1}
        yield "v17 replica 99", b.fetch([(b.topic_id(t), 0, 0)], 17, ReplicaState=state)
    yield "rack", b.fetch([(t, 0, 0)], RackId="somewhere")
    yield "isolation 7", b.fetch([(t, 0, 0)], IsolationLevel=7)
