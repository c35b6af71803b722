"""Clients send records with each codec to a broker that gets kill -9 when half are acknowledged and again when all are;
after each it starts on the same data. Every acknowledged record must be read back by an assigned consumer, at its
offset, in order, once (all producers are idempotent)."""

import argparse
import logging
import sys
import threading
import time

from broker import Broker
from drivers import CLIENTS
from ledger import Ledger, Reading

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
HALF_LIMIT_S = 300


def crash_at_half(broker, ledger, stop):
    """Kills and restarts the broker once half of the records are acknowledged."""
    deadline = time.monotonic() + HALF_LIMIT_S
    while not ledger.half.wait(0.02):
        if stop.is_set() or time.monotonic() > deadline:
            return
    broker.kill()
    time.sleep(0.5)
    broker.start()


def run_one(broker, client, codec, records, partitions):
    """One client, one codec; returns a sentence. Raises where a promise is broken."""
    topic = f"{client}-{codec}"
    ledger = Ledger(records, partitions)
    stop = threading.Event()
    crash = threading.Thread(target=crash_at_half, args=(broker, ledger, stop))
    started = time.monotonic()
    crash.start()
    try:
        CLIENTS[client].produce(broker.address, topic, codec, ledger)
    finally:
        stop.set()
        crash.join()
    produced = time.monotonic()
    assert ledger.half.is_set(), f"only {ledger.acked} records were acknowledged: {ledger.errors}"
    broker.kill()
    broker.start()
    reading = Reading(ledger)
    restarted = time.monotonic()
    CLIENTS[client].read(broker.address, topic, reading)
    reading.finish()
    assert ledger.acked == records, f"{records - ledger.acked} records were never acknowledged: {ledger.errors}"
    return (
        f"acknowledged {ledger.acked} in {produced - started:.1f} s, "
        f"read {reading.read} in {time.monotonic() - restarted:.1f} s"
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=1_000_000, help="per client and codec")
    arguments.add_argument("--partitions", type=int, default=4)
    arguments.add_argument("--clients", default=",".join(CLIENTS))
    arguments.add_argument("--codecs", default=",".join(CODECS))
    chosen = arguments.parse_args()
    logging.disable(logging.CRITICAL)  # the clients tell at length that the broker is away
    failed = 0
    for client in chosen.clients.split(","):
        with Broker() as broker:
            for codec in chosen.codecs.split(","):
                try:
                    outcome = run_one(broker, client, codec, chosen.records, chosen.partitions)
                    print(f"ok      {client} {codec}: {outcome}", flush=True)
                except Exception as error:  # every promise that breaks is a line, the others are still tried
                    failed += 1
                    print(f"FAILED  {client} {codec}: {type(error).__name__}: {error}", flush=True)
                    if broker.process is None:
                        broker.start()
    sys.exit(1 if failed else 0)


main()
