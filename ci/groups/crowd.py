#!/usr/bin/env python3
"""Many members of consumer groups against any broker that speaks the Kafka protocol, and what they cost it.

    ci/groups/crowd.py HOST:PORT --pid PID                         1,000 groups of 10 members that only live
    ci/groups/crowd.py HOST:PORT --pid PID --groups 1 --members 1000    one large group: how long its rebalances take

Each member has a connection of its own. They join, and once every group is settled they do nothing but send heartbeats;
the broker's CPU time and memory are read from /proc meanwhile. Then one member of each group leaves, and the time is
taken until the others are settled again. Prints one JSON object. Needs Python 3.9 and nothing else.
"""
import argparse
import asyncio
import json
import os
import random
import resource
import struct
import sys
import time
import uuid

TOPIC = "crowd"
HEARTBEAT_V848, FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC, CREATE_TOPICS = 68, 10, 11, 12, 13, 14, 19
SESSION_MS, REBALANCE_MS = 45_000, 300_000
REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED, TOPIC_EXISTS = 27, 79, 36
NOT_YET = (14, 15, 16)


def text(value):
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value.encode()


def data(value):
    return struct.pack(">i", len(value)) + value


def compact(value):
    """A compact string; lengths of more than 126 aren't needed here."""
    return b"\0" if value is None else bytes([len(value) + 1]) + value.encode()


def uvarint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Reader:
    def __init__(self, frame):
        self.frame, self.at = frame, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.frame, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0]

    def bytes(self, count):
        self.at += count
        return self.frame[self.at - count:self.at]

    def text(self):
        count = self.take("h")
        return None if count < 0 else self.bytes(count).decode()

    def data(self):
        return self.bytes(self.take("i"))

    def uvarint(self):
        number = shift = 0
        while True:
            byte = self.take("B")
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def compact(self):
        count = self.uvarint() - 1
        return None if count < 0 else self.bytes(count).decode()

    def tags(self):
        for _ in range(self.uvarint()):
            self.uvarint()
            self.bytes(self.uvarint())


class Connection:
    """One request at a time."""

    def __init__(self, address):
        self.address, self.number = address, 0

    async def call(self, key, version, body, flexible=False):
        if self.number == 0:
            host, port = self.address.rsplit(":", 1)
            self.reader, self.writer = await asyncio.open_connection(host, int(port))
        self.number += 1
        head = struct.pack(">hhi", key, version, self.number) + text("crowd") + (b"\0" if flexible else b"")
        self.writer.write(data(head + body))
        count = struct.unpack(">i", await self.reader.readexactly(4))[0]
        answer = Reader(await self.reader.readexactly(count))
        assert answer.take("i") == self.number, "answers come in order"
        if flexible:
            answer.tags()
        return answer

    def close(self):
        if self.number:
            self.writer.close()


class Refused(Exception):
    """An error of the broker's, which the watch has noted."""

    def __init__(self, code, why):
        super().__init__(f"error {code}: {why}")
        self.code = code


class Watch:
    """What all members report to."""

    def __init__(self):
        self.took, self.errors = [], {}

    def note(self, seconds):
        self.took.append(seconds)

    def error(self, code):
        self.errors[code] = self.errors.get(code, 0) + 1

    def quantile(self, share):
        took = sorted(self.took)
        return round(1000 * took[min(len(took) - 1, int(share * len(took)))], 2) if took else None


class Member:
    def __init__(self, address, group, watch):
        self.connection, self.group, self.watch = Connection(address), group, watch
        self.epoch, self.share, self.settled, self.gone = 0, None, False, False

    async def live(self):
        """Joins and sends heartbeats until it is told to leave."""
        pause = await self.join()
        while not self.gone:
            # A member that has something to report does so at once, as clients do.
            await asyncio.sleep(pause * random.uniform(0.9, 1.0) if self.settled else min(pause, self.soon()))
            if not self.gone:
                began = time.monotonic()
                await self.beat()
                self.watch.note(time.monotonic() - began)
        await self.leave()
        self.connection.close()

    def soon(self):
        return 0.5


