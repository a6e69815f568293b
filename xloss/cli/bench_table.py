"""The table of `xloss bench`: what follows from times and bytes, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xloss.report import format as words

Row = Mapping[str, Any]


def compared(rows: Sequence[dict[str, Any]], bandwidth: float) -> list[dict[str, Any]]:
    """Add bytes a second, the share of the roofline, and the ratio to the fastest to the rows of one table."""
    from xloss.bench.compare import ratio

    timed = [row for row in rows if row["value_and_grad_seconds"] is not None]
    best = min(timed, key=lambda row: row["value_and_grad_seconds"], default=None)
    out = []
    for row in rows:
        new: dict[str, Any] = dict.fromkeys(
            ("bytes_per_second", "share_of_roofline", "ratio", "ratio_low", "ratio_high", "verdict")
        )
        # A GPU's own time where it was measured: the host's is about launching.
        taken = row["device_seconds"] or row["value_and_grad_seconds"]
        if taken and row["least_bytes"]:
            new["bytes_per_second"] = row["least_bytes"] / taken
            new["share_of_roofline"] = row["least_bytes"] / bandwidth / taken if not row["flops"] else None
        if row is best:
            new |= {"ratio": 1.0, "verdict": "fastest"}
        elif best is not None and row["samples"]:
            count = min(len(row["samples"]), len(best["samples"]))
            found = ratio(best["samples"][:count], row["samples"][:count])
            new |= {"ratio": found.ratio, "ratio_low": found.low, "ratio_high": found.high, "verdict": found.verdict}
        out.append({**row, **new})
    return out


def _ratio(row: Row) -> str:
    if row["ratio"] is None:
        return "–"
    if row["ratio_low"] is None:
        return words.ratio(row["ratio"])
    return f"{words.ratio(row['ratio'])} ({words.interval(row['ratio_low'], row['ratio_high'])})"


def _ulps(row: Row) -> str:
    if row["value_worst_ulps"] is None:
        return "–"
    return f"{words.number(row['value_worst_ulps'])} / {words.number(row['gradient_worst_ulps'])}"


#: Heading, what a row shows there, and the fields of which one must be there for the column to be shown.
COLUMNS: tuple[tuple[str, Callable[[Row], str], tuple[str, ...]], ...] = (
    ("value", lambda row: words.seconds(row["value_seconds"]), ("value_seconds",)),
    ("value and\ngradient", lambda row: words.seconds(row["value_and_grad_seconds"]), ()),
    ("on the\ndevice", lambda row: words.seconds(row["device_seconds"]), ("device_seconds",)),
    ("per\nsample", lambda row: words.seconds(row["per_sample_seconds"]), ("per_sample_seconds",)),
    ("compile", lambda row: words.seconds(row["compile_seconds"]), ("compile_seconds",)),
    ("peak\nmemory", lambda row: words.size(row["peak_bytes"]), ("peak_bytes",)),
    ("GB/s", lambda row: words.gigabytes(row["bytes_per_second"]), ("bytes_per_second",)),
    ("share of\nroofline", lambda row: words.share(row["share_of_roofline"]), ("share_of_roofline",)),
    ("worst ulps,\nvalue / grad.", _ulps, ("value_worst_ulps",)),
    ("ratio to\nthe fastest", _ratio, ()),
    ("verdict", lambda row: row["verdict"] or row["status"], ()),
)


def show(rows: Sequence[Row], facts: Mapping[str, Any], screen: Any) -> None:
    """Print a table for each dtype, and below it what the numbers mean and why some are missing."""
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        part = sorted(
            (row for row in rows if row["dtype"] == dtype),
            key=lambda row: row["value_and_grad_seconds"] or float("inf"),
        )
        columns = [c for c in COLUMNS if not c[2] or any(row[field] is not None for field in c[2] for row in part)]
        texts = [(heading, [text(row) for row in part]) for heading, text, _ in columns]
        first = part[0]
        variant = "" if first["variant"] == "default" else f" ({first['variant']})"
        title = f"{first['loss']}{variant}, {first['shape']}, {dtype}, {facts['device']}"
        for number, group in enumerate(fitting(_names(part), texts, screen.width)):
            screen.print(_grid(title if number == 0 else "", part, group))
        for line in remarks(part, facts):
            screen.print(line, markup=False)


Column = tuple[str, Sequence[str]]


def _names(rows: Sequence[Row]) -> list[Column]:
    """Return the columns that name the contestant."""
    modes = [f"{row['framework']} {row['mode']}" for row in rows]
    return [("implementation", [row["implementation"] for row in rows]), ("mode", modes)]


def fitting(names: Sequence[Column], columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Split the columns into as many tables as it takes to fit into the width, each with the names before them."""
    widths = [max(map(len, [*heading.split("\n"), *cells])) + 3 for heading, cells in (*names, *columns)]
    start = sum(widths[: len(names)]) + 1
    groups: list[list[Column]] = []
    free = 0
    for column, wide in zip(columns, widths[len(names) :], strict=True):
        if not groups or wide > free:
            groups.append([*names])
            free = width - start
        groups[-1].append(column)
        free -= wide
    return groups


