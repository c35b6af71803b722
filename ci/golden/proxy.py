#!/usr/bin/env python3
"""A proxy on the loopback that copies and changes nothing, and writes down frames as it goes.

usage: proxy.py LISTEN_PORT BROKER_PORT FOLDER [KEY...]

FOLDER/KEY-VERSION-req.hex is the first request of that API key and version, -res.hex its response; only of the given
keys if there are any. A pair with a frame above FRAME_BYTES_MAX is left for a later, smaller one. What the broker sends
to itself goes to the folder apache-kafka beside FOLDER.
"""
import asyncio
import pathlib
import struct
import sys

FRAME_BYTES_MAX = 4096
LINE_BYTES = 48
BROKERS_OWN = (b"AddPartitionsManager", b"broker-")


class Recorder:
    def __init__(self, folder, keys):
        self.folder, self.keys, self.done = pathlib.Path(folder), keys, set()

    def pair(self, request, response):
        key, version = struct.unpack(">hh", request[:4])
        own = request[10:].startswith(BROKERS_OWN)
        folder = self.folder.parent / "apache-kafka" if own else self.folder
        fits = max(len(request), len(response)) <= FRAME_BYTES_MAX
        if (folder, key, version) in self.done or (self.keys and key not in self.keys) or not fits:
            return
        self.done.add((folder, key, version))
        folder.mkdir(parents=True, exist_ok=True)
        for kind, frame in (("req", request), ("res", response)):
            lines = [frame[at : at + LINE_BYTES].hex() for at in range(0, len(frame), LINE_BYTES)]
            text = "".join(line + "\n" for line in lines)
            (folder / f"{key}-{version}-{kind}.hex").write_text(text)


async def copy(reader, writer, each):
    """Copies whole frames, shows each to `each`, and ends with the connection."""
    try:
        while True:
            length = await reader.readexactly(4)
            frame = await reader.readexactly(struct.unpack(">i", length)[0])
            each(frame)
            writer.write(length + frame)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(recorder, broker_port, client_reader, client_writer):
    broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", broker_port)
    waiting = {}

    def request(frame):
        waiting[frame[4:8]] = frame

    def response(frame):
        sent = waiting.pop(frame[:4], None)
        if sent is not None:
            recorder.pair(sent, frame)

    await asyncio.gather(
        copy(client_reader, broker_writer, request), copy(broker_reader, client_writer, response)
    )


async def main():
    listen_port, broker_port, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    recorder = Recorder(folder, {int(key) for key in sys.argv[4:]})

    async def accepted(reader, writer):
        await serve(recorder, broker_port, reader, writer)

    server = await asyncio.start_server(accepted, "127.0.0.1", listen_port, limit=1 << 26)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
