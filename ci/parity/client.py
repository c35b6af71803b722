"""One connection to a broker, and record batches as a client would never send them."""
import gzip
import socket
import struct
import time

TABLE = []
for index in range(256):
    crc = index
    for _ in range(8):
        crc = (crc >> 1) ^ 0x82F63B78 if crc & 1 else crc >> 1
    TABLE.append(crc)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = ((number << 1) ^ (number >> 63)) & (2**64 - 1)
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def nullable(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(nth, key=None, value=b"x", timestamp=0, headers=(), offset=None, tail=b""):
    """One record; `timestamp` counts from the batch's, `offset` stands in for its place, `tail` doesn't belong."""
    body = b"\0" + varint(timestamp) + varint(nth if offset is None else offset) + nullable(key) + nullable(value)
    body += varint(len(headers)) + b"".join(nullable(k) + nullable(v) for k, v in headers) + tail
    return varint(len(body)) + body


def now_ms():
    return int(time.time() * 1000)


def batch(records=None, **fields):
    """One batch. `records` are bytes from `record`; any header field may be given wrongly."""
    records = [record(0)] if records is None else records
    get = fields.pop
    count = get("count", len(records))
    last = get("last_offset_delta", count - 1)
    attributes, base_time = get("attributes", 0), get("time", None)
    base_time = now_ms() if base_time is None else base_time
    max_time = get("max_time", base_time)
    producer = (get("producer_id", -1), get("producer_epoch", -1), get("sequence", -1))
    payload = get("payload", None)
    payload = b"".join(records) if payload is None else payload
    if get("gzip", False):
        payload, attributes = gzip.compress(payload), attributes | 1
    body = struct.pack(">hiqqqhii", attributes, last, base_time, max_time, *producer, count) + payload
    checksum = crc32c(body) ^ get("crc_xor", 0)
    length = get("length", 9 + len(body))
    head = struct.pack(">qiib", get("base_offset", 0), length, get("leader_epoch", -1), get("magic", 2))
    assert not fields, f"a batch has no {', '.join(fields)}"
    return head + struct.pack(">I", checksum) + body


class Closed(Exception):
    """The broker ended the connection."""


class Connection:
    """Sends requests one by one."""

    def __init__(self, address, schemas, client_id="parity"):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=15)
        self.requests, self.responses = schemas
        self.client_id, self.correlation = client_id, 0

    def close(self):
        self.socket.close()

    def call(self, api, version, /, **value):
        schema = self.requests[api]
        self.send(schema.key, version, schema.encode(value, version), schema.is_flexible(version))
        return self.receive(api, version)

    def send(self, key, version, body, flexible=False):
        self.correlation += 1
        client = self.client_id.encode()
        header = struct.pack(">hhih", key, version, self.correlation, len(client)) + client
        frame = header + (b"\0" if flexible else b"") + body
        self.raw(struct.pack(">i", len(frame)) + frame)

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            raise Closed from None

    def frame(self):
        (length,) = struct.unpack(">i", self.exactly(4))
        return self.exactly(length)

    def receive(self, api, version):
        schema, data = self.responses[api], self.frame()
        # ApiVersions is answered with the old header always, and in version 0 where its version isn't known.
        flexible = schema.is_flexible(version) and api != "ApiVersions"
        return schema.decode(data[5 if flexible else 4 :], version)

    def exactly(self, length):
        data = b""
        while len(data) < length:
            try:
                more = self.socket.recv(length - len(data))
            except ConnectionResetError:
                raise Closed from None
            if not more:
                raise Closed
            data += more
        return data

    def is_closed(self, seconds=1.0):
        """Whether the broker ends the connection without sending anything."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
