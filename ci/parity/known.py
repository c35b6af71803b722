"""Differences that are meant, each with its reason; docs/PROTOCOL.md tells users of the ones they could notice."""
import re

ELR = "min.insync.replicas of all brokers is an ordinary key here"
FEATURES = "a feature is told once what it stands for is there"
WHOLE = "batches are whole, where Apache Kafka cuts the last one at the limit"
LENIENT = "a senseless number in a fetch is read as the nearest one that makes sense"
DAMAGED = "the producer is told that its data is damaged, not that the broker failed"
DELTAS = "records without consecutive offsets are refused under every codec"
TWICE = "what a request names twice is answered twice"
SOON = "Apache Kafka 4.4 shares partitions out a little after a member joins"
LATER = "comes later"
NAMES = "a broker tells its own settings and those of Apache Kafka's that mean something here"
FENCED = "who is fenced is told so by the partition, before its transaction's coordinator is asked"
WORDS = "every problem is told, not the first one"

# Place (brackets are themselves, stars stand for anything), reason.
KNOWN = [
    ("*Configs[min.insync.replicas]*", ELR),
    ("alter_broker_configs/*min.insync.replicas/Error*", ELR),
    ("alter_broker_configs/*/Configs#", ELR),
    ("describe_other_configs/all brokers/Configs#", ELR),
    ("api_versions/*Features*", FEATURES),
    ("consumer_group/b joins/MemberEpoch", SOON),
    ("consumer_group/describe v*/Members*/Assignment/*", SOON),
    ("consumer_group/describe v*/Members*/MemberEpoch", SOON),
    ("fetch_limits/*/Records", WHOLE),
    ("fetch_limits/negative*", LENIENT),
    ("*/isolation 2/*", LENIENT),
    ("*/isolation 7/*", LENIENT),
    ("fetch_limits/a partition twice/*", TWICE),
    ("produce_targets/a * twice/*", TWICE),
    ("fetch_session_deleted_topic/by *id/*", "a topic that is gone is error 100 wherever it is asked for by id"),
    ("fetch_followers/v17*/NodeEndpoints*", "KIP-951 sends the leader's address with its id"),
    ("produce_malformed/codec */ErrorCode", DAMAGED),
    ("produce_compressed/*/ErrorCode", DAMAGED),
    ("produce_malformed/offset deltas*", DELTAS),
    ("metadata/*no id, no name/*", "neither name nor id is a topic that isn't known"),
    ("describe_topic_partitions/unknown/*", "an empty name is an invalid name"),
    ("create_topics/collide with each other/*", "two topics of one request may not collide either"),
    ("create_topics/two bad configs/*", WORDS),
    ("describe_other_configs/*client metrics/*", LATER),
    ("describe_other_configs/logger 1/Configs", "there are no loggers to set"),
    ("describe_broker_configs/*[node.id]*", "the id has a default"),
    ("describe_broker_configs/broker.id/*", "the id has a default"),
    ("describe_broker_configs/unclean.leader.election.enable/ReadOnly", NAMES),
    ("alter_broker_configs/*num.io.threads*", NAMES),
    ("alter_broker_configs/*no.such.key*", NAMES),
    ("alter_broker_configs/*listeners*", NAMES),
    ("quorum/*/LeaderEpoch", "terms are counted by another quorum"),
    ("quorum/*/Listeners*", "voters are told by where their peers reach them"),
    ("quorum/*/ReplicaDirectoryId", "the metadata has no directory of its own"),
    ("reassign/nothing/ErrorMessage", "no text and an empty one are the same to clients"),
    ("txn_*/LogStartOffset", FENCED),
    ("txn_tools/mark with an old epoch/*", "an epoch that was fenced isn't the broker's failure"),
    ("alter_topic_configs/operation 9/*", "what the client did wrong isn't the broker's failure"),
]


def reason(place, here, there):
    """Why an answer differs, if it is meant to."""
    if place.endswith("ErrorMessage") and there == "None" and here not in ("None", "nothing"):
        return "a text where Apache Kafka sends none"
    for pattern, why in KNOWN:
        if re.fullmatch(pattern_of(pattern), place):
            return why
    return None


def pattern_of(place):
    """Stars stand for anything, everything else for itself."""
    return ".*".join(re.escape(part) for part in place.split("*"))
