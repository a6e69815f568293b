"""The part of the report about speed: from asv's results and the rows of `xloss bench` to a fragment, a page and data.

Reads ``history/`` (asv's `results_dir`) and ``data/bench.parquet`` (``xloss bench --all --out``) of the report's folder;
each may be missing, and the page then says which command makes it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from xloss.report.speed.sections import Section

HISTORY, RATIOS = "history", "data/bench.parquet"


@dataclass(frozen=True)
class Speed:
    """What the report takes from here: the section's HTML, ``speed.md`` (if anything was measured), tables to be kept."""

    fragment: str
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def build(source: Path) -> Speed:
    """Make the part about speed of the report on a folder. `ReportError` where a file is not what it should be."""
    from xloss.report.speed import history, sections, tables

    raw, rows = read_history(source), read_ratios(source)
    if raw.empty and not rows:
        hint = (
            f"Nothing was benchmarked. {sections.HISTORY_HINT} measures every loss, in all versions of asv.conf.json."
        )
        return Speed(_html([hint], []))
    table = tables.prepare(raw)
    found = history.changes(table)
    found_sections: list[Section | None] = [
        sections.ratios(tables.duels(rows), rows[0] if rows else {}, str(source / RATIOS))
    ]
    newest, several = tables.newest(table), len(tables.places(table)) > 1
    for machine, device in tables.places(newest):
        part = newest[(newest["machine"] == machine) & (newest["device"] == device)]
        place = f": {machine}, {device}" if several else ""
        found_sections += [make(part, place) for make in (sections.throughput, sections.memory, sections.compiling)]
    found_sections += [sections.versions(table, found), sections.missing(tables.failed(raw))]
    shown = [section for section in found_sections if section is not None]
    lead = sections.lead(table)
    return Speed(_html(lead, shown), {"speed.md": _markdown(lead, shown)}, _kept(raw, found))


def read_history(source: Path) -> pd.DataFrame:
    """All that asv stored below the folder, with what follows from it; without rows where it stored nothing."""
    from xloss.bench.asv import results
    from xloss.report import ReportError

    folder = source / HISTORY
    try:
        return results.derive(results.read(folder))
    except (ValueError, KeyError, OSError) as error:
        raise ReportError(
            f"{folder} cannot be read ({error}); these are not results of asv's that this version knows"
        ) from error


def read_ratios(source: Path) -> list[dict[str, Any]]:
    """The rows that ``xloss bench --out`` wrote; none where there is no such file."""
    import pandas as pd

    from xloss.report import ReportError
    from xloss.report.speed.sections import RATIOS_HINT

    path = source / RATIOS
    if not path.is_file():
        return []
    try:
        rows = pd.read_parquet(path).to_dict("records")
        return [
            {**{str(key): value for key, value in row.items()}, "samples": json.loads(row["samples"])} for row in rows
        ]
    except (ValueError, KeyError, OSError) as error:
        raise ReportError(f"{path} cannot be read ({error}); run again: {RATIOS_HINT.format(path=path)}") from error


def _kept(raw: pd.DataFrame, found: list[Any]) -> dict[str, pd.DataFrame]:
    """The tables for ``data/``: what was measured, and what changed; by name."""
    import pandas as pd

    measured = raw[raw["status"] != "skipped"].reset_index(drop=True)
    fields = [one.name for one in dataclasses.fields(found[0])] if found else []
    return {
        "speed": measured,
        "speed_changes": pd.DataFrame([dataclasses.asdict(change) for change in found], columns=fields or None),
    }


def _html(lead: list[str], sections: list[Section]) -> str:
    from markupsafe import Markup

    from xloss.report.pages import html_environment

    return html_environment().get_template("speed.html").render(lead=lead, sections=sections, own=Markup)


def _markdown(lead: list[str], sections: list[Section]) -> str:
    from xloss.report.pages import markdown_environment

    text = markdown_environment().get_template("speed.md").render(lead=lead, sections=sections)
    return text.rstrip() + "\n"
