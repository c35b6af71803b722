"""A broker of one's own on the loopback, started, killed and started again on the same data."""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_LIMIT_S = 60
STOP_LIMIT_S = 20


def _listens(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_port():
    """A port nobody listens on, below the range that the kernel hands out itself."""
    while True:
        port = random.randrange(20000, 30000)
        if not _listens(port):
            return port


class Broker:
    """The program named by $BROKER (called with a data folder and a port), or ci/broker."""

    def __init__(self):
        self.program = os.environ.get("BROKER", str(ROOT / "ci" / "broker"))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ringlog-clients."))
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        if self.process is not None:
            self.kill()
        if kind is not None:
            log = (self.folder / "broker.log").read_text(errors="replace").splitlines()
            print("-- the broker's last lines:", *log[-20:], sep="\n")
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        assert self.process is None
        log = open(self.folder / "broker.log", "ab")
        command = [self.program, str(self.folder / "data"), str(self.port)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + START_LIMIT_S
        while not _listens(self.port):
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended while starting, status {self.process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker doesn't listen after {START_LIMIT_S} s")
            time.sleep(0.05)

    def kill(self):
        """kill -9: what was acknowledged must be there after the next start."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        status = self.process.wait(STOP_LIMIT_S)
        self.process = None
        return status
