"""The machine's copy bandwidth, by the framework's own copy: what a time is a share of."""

from __future__ import annotations

from typing import Any

import numpy as np

from xloss.bench import timer
from xloss.bench.timer import Timing

# Far beyond the caches; each copy reads and writes it once.
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}


def copy(framework: str, device: str = "cpu") -> Timing:
    """Time a copy of `COPY_BYTES[device]` bytes; twice as many cross the bus."""
    from xloss.parity.mechanisms import load

    frame: Any = load(framework)
    place = frame.device(device)
    elements = COPY_BYTES[device] // 4
    with frame.scope("float32"):
        if framework == "torch":
            import torch

            from xloss.bench.torch import waiter

            source = torch.ones(elements, device=place)
            target = torch.empty_like(source)
            return timer.measure(lambda: target.copy_(source), waiter(place))
        import jax

        # A program that gives back its argument copies it, for the caller keeps the argument.
        array = jax.device_put(np.ones(elements, dtype=np.float32), place)
        identity = jax.jit(lambda x: x)
        return timer.measure(lambda: identity(array), jax.block_until_ready)


def bytes_per_second(framework: str, device: str = "cpu") -> float:
    """The bandwidth of that copy, by its quiet quarter."""
    return 2 * COPY_BYTES[device] / copy(framework, device).quiet
