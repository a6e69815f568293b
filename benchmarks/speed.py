"""Time as the host sees it, from the call until the result is there; caches warm, everything compiled before."""

import os

from benchmarks._suite import _Cell, generate, samples
from xloss.bench import timer
from xloss.bench.workload import CONTESTANTS, DTYPES, SIZES, first_run, ready

# Fewer seconds make fewer samples, at least `timer.LEAST_SAMPLES`.
_MOST_SECONDS = float(os.environ.get("XLOSS_BENCH_SECONDS", timer.MOST_SECONDS))


def _measure(work):
    with ready(work) as run:
        first_run(run)
        return samples(timer.measure(run.call, run.wait, most_seconds=_MOST_SECONDS))


class _Speed(_Cell):
    params = (
        CONTESTANTS,
        SIZES,
        DTYPES,
    )
    param_names = (
        "implementation",
        "size",
        "dtype",
    )

    def track_value(self, implementation, size, dtype):
        return self.measured(self.work(implementation, "value", size, dtype), _measure)

    def track_value_and_grad(self, implementation, size, dtype):
        return self.measured(self.work(implementation, "value_and_grad", size, dtype), _measure)

    def track_per_sample(self, implementation, size, dtype):
        return self.measured(self.work(implementation, "per_sample", size, dtype), _measure)


generate(_Speed, globals())
