"""Show how many planted faults a default sweep sees, read from ``mutants.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xloss.report.format import plain
from xloss.report.source import read_made

FILE = Path("mutants.json")
HINT = "python -m tests.mutants --write"


def read(source: Path) -> dict[str, Any]:
    """Read what ``python -m tests.mutants --write`` wrote; nothing where there is no such file."""
    return read_made(source / FILE, HINT, _table) or {}


def _table(found: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [{"kind": plain(k["kind"]), "seen": int(k["seen"]), "all": int(k["all"])} for k in found["kinds"]]
    if not any(kind["all"] for kind in kinds):
        raise ValueError("expected the counts of some mutants, got none")
    return {
        "kinds": kinds,
        "unseen": [{"id": plain(one["id"]), "reason": plain(one["reason"])} for one in found["unseen"]],
        "seen": sum(kind["seen"] for kind in kinds),
        "all": sum(kind["all"] for kind in kinds),
        "losses": int(found["losses"]),
    }


def html(found: dict[str, Any]) -> str:
    """Return a ``<section>`` for the report's page; nothing where nothing was read."""
    from xloss.report import pages

    return pages.render("mutants.html", **found, share=100 * found["seen"] / found["all"]) if found else ""
