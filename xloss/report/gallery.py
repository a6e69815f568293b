"""Show what each check finds of the gallery of public bugs, read from ``gallery.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xloss.report.format import plain
from xloss.report.source import ReportError, read_made

FILE = "gallery.json"
HINT = "python -m tests.gallery.oracles --write"
#: What a row of the table has: texts, and counts.
TEXTS, COUNTS = ("oracle",), ("cases", "caught", "side named", "cause named", "healthy", "false alarms")


def read(source: Path) -> dict[str, Any] | None:
    """Read the table that ``python -m tests.gallery.oracles --write`` wrote; None where there is none."""
    path = source / FILE
    found = read_made(path, HINT, _table)
    if found is not None and not found["rows"]:
        raise ReportError(f"{path} has no row; run again: {HINT}")
    return found


def _table(found: Mapping[str, Any]) -> dict[str, Any]:
    versions = {plain(name): plain(version) for name, version in found["versions"].items()}
    return {"rows": [_row(row) for row in found["rows"]], "versions": versions}


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: plain(row[name]) for name in TEXTS}
    counts = {name: row[name] for name in COUNTS}
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in counts.values()):
        raise ValueError(f"{texts['oracle']}: expected counts, got {counts}")
    return {**texts, **counts}


def html(found: Mapping[str, Any] | None) -> str:
    """Return a ``<section>`` for the report's page; nothing where there is no table."""
    from xloss.report import pages

    return pages.render("gallery.html", **found) if found else ""
