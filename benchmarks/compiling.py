"""Time to compile value and gradient at the medium size in float32: lowering, from nothing, from the cache on disk."""

import functools

from benchmarks._suite import CONTESTANTS, _Cell, generate
from xloss.bench import compile_time


class _Compiling(_Cell):
    params = (tuple(name for name in CONTESTANTS if "/eager/" not in name),)
    param_names = ("implementation",)

    def track_lowering(self, implementation):
        return self.measured(functools.partial(compile_time.seconds, stage="lowering"), implementation)

    def track_cold(self, implementation):
        return self.measured(functools.partial(compile_time.seconds, stage="cold"), implementation)

    def track_cached(self, implementation):
        return self.measured(functools.partial(compile_time.seconds, stage="cached"), implementation)


generate(_Compiling, globals())
