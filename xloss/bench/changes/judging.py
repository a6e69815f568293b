"""Judge all series of a table together: which step is a change, by how much, and within which interval.

Thousands of series are looked at, and one in a hundred of them would step by chance. So the steps are taken that
Benjamini and Hochberg's rule takes: of those, the share that is chance stays below `SHARE`. The interval of the ratio
is that of a bootstrap, over the runs on each side and within each run over its samples; a change lies beyond `LEAST`
with the whole of it. Numbers that are the same whenever they are measured (ulps, planned memory) need no statistics.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xloss.bench.changes import steps
from xloss.bench.changes.series import ADDED, AXES, QUANTILE, Axis, Series, take

if TYPE_CHECKING:
    import pandas as pd

#: Of the changes found so many may be chance.
SHARE = 0.05
#: A change is beyond this factor; an exact number's beyond the other, and half an ulp.
LEAST, LEAST_EXACT = 1.01, 1.05
CONFIDENCE, RESAMPLES, RESAMPLES_WITHIN = 0.99, 2000, 64
VERDICTS = {"time": ("slower", "faster"), "compile time": ("slower", "faster"),
            "memory": ("more memory", "less memory"), "digits": ("fewer digits", "more digits")}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A cell that another commit, or another release of its framework, made better or worse.

    `before` and `after` are the neighbouring commits or versions, `old` and `new` the levels (seconds, bytes, ulps),
    `ratio` new over old, the machine's control divided out; `runs` those on each side; `p` as in `steps.Step`.
    """

    axis: Axis
    before: str
    after: str
    machine: str
    device: str
    framework: str
    loss: str
    who: str
    what: str
    topic: str
    old: float
    new: float
    ratio: float
    low: float
    high: float
    p: float
    runs: tuple[int, int]
    control: str
    verdict: str
    recent: int  # how many positions the series has from the change on

    @property
    def worse(self) -> bool:
        """Whether the number grew: seconds, bytes and ulps are better when smaller."""
        return self.ratio > 1

    @property
    def place(self) -> str:
        """Where it happened, as a reader sees it: commit cb50d7a4, or jax 0.9.2 → 0.10.2."""
        if self.axis == "commit":
            return f"commit {self.after[:8]}"
        return f"{self.framework} {self.before} → {self.after}"

    @property
    def name(self) -> str:
        """The cell, as a reader sees it."""
        return f"{self.loss}, {self.who}: {self.what}"


@dataclass(frozen=True)
class Found:
    """The changes, the greatest first; how many series were judged and how many have too few runs to be.

    `least` are quantiles (1/4, 1/2, 3/4) over the judged series of the least step that would be found, as a ratio.
    """

    changes: tuple[Change, ...]
    judged: int
    short: int
    least: tuple[float, ...]


def find(table: pd.DataFrame, axes: Sequence[Axis] = AXES, *, share: float = SHARE, seed: int = 0) -> Found:
    """Find the changes in asv's results; the same table and seed give the same."""
    return judge(take(table, axes), share=share, seed=seed)


def judge(series: Iterable[Series], *, share: float = SHARE, seed: int = 0) -> Found:
    """Find the changes in series that are judged together."""
    changes: list[Change] = []
    looked: list[tuple[Series, steps.Steps]] = []
    exact = short = 0
    for one in series:
        if one.exact:
            exact += 1
            changes += _exact(one)
            continue
        if len(one.positions) < 2 * steps.shortest(len(one.replicates)):
            short += 1
            continue
        looked.append((one, steps.find(one.logs(), one.control)))
    limit = _limit([step.p for _, found in looked for step in found.steps], len(looked), share)
    for one, found in looked:
        for step in found.steps:
            if step.p <= limit and (change := _change(one, found, step, seed)) is not None:
                changes.append(change)
    least = [found.least() for _, found in looked]
    quantiles = tuple(float(np.exp(q)) for q in np.quantile(least, [0.25, 0.5, 0.75])) if least else ()
    changes.sort(key=lambda change: (-abs(math.log(change.ratio)), change.place, change.name))
    return Found(tuple(changes), exact + len(looked), short, quantiles)


