"""What is measured: each case in words, for the Kafka protocol and, where there is a counterpart, for NATS."""
import dataclasses
import itertools

KAFKA_ONLY = "JetStream has no batches that are sent and acknowledged as one, and no acknowledgement short of stored"
NO_TRANSACTIONS = "JetStream has no transactions over several streams"
NO_FETCH_SIZE = "JetStream pushes messages: a consumer doesn't choose how many bytes one answer has"

# One GB is far more than a processor's caches and fits the page cache of any machine that this is run on.
BACKLOG = "1GB"
BACKLOG_BYTES = 1_000_000_000

FOUR = "--partitions 16 --producers 4"
NATS_FOUR = "-streams 16 -connections 4"
# As many bytes in flight as five batches of 128 KiB, or of 16 KiB, from each of four connections.
NATS_LARGE, NATS_SMALL = "-window 640", "-window 80"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    about: str
    # Arguments of ringlog-load; {half} and the like are filled in.
    words: str
    # Arguments of the client for NATS; none where it has no counterpart, and why.
    nats: str | None
    why_not: str = ""
    # Whether a topic is filled first, and the caches are dropped before each run.
    filled: bool = False
    cold: bool = False
    # Figures that the picture of ratios shows.
    shown: tuple = ("p99_us",)

    @property
    def kind(self):
        return "load"


@dataclasses.dataclass(frozen=True)
class Start:
    """A broker's own times: to begin, to make partitions, to begin again with them; and what it uses meanwhile."""
    name: str
    about: str
    topics: int
    partitions: int
    shown: tuple = ("first_ack_ms", "rss_MB")
    why_not: str = ""
    nats = ""
    kind = "start"


@dataclasses.dataclass(frozen=True)
class Idle:
    """Consumers that wait for records which don't come."""
    name: str
    about: str
    consumers: int
    shown: tuple = ("cpu_percent",)
    why_not: str = ""
    nats = ""
    kind = "idle"


FILL = f"produce {FOUR} --size 1KiB --batch 128KiB --in-flight 5 --stamps none --bytes {BACKLOG}"
NATS_FILL = f"publish {NATS_FOUR} {NATS_LARGE} -size 1024 -bytes {BACKLOG_BYTES}"
WARM = f"produce {FOUR} --size 1KiB --batch 16KiB --in-flight 5"
NATS_WARM = f"publish {NATS_FOUR} {NATS_SMALL} -size 1024"


def throughput():
    rate = ("MB_s", "cpu_s_per_GB")
    return [
        Case("produce-1k-128k", "1 KiB records in 128 KiB batches, 16 partitions, 4 connections, 5 in flight",
             f"produce {FOUR} --size 1KiB --batch 128KiB --in-flight 5",
             f"publish {NATS_FOUR} {NATS_LARGE} -size 1024", shown=rate),
        Case("produce-1k-16k", "the same in 16 KiB batches", WARM, NATS_WARM, shown=rate),
        Case("unbatched-200", "200 connections, one record of 100 B per request, 16 partitions",
             "produce --partitions 16 --size 100 --batch 0 --producers 200 --in-flight 1",
             "publish -streams 16 -connections 200 -window 1 -size 100", shown=("records_s", "p99_us")),
        Case("unbatched-1", "one connection, one record of 100 B per request, one partition",
             "produce --partitions 1 --size 100 --batch 0 --producers 1 --in-flight 1",
             "publish -streams 1 -connections 1 -window 1 -size 100", shown=("p50_us", "p99_us")),
        Case("transact-200", "200 producers, one transaction after the other with one record of 100 B, 16 partitions",
             "transact --partitions 16 --producers 200", None, NO_TRANSACTIONS, shown=("transactions_s", "p99_us")),
    ]


def open_loop():
    unbatched = f"produce {FOUR} --size 1KiB --batch 0 --in-flight 100"
    nats = f"publish {NATS_FOUR} -window 100 -size 1024"
    batched = f"produce {FOUR} --size 1KiB --batch 16KiB --in-flight 100"
    nats_batched = f"publish {NATS_FOUR} -window 8000 -size 1024"
    return [
        Case("open-1k", "1,000 unbatched 1 KiB records/s, open loop", f"{unbatched} --rate 1k", f"{nats} -rate 1000"),
        Case("open-10k", "10,000 unbatched 1 KiB records/s, open loop", f"{unbatched} --rate 10k",
             f"{nats} -rate 10000"),
        Case("half-load", "open loop at half of the lower of Ringlog's and Kafka's maximum, 1 KiB records; "
             "NATS at half of its own", f"{batched} --rate {{half}}", f"{nats_batched} -rate {{half}}",
             shown=("p99_us", "p999_us")),
        Case("half-own", "open loop, each at half of its own maximum, 1 KiB records",
             f"{batched} --rate {{half_own}}", f"{nats_batched} -rate {{half_own}}", shown=("p99_us", "p999_us")),
    ]