def _grid(title: str, rows: Sequence[Row], columns: Sequence[Column]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=escape(title), title_justify="left")
    for number, (heading, _) in enumerate(columns):
        grid.add_column(heading, justify="left" if number < 2 else "right")
    for number, row in enumerate(rows):
        style = "bold" if row["verdict"] == "fastest" else "red" if row["status"] not in ("ok", "unsupported") else ""
        grid.add_row(*(escape(cells[number]) for _, cells in columns), style=style)
    return grid


def remarks(rows: Sequence[Row], facts: Mapping[str, Any]) -> list[str]:
    """Return what the numbers of one table mean, and why some are missing."""
    from xloss.bench.compare import LEAST_ROUNDS

    lines = []
    known = next((row for row in rows if row["least_bytes"]), None)
    if known is not None:
        speed = facts["copy_bytes_per_second"]
        lines.append(
            f"roofline: {words.size(known['least_bytes'])} to read and write once, "
            f"{words.seconds(known['least_bytes'] / speed)} at this machine's copy bandwidth of {words.rate(speed)}; "
            "more than 100 % of it comes from a cache"
        )
        if known["flops"]:
            lines.append(
                f"its arithmetic, {known['flops'] / 1e9:.3g} GFLOP, may cost more than its bytes: no share of roofline"
            )
    if any(row["peak_bytes"] is not None for row in rows):
        ruler = next(row["peak_ruler"] for row in rows if row["peak_ruler"])
        least = words.size(known["least_peak_bytes"]) if known else "–"
        lines.append(
            f"peak memory: above the inputs, in a fresh process ({ruler}); the least is {least}, the gradients"
        )
    if facts["rounds"] < LEAST_ROUNDS:
        lines.append(f"no verdicts of {words.plural(facts['rounds'], 'round')}: --rounds {LEAST_ROUNDS} or more")
    elif any(row["verdict"] == "ambiguous" for row in rows):
        lines.append(
            "ambiguous: the interval is too wide to tell; more --rounds narrow it, and a machine that does nothing else"
        )
    versions = {row["framework"]: row["version"] for row in rows if row["version"]}
    lines.append(
        ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"; {facts['cpu']}, {facts['cores']} cores"
    )
    reasons: dict[str, list[str]] = {}
    names = {"facts": "", "value_and_grad": "value and gradient", "ulps": "accuracy", "peak": "peak memory"}
    for row in rows:
        for what, reason in row["notes"].items():
            if what == "compile" and row["mode"] == "eager":
                continue
            who = (
                f"{row['implementation']}, {row['framework']} {row['mode']}, {names.get(what, what.replace('_', ' '))}"
            )
            reasons.setdefault(reason, []).append(who.rstrip(", "))
    lines += [f"{'; '.join(who)}: {reason}" for reason, who in reasons.items()]
    return lines
