"""How long the device itself works, with its caches warm or cold; `timer` has what the host sees.

In PyTorch by CUDA events, behind a kernel that keeps the device busy until the host has queued everything: so the time
holds no wait for the host. JAX has no events: there it is the difference between a long and a short queue of the same
call, which is the host's time where the host is the slower one, and can be 0 where that difference is noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from xloss.bench.runner import Prepared
from xloss.bench.timer import Timing, collect

# Greater than the last-level cache of any device: writing this many bytes evicts the inputs from it.
FLUSH_BYTES = 2**28
# Lengths of the two queues.
SHORT, LONG = 4, 20
# Some two milliseconds, in which a host queues flush, event, call and event.
BUSY_CYCLES = 4_000_000


def measure(prepared: Prepared, cold: bool) -> Timing:
    """Time one call on the device; `cold` empties its caches before each."""
    prepared.run()
    if prepared.framework.name == "torch":
        return _events(prepared, cold)
    return _queues(prepared, cold)


def _events(prepared: Prepared, cold: bool) -> Timing:
    import torch

    evicting = torch.empty(FLUSH_BYTES, dtype=torch.int8, device=prepared.device)

    def sample() -> float:
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(BUSY_CYCLES)
        if cold:
            evicting.zero_()
        before.record()
        prepared.call()
        after.record()
        torch.cuda.synchronize()
        return float(before.elapsed_time(after)) / 1000

    return Timing(collect(sample), 1)


def _queues(prepared: Prepared, cold: bool) -> Timing:
    import jax
    import jax.numpy as jnp

    increment = jax.jit(lambda x: x + jnp.int8(1))
    evicting = jax.device_put(jnp.zeros(FLUSH_BYTES, dtype=jnp.int8), prepared.device)
    prepared.wait(increment(evicting))

    def flush_and_call() -> Any:
        increment(evicting)
        return prepared.call()

    def sample() -> float:
        if not cold:
            return max(_slope(prepared.call, prepared.wait), 0.0)
        flushing = _slope(lambda: increment(evicting), prepared.wait)
        return max(_slope(flush_and_call, prepared.wait) - flushing, 0.0)

    return Timing(collect(sample), LONG - SHORT)


def _slope(call: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    """Return the seconds that one more call in the queue takes."""
    seconds = {}
    for length in (SHORT, LONG):
        start = time.perf_counter()
        for _ in range(length):
            last = call()
        wait(last)
        seconds[length] = time.perf_counter() - start
    return (seconds[LONG] - seconds[SHORT]) / (LONG - SHORT)
