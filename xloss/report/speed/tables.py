"""Sum up benchmarks: pure functions from the long table of asv's results, and the rows of `xloss bench`, to data.

The long table is that of `xloss.bench.asv.results.derive`. A *place* is a machine and a device of it; a *contestant* is
an implementation in a framework and a mode, as in "xloss · jax jit".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xloss.bench.bandwidth import COPY_BYTES
from xloss.bench.compare import Ratio, ratio

MAIN = "value_and_grad"
#: What one cell is, apart from environment and commit.
CELL = [
    "machine", "device", "kind", "loss", "quantity", "framework", "mode", "implementation", "size", "dtype", "caches",
    "ruler", "variant", "reduction",
]  # fmt: skip
MODES = {"eager": 0, "compile": 1, "jit": 2}
IMPLEMENTATIONS = {"xloss": 0, "torch.nn.functional": 1, "optax": 2, "keras": 3}
SIZES = ("small", "medium", "large", "published", "vocabulary")
#: Bytes and GB/s.
Point = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """One table of `xloss bench`: seconds by contestant, and the pairs that were measured in turn."""

    loss: str
    variant: str
    shape: str
    dtype: str
    seconds: Mapping[str, float]
    pairs: Mapping[tuple[str, str], Ratio]  # by two contestants: the time of the second over that of the first


#: Who is compared to whom: the first's time is the unit.
PAIRS: tuple[tuple[str, str], ...] = (
    ("xloss · torch compile", "xloss · jax jit"),
    ("xloss · torch eager", "xloss · jax jit"),
    ("torch.nn.functional · torch eager", "xloss · torch eager"),
    ("optax · jax jit", "xloss · jax jit"),
)


def prepare(table: pd.DataFrame) -> pd.DataFrame:
    """Select the measured rows and add `who` was measured; oldest first."""
    table = table[table["status"] == "ok"].copy()
    table["who"] = table["implementation"].fillna("") + " · " + table["framework"] + " " + table["mode"].fillna("")
    return table.sort_values(["date", "environment"], kind="stable", ignore_index=True)


def newest(table: pd.DataFrame) -> pd.DataFrame:
    """Select of each cell the newest measurement, in the newest version of its framework at its place."""
    if table.empty:
        return table
    order = table["version"].map(numbers)
    top = order.groupby([table["machine"], table["device"], table["framework"]]).transform("max")
    return table[order == top].drop_duplicates(CELL, keep="last")


def numbers(version: Any) -> tuple[int, ...]:
    """Return a version as numbers, which sort."""
    return tuple(int(part) for part in re.findall(r"\d+", str(version).split("+")[0]))


def places(table: pd.DataFrame) -> list[tuple[str, str]]:
    """List the machines with their devices, the CPU before the GPU."""
    return sorted(set(zip(table["machine"].astype(str), table["device"].astype(str), strict=True)))


def contestants(table: pd.DataFrame) -> list[str]:
    """List who was measured, xloss and PyTorch first."""
    known = table[table["mode"].notna()].drop_duplicates("who")
    return [key[-1] for key in sorted(
        (IMPLEMENTATIONS.get(implementation, 9), MODES.get(mode, 9), str(who))
        for implementation, mode, who in zip(known["implementation"], known["mode"], known["who"], strict=True)
    )]  # fmt: skip


def comparisons(rows: Sequence[Mapping[str, Any]]) -> list[Comparison]:
    """Group the rows that `xloss bench` writes by loss, variant, shape and dtype, and judge each pair."""
    tables: dict[tuple[str, str, str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        key = (str(row["loss"]), str(row["variant"]), str(row["shape"]), str(row["dtype"]))
        tables.setdefault(key, {})[f"{row['implementation']} · {row['framework']} {row['mode']}"] = row
    out = []
    for key, by in sorted(tables.items()):
        pairs = {}
        for first, second in PAIRS:
            taken = [by[who]["samples"] if who in by else [] for who in (first, second)]
            count = min(map(len, taken))
            if count:
                pairs[first, second] = ratio(taken[0][:count], taken[1][:count])
        seconds = {who: float(row["value_and_grad_seconds"] or "nan") for who, row in by.items()}
        out.append(Comparison(*key, {who: value for who, value in seconds.items() if value == value}, pairs))
    return out


def tally(found: Sequence[Comparison], pair: tuple[str, str]) -> dict[str, int]:
    """Count how often the second was faster, slower, the same, or the interval did not tell."""
    verdicts = [one.pairs[pair].verdict for one in found if pair in one.pairs]
    return {verdict: verdicts.count(verdict) for verdict in ("faster", "slower", "same", "ambiguous")}


def times(table: pd.DataFrame, dtype: str = "float32", quantity: str = MAIN) -> pd.DataFrame:
    """Select the times of a place: the GPU's own with cold caches where those were measured, else the host's."""
    part = table[(table["quantity"] == quantity) & (table["dtype"] == dtype)]
    device = part[(part["kind"] == "device") & (part["caches"] == "cold")]
    return device if not device.empty else part[part["kind"] == "speed"]


def copy_gb_s(table: pd.DataFrame) -> float:
    """Return the copy bandwidth of a place in GB/s, by the framework that copies faster; NaN if it was not measured."""
    rows = table[(table["kind"] == "machine") & (table["quantity"] == "copy")]
    rows = rows[rows["value"].astype(float) > 0]  # a time of 0 is none
    speeds = (2 * COPY_BYTES[row["device"]] / float(row["value"]) / 1e9 for row in rows.to_dict("records"))
    return max(speeds, default=float("nan"))


def roofline(table: pd.DataFrame, dtype: str = "float32") -> dict[str, dict[str, list[Point]]]:
    """Return by contestant and loss ("" their median) the least bytes and GB/s at each size."""
    out: dict[str, dict[str, list[Point]]] = {}
    rows = times(table, dtype)
    rows = rows[rows["gb_s"] > 0]
    for who in contestants(rows):
        part = rows[rows["who"] == who]
        lines = {str(loss): _points(group) for loss, group in part.groupby("loss")}
        medians = part.groupby("size")[["least_bytes", "gb_s"]].median().reset_index()
        out[who] = {**lines, "": _points(medians[medians["size"].isin(SIZES[:3])])}
    return out


def _points(rows: pd.DataFrame) -> list[Point]:
    return sorted(zip(rows["least_bytes"], rows["gb_s"], strict=True))


def peaks(table: pd.DataFrame, dtype: str = "float32", quantity: str = MAIN) -> pd.DataFrame:
    """Select peak memory at the largest size that a contestant has, one row for each loss and contestant.

    Where several rulers were used: the device's, the compiler's plan, resident memory, in this order.
    """
    rows = table[(table["kind"] == "memory") & (table["dtype"] == dtype) & (table["quantity"] == quantity)].copy()
    rows["place"] = rows["size"].map({"small": 0, "medium": 1, "large": 2}).fillna(-1)
    rows["order"] = rows["ruler"].map({"resident": 0, "analysed": 1, "device": 2})
    return rows.sort_values(["place", "order"]).drop_duplicates(["loss", "who"], keep="last")


def compiling(table: pd.DataFrame) -> pd.DataFrame:
    """Pivot compile times: a row for each contestant and loss, a column for each stage."""
    rows = table[table["kind"] == "compiling"]
    return rows.pivot_table(index=["who", "loss"], columns="quantity", values="value", aggfunc="last")


def worst_ulps(table: pd.DataFrame, dtype: str = "float32") -> dict[tuple[str, str], tuple[float, float]]:
    """Return the worst errors of value and gradient in ulps, by loss and contestant."""
    rows = table[(table["kind"] == "accuracy") & (table["dtype"] == dtype)]
    wide = rows.pivot_table(index=["loss", "who"], columns="quantity", values="value", aggfunc="last")
    wide = wide.reindex(columns=["value_worst", "gradient_worst"])
    return {
        (str(i[0]), str(i[1])): (float(row[0]), float(row[1]))
        for i, row in zip(wide.index, wide.to_numpy(), strict=True)
    }
