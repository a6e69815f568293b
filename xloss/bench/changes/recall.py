"""Measure how many changes are found, and how many of those found there are: ``python -m xloss.bench.changes.recall``.

The noise is that of the machine: what is left of each run in asv's history after the level of its cell is taken off.
Series are drawn from it, half of them with a step at a random place that leaves `LEAST_RUNS` runs on each side;
`judging.judge` judges all of them together, and asv's own step detection is asked the same. *Recall* is the share of
the steps that is found, within `NEAR` runs of its place and in its direction; *precision* the share of what is found
that is such a step. The noise is drawn as it was recorded, and made quieter by a factor, its shape kept: which step can
be seen is a question of both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xloss.bench.changes.judging import Found, find, judge
from xloss.bench.changes.series import Series, level, take
from xloss.bench.changes.steps import shortest

if TYPE_CHECKING:
    import pandas as pd

FILE = Path("reports") / "changes.json"
HISTORY = Path("reports") / "history"
#: A step is found where one is reported at most so many runs from it.
NEAR = 2
STEPS = (1.05, 1.2, 2.0)
#: Positions, and replicates at each: a long history of one version, and what few commits in several versions give.
SHAPES = ((10, 1), (30, 1), (100, 1), (3, 3), (4, 3), (6, 4))
#: Deviations of a run that the noise is scaled to, beside that which was recorded.
NOISES = (0.01, 0.03, 0.1)
SERIES = 100
METHODS = ("xloss", "asv")


@dataclass(frozen=True)
class Row:
    """What one method found of `steps` steps of one size, in as many series without one.

    Of what it `reported`, `found` are steps, `alarms` lie in series without one, and the rest is in a series with a
    step but further from it. `least` is the median of `judging.Found`'s.
    """

    noise: float
    recorded: bool
    runs: int  # positions
    replicates: int
    step: float
    method: str
    steps: int
    found: int
    reported: int
    alarms: int
    least: float | None = None

    @property
    def recall(self) -> float:
        """The share of the steps that is found."""
        return self.found / self.steps

    @property
    def precision(self) -> float:
        """The share of what is reported that is a step; 1 where nothing is."""
        return self.found / self.reported if self.reported else 1.0


def noise(table: pd.DataFrame) -> list[list[float]]:
    """Return the runs of asv's history as samples about their cell's level, which is 1.

    A cell has as many runs in a version as commits; the level is their mean, and the runs are spread by what they lose
    in deviation by that. Cells that a commit changed, as `find` sees it, are left out.
    """
    changed = {
        (change.machine, change.loss, change.framework, change.what) for change in find(table, ("commit",)).changes
    }
    runs: list[list[float]] = []
    for one in take(table[table["kind"].isin(["speed", "device"])], ("commit",)):
        logs = one.logs()
        if len(logs) < 3 or _named(one) in changed:
            continue
        spread = (logs - logs.mean(axis=0)) * math.sqrt(len(logs) / (len(logs) - 1))
        for position, line in enumerate(one.samples):
            for number, samples in enumerate(line):
                factor = math.exp(spread[position, number] - logs[position, number])
                runs.append([x * factor for x in samples])
    return runs


def _named(one: Series) -> tuple[str, str, str, str]:
    return str(one.cell["machine"]), str(one.cell["loss"]), str(one.cell["framework"]), one.what


def deviation(runs: Sequence[Sequence[float]]) -> float:
    """Return the deviation of the runs' levels, by their median: the tails are heavy."""
    logs = np.array([level(run) for run in runs])
    return float(1.4826 * np.median(np.abs(logs - np.median(logs))))


def measure(runs: Sequence[Sequence[float]], scale: float, length: int, step: float, *, series: int = SERIES,
            replicates: int = 1, seed: int = 0) -> list[Row]:  # fmt: skip
    """Measure each method on series of so many positions, every other one with a step, slower and faster in turn.

    The deviations of the runs are multiplied by `scale`.
    """
    rng = np.random.default_rng([seed, length, round(1000 * step), round(1e6 * scale)])
    made, truth, least = [], [], shortest(replicates)
    for number in range(series):
        drawn = rng.integers(len(runs), size=(length, replicates))
        place, factor = 0, 1.0
        if number % 2:
            place = int(rng.integers(least, length - least + 1))
            factor = step if number % 4 == 1 else 1 / step
        truth.append((place, factor))
        factors = [1e-3 * (factor if at >= place > 0 else 1.0) for at in range(length)]
        made.append(_series(number, [[x * np.asarray(runs[run]) ** scale for run in line]
                                     for x, line in zip(factors, drawn, strict=True)]))  # fmt: skip
    judged = judge(made, seed=seed)
    seen = judged.least[1] if judged.least and math.isfinite(judged.least[1]) else None
    reports = {"xloss": list(_ours(judged)), "asv": list(_asv(made))}
    whole, recorded = scale * deviation(runs), scale == 1
    out = []
    for method, found in reports.items():
        hits = {number for number, at, ratio in found if _is(truth[number], at, ratio)}
        alarms = sum(truth[number][0] == 0 for number, _, _ in found)
        counts = (sum(place > 0 for place, _ in truth), len(hits), len(found), alarms)
        out.append(
            Row(
                round(whole, 4),
                recorded,
                length,
                replicates,
                step,
                method,
                *counts,
                seen if method == "xloss" else None,
            )
        )
    return out


