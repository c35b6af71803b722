"""Kafka messages of any version to bytes and back, by the schemas in the kafka-clients jar.

Messages are dictionaries with the schemas' own field names; what a request leaves out takes its default.
"""
import io
import json
import pathlib
import re
import struct
import uuid
import zipfile

NUMBERS = {
    "int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "float64": ">d",
    "bool": ">?",
}


def spans(text, version):
    """Whether "3", "3+", "0-4" or "none" has the version."""
    if text in (None, "none"):
        return False
    low, _, high = text.rstrip("+").partition("-")
    return int(low) <= version <= (int(high) if high else 32767 if text.endswith("+") else int(low))


class Schema:
    """One message."""

    def __init__(self, raw):
        self.name, self.key, self.type = raw["name"], raw.get("apiKey"), raw["type"]
        self.fields = raw.get("fields", [])
        self.flexible = raw.get("flexibleVersions")
        self.structs = {struct["name"]: struct["fields"] for struct in raw.get("commonStructs", [])}
        self.collect(self.fields)

    def collect(self, fields):
        for field in fields:
            if "fields" in field:
                self.structs[field["type"].removeprefix("[]")] = field["fields"]
                self.collect(field["fields"])

    def is_flexible(self, version):
        return spans(self.flexible, version)

    def encode(self, value, version):
        out = bytearray()
        self.put_fields(out, self.fields, value, version)
        return bytes(out)

    def decode(self, data, version):
        source = io.BytesIO(data)
        value = self.take_fields(source, self.fields, version)
        rest = source.read()
        return {**value, "_rest": rest} if rest else value

    # Writing

    def put_fields(self, out, fields, value, version):
        unknown = set(value) - {field["name"] for field in fields}
        if unknown:
            raise KeyError(f"{self.name} has no {', '.join(sorted(unknown))}")
        flexible, tagged = self.is_flexible(version), []
        for field in fields:
            given = value.get(field["name"], default(field))
            if flexible and "tag" in field and spans(field.get("taggedVersions"), version):
                if field["name"] in value:
                    tagged.append((field, given))
            elif spans(field["versions"], version):
                self.put(out, field, field["type"], given, version)
        if flexible:
            put_varint(out, len(tagged))
            for field, given in sorted(tagged, key=lambda pair: pair[0]["tag"]):
                body = bytearray()
                self.put(body, field, field["type"], given, version)
                put_varint(out, field["tag"])
                put_varint(out, len(body))
                out += body

    def put(self, out, field, kind, value, version):
        flexible = self.is_flexible(version)
        nullable = spans(field.get("nullableVersions"), version)
        if kind.startswith("[]"):
            put_length(out, None if value is None else len(value), ">i", flexible)
            for one in value or []:
                self.put(out, {}, kind[2:], one, version)
        elif kind in NUMBERS:
            out += struct.pack(NUMBERS[kind], value)
        elif kind == "string":
            data = None if value is None else value if isinstance(value, bytes) else value.encode()
            put_length(out, None if data is None else len(data), ">h", flexible)
            out += data or b""
        elif kind in ("bytes", "records"):
            put_length(out, None if value is None else len(value), ">i", flexible)
            out += value or b""
        elif kind == "uuid":
            out += uuid.UUID(value).bytes if isinstance(value, str) else value
        elif nullable and value is None:
            out += b"\xff"
        else:
            out += b"\x01" if nullable else b""
            self.put_fields(out, self.structs[kind], value, version)

    # Reading

    def take_fields(self, source, fields, version):
        flexible, value = self.is_flexible(version), {}
        for field in fields:
            tagged = flexible and "tag" in field and spans(field.get("taggedVersions"), version)
            if not tagged and spans(field["versions"], version):
                value[field["name"]] = self.take(source, field, field["type"], version)
        if flexible:
            by_tag = {field["tag"]: field for field in fields if spans(field.get("taggedVersions"), version)}
            for _ in range(take_varint(source)):
                tag, length = take_varint(source), take_varint(source)
                body = io.BytesIO(source.read(length))
                field = by_tag[tag]
                value[field["name"]] = self.take(body, field, field["type"], version)
        return value

    def take(self, source, field, kind, version):
        flexible = self.is_flexible(version)
        if kind.startswith("[]"):
            count = take_length(source, ">i", flexible)
            return None if count is None else [self.take(source, {}, kind[2:], version) for _ in range(count)]
        if kind in NUMBERS:
            return struct.unpack(NUMBERS[kind], exactly(source, struct.calcsize(NUMBERS[kind])))[0]
        if kind == "string":
            length = take_length(source, ">h", flexible)
            return None if length is None else exactly(source, length).decode()
        if kind in ("bytes", "records"):
            length = take_length(source, ">i", flexible)
            return None if length is None else exactly(source, length)
        if kind == "uuid":
            return str(uuid.UUID(bytes=exactly(source, 16)))
        if spans(field.get("nullableVersions"), version) and struct.unpack(">b", exactly(source, 1))[0] < 0:
            return None
        return self.take_fields(source, self.structs[kind], version)


def default(field):
    """What the schema says a field is where nobody says anything."""
    kind, given = field["type"], field.get("default")
    if given == "null":
        return None
    if kind.startswith("[]"):
        return []
    if kind in NUMBERS:
        number = {"true": 1, "false": 0}.get(str(given).lower(), given)
        return bool(number) if kind == "bool" else int(str(number or 0), 0)
    return {"string": given or "", "bytes": b"", "records": None, "uuid": bytes(16)}.get(kind, {})


def exactly(source, length):
    data = source.read(length)
    if len(data) < length:
        raise EOFError("the message is shorter than it says")
    return data


def put_varint(out, value):
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def take_varint(source):
    value = shift = 0
    while True:
        byte = exactly(source, 1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7


def put_length(out, length, form, flexible):
    if flexible:
        put_varint(out, 0 if length is None else length + 1)
    else:
        out += struct.pack(form, -1 if length is None else length)


def take_length(source, form, flexible):
    length = take_varint(source) - 1 if flexible else struct.unpack(form, exactly(source, struct.calcsize(form)))[0]
    return None if length < 0 else length


def load(jar):
    """All schemas of a kafka-clients jar: requests and responses by API name."""
    requests, responses = {}, {}
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.startswith("common/message/") and name.endswith(("Request.json", "Response.json")):
                text = re.sub(r"^\s*//.*$", "", archive.read(name).decode(), flags=re.M)
                schema = Schema(json.loads(text))
                side = requests if schema.type == "request" else responses
                side[pathlib.Path(name).stem.removesuffix("Request").removesuffix("Response")] = schema
    return requests, responses
