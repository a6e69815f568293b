"""Report on speed: from asv's results and the rows of `xloss bench` to sections of the page and tables to keep.

Each of the two may be missing; the page then says which command makes it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from xloss.report.source import BENCH, HISTORY_HINT, read_bench, read_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from xloss.report.speed.history import Change
    from xloss.report.speed.sections import Section

__all__ = ["Speed", "build"]


@dataclass(frozen=True)
class Speed:
    """Where the numbers come from and who is faster, in sentences; sections, and tables to be kept in ``data/``."""

    lead: Sequence[str]
    summary: Sequence[str] = ()
    sections: Sequence[Section] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def build(source: Path) -> Speed:
    """Build the part about speed of the report on a folder. `ReportError` where a file is not what it should be."""
    from xloss.report.speed import changes, history, sections, tables

    raw, rows = read_history(source), read_bench(source)
    if raw.empty and not rows:
        return Speed(
            [f"Nothing was benchmarked. {HISTORY_HINT} measures every loss, in all versions of asv.conf.json."]
        )
    table = tables.prepare(raw)
    found, compared = history.changes(table), tables.comparisons(rows)
    summary = sections.tallies(compared)
    made: list[Section | None] = [sections.ratios(compared, summary, rows[0] if rows else {}, str(source / BENCH))]
    newest, several = tables.newest(table), len(tables.places(table)) > 1
    for machine, device in tables.places(newest):
        part = newest[(newest["machine"] == machine) & (newest["device"] == device)]
        place = f": {machine}, {device}" if several else ""
        made += [make(part, place) for make in (sections.throughput, sections.memory, sections.compile_times)]
    made += [sections.versions(table, found), changes.build(raw, source)]
    made.append(sections.failed(raw[raw["status"] == "failed"]))
    return Speed(sections.lead(table), summary, [one for one in made if one is not None], _kept(raw, found))


def _kept(raw: pd.DataFrame, found: Sequence[Change]) -> dict[str, pd.DataFrame]:
    """Return the tables for ``data/`` by name: what was measured, and what changed."""
    import pandas as pd

    from xloss.report.speed.history import Change

    columns = [one.name for one in dataclasses.fields(Change)]
    measured = raw[raw["status"] != "skipped"].reset_index(drop=True)
    return {"speed": measured, "speed_changes": pd.DataFrame([dataclasses.astuple(c) for c in found], columns=columns)}
