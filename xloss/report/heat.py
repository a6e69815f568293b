"""The map of errors: a row a loss, a column an implementation in a dtype, the worst of its checks in each cell."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xloss.report.tables import ASKED, contestants, severity
from xloss.report.words import number, times

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
    """One map: of values or gradients, over all inputs or the typical ones."""

    quantity: str
    inputs: str
    caption: str
    dtypes: tuple[str, ...]
    who: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Square, ...]], ...]


def maps(table: pd.DataFrame, dtypes: Iterable[str]) -> list[Map]:
    """Value and gradient, over all inputs and over the typical ones: four maps of the same layout."""
    there = set(table["dtype"])
    columns = [dtype for dtype in dtypes if dtype in there] + sorted(there.difference(dtypes))
    who = contestants(table)
    out = []
    for mechanism, quantity in ASKED.items():
        for inputs in ("all", "typical"):
            # A cell that gave no row of its own (its process died) has no mechanism: it counts for both.
            part = table[table["mechanism"].isin([mechanism, ""])]
            if inputs == "typical":
                part = part[part["regime"] == "typical"]
            what = "the value" if quantity == "value" else "the gradient by backward, or jax.grad,"
            caption = f"Worst error of {what} over {'all inputs' if inputs == 'all' else 'typical inputs'}, in ulps"
            rows = _rows(part, sorted(set(table["loss"])), columns, who)
            out.append(Map(quantity, inputs, caption, tuple(columns), tuple(who), rows))
    return out


def _rows(
    part: pd.DataFrame, losses: Sequence[str], dtypes: Sequence[str], who: Sequence[str]
) -> tuple[tuple[str, tuple[Square, ...]], ...]:
    groups = dict(iter(part.groupby(["loss", "dtype", "who"])))
    return tuple(
        (
            loss,
            tuple(
                square(groups.get((loss, dtype, name)), f"{loss}, {dtype}, {name}") for dtype in dtypes for name in who
            ),
        )
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
    worst = severity(measured).iloc[0]
    at = f"worst against its budget: {worst['variant']}, {worst['regime']}, {worst['reduction']}"
    title = f"{name}: {number(ulps)} ulps, {times(budget)} × budget, {len(asked)} checks{tail}; {at}"
    return Square(number(ulps), f"{times(budget)}×", bisect.bisect_left(STEPS, ulps), mark, title)
