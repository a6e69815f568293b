"""Which of two is faster: processes in turn, a bootstrap interval of the ratio, a verdict that may be "ambiguous".

Two processes of the same program differ by more than their samples tell (where memory lies, what else runs). So each side
is measured in several fresh processes, A B B A A B ..., and the interval is that of resampled pairs of processes, within
them of resampled samples. What one process alone says is never a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xloss.bench import timer
from xloss.bench.processes import fresh
from xloss.bench.timer import Timing
from xloss.bench.workload import Work, first_run, ready

# A difference below this is none: compilers and memory layouts cause it by chance.
TOLERANCE = 0.05
CONFIDENCE = 0.99
ROUNDS = 7
LEAST_ROUNDS = 5
# While the verdict is "ambiguous" more are run, on a machine that is busy with other things up to so many.
MOST_ROUNDS = 21
RESAMPLES = 2000
VERDICTS = ("faster", "slower", "same", "ambiguous")


@dataclass(frozen=True)
class Ratio:
    """Seconds of the second over seconds of the first, with a confidence interval: above 1 the second is slower."""

    ratio: float
    low: float
    high: float
    verdict: str  # of the second: one of `VERDICTS`
    rounds: int


def verdict(low: float, high: float, tolerance: float = TOLERANCE) -> str:
    """What an interval of the ratio says of the second."""
    if low > 1 + tolerance:
        return "slower"
    if high < 1 / (1 + tolerance):
        return "faster"
    if 1 / (1 + tolerance) <= low and high <= 1 + tolerance:
        return "same"
    return "ambiguous"


def ratio(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], seed: int = 0) -> Ratio:
    """The ratio of two sides, each a list of processes, each a list of samples; the i-th of each ran side by side.

    With fewer than `LEAST_ROUNDS` pairs the verdict is "ambiguous", whatever the interval: it knows of no other process.
    """
    if not first or len(first) != len(second):
        raise ValueError(f"processes: expected as many of each side, and one at least, got {len(first)}, {len(second)}")
    rng = np.random.default_rng(seed)
    pairs = [(np.asarray(a, float), np.asarray(b, float)) for a, b in zip(first, second, strict=True)]
    logs = np.array([_log_ratios(rng, a, b) for a, b in pairs])
    central = np.median([np.log(_quiet(b) / _quiet(a)) for a, b in pairs])
    chosen = rng.integers(len(pairs), size=(RESAMPLES, len(pairs)))
    within = rng.integers(logs.shape[1], size=chosen.shape)
    medians = np.median(logs[chosen, within], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(medians, [tail, 1 - tail]))
    said = verdict(low, high) if len(pairs) >= LEAST_ROUNDS else "ambiguous"
    return Ratio(float(np.exp(central)), float(low), float(high), said, len(pairs))


def _quiet(samples: np.ndarray) -> np.ndarray:
    """The lower quartile: what else runs on the machine only adds to a sample."""
    return np.quantile(samples, 0.25, axis=-1)


def _log_ratios(rng: np.random.Generator, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Resampled pairs of one pair of processes."""
    return np.log(_quiet(rng.choice(b, (64, b.size))) / _quiet(rng.choice(a, (64, a.size))))


def compare(
    first: Callable[[], Timing], second: Callable[[], Timing], rounds: int = ROUNDS, most: int = MOST_ROUNDS
) -> Ratio:
    """Measure two picklable callables in fresh processes, in turn, and say how the second compares to the first.

    After `rounds` of both, up to `most` follow while the verdict is "ambiguous".
    """
    if rounds < LEAST_ROUNDS:
        raise ValueError(f"rounds: expected {LEAST_ROUNDS} or more, got {rounds}")
    taken: dict[int, list[Any]] = {0: [], 1: []}
    while True:
        # A B, B A, A B: neither side is always the one that finds the machine warm.
        for side in (0, 1) if len(taken[0]) % 2 == 0 else (1, 0):
            taken[side].append(fresh((first, second)[side]).samples)
        if len(taken[0]) >= rounds:
            found = ratio(taken[0], taken[1])
            if found.verdict != "ambiguous" or len(taken[0]) >= most:
                return found


def time_work(work: Work, most_seconds: float = timer.MOST_SECONDS) -> Timing:
    """Time a work, warm, on the host's clock. `functools.partial` of it is what `compare` takes."""
    with ready(work) as run:
        first_run(run)
        return timer.measure(run.call, run.wait, most_seconds=most_seconds)
