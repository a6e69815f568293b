"""Show what each check finds of the gallery of public bugs, read from ``gallery.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xloss.report.format import plain
from xloss.report.source import ReportError

FILE = "gallery.json"
HINT = "python -m tests.gallery.oracles --write"
#: What a row of the table has: texts, and counts.
TEXTS, COUNTS = ("oracle",), ("cases", "caught", "side named", "cause named", "healthy", "false alarms")


def read(source: Path) -> dict[str, Any] | None:
    """Read the table that ``python -m tests.gallery.oracles --write`` wrote; None where there is none."""
    path = source / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        rows = [_row(row) for row in found["rows"]]
        versions = {plain(name): plain(version) for name, version in found["versions"].items()}
    except (ValueError, OSError, TypeError, LookupError, AttributeError) as error:
        raise ReportError(f"{path} cannot be read ({plain(error)[:300]}); run again: {HINT}") from error
    if not rows:
        raise ReportError(f"{path} has no row; run again: {HINT}")
    return {"rows": rows, "versions": versions}


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
