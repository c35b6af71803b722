"""Load by ringlog-load at a fixed rate, with verification: what was acknowledged is read back and compared."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("RINGLOG_LOAD", str(ROOT / "target/release/ringlog-load"))


class Load:
    """A run that goes on while something happens to the cluster."""

    def __init__(self, bootstrap, topic, seconds, out, rate=1000, words=()):
        self.out = Path(out)
        self.process = subprocess.Popen(
            [BINARY, "produce", "--bootstrap", bootstrap, "--topic", topic, "--replication", "-1",
             "--rate", str(rate), "--size", "200", "--duration", f"{seconds}s", "--warmup", "0s",
             "--interval", "50ms", "--verify", "--allow-saturated", "--quiet", "--request-timeout", "2s",
             "--out", str(self.out), *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        text, _ = self.process.communicate(timeout=300)
        report = Path(f"{self.out}.json")
        if not report.exists():
            raise AssertionError(f"the load ended with status {self.process.returncode}: {text.strip()[-500:]}")
        return Result(json.loads(report.read_text()), self.process.returncode, text)


class Result:
    def __init__(self, report, status, text):
        phase = report["phases"][-1]
        told = report["verification"] or {}
        self.status, self.text = status, text
        self.acked = phase["acked"]["records"]
        self.given_up = phase["given_up"]
        self.lost, self.duplicates = told.get("lost"), told.get("duplicates")
        self.reordered, self.corrupt = told.get("reordered"), told.get("corrupt")
        self.failed = told.get("failed")
        self.examples = told.get("examples", [])
        # A record that was due when nobody led waited for as long as nobody did: the longest wait is the gap.
        self.gap_ms = max((moment["ack_max_ns"] for moment in phase["moments"]), default=0) / 1e6

    def check(self):
        assert self.acked > 0, f"nothing was acknowledged: {self.text.strip()[-500:]}"
        assert not self.failed, f"it couldn't be read back: {self.failed}"
        kept = (self.lost, self.duplicates, self.reordered, self.corrupt) == (0, 0, 0, 0)
        assert kept, (f"lost {self.lost}, duplicates {self.duplicates}, reordered {self.reordered}, "
                      f"corrupt {self.corrupt}: {self.examples[:5]}")
        assert self.status == 0, f"the load ended with status {self.status}: {self.text.strip()[-500:]}"
        return self
