"""Show whose rows have the same bits in every batch, read from ``invariance.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xloss.report.format import plain
from xloss.report.source import read_made

FILE = Path("invariance.json")
HINT = "python -m xloss.parity.invariance"


def read(source: Path) -> dict[str, Any]:
    """Read what ``python -m xloss.parity.invariance`` wrote; nothing where there is no such file."""
    return read_made(source / FILE, HINT, _table) or {}


def _table(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [_row(one) for one in found["results"]]
    if not rows:
        raise ValueError("expected results, got none")
    asked = [row for row in rows if not row["reason"]]
    return {
        "rows": sorted((row for row in asked if not row["same"]), key=lambda row: (row["loss"], row["who"])),
        "counts": {
            who: (sum(row["same"] for row in asked if row["who"] == who), sum(row["who"] == who for row in asked))
            for who in sorted({row["who"] for row in asked})
        },
        "left_out": sum(bool(row["reason"]) for row in rows),
        "batches": ", ".join(str(int(size)) for size in found["batches"]),
        "versions": ", ".join(f"{name} {plain(text)}" for name, text in found["versions"].items()),
    }


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: int(one[name]) for name in ("asked", "value", "gradient", "threads")}
    return {
        **counts,
        "loss": plain(one["loss"]),
        "who": f"{plain(one['implementation'])}, {plain(one['framework'])}",
        "reason": plain(one["reason"]),
        "same": not (counts["value"] or counts["gradient"] or counts["threads"]),
    }


def html(found: dict[str, Any]) -> str:
    """Return a ``<section>`` for the report's page; nothing where nothing was read."""
    from xloss.report import pages

    return pages.render("invariance.html", **found) if found else ""
