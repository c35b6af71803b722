"""The record of a run: README.md with tables and pictures, ratios.json, and a line of the history."""
import json
import math

from lib import cases, pictures
from lib.peers import ROOT

UNITS = {"records_s": "records/s", "transactions_s": "transactions/s", "MB_s": "MB/s", "p50_us": "p50, µs",
         "p99_us": "p99, µs", "p999_us": "p99.9, µs", "cpu_s_per_GB": "CPU s per GB", "rss_MB": "RSS, MB",
         "cpu_percent": "CPU, % of a processor",
         "idle_cpu_percent": "CPU when idle, %", "start_ms": "start to first connection, ms",
         "create_s": "create all, until each has a record, s", "restart_ms": "restart to first connection, ms",
         "first_ack_ms": "restart to first acknowledged record, ms",
         "all_acks_ms": "restart until each partition took a record, ms"}


def shown(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cell(figure):
    if figure is None:
        return "–"
    return f"{shown(figure['median'])} ({shown(figure['min'])}–{shown(figure['max'])})"


def several(options):
    return f" ({options.brokers} of each kind)" if options.brokers > 1 else ""


def header(options, started, machine, peers):
    if options.profiles:
        title, mode = "The profiles beside balanced", "one broker for each profile"
    else:
        title = "Ringlog beside " + " and ".join(peer.title for peer in peers[1:])
        mode = "equal durability: all flush before they acknowledge" if options.equal else "defaults against defaults"
    lines = [f"# {title}, {started:%Y-%m-%d %H:%M} UTC", "",
             f"{mode[0].upper()}{mode[1:]}. Commit {machine['commit']}; {machine['processor']}, "
             f"{machine['processors']} processors, Linux {machine['kernel']}; brokers on processor "
             f"{options.broker_core}{several(options)}, load on {options.load_core}; all brokers run, one is under "
             f"load; {options.runs} runs of each case and broker, in turn, {options.warmup} s of warm-up and "
             f"{options.seconds} s measured. "
             "Medians; in brackets the smallest and the largest. Latencies of open loops are from the intended send "
             "time.", "", "Made by `" + machine["command"] + "`.", ""]
    lines += [f"- **{peer.side}**: {machine['versions'][peer.side]}; {peer.told()}." for peer in peers]
    single = " (NATS: single messages)" if any(peer.side == "nats" for peer in peers) else ""
    lines += ["", f"Each broker was loaded with 1 KiB records in 16 KiB batches{single}, until two rounds of 5 s in a "
              f"row were no more than 5 % above the best before, for {options.warm_rounds} rounds at most; then with "
              "single records over 200 connections, and end to end. MB/s of the rounds:", ""]
    lines += [f"- {side}: {', '.join(shown(rate * 1024 / 1e6) for rate in rates)}"
              for side, rates in machine["warm_up"].items()]
    return lines, mode


def limits(machine, rows):
    lines = ["", "## What the machine does by itself", "", "| limit | |", "|---|---|"]
    for name, value in sorted(machine["limits"].items()):
        text = f"p50 {shown(value['p50'])}, p99 {shown(value['p99'])}" if isinstance(value, dict) else shown(value)
        lines.append(f"| {name.replace('_', ' ')} | {text} |")
    return lines + least(machine["limits"], rows)


def least(found, rows):
    """One durable record can't be faster than a write, a flush and a round trip: how near the brokers come."""
    floor = {name: found["write_flush_4k_us"][name] + found["loopback_round_trip_us"][name] for name in ("p50", "p99")}
    lines = ["| write and flush 4k, and a round trip: one durable record at the least, us | "
             f"p50 {shown(floor['p50'])}, p99 {shown(floor['p99'])} |"]
    row = rows.get("unbatched-1", {})
    for side in row.get("p50_us", {}):
        if side != "ratios":
            times = [row[f"{name}_us"][side]["median"] / floor[name] for name in ("p50", "p99")]
            lines.append(f"| `unbatched-1` of {side}, times that | p50 {times[0]:.2f}, p99 {times[1]:.2f} |")
    return lines


def table(peers, pairs, rows, measured):
    sides = [peer.side for peer in peers]
    names = [f"{one}/{other}" for one, other in pairs]
    heads = [name.replace("/", " / ") for name in names]
    lines = ["", "## Figures", "", f"| case | figure | {' | '.join(sides + heads)} |",
             f"|---|---|{'---:|' * (len(sides) + len(names))}"]
    for case in measured:
        row = rows[case.name]
        for name, figure in row.items():
            if name == "void":
                continue
            ratios = [shown(figure["ratios"][pair]) if pair in figure["ratios"] else "–" for pair in names]
            lines.append(f"| {case.name} | {UNITS[name]} | {' | '.join(cell(figure.get(side)) for side in sides)} | "
                         f"{' | '.join(ratios)} |")
        if any(row["void"].values()):
            late = [str(row["void"].get(side, 0)) for side in sides]
            lines.append(f"| {case.name} | runs that the generator was too slow for | {' | '.join(late)} | "
                         f"{' | '.join(' ' for _ in names)} |")
    return lines


def told(peers, measured):
    lines = ["", "## Cases", ""] + [f"- `{case.name}`: {case.about}." for case in measured]
    missing = [case for case in measured if case.nats is None]
    if any(peer.side == "nats" for peer in peers):
        lines += ["", "A partition is a stream of its own in NATS JetStream, a record a message, a batch or a request "
                  "in flight as many unacknowledged messages of the same size; `perf/nats` is its client."]
        why = {}
        for case in missing:
            why.setdefault(case.why_not, []).append(f"`{case.name}`")
        lines += [f"It has no counterpart of {', '.join(names)}: {reason}." for reason, names in why.items()]
    return lines


def middle_run(paths):
    """Of several runs' percentile files the one with the median p99; and the others."""
    read = [points for path in paths if (points := pictures.read_hgrm(path))]
    if not read:
        return None
    tail = lambda points: next((ms for quantile, ms in points if quantile >= 0.99), points[-1][1])
    read.sort(key=tail)
    best = read.pop((len(read) - 1) // 2)
    return best, read


def draw(out, peers, pairs, rows, measured):
    """Writes the pictures; the lines that show them."""
    lines = ["", "## Pictures", ""]
    for one, other in pairs:
        found = [(case.name, name, ratio) for case in measured for name in case.shown
                 if (ratio := rows[case.name].get(name, {}).get("ratios", {}).get(f"{one}/{other}"))]
        if found:
            path = out / f"ratios-{one}-{other}.svg"
            path.write_text(pictures.bars(f"{one} beside {other}", found, (one, other)))
            lines += [f"![{one} beside {other}]({path.name})", ""]
    for case in measured:
        if case.name.startswith("grid-"):
            continue
        kind = "e2e" if case.name.startswith("e2e") else "ack"
        sides = [(peer.side, *found) for peer in peers
                 if (found := middle_run(sorted((out / "raw").glob(f"{case.name}-{peer.side}-[0-9].{kind}.hgrm"))))]
        what = "end to end" if kind == "e2e" else "acknowledgement"
        if len(sides) > 1 and (text := pictures.curves(f"{case.name}: {what}", sides)):
            path = out / f"percentiles-{case.name}.svg"
            path.write_text(text)
            lines += [f"![{case.name}]({path.name})", ""]
    return lines


def write(out, options, started, machine, peers, pairs, rows, measured):
    lines, mode = header(options, started, machine, peers)
    lines += table(peers, pairs, rows, measured) + limits(machine, rows) + draw(out, peers, pairs, rows, measured)
    lines += told(peers, measured)
    (out / "README.md").write_text("\n".join(lines).rstrip() + "\n")
    (out / "ratios.json").write_text(json.dumps({"machine": machine, "mode": mode, "cases": rows}, indent=1) + "\n")
    ratios = {case: {name: {pair: round(ratio, 3) for pair, ratio in figure["ratios"].items() if math.isfinite(ratio)}
                     for name, figure in row.items() if name != "void"} for case, row in rows.items()}
    line = {"at": started.isoformat(timespec="seconds"), "record": out.name, "commit": machine["commit"], "mode": mode,
            "ratios": ratios}
    if out.parent == ROOT / "perf/runs":
        with open(ROOT / "perf/history.jsonl", "a") as history:
            history.write(json.dumps(line) + "\n")