class ConsumerMember(Member):
    """Of the consumer protocol (KIP-848)."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.id, self.pause, self.dirty = str(uuid.uuid4()), 5.0, True

    async def heartbeat(self, epoch, names, owned):
        topics = b"\0" if names is None else b"\x02" + compact(TOPIC)
        if owned is None:
            own = b"\0"
        elif not owned:
            own = b"\x01"
        else:
            own = uvarint(len(owned) + 1)
            for topic, partitions in owned.items():
                own += topic + uvarint(len(partitions) + 1)
                own += b"".join(struct.pack(">i", partition) for partition in partitions) + b"\0"
        body = compact(self.group) + compact(self.id) + struct.pack(">i", epoch) + b"\0\0"
        body += struct.pack(">i", REBALANCE_MS if names else -1) + topics + b"\0\0" + own + b"\0"
        answer = await self.connection.call(HEARTBEAT_V848, 1, body, flexible=True)
        answer.take("i")
        error, why = answer.take("h"), answer.compact()
        if error:
            self.watch.error(error)
            raise Refused(error, why)
        answer.compact()
        self.epoch, self.pause = answer.take("i"), answer.take("i") / 1000
        if answer.take("b") < 0:
            return
        share = {}
        for _ in range(answer.uvarint() - 1):
            topic = answer.bytes(16)
            share[topic] = [answer.take("i") for _ in range(answer.uvarint() - 1)]
            answer.tags()
        self.dirty = share != self.share
        self.share = share

    async def join(self):
        while True:
            try:
                await self.heartbeat(0, [TOPIC], {})
                return self.pause
            except Refused:
                await asyncio.sleep(0.3)

    async def beat(self):
        dirty, self.dirty = self.dirty, False
        try:
            await self.heartbeat(self.epoch, None, self.share if dirty else None)
            self.settled = not self.dirty
        except Refused as refused:
            self.settled, self.dirty = False, True
            if refused.code not in NOT_YET:
                await self.join()

    async def leave(self):
        await self.heartbeat(-1, None, None)


class ClassicMember(Member):
    """Of the classic protocol; the leader deals the partitions out in turn."""

    id = ""

    async def join(self):
        while not await self.round():
            await asyncio.sleep(0.1)
        return 3.0

    async def round(self):
        says = struct.pack(">hi", 0, 1) + text(TOPIC) + struct.pack(">i", -1)
        body = text(self.group) + struct.pack(">ii", SESSION_MS, REBALANCE_MS) + text(self.id) + text(None)
        body += text("consumer") + struct.pack(">i", 1) + text("range") + data(says)
        answer = await self.connection.call(JOIN, 5, body)
        answer.take("i")
        error, generation, protocol = answer.take("h"), answer.take("i"), answer.text()
        leader, member = answer.text(), answer.text()
        if error:
            if error == MEMBER_ID_REQUIRED:
                self.id = member
                return await self.round()
            self.watch.error(error)
            return False
        self.id, self.epoch = member, generation
        members = []
        for _ in range(answer.take("i")):
            members.append(answer.text())
            answer.text()
            answer.data()
        body = text(self.group) + struct.pack(">i", generation) + text(self.id) + text(None)
        body += struct.pack(">i", len(members))
        for nth, name in enumerate(members):
            own = range(nth, PARTITIONS, len(members))
            share = struct.pack(">hi", 0, 1) + text(TOPIC) + struct.pack(">i", len(own))
            share += b"".join(struct.pack(">i", partition) for partition in own) + struct.pack(">i", -1)
            body += text(name) + data(share)
        answer = await self.connection.call(SYNC, 3, body)
        answer.take("i")
        error = answer.take("h")
        if error:
            self.watch.error(error)
            return False
        self.settled = True
        return True

    async def beat(self):
        body = text(self.group) + struct.pack(">i", self.epoch) + text(self.id) + text(None)
        answer = await self.connection.call(HEARTBEAT, 3, body)
        answer.take("i")
        error = answer.take("h")
        if error:
            self.settled = False
            if error != REBALANCE_IN_PROGRESS:
                self.watch.error(error)
            while not await self.round():
                await asyncio.sleep(0.1)

    async def leave(self):
        body = text(self.group) + struct.pack(">i", 1) + text(self.id) + text(None)
        await self.connection.call(LEAVE, 3, body)


async def prepare(address, partitions):
    connection = Connection(address)
    body = struct.pack(">i", 1) + text(TOPIC) + struct.pack(">ihiiib", partitions, 1, 0, 0, 30_000, 0)
    answer = await connection.call(CREATE_TOPICS, 4, body)
    answer.take("i")
    answer.take("i")
    answer.text()
    assert answer.take("h") in (0, TOPIC_EXISTS), "the topic is there"
    while True:
        answer = await connection.call(FIND_COORDINATOR, 2, text("crowd-0") + b"\0")
        answer.take("i")
        if answer.take("h") not in NOT_YET:
            break
        await asyncio.sleep(0.3)
    connection.close()


def cost(pid):
    """CPU seconds and resident MiB of a process."""
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/statm") as file:
        pages = int(file.read().split()[1])
    ticks = os.sysconf("SC_CLK_TCK")
    return (int(words[11]) + int(words[12])) / ticks, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def settle(groups, tasks, limit=600):
    """Waits until every member of every group is settled in the newest epoch of its group."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        for task in tasks:
            if task.done():
                # A member that left has nothing to say; one that failed has.
                task.result()
        if all(is_settled(members) for members in groups):
            return time.monotonic() - began
        await asyncio.sleep(0.05)
    raise SystemExit(f"not settled after {limit} s")


