"""Runs one case on every broker, in turn, and sums up what it brought."""
import json
import pathlib
import statistics
import subprocess
import sys
import time

from lib import cases, start
from lib.peers import BUILT, ROOT, Nats, drop_caches

LOAD = ROOT / "target/release/ringlog-load"

# A warm-up has ended when a round is no more than this above the best before it, twice in a row.
STILL_FASTER = 1.05
ROUND_SECONDS = 5


def run_client(peer, options, words, out, extra=()):
    """Runs the load generator that speaks the peer's protocol; its report's last phase."""
    if isinstance(peer, Nats):
        mode, *rest = words.split()
        command = [BUILT / "nats", mode, "-url", f"nats://127.0.0.1:{peer.port}", *rest, "-broker-pid", peer.pids[0],
                   "-out", out, *extra]
    else:
        command = [LOAD, *words.split(), "--bootstrap", peer.bootstrap, "--broker-pid", ",".join(map(str, peer.pids)),
                   "--allow-saturated", "--quiet", "--out", out, *extra]
    command = ["taskset", "-c", str(options.load_core), *map(str, command)]
    path = pathlib.Path(f"{out}.json")
    path.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True)
    if not path.exists():
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    report = json.loads(path.read_text())
    if report["exit"] not in ("Good", "Saturated", "Failed"):
        print(f"  note: {report['exit']}: {done.stderr.strip()[-300:]}", flush=True)
    return report["phases"][-1]


def timing(peer, seconds, warmup):
    if isinstance(peer, Nats):
        return ["-duration", f"{seconds}s", "-warmup", f"{warmup}s"]
    return ["--duration", f"{seconds}s", "--warmup", f"{warmup}s"]


def figures(phase):
    """The few numbers of a run that are compared; latencies in microseconds."""
    latencies = phase["latencies"]
    kind = "e2e" if latencies.get("e2e", {}).get("count") else "ack"
    micros = {f"{name}_us": latencies[kind][f"{name}_ns"] / 1000 for name in ("p50", "p99", "p999")
              if latencies.get(kind, {}).get(f"{name}_ns")}
    count = max(phase["acked"]["records"], phase["received"]["records"])
    size = max(phase["acked"]["bytes"], phase["received"]["bytes"])
    broker = phase["broker"] or {}
    if phase.get("committed"):
        return {"transactions_s": phase["committed"] / phase["seconds"], **micros, "void": bool(phase["saturated"])}
    return {"records_s": count / phase["seconds"], "MB_s": size / phase["seconds"] / 1e6, **micros,
            "cpu_s_per_GB": broker.get("cpu_seconds_per_gb"), "rss_MB": (broker.get("rss_bytes") or 0) / 1e6,
            "void": bool(phase["saturated"])}


def copies(options):
    return f" --replication {options.brokers}" if options.brokers > 1 else ""


def warm_up(peer, options, raw):
    """Loads a broker until it gets no faster: Kafka's virtual machine compiles, caches and segments are touched for the
    first time. The same for each. Rates of the rounds, in records per second."""
    words = cases.NATS_WARM if isinstance(peer, Nats) else cases.WARM + copies(options)
    rates, best, level = [], 0.0, 0
    while level < 2 and len(rates) < options.warm_rounds:
        phase = run_client(peer, options, words, raw / f"warm-{peer.side}", timing(peer, ROUND_SECONDS, 0))
        rates.append(phase["acked"]["records"] / phase["seconds"])
        level = level + 1 if rates[-1] <= best * STILL_FASTER else 0
        best = max(best, rates[-1])
    # The other ways through a broker have code of their own: single records, and fetches.
    for case in cases.chosen(["all"], False, options.brokers):
        if case.name in ("unbatched-200", "e2e-5k") and (words := words_of(case, peer, {})):
            run_client(peer, options, words, raw / f"warm-{peer.side}", timing(peer, ROUND_SECONDS, 0))
    return rates


