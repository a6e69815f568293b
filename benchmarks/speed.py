"""Time as the host sees it, from the call until the result is there; caches warm, everything compiled before."""

import os

from benchmarks._suite import CONTESTANTS, _Cell, generate, samples
from xloss.bench import timer
from xloss.bench.runner import compile_and_run, prepare
from xloss.bench.workload import DTYPES, SIZES

# Fewer seconds make fewer samples, at least `timer.LEAST_SAMPLES`.
_MOST_SECONDS = float(os.environ.get("XLOSS_BENCH_SECONDS", timer.MOST_SECONDS))


def _measure(loss, workload):
    with prepare(loss, workload) as prepared:
        compile_and_run(prepared)
        return samples(timer.measure(prepared.call, prepared.wait, most_seconds=_MOST_SECONDS))


class _Speed(_Cell):
    params = (CONTESTANTS, SIZES, DTYPES)
    param_names = ("implementation", "size", "dtype")

    def track_value(self, implementation, size, dtype):
        return self.measured(_measure, implementation, "value", size, dtype)

    def track_value_and_grad(self, implementation, size, dtype):
        return self.measured(_measure, implementation, "value_and_grad", size, dtype)

    def track_per_sample(self, implementation, size, dtype):
        return self.measured(_measure, implementation, "per_sample", size, dtype)


generate(_Speed, globals())
