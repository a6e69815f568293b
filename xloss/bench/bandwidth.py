"""The machine's copy bandwidth, by the framework's own copy: what the bandwidth of a loss is a share of."""

from __future__ import annotations

from xloss.bench import timer
from xloss.bench.runner import specifics
from xloss.bench.timer import Timing
from xloss.bench.workload import kind

# Far beyond the caches; each copy reads and writes it once.
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}


def copy(framework: str, device: str = "cpu", size: int | None = None) -> Timing:
    """Time a copy of `size` bytes, by default `COPY_BYTES[device]`; twice as many cross the bus."""
    from xloss.parity.mechanisms import load

    loaded, specific = load(framework), specifics(framework)
    place = loaded.device(device)
    with loaded.scope("float32"):
        return timer.measure(specific.copier((size or COPY_BYTES[kind(device)]) // 4, place), specific.waiter(place))


def bytes_per_second(framework: str, device: str = "cpu", size: int | None = None) -> float:
    """Return the bandwidth of that copy, from the lower quartile of its times."""
    return 2 * (size or COPY_BYTES[kind(device)]) / copy(framework, device, size).lower_quartile
