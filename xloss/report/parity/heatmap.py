"""Build the map of errors: a row per loss, a column per implementation and dtype, the worst check in each cell."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xloss.report.format import BADGES, number, share, times
from xloss.report.parity.tables import ASKED, contestants, ill_conditioned, offered

#: Upper ends of the steps of color: in ulps, and in shares of the budget.
ULP_STEPS: tuple[float, ...] = (0.5, 1.0, 4.0, 16.0, 100.0, 1e3, 1e5, 1e7, np.inf)
SHARE_STEPS: tuple[float, ...] = (0.1, 0.5, 1.0)
SHORT: Mapping[str, str] = {"torch.nn.functional": "torch.nn.func."}


@dataclass(frozen=True)
class HeatCell:
    """What a cell prints, its style (a step of color), its badge where something went wrong, and details of that."""

    text: str = ""
    style: str = "none"
    mark: str = ""
    title: str = ""

    @property
    def plain(self) -> str:
        """The cell as text."""
        return f"{BADGES.get(self.mark, '')} {self.text}".strip()


@dataclass(frozen=True)
class HeatMap:
    """One map, of values or gradients, over all inputs or the typical ones.

    `columns` are the dtypes, each with who was asked in it; the cells of a row follow them in one sequence.
    """

    quantity: str
    inputs: str
    caption: str
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]


def maps(table: pd.DataFrame, dtypes: Iterable[str]) -> list[HeatMap]:
    """Build the maps of value and gradient, over all inputs and over the typical ones: four of the same layout."""
    losses, table = sorted(set(table["loss"])), offered(table)
    known, there = list(dtypes), set(table["dtype"])
    columns = tuple(
        (dtype, tuple(contestants(table[table["dtype"] == dtype])))
        for dtype in [name for name in known if name in there] + sorted(there.difference(known))
    )
    out = []
    for mechanism, quantity in ASKED.items():
        for inputs in ("all", "typical"):
            # A cell that gave no row of its own (its process died) has no mechanism: it counts for both.
            part = table[table["mechanism"].isin([mechanism, ""])]
            if inputs == "typical":
                part = part[part["regime"] == "typical"]
            caption = f"Worst error of the {quantity} over {inputs} inputs"
            out.append(HeatMap(quantity, inputs, caption, columns, _rows(part, losses, columns)))
    return out


def _rows(
    part: pd.DataFrame, losses: Sequence[str], columns: Sequence[tuple[str, tuple[str, ...]]]
) -> tuple[tuple[str, tuple[HeatCell, ...]], ...]:
    groups = dict(iter(part.groupby(["loss", "dtype", "who"])))
    places = [(dtype, who) for dtype, names in columns for who in names]
    return tuple((loss, tuple(heat_cell(groups.get((loss, *place))) for place in places)) for loss in losses)


def heat_cell(rows: pd.DataFrame | None) -> HeatCell:
    """Sum up checks: ulps where the problem is well conditioned or a check fails, else the share of the budget."""
    if rows is None or rows.empty:
        return HeatCell()
    outcome, ulps, budget = (rows[name].to_numpy() for name in ("outcome", "max_ulp", "budget"))
    ulps, budget = (np.where(np.isnan(x.astype(float)), np.inf, x.astype(float)) for x in (ulps, budget))
    asked, missed, broken = outcome != "unsupported", outcome == "miss", outcome == "broken"
    if not asked.any():
        return HeatCell("n/a")
    mark = "miss" if missed.any() else "broken" if broken.any() else ""
    measured = asked & ~broken
    if not measured.any():
        return HeatCell(str(rows["status"].iloc[0]), "none", mark, str(rows["reason"].iloc[0])[:80])
    ill, worst = ill_conditioned(outcome, ulps), float(budget[measured].max())
    if ill.any() and not mark:
        return HeatCell(share(worst), f"b{bisect.bisect_left(SHARE_STEPS, worst)}")
    title = f"{times(worst)} × budget, {(missed | broken).sum()} of {asked.sum()} bad"
    if not (measured & ~ill).any():
        return HeatCell("", "none", mark, title)
    shown = float(ulps[measured & ~ill].max())
    return HeatCell(number(shown), f"s{bisect.bisect_left(ULP_STEPS, shown)}", mark, title if mark else "")
