"""Take the histories out of the table: each cell along the commits of xloss, and along its framework's releases.

A cell was measured at commits and in versions. Along commits its versions are replicates, along releases its commits
are: what another commit changes in all versions is then no release's doing. Only what was measured in full is compared,
each commit in the same versions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    import pandas as pd

TOPICS: Mapping[str, str] = {
    "speed": "time", "variants": "time", "device": "time", "compiling": "compile time", "memory": "memory",
    "accuracy": "digits",
}  # fmt: skip
#: What names a cell beside its loss and who computes it.
WHAT = ("quantity", "variant", "reduction", "size", "dtype", "caches", "ruler")
TIMED = ("time", "compile time")
#: What a cell is, apart from commit and version.
CELL = [
    "machine", "device", "kind", "loss", "quantity", "framework", "mode", "implementation", "size", "dtype", "caches",
    "ruler", "variant", "reduction",
]  # fmt: skip
#: Other load only adds to a sample: on a shared machine the least samples of two runs differ less than their medians.
QUANTILE = 0.1
#: Added before a logarithm is taken of what may be 0: half an ulp, a page of resident memory.
ADDED: Mapping[str, float] = {"accuracy": 0.5, "memory": 4096.0}
Axis = Literal["commit", "release"]
AXES: tuple[Axis, ...] = ("commit", "release")


@dataclass(frozen=True)
class Series:
    """A cell's numbers, positions by replicates: commits by versions, or versions by commits.

    `samples` has those of each run, `control` the logarithms of the machine's control, or None where there is none.
    `exact` numbers are the same whenever they are measured.
    """

    axis: Axis
    cell: Mapping[str, Any]
    positions: tuple[str, ...]
    replicates: tuple[str, ...]
    samples: Sequence[Sequence[Sequence[float]]]
    exact: bool = False
    control: Any = field(default=None, compare=False)

    @property
    def topic(self) -> str:
        """What is measured: time, compile time, memory or digits."""
        return TOPICS[self.cell["kind"]]

    @property
    def what(self) -> str:
        """What is measured, with its quantity, size, dtype, ...; None and NaN say nothing."""
        words = (self.cell[name] for name in WHAT)
        return ", ".join([self.topic, *(word for word in words if isinstance(word, str) and word)])

    def logs(self) -> Any:
        """Return the logarithm of each run, positions by replicates."""
        return np.array([[level(run) for run in runs] for runs in self.samples])


def level(samples: Sequence[float]) -> float:
    """Return the logarithm of a run's time, or of its one number."""
    ordered = sorted(samples)  # of a few numbers faster than np.quantile by far
    at = QUANTILE * (len(ordered) - 1)
    number = int(at)
    after = ordered[min(number + 1, len(ordered) - 1)]
    return math.log(ordered[number] + (at - number) * (after - ordered[number]))


def take(table: pd.DataFrame, axes: Sequence[Axis] = AXES) -> Iterator[Series]:
    """Yield each cell's series along each axis that has two positions or more."""
    rows = table[(table["status"] == "ok") & table["version"].notna()].sort_values(["date", "commit"], kind="stable")
    controls = {
        (row["machine"], row["device"], row["environment"], row["commit"]): level(_samples(row))
        for row in rows[(rows["kind"] == "machine") & (rows["quantity"] == "copy")].to_dict("records")
    }
    commits = list(dict.fromkeys(rows["commit"]))
    measured = rows[rows["kind"].isin(TOPICS)].astype(dict.fromkeys(CELL, object))
    cells: dict[str, dict[tuple[str, str], Any]] = {}
    for row in measured.to_dict("records"):
        cells.setdefault(json.dumps([str(row[name]) for name in CELL]), {})[row["commit"], row["version"]] = row
    for grid in cells.values():
        versions = sorted({version for _, version in grid}, key=order)
        for axis in axes:
            lines = (commits, versions) if axis == "commit" else (versions, commits)
            swapped = grid if axis == "commit" else {(version, commit): row for (commit, version), row in grid.items()}
            positions, replicates = complete(set(swapped), *lines)
            if len(positions) > 1:
                yield _series(axis, swapped, positions, replicates, controls)


def complete(
    there: set[tuple[str, str]], positions: Sequence[str], replicates: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return positions and replicates of which every pair is there: the emptiest is left out, until all are.

    Of two that are as empty, a replicate before a position, and the older first.
    """
    rows = [one for one in positions if any((one, other) in there for other in replicates)]
    columns = [one for one in replicates if any((other, one) in there for other in rows)]
    while rows and columns:
        filled = [(sum((r, c) in there for r in rows) / len(rows), 0, c) for c in columns]
        filled += [(sum((r, c) in there for c in columns) / len(columns), 1, r) for r in rows]
        share, which, name = min(filled, key=lambda one: one[:2])
        if share == 1:
            break
        (rows if which else columns).remove(name)
    return rows, columns


def order(version: str) -> Any:
    """Return what sorts versions; those that are none come first."""
    try:
        return (1, Version(version), version)
    except InvalidVersion:
        return (0, Version("0"), version)


def _series(axis: Axis, grid: Mapping[tuple[str, str], Any], positions: list[str], replicates: list[str],
            controls: Mapping[Any, float]) -> Series:  # fmt: skip
    head = grid[positions[0], replicates[0]]
    exact = head["kind"] == "accuracy" or head["ruler"] in ("analysed", "device")
    added = ADDED.get(head["kind"], 0.0)
    lines = [[grid[position, replicate] for replicate in replicates] for position in positions]
    samples = [[[x + added for x in _samples(row)] for row in line] for line in lines]
    control = None
    if TOPICS[head["kind"]] in TIMED:
        places = ("machine", "device", "environment", "commit")
        control = np.array(
            [[controls.get(tuple(row[name] for name in places), np.nan) for row in line] for line in lines]
        )
    cell = {name: head[name] for name in CELL}
    return Series(axis, cell, tuple(positions), tuple(replicates), samples, exact, control)


def _samples(row: Mapping[Any, Any]) -> list[float]:
    """Return a run's samples, or its one number; of what takes no time at all the least that a clock shows."""
    taken = row["samples"]
    found = [float(row["value"])] if taken is None or isinstance(taken, float) else [float(x) for x in taken]
    return [max(x, 1e-9) if row["unit"] == "seconds" else x for x in found]