def is_settled(members):
    living = [member for member in members if not member.gone]
    if len({member.epoch for member in living}) != 1 or not all(member.settled for member in living):
        return False
    shares = [member.share for member in living]
    if any(share is None for share in shares):
        return True
    owned = [(topic, p) for share in shares for topic, own in share.items() for p in own]
    return len(owned) == len(set(owned)) == PARTITIONS


async def crowd(asked):
    await prepare(asked.broker, PARTITIONS)
    watch = Watch()
    kind = ConsumerMember if asked.protocol == "consumer" else ClassicMember
    groups = [[kind(asked.broker, f"crowd-{nth}", watch) for _ in range(asked.members)] for nth in range(asked.groups)]
    before = cost(asked.pid)
    tasks = []
    for members in groups:
        tasks += [asyncio.create_task(member.live()) for member in members]
        if len(groups) > 1:
            await asyncio.sleep(0.01)
    joined = await settle(groups, tasks)
    settled = cost(asked.pid)
    # What came with joining is over when each member has sent a few heartbeats.
    await asyncio.sleep(10)
    watch.took, watch.errors = [], {}
    begun, began = cost(asked.pid), time.monotonic()
    await asyncio.sleep(asked.seconds)
    ended, seconds = cost(asked.pid), time.monotonic() - began
    steady = {
        "heartbeats_per_s": round(len(watch.took) / seconds, 1),
        "errors": watch.errors.copy(),
        "p50_ms": watch.quantile(0.5),
        "p99_ms": watch.quantile(0.99),
        "cpu_percent": round(100 * (ended[0] - begun[0]) / seconds, 1),
        "rss_mib": round(ended[1], 1),
    }
    for members in groups:
        members[0].gone = True
        members[0].settled = False
        for member in members[1:]:
            member.settled = False
    left = await settle(groups, tasks)
    for task in tasks:
        task.cancel()
    return {
        "protocol": asked.protocol, "groups": asked.groups, "members": asked.members, "partitions": PARTITIONS,
        "joined_s": round(joined, 2), "joining_cpu_s": round(settled[0] - before[0], 2),
        "rss_before_mib": round(before[1], 1), "steady": steady, "settled_after_a_leave_s": round(left, 2),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("broker")
    arguments.add_argument("--pid", type=int, required=True, help="the broker's process")
    arguments.add_argument("--groups", type=int, default=1000)
    arguments.add_argument("--members", type=int, default=10)
    arguments.add_argument("--protocol", choices=["consumer", "classic"], default="consumer")
    arguments.add_argument("--seconds", type=float, default=60)
    asked = arguments.parse_args()
    global PARTITIONS
    PARTITIONS = max(asked.members, 10)
    wanted = asked.groups * asked.members + 100
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(wanted, 1024), hard), hard))
    print(json.dumps(asyncio.run(crowd(asked))))


if __name__ == "__main__":
    sys.exit(main())
