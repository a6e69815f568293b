"""Peak memory of an operation above its inputs, each cell in a fresh process; the benchmark's name is the method's."""

import functools

from benchmarks._suite import CONTESTANTS, _Cell, generate
from xloss.bench import peak_memory
from xloss.bench.workload import DTYPES, SIZES


class _Memory(_Cell):
    unit = "bytes"
    params = (CONTESTANTS, SIZES, DTYPES, ("value", "value_and_grad"))
    param_names = ("implementation", "size", "dtype", "quantity")

    def track_resident(self, implementation, size, dtype, quantity):
        return self._peak("resident", implementation, quantity, size, dtype)

    def track_analysed(self, implementation, size, dtype, quantity):
        return self._peak("analysed", implementation, quantity, size, dtype)

    def track_device(self, implementation, size, dtype, quantity):
        return self._peak("device", implementation, quantity, size, dtype)

    def _peak(self, method, *point):
        return self.measured(functools.partial(peak_memory.peak, method=method), *point)


generate(_Memory, globals())