def end_to_end():
    listed = []
    for rate, number, batch, nats_window in (("1k", 1000, 0, 100), ("5k", 5000, 0, 100), ("50k", 50000, "16KiB", 8000)):
        how = "unbatched" if batch == 0 else "in batches of up to 16 KiB"
        listed.append(Case(f"e2e-{rate}", f"end to end at {number:,} records/s of 1 KiB, {how}",
                           f"e2e {FOUR} --size 1KiB --rate {rate} --batch {batch} --in-flight 100",
                           f"e2e {NATS_FOUR} -window {nats_window} -size 1024 -rate {number}",
                           shown=("p50_us", "p99_us", "p999_us")))
    return listed


def fetches():
    read = "consume --consumers 4 --check none"
    small = f"{read} --fetch-bytes 64KiB --fetch-max 64KiB"
    once = "--until end --duration 300s --warmup 0s"
    rate = ("MB_s", "cpu_s_per_GB")
    return [
        Case("fetch-tail", "reading 1 GB that was just written, again and again, 1 MiB per partition and fetch", read,
             "consume -streams 16 -size 1024", filled=True, shown=rate),
        Case("fetch-small", "the same in fetches of at most 64 KiB", small, None, NO_FETCH_SIZE, filled=True,
             shown=rate),
        Case("cold-large", "reading 1 GB once that is only on disk, 1 MiB per partition and fetch", f"{read} {once}",
             "consume -streams 16 -size 1024", filled=True, cold=True, shown=rate),
        Case("cold-small", "the same in fetches of at most 64 KiB", f"{small} {once}", None, NO_FETCH_SIZE,
             filled=True, cold=True, shown=rate),
    ]


def lives():
    return [
        Idle("idle-500", "500 consumers, one for each partition of a topic without records", 500),
        Start("start-1", "a broker with one partition", 1, 1),
        Start("start-1k", "a broker with 1,000 partitions, a record in each", 1, 1000,
              shown=("create_s", "first_ack_ms")),
        Start("start-10k", "a broker with 10,000 partitions in ten topics, a record in each", 10, 1000,
              shown=("create_s", "first_ack_ms", "rss_MB")),
    ]


def grid():
    """Every combination of size, batch, acks, partitions and codec."""
    sizes, batches = ("100B", "1KiB", "10KiB"), ("16KiB", "128KiB", "1MiB")
    listed = []
    for size, batch, acks, partitions, codec in itertools.product(sizes, batches, ("1", "all"), (1, 16, 256),
                                                                  ("none", "lz4")):
        short = "-".join(word.removesuffix("iB").removesuffix("B") for word in (size, batch))
        words = (f"produce --partitions {partitions} --size {size} --batch {batch} --acks {acks} --compression {codec} "
                 "--producers 4 --in-flight 5 --ratio 2")
        about = f"{size} records, {batch} batches, acks={acks}, {partitions} partitions, {codec}"
        listed.append(Case(f"grid-{short}-acks{acks}-p{partitions}-{codec}".lower(), about, words, None, KAFKA_ONLY,
                           shown=("MB_s",)))
    return listed


def copied(brokers):
    """What a cluster is measured with: everything that is sent has a copy on every broker before it is acknowledged."""
    listed = [case for case in throughput() + open_loop() + end_to_end() if case.name in REPLICATED_CASES]
    copies = f" --replication {brokers}"
    return [dataclasses.replace(case, words=case.words + copies, about=f"{case.about}; {brokers} copies")
            for case in listed]


def usual():
    return throughput() + open_loop() + end_to_end() + fetches() + lives()


# What shows where a profile wins and where it costs.
PROFILE_CASES = ("produce-1k-128k", "unbatched-200", "unbatched-1", "open-10k", "e2e-5k", "fetch-tail", "cold-large",
                 "idle-500", "start-1")


# What a cluster is measured with.
REPLICATED_CASES = ("produce-1k-128k", "unbatched-200", "unbatched-1", "open-1k", "half-load", "e2e-5k")


def chosen(words, profiles, brokers=1):
    """Cases by name or by beginning; without any all but the grid, `all` for everything."""
    if brokers > 1:
        known = copied(brokers)
        return [case for case in known if not words or "all" in words or case.name in words]
    known = usual() + grid()
    if not words:
        names = PROFILE_CASES if profiles else tuple(case.name for case in usual())
        return [case for case in known if case.name in names]
    if "all" in words:
        return known
    exact = {case.name for case in known}
    fits = lambda case, word: case.name == word or word not in exact and case.name.startswith(word)
    return [case for case in known if any(fits(case, word) for word in words)]
