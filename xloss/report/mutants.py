"""Show how many planted faults a default sweep sees, read from ``mutants.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xloss.report.format import plain
from xloss.report.source import ReportError

FILE = Path("mutants.json")
HINT = "python -m tests.mutants --write"


def read(source: Path) -> dict[str, Any]:
    """Read what ``python -m tests.mutants --write`` wrote; nothing where there is no such file."""
    path = source / FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
        kinds = [{"kind": str(k["kind"]), "seen": int(k["seen"]), "all": int(k["all"])} for k in found["kinds"]]
        unseen = [{"id": str(one["id"]), "reason": str(one["reason"])} for one in found["unseen"]]
    except (ValueError, OSError, TypeError, LookupError) as error:
        raise ReportError(f"{path} cannot be read ({plain(error)[:300]}); run again: {HINT}") from error
    return {
        "kinds": kinds,
        "unseen": unseen,
        "seen": sum(kind["seen"] for kind in kinds),
        "all": sum(kind["all"] for kind in kinds),
        "losses": int(found["losses"]),
    }


def html(found: dict[str, Any]) -> str:
    """Return a ``<section>`` for the report's page; nothing where nothing was read."""
    from xloss.report import pages

    return pages.render("mutants.html", **found, share=100 * found["seen"] / found["all"]) if found else ""
