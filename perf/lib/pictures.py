"""Pictures of a record, as SVG files that need nothing else: bars of ratios, and curves of percentiles."""
import html
import math
import pathlib

COLOURS = ("#2563eb", "#dc2626", "#059669", "#7c3aed", "#d97706", "#0891b2")
STYLE = ("text{font:12px system-ui,sans-serif;fill:#334155}.title{font-size:14px;font-weight:600}.end{text-anchor:end}"
         ".mid{text-anchor:middle}.soft{fill:#64748b}.grid{stroke:#e2e8f0}.one{stroke:#64748b}"
         ".line{fill:none;stroke-width:2}.thin{fill:none;stroke-width:1;opacity:.3}")
# Figures of which more is better; of all others less is.
MORE = ("records_s", "MB_s")
WIDTH = 900
SHORT = {"records_s": "records/s", "MB_s": "MB/s", "p50_us": "p50", "p99_us": "p99", "p999_us": "p99.9",
         "cpu_s_per_GB": "CPU s/GB", "rss_MB": "RSS", "cpu_percent": "CPU", "create_s": "create",
         "first_ack_ms": "first record"}
BETTER, WORSE = "#2563eb", "#dc2626"


def page(height, title, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" role="img"><title>{html.escape(title)}</title><style>{STYLE}</style>'
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>' + "".join(parts) + "</svg>\n")


def write(x, y, words, kind=""):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{html.escape(str(words))}</text>'


def rule(x1, y1, x2, y2, kind="grid"):
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def bars(title, rows, pair):
    """Ratios of a pair of sides. `rows`: label, figure, ratio. A bar to the right is better for the first side."""
    rows = [(label, figure, ratio if figure in MORE else 1 / ratio) for label, figure, ratio in rows if ratio > 0]
    reach = max([2.0] + [max(times, 1 / times) for _, _, times in rows])
    reach = 10 ** (math.ceil(math.log10(reach) * 4) / 4)
    left, right, top, step = 250, 70, 64, 20
    height = top + step * len(rows) + 30
    place = lambda times: left + (math.log(times) / math.log(reach) + 1) / 2 * (WIDTH - left - right)
    parts = [write(16, 24, title, "title"),
             write(16, 44, f"times better for {pair[0]} to the right of 1, for {pair[1]} to the left; medians", "soft")]
    for times in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if 1 / reach <= times <= reach:
            x = place(times)
            label = f"{times:g}×" if times >= 1 else f"1/{round(1 / times)}"
            parts += [rule(x, top - 4, x, height - 26, "one" if times == 1 else "grid"),
                      write(x, height - 10, label, "mid soft")]
    for nth, (label, figure, times) in enumerate(rows):
        y, x = top + step * nth, place(times)
        fill, number = (BETTER, f"{times:.2f}×") if times >= 1 else (WORSE, f"1/{1 / times:.2f}")
        parts += [f'<rect x="{min(x, place(1)):.1f}" y="{y}" width="{max(abs(x - place(1)), 1):.1f}" '
                  f'height="{step - 6}" rx="2" fill="{fill}"/>',
                  write(left - 10, y + 11, f"{label}  {SHORT.get(figure, figure)}", "end"),
                  write(x + 5 if times >= 1 else x - 5, y + 11, number, "" if times >= 1 else "end")]
    return page(height, title, parts)


def read_hgrm(path):
    """Points (quantile, milliseconds) of a percentile file."""
    points = []
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.split()
        if len(words) >= 3 and not line.startswith("#") and words[0][0].isdigit():
            points.append((float(words[1]), float(words[0])))
    return points


def curves(title, sides):
    """Percentiles of latency. `sides`: name, the run in the middle, and other runs: lists of points."""
    tail = max((1 / (1 - quantile) for _, best, _ in sides for quantile, _ in best if quantile < 1), default=1000)
    values = [ms for _, best, more in sides for points in (best, *more) for _, ms in points if ms > 0]
    if not values:
        return None
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    decades = max(math.ceil(math.log10(tail)), 2)
    left, right, top, bottom, height = 70, 36, 44, 46, 380
    across = lambda quantile: left + min(math.log10(1 / max(1 - quantile, 10 ** -decades)) / decades, 1) * (
        WIDTH - left - right)
    up = lambda ms: height - bottom - (math.log10(max(ms, 10 ** low)) - low) / (high - low) * (height - top - bottom)
    parts = [write(16, 24, title, "title")]
    for power in range(low, high + 1):
        parts += [rule(left, up(10 ** power), WIDTH - right, up(10 ** power)),
                  write(left - 8, up(10 ** power) + 4, f"{10 ** power:g} ms", "end soft")]
    for nines in range(decades + 1):
        quantile = 1 - 10 ** -nines
        label = f"{quantile * 100:.{max(nines - 2, 0)}f}%"
        parts += [rule(across(quantile), top, across(quantile), height - bottom),
                  write(across(quantile), height - bottom + 18, label, "mid soft")]
    parts.append(write(WIDTH / 2, height - 8, "percentile", "mid soft"))
    for nth, (name, best, more) in enumerate(sides):
        colour = COLOURS[nth % len(COLOURS)]
        for points, kind in [(points, "thin") for points in more] + [(best, "line")]:
            path = "L".join(f"{across(quantile):.1f} {up(ms):.1f}" for quantile, ms in points)
            parts.append(f'<path class="{kind}" stroke="{colour}" d="M{path}"/>')
        y = top + 16 + 18 * nth
        parts += [f'<rect x="{left + 12}" y="{y - 6}" width="18" height="3" fill="{colour}"/>',
                  write(left + 36, y, name)]
    return page(height, title, parts)
