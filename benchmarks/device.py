"""Time on a GPU itself, with its caches warm or cold; `speed` has what the host sees. Skipped on a CPU."""

from benchmarks._suite import _Cell, generate, samples
from xloss import catalog
from xloss.bench import device_time
from xloss.bench.workload import CONTESTANTS, DTYPES, SIZES, first_run, ready


def _measure(caches):
    def measure(work):
        if work.device == "cpu":
            raise catalog.Unsupported("on a CPU the device is the host")
        with ready(work) as run:
            first_run(run)
            return samples(device_time.measure(run, caches == "cold"))

    return measure


class _Device(_Cell):
    params = (
        CONTESTANTS,
        SIZES,
        DTYPES,
        ("warm", "cold"),
    )
    param_names = (
        "implementation",
        "size",
        "dtype",
        "caches",
    )

    def track_value(self, implementation, size, dtype, caches):
        return self.measured(self.work(implementation, "value", size, dtype), _measure(caches))

    def track_value_and_grad(self, implementation, size, dtype, caches):
        return self.measured(self.work(implementation, "value_and_grad", size, dtype), _measure(caches))


generate(_Device, globals())
