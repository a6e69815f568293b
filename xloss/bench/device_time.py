"""How long the device itself works, with its caches warm or cold; `timer` has what the host sees.

In PyTorch by CUDA events, behind a kernel that keeps the device busy until the host has queued everything: so the time
holds no wait for the host. JAX has no events: there it is the difference between a long and a short queue of the same
call. Where the host is the slower one, or the difference is noise, there is no such time, and `Unsupported` says so: a
number would be the host's, or 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xloss.bench.runner import Prepared
from xloss.bench.timer import Timing, collect
from xloss.catalog import Unsupported

# Greater than the last-level cache of any device: writing this many bytes evicts the inputs from it.
FLUSH_BYTES = 2**28
# Lengths of the two queues.
SHORT, LONG = 4, 20
# The host is ahead where queueing takes less than this share of the time until all is done.
AHEAD = 0.8
# Some two milliseconds, in which a host queues flush, event, call and event.
BUSY_CYCLES = 4_000_000


def measure(prepared: Prepared, cold: bool) -> Timing:
    """Time one call on the device; `cold` empties its caches before each."""
    prepared.run()
    if prepared.framework.name == "torch":
        import torch

        with torch.cuda.device(prepared.device):  # where the busy kernel and the events are
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

    shares: list[float] = []

    def sample() -> float:
        if not cold:
            return slope(prepared.call, prepared.wait, shares)
        flushing = slope(lambda: increment(evicting), prepared.wait, shares)
        return slope(flush_and_call, prepared.wait, shares) - flushing

    return checked(Timing(collect(sample), LONG - SHORT), shares)


def checked(timing: Timing, shares: Sequence[float]) -> Timing:
    """Return the timing of queues; `Unsupported` where the host was not ahead of the device, or all is noise.

    `shares` are those of the time that the host took to queue all calls.
    """
    share = float(np.median(shares))
    if share > AHEAD:
        raise Unsupported(f"queueing took {share:.0%} of the time: the host was not ahead of the device, and its own "
                          "time would be measured")  # fmt: skip
    if not timing.lower_quartile > 0:
        raise Unsupported("the difference between a long and a short queue is noise: the call is too short for this")
    return timing


def slope(call: Callable[[], Any], wait: Callable[[Any], Any], shares: list[float]) -> float:
    """Return the seconds that one more call in the queue takes; note the share that queueing the long one took."""
    seconds = {}
    for length in (SHORT, LONG):
        start = time.perf_counter()
        for _ in range(length):
            last = call()
        queued = time.perf_counter() - start
        wait(last)
        seconds[length] = time.perf_counter() - start
    shares.append(queued / seconds[LONG])
    return (seconds[LONG] - seconds[SHORT]) / (LONG - SHORT)
