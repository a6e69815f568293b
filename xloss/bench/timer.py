"""Samples of how long a call takes: warmed up, waited for, all kept."""

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
# A sample is as many calls as take this long: the clock's own cost (a tenth of a microsecond) is nothing in it.
SAMPLE_SECONDS = 1e-3
MOST_SECONDS = 1.0
# Of a call of many seconds no more than three samples are worth waiting for.
PATIENCE_SECONDS = 20.0
WARM_UP_SECONDS = 0.1


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
    def quiet(self) -> float:
        """The lower quartile: what else runs on the machine only adds to a sample."""
        return float(np.quantile(self.samples, 0.25))


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

    It is run at least twice, and for `WARM_UP_SECONDS` or a tenth of `most_seconds`, before the first sample. Sampling
    ends with `samples`, or after `most_seconds` with at least `least` (three where these take `PATIENCE_SECONDS`). The garbage collector is off meanwhile.
    """
    wait(call())
    start = clock()
    warm: list[float] = []
    while len(warm) < 1 or clock() - start < min(WARM_UP_SECONDS, most_seconds / 10):
        before = clock()
        wait(call())
        warm.append(clock() - before)
    number = max(1, math.ceil(SAMPLE_SECONDS / max(min(warm), 1e-9)))
    number = 1 if min(warm) >= SAMPLE_SECONDS else number
    taken: list[float] = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        start = clock()
        while len(taken) < samples and clock() - start < (
            most_seconds if len(taken) >= least else PATIENCE_SECONDS if len(taken) >= 3 else math.inf
        ):
            before = clock()
            for _ in range(number):
                wait(call())
            taken.append((clock() - before) / number)
    finally:
        if collecting:
            gc.enable()
    return Timing(tuple(taken), number)
