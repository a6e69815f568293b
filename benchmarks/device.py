"""Time on a GPU itself, with its caches warm or cold; `speed` has what the host sees. Skipped on a CPU."""

from benchmarks._suite import CONTESTANTS, _Cell, generate, samples
from xloss import catalog
from xloss.bench import device_time
from xloss.bench.runner import compile_and_run, prepare
from xloss.bench.workload import DTYPES, SIZES


def _measure(caches):
    def measure(loss, workload):
        if workload.device == "cpu":
            raise catalog.Unsupported("on a CPU the device is the host")
        with prepare(loss, workload) as prepared:
            compile_and_run(prepared)
            return samples(device_time.measure(prepared, caches == "cold"))

    return measure


class _Device(_Cell):
    params = (CONTESTANTS, SIZES, DTYPES, ("warm", "cold"))
    param_names = ("implementation", "size", "dtype", "caches")

    def track_value(self, implementation, size, dtype, caches):
        return self.measured(_measure(caches), implementation, "value", size, dtype)

    def track_value_and_grad(self, implementation, size, dtype, caches):
        return self.measured(_measure(caches), implementation, "value_and_grad", size, dtype)


generate(_Device, globals())
