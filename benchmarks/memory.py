"""Peak memory of an operation above its inputs, each cell in a fresh process; the method names the ruler."""

import functools

from benchmarks._suite import _Cell, generate
from xloss.bench import peak_memory
from xloss.bench.workload import CONTESTANTS, DTYPES, SIZES


class _Memory(_Cell):
    unit = "bytes"
    params = (
        CONTESTANTS,
        SIZES,
        DTYPES,
        ("value", "value_and_grad"),
    )
    param_names = (
        "implementation",
        "size",
        "dtype",
        "quantity",
    )

    def track_resident(self, implementation, size, dtype, quantity):
        return self.measured(
            self.work(implementation, quantity, size, dtype), functools.partial(peak_memory.peak_of, ruler="resident")
        )

    def track_analysed(self, implementation, size, dtype, quantity):
        return self.measured(
            self.work(implementation, quantity, size, dtype), functools.partial(peak_memory.peak_of, ruler="analysed")
        )

    def track_device(self, implementation, size, dtype, quantity):
        return self.measured(
            self.work(implementation, quantity, size, dtype), functools.partial(peak_memory.peak_of, ruler="device")
        )


generate(_Memory, globals())
