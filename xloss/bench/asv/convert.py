"""`python -m xloss.bench.asv.convert FOLDER`: results named `speed.<loss>.track_<quantity>` get the names of today.

The framework and the mode stand in the module's name now, and parameters hold only what a loss has. A number, its
statistics, its samples and its version are kept as they are; cells that were skipped are left out.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

from xloss import files
from xloss.bench.asv import cells


def convert(stored: dict[str, Any]) -> dict[str, Any]:
    """Return asv's file of results with today's names; one that has them is returned as it is."""
    found: dict[str, dict[str, Any]] = {}
    for name, row in stored["results"].items():
        entry = dict(zip(stored["result_columns"], row, strict=False))
        kind, loss, method = name.split(".")
        if kind not in cells.PARAMETERS:
            found[name] = entry
            continue
        points = [[literal.strip("'") for literal in point] for point in itertools.product(*entry["params"])]
        for number, point in enumerate(points):
            value = None if entry["result"] is None else entry["result"][number]
            if value is not None and math.isnan(value):
                continue
            framework, mode, implementation = point[0].split("/") if kind != "machine" else (point[0], "", "")
            if framework not in stored["requirements"]:
                continue
            if kind == "machine":
                new, rest = f"machine_{framework}.memory.copy", []
            else:
                new = f"{kind}_{framework}_{mode}.{loss}.{method.removeprefix('track_')}"
                rest = [implementation, *point[1:]]
            into = found.setdefault(new, {**{key: entry.get(key) for key in SCALARS}, "points": {}})
            into["points"][tuple(rest)] = {
                key: entry[key][number] for key in stored["result_columns"] if entry.get(key) and key in LISTS
            } | {"result": value}
    return {**stored, "results": {name: _row(entry, stored["result_columns"]) for name, entry in found.items()}}


SCALARS = ("version", "started_at", "duration")
LISTS = ("stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75", "stats_number", "stats_repeat", "samples")


def _row(entry: dict[str, Any], columns: list[str]) -> list[Any]:
    """Return asv's row: the points as lists, by all values of each parameter."""
    if "points" in entry:
        points = entry.pop("points")
        axes = [list(dict.fromkeys(values)) for values in zip(*points, strict=True)]
        every = list(itertools.product(*axes))
        lists = {key: [points.get(point, {}).get(key) for point in every] for key in LISTS}
        # What was never asked is NaN in asv's files, what failed is null.
        values = [points[point]["result"] if point in points else math.nan for point in every]
        entry = {**entry, "result": values, "params": axes}
        entry |= {key: some if any(one is not None for one in some) else None for key, some in lists.items()}
    row = [entry.get(name) for name in columns]
    while row and row[-1] is None:
        row.pop()
    return row


def main() -> None:
    """Convert each file below a folder of results."""
    for path in sorted(Path(sys.argv[1]).glob("*/*.json")):
        if path.name != "machine.json":
            text = json.dumps(convert(json.loads(path.read_text("utf-8"))))
            files.write_text(path, text + "\n")


if __name__ == "__main__":
    main()