def _is(truth: tuple[int, float], at: int, ratio: float) -> bool:
    place, factor = truth
    return place > 0 and abs(at - place) <= NEAR and (ratio > 1) == (factor > 1)


def _series(number: int, samples: list[list[Any]]) -> Series:
    cell = {"machine": "replayed", "device": "cpu", "kind": "speed", "loss": str(number), "quantity": "value_and_grad",
            "framework": "torch", "mode": "eager", "implementation": "xloss", "size": "medium", "dtype": "float32",
            "caches": "warm", "ruler": None, "variant": None, "reduction": None}  # fmt: skip
    return Series(
        "commit",
        cell,
        tuple(f"{at:08d}" for at in range(len(samples))),
        tuple(map(str, range(len(samples[0])))),
        samples,
    )


def _ours(found: Found) -> Iterator[tuple[int, int, float]]:
    for change in found.changes:
        yield int(change.loss), int(change.after), change.ratio


def _asv(series: Sequence[Series]) -> Iterator[tuple[int, int, float]]:
    """Ask asv's step detection as `asv publish` does: medians, weighted by their intervals.

    Those of its steps are taken that are larger than the deviation on either side, as its list of regressions does.
    """
    from asv._stats import get_weight
    from asv.step_detect import detect_steps
    from asv_runner.statistics import compute_stats

    for number, one in enumerate(series):
        values, weights = [], []
        for line in one.samples:
            value, stats = compute_stats([x for run in line for x in run], 1)
            values.append(value)
            weights.append(get_weight(stats))
        steps = detect_steps(values, weights)
        for (_, end, old, _, before), (_, _, new, _, after) in itertools.pairwise(steps):
            if abs(new - old) > max(before, after):
                yield number, end, new / old


def table(runs: Sequence[Sequence[float]], *, series: int = SERIES, seed: int = 0) -> list[Row]:
    """Measure at every noise, shape and step."""
    recorded = deviation(runs)
    scales = [*(x / recorded for x in NOISES if x < recorded), 1.0]
    return [
        row
        for scale in scales
        for length, replicates in SHAPES
        for step in STEPS
        for row in measure(runs, scale, length, step, series=series, replicates=replicates, seed=seed)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the table; return 0, or 4 where the history has too few runs."""
    from xloss.bench.asv import results
    from xloss.files import write_text

    parser = argparse.ArgumentParser(prog="python -m xloss.bench.changes.recall", description=str(__doc__))
    parser.add_argument("--history", type=Path, default=HISTORY, metavar="FOLDER", help=f"asv's results ({HISTORY})")
    parser.add_argument("--series", type=int, default=SERIES, metavar="N", help=f"series of each kind ({SERIES})")
    parser.add_argument("--out", type=Path, default=FILE, metavar="FILE", help=f"where to ({FILE})")
    given = parser.parse_args(arguments)
    if given.series < 4:
        parser.error(f"series: expected 4 or more, got {given.series}")
    read = results.read(given.history)
    runs = noise(read)
    if len(runs) < 100:
        print(f"{given.history}: expected 100 runs or more of cells at three commits, got {len(runs)}", file=sys.stderr)  # noqa: T201
        return 4
    rows = table(runs, series=given.series)
    for row in rows:
        what = f"noise {row.noise:.1%}, {row.runs} x {row.replicates} runs, step {row.step - 1:.0%}, {row.method}"
        print(f"{what}: recall {row.recall:.2f}, precision {row.precision:.2f}, alarms {row.alarms}")  # noqa: T201
    facts = {"runs": len(runs), "deviation": round(deviation(runs), 4), "near": NEAR, "series": given.series,
             "machines": sorted(set(read["machine"]))}  # fmt: skip
    write_text(given.out, json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
