"""Show the largest errors over every input, read from ``accuracy/exhaustive.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xloss.report.format import number, plain
from xloss.report.source import read_made

FILE = Path("accuracy") / "exhaustive.json"
HINT = "python -m xloss.exhaustive"
#: The columns, as far as there is a result for them.
COLUMNS = {
    "torch/eager/xloss": "xloss, torch",
    "jax/jit/xloss": "xloss, jax",
    "torch/eager/torch.nn.functional": "torch.nn.functional",
    "jax/jit/optax": "optax",
    "jax/jit/keras": "keras",
}
QUANTITIES = ("value", "gradient")


def read(source: Path) -> list[dict[str, Any]]:
    """Read the table that ``python -m xloss.exhaustive`` wrote, as the page shows it; no rows where there is none."""
    return read_made(source / FILE, HINT, lambda found: [_row(row) for row in found]) or []


def html(rows: list[dict[str, Any]]) -> str:
    """Return a ``<section>`` for the report's page; nothing where there are no rows."""
    from xloss.report import pages

    if not rows:
        return ""
    columns = {who: label for who, label in COLUMNS.items() if any(who in row["cells"] for row in rows)}
    complete = [row for row in rows if row["complete"]]
    return pages.render(
        "exhaustive.html",
        rows=rows,
        columns=columns,
        complete=len(complete),
        inputs=sum(row["inputs"] for row in complete),
        strides=sorted({cell["stride"] for row in rows for cells in row["cells"].values() for cell in cells} - {1}),
        machines=sorted({row["machine"] for row in rows}),
        versions=sorted({row["versions"] for row in rows}),
    )


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    results = row["results"]
    versions = {name: plain(version) for name, version in row["versions"].items()}
    shown = [name for name in ("torch", "jax", "numpy", "optax", "keras") if name in versions]
    return {
        "problem": plain(row["problem"]),
        "dtype": plain(row["dtype"]),
        "inputs": int(row["inputs"]),
        # Of xloss's own: a peer that was sampled is marked in its cell.
        "complete": all(results[who]["stride"] == 1 for who in results if who.endswith("/xloss")),
        "cells": {
            who: [_cell(results[who][name], results[who]["stride"]) for name in QUANTITIES]
            for who in COLUMNS
            if who in results
        },
        "machine": f"{plain(row['cpu'])}, {plain(row['kernels'])}",
        "versions": ", ".join(f"{name} {versions[name]}" for name in shown),
    }


def _cell(one: Mapping[str, Any], stride: int) -> dict[str, Any]:
    """Return what a cell says: the largest error, where, and the largest where the problem is well conditioned."""
    lost, worst, well = int(one["lost"]), one["worst"], one["conditioned"]
    there = one["lost_at"] if lost else worst
    return {
        "worst": "∞" if lost else _ulps(worst),
        "at": "" if there is None else ", ".join(short(x) for x in there["at"]),
        "well": _ulps(well),
        "stride": int(stride),
    }


def _ulps(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "≤ 0.5"
    ulps = float(found.get("ulps", math.inf))
    return f"{ulps:.2f}" if ulps < 9.995 else number(ulps)


def short(text: str) -> str:
    """Return a hexadecimal floating number without the zeros that end its digits: 0x1.8p-3."""
    digits, _, exponent = plain(text).partition("p")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{exponent}" if exponent else digits
