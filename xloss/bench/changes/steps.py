"""Find where a series of runs takes another level, the machine's own changes divided out.

A series has positions (commits or releases) and, at each, one run or several (*replicates*: of each version, or of each
commit). The logarithms of its times are cut into segments of constant level by PELT (`ruptures`), which finds more
places than there are. The weakest is joined again until all that are left pass a t test. Three runs
in a row may be a neighbour's load, so a segment has at least `LEAST_RUNS` runs, or one position of three replicates,
which were not measured in a row.

A run that stands out from its neighbours further than `OUTLYING` deviations is drawn in to them (Hampel's filter), for
on a shared machine the tails are heavy, and a mean of them would need several times as many runs.

The control is divided out in the form that explains the series best, with a penalty for each step: not at all; by its
levels, which adds no noise, where the machine took a step; or run by run, where the machine drifts.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: A segment has so many runs, and so has each side of a step.
LEAST_RUNS = 4
#: Steps weaker than this are joined. Who judges many series asks for more: see `judging.SHARE`.
LEVEL = 0.05
#: The penalty of PELT for a step, times the logarithm of the number of positions and the variance of one.
PENALTY = 2.0
#: Deviations beyond which a run is drawn in.
OUTLYING = 2.0
#: What a step costs where two ways to divide out the control are compared: three parameters (place, level, way).
COST = 3.0
#: Runs cannot differ by less, as a factor, for clocks and memory layouts: it keeps a variance from being 0.
FLOOR = 1e-3


@dataclass(frozen=True)
class Step:
    """A step before position `place`: the logarithm of the ratio, and how probable as large a one is by chance.

    `before` and `after` are the positions whose levels are compared; `p` allows for the choice of the place.
    """

    place: int
    before: range
    after: range
    size: float
    p: float


@dataclass(frozen=True)
class Steps:
    """The steps of a series, its logarithms with the control divided out, and the deviation of one position's mean."""

    steps: tuple[Step, ...]
    logs: Any
    deviation: float
    freedom: int
    control: str  # "none", "levels" or "runs"

    def least(self) -> float:
        """Return the least step in the middle of the series that is found in nineteen of twenty series like it."""
        from scipy import stats

        positions = len(self.logs)
        if self.freedom < 1 or positions < 2:
            return math.inf
        half = positions // 2
        error = self.deviation * math.sqrt(1 / half + 1 / (positions - half))
        level = LEVEL / max(positions - 1, 1)
        return float(error * (stats.t.ppf(1 - level / 2, self.freedom) + stats.t.ppf(0.95, self.freedom)))


def shortest(replicates: int) -> int:
    """Return how many positions a segment has at least."""
    return 1 if replicates >= 3 else math.ceil(LEAST_RUNS / replicates)


def find(logs: Any, control: Any = None) -> Steps:
    """Find the steps of a series of logarithms, positions by replicates; `control` has the machine's, in that shape.

    Where a run of the control is not finite it is not divided out. `ValueError` for a series that is no matrix of
    finite numbers.
    """
    logs = np.asarray(logs, float)
    if logs.ndim != 2 or not logs.size or not np.isfinite(logs).all():
        raise ValueError(f"logs: expected finite numbers, positions by replicates, got shape {logs.shape}")
    ways = [("none", logs)]
    if control is not None:
        machine = np.asarray(control, float)
        if machine.shape != logs.shape:
            raise ValueError(f"control: expected the shape of logs, {logs.shape}, got {machine.shape}")
        if np.isfinite(machine).all():
            ways += [("levels", logs - _levels(machine)), ("runs", logs - machine)]
    judged = [(_score(found), number, found) for number, found in enumerate(_steps(x, name) for name, x in ways)]
    return min(judged, key=lambda one: one[:2])[2]


def _levels(control: Any) -> Any:
    """Return the levels of the control, one for each position: what is constant needs no dividing out."""
    found = _steps(control, "none")
    places = [0, *(step.place for step in found.steps), len(control)]
    means = _means(control)
    out = np.empty(len(control))
    for start, end in itertools.pairwise(places):
        out[start:end] = means[start:end].mean()
    return out[:, None]


def _score(found: Steps) -> float:
    """Return how badly the steps explain the series, with a penalty for each."""
    count = len(found.logs)
    places = [step.place for step in found.steps]
    rest = _residual(_means(found.logs), places) / count + FLOOR**2
    return float(count * math.log(rest) + COST * len(places) * math.log(count))


