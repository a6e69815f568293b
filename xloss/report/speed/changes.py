"""Show what commits and releases changed, by change points, and how far those can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xloss.report import format as words
from xloss.report.format import count, number, plain, plural
from xloss.report.source import read_made
from xloss.report.speed.sections import Grid, Section

if TYPE_CHECKING:
    import pandas as pd

    from xloss.bench.changes import Change, Found

FILE = "changes.json"
HINT = "python -m xloss.bench.changes.recall"
COMMAND = "make regressions"
#: The table shows so many changes; the command prints all.
MOST = 40


def build(table: pd.DataFrame, source: Path) -> Section | None:
    """Build the section from asv's table and the measured recall; None where there is neither."""
    from xloss.bench import changes

    measured = read_made(source / FILE, HINT, _recall)
    found = changes.find(table) if len(table) else None
    return section(found, measured)


def section(found: Found | None, measured: Mapping[str, Any] | None) -> Section | None:
    """Lay out what was found, and the table of recall and precision."""
    text, grids = [], []
    if found is not None and found.judged:
        worse = sum(change.worse for change in found.changes)
        text.append(
            "Every cell's history, along the commits of xloss and along the releases of its framework, is cut where "
            "its level changes; the machine's control, a copy of memory, is divided out of times. Of what is listed, "
            "one in twenty may be chance. Numbers that are the same whenever they are measured (ulps, planned memory) "
            f"need one run. {plural(found.judged, 'series', 'series')} judged, {count(found.short)} too short; "
            f"{plural(len(found.changes), 'change')}, {count(worse)} for the worse. {COMMAND} lists those."
        )
        least = [x for x in found.least if math.isfinite(x)]
        if len(least) == len(found.least) and least:
            middle = words.share(least[1] - 1)
            text.append(
                f"With the runs and the noise there are, half of the timed series would show a step of {middle}."
            )
        if found.changes:
            head = ("commit or release", "loss", "who", "what", "before", "after", "×", "interval", "runs", "verdict")
            shown = found.changes[:MOST]
            more = f" ({MOST} of {count(len(found.changes))})" if len(found.changes) > MOST else ""
            grids.append(Grid(f"Changes found{more}", head, tuple(map(_row, shown)), 4, True))
    if measured:
        text.append(
            f"How much is found: {count(measured['runs'])} runs of the history, without their cells' levels, are "
            f"the noise (deviation {words.share(measured['deviation'])}). Of {measured['series']} series drawn, "
            "half get a step at a random place. Recall: the share of steps found in their direction, at most "
            f"{measured['near']} runs off; precision: the share of reports that are such a step; alarms: reports in "
            "series without one. The noise as recorded, and made quieter by a factor; beside it asv's own step "
            "detection on the same series."
        )
        names = ("noise", "runs", "step", "recall", "precision", "alarms", "asv: recall", "precision", "alarms")
        grids.append(Grid("Recall and precision", names, tuple(_pairs(measured["rows"])), 1, True))
    return Section("Changes found", tuple(text), (), tuple(grids)) if text else None


def _row(one: Change) -> tuple[str, ...]:
    show = {"digits": number, "memory": words.size}.get(one.topic, words.seconds)
    interval = "exact" if one.low == one.high else words.interval(one.low, one.high)
    runs = f"{one.runs[0]} + {one.runs[1]}"
    numbers = (show(one.old), show(one.new), words.ratio(one.ratio), interval, runs)
    return (one.place, one.loss, one.who, one.what, *numbers, one.verdict)


def _recall(found: Mapping[str, Any]) -> dict[str, Any]:
    """Check what was read: counts that fit together."""
    names = ("steps", "found", "reported", "alarms", "runs", "replicates")
    rows = []
    for row in found["rows"]:
        counts = {name: row[name] for name in names}
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in counts.values()):
            raise ValueError(f"expected counts, got {counts}")
        if counts["found"] + counts["alarms"] > counts["reported"] or not 0 < counts["steps"] >= counts["found"]:
            raise ValueError(f"expected counts that fit together, got {counts}")
        numbers = {name: float(row[name]) for name in ("noise", "step")}
        rows.append({**counts, **numbers, "method": plain(row["method"]), "recorded": bool(row["recorded"])})
    if not rows:
        raise ValueError("expected rows, got none")
    facts = {name: int(found[name]) for name in ("runs", "series", "near")}
    return {**facts, "deviation": float(found["deviation"]), "rows": rows}


def _pairs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a line for each noise, length and step, with both methods' figures."""
    lines: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}
    for row in rows:
        noise = words.share(row["noise"]) + (" (as recorded)" if row["recorded"] else "")
        key = (
            noise,
            f"{row['runs']} × {row['replicates']}" if row["replicates"] > 1 else str(row["runs"]),
            words.share(row["step"] - 1),
        )
        precision = f"{row['found'] / row['reported']:.2f}" if row["reported"] else "–"
        figures = (f"{row['found'] / row['steps']:.2f}", precision, str(row["alarms"]))
        lines.setdefault(key, {})[row["method"]] = figures
    none = ("–",) * 3
    return [(*key, *by.get("xloss", none), *by.get("asv", none)) for key, by in lines.items()]
