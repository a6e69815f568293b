"""Samples of how long a call takes: after a warm-up, waited for, all kept."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# As many samples as a confidence interval of a quartile wants, where the time allows.
SAMPLES = 30
# With fewer than eight, asv's 99% interval of a median is infinite, and its comparison finds no difference at all.
LEAST_SAMPLES = 10
# A sample is as many calls as take this long: the clock's own cost (0.1 microseconds) is negligible in it.
SAMPLE_SECONDS = 1e-3
MOST_SECONDS = 1.0
# Where the least number of samples takes longer than this, three are enough.
PATIENCE_SECONDS = 20.0
WARM_UP_SECONDS = 0.1


def lower_quartile(samples: Any) -> Any:
    """Return the lower quartile along the last axis: other load on the machine only adds to a sample."""
    return np.quantile(samples, 0.25, axis=-1)


@dataclass(frozen=True)
class Timing:
    """Seconds per call, one for each sample; a sample is the mean of `number` calls."""

    samples: tuple[float, ...]
    number: int

    @property
    def median(self) -> float:
        """The median sample."""
        return float(np.median(self.samples))

    @property
    def lower_quartile(self) -> float:
        """The lower quartile of the samples."""
        return float(lower_quartile(self.samples))


def measure(
    call: Callable[[], Any],
    wait: Callable[[Any], Any] = lambda _results: None,
    *,
    samples: int = SAMPLES,
    least: int = LEAST_SAMPLES,
    most_seconds: float = MOST_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time `call`, from its start until `wait` returns.

    It is run at least twice, and for `WARM_UP_SECONDS` or a tenth of `most_seconds`, before the first sample; `collect`
    says when sampling ends.
    """

    def seconds(number: int) -> float:
        before = clock()
        for _ in range(number):
            wait(call())
        return (clock() - before) / number

    seconds(1)
    start = clock()
    warm = [seconds(1)]
    while clock() - start < min(WARM_UP_SECONDS, most_seconds / 10):
        warm.append(seconds(1))
    number = max(1, math.ceil(SAMPLE_SECONDS / max(min(warm), 1e-9)))
    taken = collect(lambda: seconds(number), samples=samples, least=least, most_seconds=most_seconds, clock=clock)
    return Timing(taken, number)


def collect(
    sample: Callable[[], float],
    *,
    samples: int = SAMPLES,
    least: int = LEAST_SAMPLES,
    most_seconds: float = MOST_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, ...]:
    """Take samples, with the garbage collector off.

    Ends with `samples`, or after `most_seconds` with at least `least` (three where these take `PATIENCE_SECONDS`).
    """
    taken: list[float] = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        start = clock()
        while len(taken) < samples and clock() - start < (
            most_seconds if len(taken) >= least else PATIENCE_SECONDS if len(taken) >= 3 else math.inf
        ):
            taken.append(sample())
    finally:
        if collecting:
            gc.enable()
    return tuple(taken)
