"""Which of two is faster: a bootstrap interval of the ratio, a verdict that may be "ambiguous".

Two processes of the same program differ by more than their samples tell (where memory lies, what else runs). So each
side is measured in several fresh processes, in turn (`session.turns`), and the interval is that of resampled pairs of
processes, within them of resampled samples. One process alone never gives a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xloss.bench.timer import lower_quartile

# A difference below this is none: compilers and memory layouts cause it by chance.
TOLERANCE = 0.05
CONFIDENCE = 0.99
# With fewer pairs of processes there is no verdict.
LEAST_ROUNDS = 5
# Of pairs of processes, and of the samples of each process.
RESAMPLES, RESAMPLES_WITHIN = 2000, 64
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
    """Return what an interval of the ratio says of the second."""
    if low > 1 + tolerance:
        return "slower"
    if high < 1 / (1 + tolerance):
        return "faster"
    if 1 / (1 + tolerance) <= low and high <= 1 + tolerance:
        return "same"
    return "ambiguous"


def ratio(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], seed: int = 0) -> Ratio:
    """Return the ratio of two sides, each a list of processes, each a list of samples; the i-th of each ran in turn.

    With fewer than `LEAST_ROUNDS` pairs the verdict is "ambiguous", whatever the interval: too few processes were seen.
    """
    if not first or len(first) != len(second):
        raise ValueError(f"processes: expected as many of each side, and one at least, got {len(first)}, {len(second)}")
    rng = np.random.default_rng(seed)
    pairs = [(np.asarray(a, float), np.asarray(b, float)) for a, b in zip(first, second, strict=True)]
    logs = np.array([_log_ratios(rng, a, b) for a, b in pairs])
    central = np.median([np.log(lower_quartile(b) / lower_quartile(a)) for a, b in pairs])
    chosen = rng.integers(len(pairs), size=(RESAMPLES, len(pairs)))
    within = rng.integers(logs.shape[1], size=chosen.shape)
    medians = np.median(logs[chosen, within], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(medians, [tail, 1 - tail]))
    said = verdict(low, high) if len(pairs) >= LEAST_ROUNDS else "ambiguous"
    return Ratio(float(np.exp(central)), float(low), float(high), said, len(pairs))


def _log_ratios(rng: np.random.Generator, a: np.ndarray, b: np.ndarray) -> Any:
    """Resample the samples of one pair of processes."""
    drawn = [lower_quartile(rng.choice(samples, (RESAMPLES_WITHIN, samples.size))) for samples in (b, a)]
    return np.log(drawn[0] / drawn[1])
