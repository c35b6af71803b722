"""Just enough of the Kafka and the NATS protocol to make topics, and to see when a broker acknowledges a record.

A client of its own, because what is timed with it is a broker's start: a library's start would be in the figure.
"""
import json
import socket
import struct

TABLE = []
for number in range(256):
    for _ in range(8):
        number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
    TABLE.append(number)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def array(items):
    items = list(items)
    return struct.pack(">i", len(items)) + b"".join(items)


def batch(value):
    """A batch (magic 2) of one record without key and headers. `value` has at most 50 bytes: lengths take one byte."""
    record = bytes((0, 0, 0, 1, 2 * len(value))) + value + b"\0"
    record = bytes((2 * len(record),)) + record
    body = struct.pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1) + record
    return struct.pack(">qiibI", 0, 9 + len(body), -1, 2, crc32c(body)) + body


class Refused(Exception):
    """The broker answered, and said no."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0]

    def text(self):
        size = max(self.take("h"), 0)
        self.at += size
        return self.data[self.at - size:self.at].decode()


class Kafka:
    """One connection that speaks the Kafka protocol. A partition is (topic, number)."""

    def __init__(self, port, patience):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def ask(self, key, version, body):
        frame = struct.pack(">hhi", key, version, 7) + text("perf") + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        size, = struct.unpack(">i", self.exactly(4))
        return Reader(self.exactly(size)[4:])

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            if not (piece := self.socket.recv(size - len(data))):
                raise ConnectionError("the broker has closed the connection")
            data += piece
        return bytes(data)

    def create(self, names, partitions):
        one = lambda name: text(name) + struct.pack(">ihii", partitions, 1, 0, 0)
        answer = self.ask(19, 2, array(map(one, names)) + struct.pack(">ib", 300_000, 0))
        answer.take("i")
        for _ in range(answer.take("i")):
            name, code, why = answer.text(), answer.take("h"), answer.text()
            if code:
                raise Refused(f"topic {name}: error {code} {why}")

    def delete(self, names):
        self.ask(20, 1, array(map(text, names)) + struct.pack(">i", 300_000))

    def produce(self, name, partitions):
        """One record for each of a topic's first partitions, acknowledged by all replicas."""
        records = batch(b"is anybody there?")
        part = lambda number: struct.pack(">ii", number, len(records)) + records
        topic = text(name) + array(map(part, range(partitions)))
        answer = self.ask(0, 3, struct.pack(">hhi", -1, -1, 300_000) + array([topic]))
        for _ in range(answer.take("i")):
            answer.text()
            for _ in range(answer.take("i")):
                number, code = answer.take("i"), answer.take("h")
                answer.take("q"), answer.take("q")
                if code:
                    raise Refused(f"{name}-{number}: error {code}")


class Nats:
    """One connection to NATS. What is a partition for Kafka is a stream here; a topic is a series of them."""

    WINDOW = 64

    def __init__(self, port, patience):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB perf.answers 1\r\n')

    def close(self):
        self.file.close()
        self.socket.close()

    def ask(self, questions):
        """Asks (subject, body) each, a few at a time, and waits for all answers."""
        waiting = 0
        for subject, body in questions:
            self.socket.sendall(f"PUB {subject} perf.answers {len(body)}\r\n".encode() + body + b"\r\n")
            waiting += 1
            while waiting >= self.WINDOW:
                waiting -= self.answered()
        while waiting:
            waiting -= self.answered()

    def answered(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("the server has closed the connection")
        if line.startswith(b"PING"):
            self.socket.sendall(b"PONG\r\n")
        if not line.startswith(b"MSG"):
            return 0
        body = self.file.read(int(line.split()[-1]) + 2)
        if b'"error"' in body:
            raise Refused(body.decode())
        return 1

    def create(self, names, partitions):
        def config(stream):
            return json.dumps({"name": stream, "subjects": [stream], "retention": "limits", "storage": "file",
                               "num_replicas": 1, "max_consumers": -1, "max_msgs": -1, "max_bytes": -1,
                               "discard": "old"}).encode()
        streams = [f"{name}-{number}" for name in names for number in range(partitions)]
        self.ask((f"$JS.API.STREAM.CREATE.{stream}", config(stream)) for stream in streams)

    def delete(self, names):
        pass

    def produce(self, name, partitions):
        self.ask((f"{name}-{number}", b"is anybody there?") for number in range(partitions))