def words_of(case, peer, rates):
    words = case.nats if isinstance(peer, Nats) else case.words
    if words is None or "{" not in words:
        return words
    own = rates[peer.side] / 2
    # NATS is so far below the others that half of the lowest would be a load for none of them.
    both = own if isinstance(peer, Nats) else min(rate for side, rate in rates.items() if side != "nats") / 2
    return words.format(half=int(both), half_own=int(own))


def fill(peer, options, topic, raw):
    if isinstance(peer, Nats):
        words, extra = cases.NATS_FILL, ["-name", topic, "-keep", "-duration", "120s"]
    else:
        words, extra = cases.FILL, ["--topic", topic, "--duration", "120s", "--warmup", "0s"]
    run_client(peer, options, words, raw / f"fill-{peer.side}", extra)


def run_load(case, peer, options, rates, at, number):
    """One run of a load, with what it needs before it."""
    words, last = words_of(case, peer, rates), number == options.runs - 1
    extra, topic = timing(peer, options.seconds, options.warmup), f"{case.name}-{number}"
    if case.cold:
        # What is read only once is filled only once; a warm-up would warm the caches.
        topic, extra = case.name, []
    if case.filled:
        if number == 0 or not case.cold:
            fill(peer, options, topic, at.parent)
        extra += ["-name", topic] if isinstance(peer, Nats) else ["--topic", topic]
        if case.cold and isinstance(peer, Nats) and not last:
            extra += ["-keep"]
    if case.cold:
        drop_caches(peer)
    phase = run_client(peer, options, words, at, extra)
    if case.filled and (last or not case.cold):
        client = peer.client()
        client.delete([topic])
        client.close()
    return figures(phase)


def run_idle(case, peer, options, at):
    """Processor time of a broker whose consumers wait."""
    if isinstance(peer, Nats):
        words = f"idle -streams 1 -connections {case.consumers}"
        phase = run_client(peer, options, words, at, timing(peer, 2 * options.seconds, options.warmup))
        share = phase["broker"]["cpu_seconds"] / phase["seconds"]
    else:
        topic = at.name
        client = peer.client()
        client.create([topic], case.consumers)
        words = f"consume --consumers {case.consumers} --check none --topic {topic}"
        phase = run_client(peer, options, words, at, timing(peer, 2 * options.seconds, options.warmup))
        client.delete([topic])
        client.close()
        share = phase["broker"]["cpu_share"]
    return {"cpu_percent": share * 100, "rss_MB": phase["broker"]["rss_bytes"] / 1e6}


def measure(case, peers, options, rates, raw):
    """All runs of a case by side; a side without a counterpart has none."""
    runs = {peer.side: [] for peer in peers}
    count = options.runs if case.kind != "start" else min(options.runs, start.RUNS_MAX[case.name])
    for number in range(count):
        for peer in peers if number % 2 == 0 else peers[::-1]:
            at = raw / f"{case.name}-{peer.side}-{number}"
            began = time.monotonic()
            if case.kind == "start":
                found = start.life(peer, case, options, at)
            elif case.kind == "idle":
                found = run_idle(case, peer, options, at)
            elif words_of(case, peer, rates) is None:
                continue
            else:
                found = run_load(case, peer, options, rates, at, number)
            found["took_s"] = time.monotonic() - began
            runs[peer.side].append(found)
    return runs


def summed(runs, pairs):
    """Median, smallest and largest of each figure by side, and the ratios of pairs of sides."""
    row = {}
    names = dict.fromkeys(name for side in runs.values() for run in side for name in run)
    for name in names:
        if name in ("void", "took_s"):
            continue
        values = {side: [run[name] for run in found if run.get(name) is not None] for side, found in runs.items()}
        values = {side: found for side, found in values.items() if found}
        row[name] = {side: {"median": statistics.median(found), "min": min(found), "max": max(found),
                            "runs": len(found)} for side, found in values.items()}
        row[name]["ratios"] = {f"{one}/{other}": row[name][one]["median"] / row[name][other]["median"]
                               for one, other in pairs
                               if one in values and other in values and row[name][other]["median"] > 0}
    row["void"] = {side: sum(bool(run.get("void")) for run in found) for side, found in runs.items()}
    return row
