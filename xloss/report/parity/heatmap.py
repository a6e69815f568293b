"""The map of errors: a row a loss, a column an implementation in a dtype, the worst of its checks in each cell."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xloss.report.format import number, times
from xloss.report.parity.tables import ASKED, contestants

#: Upper ends of the steps of color, in ulps, each with the power of ten or the word that the key shows.
STEPS: tuple[float, ...] = (0.5, 1.0, 4.0, 16.0, 100.0, 1e3, 1e5, 1e7, np.inf)
SHORT: Mapping[str, str] = {"torch.nn.functional": "torch.nn.func."}


@dataclass(frozen=True)
class Square:
    """One cell of the map: what it prints, how dark it is, what went wrong, and what a pointer shows."""

    text: str
    under: str
    step: int | None
    mark: str
    title: str


@dataclass(frozen=True)
class Map:
    """One map, of values or gradients, over all inputs or the typical ones.

    `columns` are the dtypes, each with who was asked in it; the squares of a row follow them in one sequence.
    """

    quantity: str
    inputs: str
    caption: str
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[tuple[str, tuple[Square, ...]], ...]


def maps(table: pd.DataFrame, dtypes: Iterable[str]) -> list[Map]:
    """Value and gradient, over all inputs and over the typical ones: four maps of the same layout."""
    dtypes = list(dtypes)
    there = set(table["dtype"])
    columns = []
    for dtype in [name for name in dtypes if name in there] + sorted(there.difference(dtypes)):
        columns.append((dtype, tuple(contestants(table[table["dtype"] == dtype]))))
    out = []
    for mechanism, quantity in ASKED.items():
        for inputs in ("all", "typical"):
            # A cell that gave no row of its own (its process died) has no mechanism: it counts for both.
            part = table[table["mechanism"].isin([mechanism, ""])]
            if inputs == "typical":
                part = part[part["regime"] == "typical"]
            caption = f"Worst error of the {quantity} over {inputs} inputs, in ulps"
            rows = _rows(part, sorted(set(table["loss"])), columns)
            out.append(Map(quantity, inputs, caption, tuple(columns), rows))
    return out


def _rows(
    part: pd.DataFrame, losses: Sequence[str], columns: Sequence[tuple[str, tuple[str, ...]]]
) -> tuple[tuple[str, tuple[Square, ...]], ...]:
    groups: dict[Any, pd.DataFrame] = dict(iter(part.groupby(["loss", "dtype", "who"])))
    places = [(dtype, who) for dtype, names in columns for who in names]
    return tuple(
        (loss, tuple(square(groups.get((loss, *place)), ", ".join((loss, *place))) for place in places))
        for loss in losses
    )


def square(rows: pd.DataFrame | None, name: str) -> Square:
    """The cell of these checks; without any, an empty one."""
    if rows is None or rows.empty:
        return Square("", "", None, "", f"{name}: not run")
    asked = rows[rows["outcome"] != "unsupported"]
    if asked.empty:
        return Square("n/a", "", None, "", f"{name}: unsupported ({rows['reason'].iloc[0]})")
    bad, broken = int((asked["outcome"] == "miss").sum()), int((asked["outcome"] == "broken").sum())
    mark = "miss" if bad else "broken" if broken else ""
    tail = f"; {bad} outside the budget" * bool(bad) + f"; {broken} broken off" * bool(broken)
    measured = asked[asked["outcome"].isin(["pass", "miss"])]
    if measured.empty:
        return Square(str(asked["status"].iloc[0]), "", None, mark, f"{name}: {asked['reason'].iloc[0]}")
    ulps = float(measured["max_ulp"].fillna(np.inf).max())
    budget = float(measured["budget"].fillna(np.inf).max())
    worst = measured.iloc[int(measured["budget"].fillna(np.inf).to_numpy().argmax())]
    at = f"worst against its budget: {worst['variant']}, {worst['regime']}, {worst['reduction']}"
    title = f"{name}: {number(ulps)} ulps, {times(budget)} × budget, {len(asked)} checks{tail}; {at}"
    return Square(number(ulps), f"{times(budget)}×", bisect.bisect_left(STEPS, ulps), mark, title)