def _limit(p: Sequence[float], count: int, share: float) -> float:
    """Return the greatest p that Benjamini and Hochberg's rule takes, of so many series."""
    taken = [x for number, x in enumerate(sorted(p), 1) if x <= share * number / count]
    return max(taken, default=-1.0)


def _change(one: Series, found: steps.Steps, step: steps.Step, seed: int) -> Change | None:
    shifts = found.logs - one.logs()  # the control's part of each run
    digest = zlib.crc32(json.dumps([one.axis, *map(str, one.cell.values()), step.place]).encode())
    rng = np.random.default_rng([seed, digest])
    old, new = (_resampled(rng, one, shifts, side) for side in (step.before, step.after))
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(x) for x in np.exp(np.quantile(new - old, [tail, 1 - tail])))
    if not (low > LEAST or high < 1 / LEAST):
        return None
    logs = one.logs()
    sides = [float(np.exp(logs[side.start : side.stop].mean())) for side in (step.before, step.after)]
    runs = tuple(len(side) * len(one.replicates) for side in (step.before, step.after))
    return _record(one, step.place, sides, float(np.exp(step.size)), low, high, step.p, runs, found.control)


def _resampled(rng: np.random.Generator, one: Series, shifts: Any, side: range) -> Any:
    """Return means of a side's logarithms, of resampled positions and of resampled samples within each run."""
    cube = np.empty((len(side), len(one.replicates), RESAMPLES_WITHIN))
    for row, position in enumerate(side):
        for number, samples in enumerate(one.samples[position]):
            taken = np.asarray(samples)
            drawn = np.quantile(rng.choice(taken, (RESAMPLES_WITHIN, taken.size)), QUANTILE, axis=1)
            cube[row, number] = np.log(drawn) + shifts[position, number]
    # With one position its replicates are resampled.
    runs = cube.mean(axis=1) if len(side) > 1 else cube[0]
    chosen = rng.integers(len(runs), size=(RESAMPLES, len(runs)))
    return runs[chosen, rng.integers(RESAMPLES_WITHIN, size=chosen.shape)].mean(axis=1)


def _exact(one: Series) -> Iterable[Change]:
    """Yield a change wherever the number is another than before: along releases, at the newest commit.

    Along commits, in the version that shows it most.
    """
    logs = one.logs()
    for place in range(1, len(logs)):
        differences = logs[place] - logs[place - 1]
        number = len(differences) - 1 if one.axis == "release" else int(np.argmax(np.abs(differences)))
        size = float(differences[number])
        sides = [float(np.exp(logs[at, number])) for at in (place - 1, place)]
        rounding = one.topic == "digits" and abs(sides[1] - sides[0]) < ADDED["accuracy"]
        if abs(size) > math.log(LEAST_EXACT) and not rounding:
            ratio = math.exp(size)
            yield _record(one, place, sides, ratio, ratio, ratio, 0.0, (1, 1), "none")


def _record(one: Series, place: int, sides: Sequence[float], ratio: float, low: float, high: float, p: float,
            runs: tuple[int, ...], control: str) -> Change:  # fmt: skip
    cell = one.cell
    added = ADDED.get(cell["kind"], 0.0)
    return Change(
        one.axis, one.positions[place - 1], one.positions[place], cell["machine"], cell["device"], cell["framework"],
        str(cell["loss"]), f"{cell['implementation']} · {cell['framework']} {cell['mode']}", one.what, one.topic,
        max(sides[0] - added, 0.0), max(sides[1] - added, 0.0), ratio, low, high, p, (runs[0], runs[1]), control,
        VERDICTS[one.topic][ratio < 1], len(one.positions) - place,
    )  # fmt: skip
