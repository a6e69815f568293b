"""How long the device itself works, with its caches warm or cold; beside what the host sees (`timer`).

In PyTorch by CUDA events, behind a kernel that keeps the device busy until the host has queued everything: so the time
holds no wait for the host. JAX has no events: there it is the difference between a long and a short queue of the same
call, which is the host's time where the host is the slower one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from xloss.bench.timer import LEAST_SAMPLES, MOST_SECONDS, SAMPLES, Timing
from xloss.bench.workload import Ready

# Greater than the last cache of any device: what writes this many bytes leaves nothing of the inputs in it.
FLUSH_BYTES = 2**28
SHORT, LONG = 4, 20
# Some two milliseconds, in which a host queues flush, event, call and event.
BUSY_CYCLES = 4_000_000


def measure(ready: Ready, cold: bool) -> Timing:
    """Time on the device of one call; `cold` empties its caches before each."""
    ready.run()
    if ready.framework.name == "torch":
        return _events(ready, cold)
    return _queues(ready, cold)


def _events(ready: Ready, cold: bool) -> Timing:
    import torch

    junk = torch.empty(FLUSH_BYTES, dtype=torch.int8, device=ready.device)
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < SAMPLES and (len(taken) < LEAST_SAMPLES or time.perf_counter() - begin < MOST_SECONDS):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(BUSY_CYCLES)
        if cold:
            junk.zero_()
        before.record()
        ready.call()
        after.record()
        torch.cuda.synchronize()
        taken.append(before.elapsed_time(after) / 1000)
    return Timing(tuple(taken), 1)


def _queues(ready: Ready, cold: bool) -> Timing:
    import jax
    import jax.numpy as jnp

    flush = jax.jit(lambda x: x + jnp.int8(1))
    junk = jax.device_put(jnp.zeros(FLUSH_BYTES, dtype=jnp.int8), ready.device)
    ready.wait(flush(junk))

    def both() -> Any:
        flush(junk)
        return ready.call()

    call: Callable[[], Any] = both if cold else ready.call
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < SAMPLES and (len(taken) < LEAST_SAMPLES or time.perf_counter() - begin < MOST_SECONDS):
        flushing = _slope(lambda: flush(junk), ready.wait) if cold else 0.0
        taken.append(max(_slope(call, ready.wait) - flushing, 0.0))
    return Timing(tuple(taken), LONG - SHORT)


def _slope(call: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    """What one more call in the queue costs."""
    seconds = {}
    for length in (SHORT, LONG):
        start = time.perf_counter()
        for _ in range(length):
            last = call()
        wait(last)
        seconds[length] = time.perf_counter() - start
    return (seconds[LONG] - seconds[SHORT]) / (LONG - SHORT)
