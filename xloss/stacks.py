"""Know on which stacks (versions of Python and of the packages that a result depends on) xloss was run.

``stacks.json`` beside this file has a row a stack; `make stacks` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("stacks.json")
Row = dict[str, Any]


def read(path: Path = FILE) -> list[Row]:
    """Read the stacks that were run, oldest torch first.

    Each has ``stack`` (its name), ``date``, ``python``, ``versions`` by package, ``tests`` (passed, skipped, failed)
    and ``checks`` (within and outside of the budget).
    """
    rows: list[Row] = json.loads(path.read_text("utf-8"))
    return sorted(rows, key=lambda row: (_number(row["versions"]["torch"]), _number(row["versions"]["jax"])))


def outside(versions: Mapping[str, str | None], python: str, rows: Iterable[Row] | None = None) -> list[str]:
    """Say of each installed version that is beyond those that were run what was run; nothing where all are between."""
    rows = read() if rows is None else list(rows)
    installed = {"Python": ".".join(python.split(".")[:2]), **versions}
    ran = [{"Python": ".".join(row["python"].split(".")[:2]), **row["versions"]} for row in rows]
    found = []
    for name, version in installed.items():
        known = sorted({row[name] for row in ran if row.get(name)}, key=_number)
        if not version or not known or _number(known[0]) <= _number(version) <= _number(known[-1]):
            continue
        how = "older than the oldest" if _number(version) < _number(known[0]) else "newer than the newest"
        found.append(f"{name} {version} is {how} that xloss was run on ({known[0]} to {known[-1]})")
    return found


def _number(version: str) -> Any:
    """Return a version to compare by, without its local part: 2.13.0+cpu is no newer than 2.13.0."""
    from packaging.version import Version

    return Version(Version(version).public)