def _means(logs: Any) -> Any:
    """Return the mean of each position, the replicates' own levels taken off."""
    return (logs - logs.mean(axis=0)).mean(axis=1)


def _residual(means: Any, places: Sequence[int]) -> float:
    parts = np.split(means, places)
    return float(sum(((part - part.mean()) ** 2).sum() for part in parts))


def _steps(logs: Any, control: str) -> Steps:
    least = shortest(logs.shape[1])
    means = _drawn_in(_means(logs), least)
    within, freedom = _within(logs, means)
    # With replicates the noise is known from them, too, where each position has another level.
    most = math.sqrt(within / freedom) if freedom else math.inf
    places = _candidates(means, least, max(min(_noise(means), most), FLOOR))
    while True:
        deviation, freedom = _deviation(logs, means, places)
        found = _tested(means, places, least, deviation, freedom)
        weakest = max(found, key=lambda step: step.p, default=None)
        if weakest is None or weakest.p <= LEVEL:
            return Steps(tuple(found), logs, deviation, freedom, control)
        places.remove(weakest.place)


def _noise(means: Any) -> float:
    """Return the deviation of one position: of neighbours' differences the median tells the noise from the steps."""
    return max(1.4826 * float(np.median(np.abs(np.diff(means)))) / math.sqrt(2), FLOOR)


def _drawn_in(means: Any, least: int) -> Any:
    """Draw in what stands out from the median about it, of as many positions as leave a step where it is."""
    reach = least - 1
    if not reach or len(means) < 2 * least:
        return means
    listed = means.tolist()
    around = [statistics.median(listed[max(at - reach, 0) : at + reach + 1]) for at in range(len(listed))]
    most = OUTLYING * _noise(means)
    return np.clip(means, np.array(around) - most, np.array(around) + most)


def _candidates(means: Any, least: int, noise: float) -> list[int]:
    """Return the places where PELT cuts, more than there are steps."""
    import ruptures

    if len(means) < 2 * least:
        return []
    penalty = PENALTY * math.log(len(means)) * noise**2
    search = ruptures.KernelCPD(kernel="linear", min_size=least).fit(means[:, None])
    return [int(place) for place in search.predict(pen=penalty)[:-1]]


def _deviation(logs: Any, means: Any, places: Sequence[int]) -> tuple[float, int]:
    """Return the standard deviation of a position's mean about its level, and its degrees of freedom.

    How the means scatter within segments, and how the replicates do within positions, are two estimates. The first is
    taken where it is greater by more than chance, for it sees what the replicates of a position have in common; else
    both together, since few positions tell little.
    """
    from scipy import stats

    apart = len(logs) - len(places) - 1
    scatter = _residual(means, places)
    within, together = _within(logs, means)
    if together and apart > 0:
        ratio = (scatter / apart) / (within / together + FLOOR**2)
        if stats.f.sf(ratio, apart, together) > LEVEL:
            return math.sqrt((scatter + within) / (apart + together) + FLOOR**2), apart + together
    if apart > 0:
        return math.sqrt(scatter / apart + FLOOR**2), apart
    return (math.sqrt(within / together + FLOOR**2), together) if together else (math.inf, 0)


def _within(logs: Any, means: Any) -> tuple[float, int]:
    """Return the sum of squares of a position's mean by its replicates, and its degrees of freedom."""
    positions, replicates = logs.shape
    rest = logs - logs.mean(axis=0) - means[:, None]
    return float((rest**2).sum()) / replicates, (positions - 1) * (replicates - 1)


def _tested(means: Any, places: Sequence[int], least: int, deviation: float, freedom: int) -> list[Step]:
    """Test each step between its two segments.

    p is multiplied by the number of places where one may be, or where two are, by that of pairs of places.
    """
    from scipy import stats

    edges = [0, *places, len(means)]
    choices = max(len(means) - 2 * least + 1, 1)
    if len(places) > 1:
        choices = choices * (choices + 1) // 2
    out = []
    for start, place, end in zip(edges, edges[1:], edges[2:], strict=False):
        size = float(means[place:end].mean() - means[start:place].mean())
        error = deviation * math.sqrt(1 / (place - start) + 1 / (end - place))
        p = 2 * float(stats.t.sf(abs(size) / error, freedom)) if freedom else 1.0
        out.append(Step(place, range(start, place), range(place, end), size, min(1.0, p * choices)))
    return out
