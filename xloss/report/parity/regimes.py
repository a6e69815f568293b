"""Sum up a sweep by loss and regime, in a file that is small enough to be committed: what pages of losses show.

Values and gradients in float32: a cell for each regime and implementation, as the map of errors has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xloss.report.format import plain
from xloss.report.parity import heatmap, tables
from xloss.report.parity.heatmap import HeatCell
from xloss.report.source import read_made

if TYPE_CHECKING:
    import pandas as pd

FILE = Path("regimes.json")
HINT = "xloss parity --out reports && xloss report reports"
DTYPE = "float32"


def summarize(table: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of a prepared table (`tables.prepare`) and of the facts about its run, as plain data."""
    losses = {str(loss): _loss(part) for loss, part in table.groupby("loss")}
    about = {name: str(facts.get(name) or "") for name in ("command", "created", "cpu")}
    return {**about, "versions": _versions(facts), "dtype": DTYPE, "losses": losses}


def _versions(facts: Mapping[str, Any]) -> dict[str, str]:
    found = facts.get("versions")
    return {str(k): str(v) for k, v in found.items() if v} if isinstance(found, Mapping) else {}


def _loss(part: pd.DataFrame) -> dict[str, Any]:
    """Sum up one loss: the checks of xloss, and the maps of value and gradient."""
    from xloss.parity.inputs import REGIMES

    own, maps = tables.tally(tables.ours(part)), {}
    offered = tables.offered(part)
    for mechanism, quantity in tables.ASKED.items():
        # A cell that gave no row of its own (its process died) has no mechanism: it counts for both.
        chosen = offered[offered["mechanism"].isin([mechanism, ""]) & (offered["dtype"] == DTYPE)]
        whos, groups = tables.contestants(chosen), dict(iter(chosen.groupby(["regime", "who"])))
        rows = {
            regime: [list(dataclasses.astuple(heatmap.heat_cell(groups.get((regime, who))))) for who in whos]
            for regime in [*REGIMES, *sorted(set(chosen["regime"]) - set(REGIMES))]
            if any((regime, who) in groups for who in whos)
        }
        maps[quantity] = {"whos": whos, "rows": rows}
    return {"checks": own.checks, "bad": own.bad, "maps": maps}


def read(source: Path) -> dict[str, Any]:
    """Read the summary that ``xloss report`` wrote beside its page; nothing where there is none."""
    return read_made(source / FILE, HINT, parse) or {}


def parse(found: Any) -> dict[str, Any]:
    """Return a summary as pages show it: cells are `HeatCell`s, texts are clean."""
    about = {name: plain(found[name]) for name in ("command", "created", "cpu", "dtype")}
    versions = {plain(name): plain(text) for name, text in found["versions"].items()}
    losses = {}
    for loss, one in found["losses"].items():
        maps = {
            plain(quantity): {
                "whos": [plain(who) for who in given["whos"]],
                "rows": {plain(regime): _cells(cells, len(given["whos"])) for regime, cells in given["rows"].items()},
            }
            for quantity, given in one["maps"].items()
        }
        losses[plain(loss)] = {"checks": int(one["checks"]), "bad": int(one["bad"]), "maps": maps}
    return {**about, "versions": versions, "losses": losses}


def _cells(cells: Any, count: int) -> list[HeatCell]:
    if len(cells) != count:
        raise ValueError(f"expected a cell for each of {count} implementations, got {len(cells)}")
    return [HeatCell(*(plain(text) for text in cell)) for cell in cells]
