"""The processes of `xloss bench`, in turn, and the rows that come of them.

Every contestant is timed in several processes, A B C, C B A, ..., since one process alone says little (see `compare`).
Peak memory has a process to itself, because a peak only grows; compile time and accuracy share another.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from xloss.bench.processes import fresh
from xloss.bench.runner import compile_and_run, prepare
from xloss.bench.timer import Timing
from xloss.bench.workload import CONTESTANTS, QUANTITIES, Workload
from xloss.catalog import Contestant, Loss, Unsupported, get
from xloss.parity.cells import shape_text
from xloss.parity.mechanisms.base import out_of_memory

#: The quantity that contestants are compared by.
MAIN = "value_and_grad"
#: Samples of a slow call in one process: the interval is that of several processes, where asv has one.
LEAST_SAMPLES = 3


@dataclass(frozen=True)
class Failure:
    """Why there is no number: a status of the sweep's and a reason."""

    status: str
    reason: str


@dataclass(frozen=True)
class Settings:
    """How much to measure: processes that time each contestant, samples and seconds in each, and what else."""

    rounds: int = 5
    quantities: tuple[str, ...] = QUANTITIES
    compiling: bool = True
    memory: bool = True
    accuracy: bool = True
    timeout: float = 600.0
    samples: int = 30
    seconds: float = 0.3

    def first(self, device: str) -> tuple[str, ...]:
        """Return the names of the measurements in the first round's processes."""
        others = tuple(quantity for quantity in self.quantities if quantity != MAIN)
        return ("facts", MAIN, *(("device",) if device != "cpu" else ()), *others)

    def after(self) -> tuple[tuple[str, ...], ...]:
        """Return the names of the measurements in the processes after the timed rounds."""
        slow = ("compile",) * self.compiling + ("ulps",) * self.accuracy
        return (("peak",),) * self.memory + ((slow,) if slow else ())


def contestants(loss: Loss) -> list[Contestant]:
    """Return those of `CONTESTANTS` that the loss has."""
    peers = {(peer.framework, peer.name) for peer in loss.peers}
    return [c for c in CONTESTANTS if c.implementation == "xloss" or (c.framework, c.implementation) in peers]


def turns(count: int, rounds: int) -> Iterator[tuple[int, int]]:
    """Yield round and number, A B C, C B A, ...: none is always the one that finds the machine warm."""
    for turn in range(rounds):
        for number in range(count) if turn % 2 == 0 else reversed(range(count)):
            yield turn, number


def run(workloads: Sequence[Workload], settings: Settings, show: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """Measure all contestants of one table; return a row each. `show` is called with processes done, of how many."""
    found: list[dict[str, Any]] = [{"timings": []} for _ in workloads]
    total = len(workloads) * (settings.rounds + len(settings.after()))
    done = 0

    def step(number: int, names: tuple[str, ...]) -> None:
        nonlocal done
        results = _in_process(workloads[number], names, settings)
        found[number] |= results
        if isinstance(results.get(MAIN), Timing):
            found[number]["timings"].append(results[MAIN])
        done += 1
        show(done, total)

    show(0, total)
    for turn, number in turns(len(workloads), settings.rounds):
        if turn and not isinstance(found[number].get(MAIN), Timing):
            done += 1  # it failed in an earlier round
            continue
        step(number, (MAIN,) if turn else settings.first(workloads[number].device))
    for names in settings.after():
        for number in range(len(workloads)):
            step(number, names)
    return [_row(workload, results) for workload, results in zip(workloads, found, strict=True)]


def bandwidth(frameworks: Iterable[str], device: str, timeout: float) -> float:
    """Return the machine's copy bandwidth in bytes a second, by the framework that copies faster."""
    from xloss.bench.bandwidth import bytes_per_second

    return max(float(fresh(_own_group, bytes_per_second, name, device, timeout=timeout)) for name in frameworks)


def no_device(framework: str, device: str) -> str:
    """Return why a framework has no such device, found in a fresh process; "" where it has."""
    return str(fresh(_own_group, _no_device, framework, device))


def _no_device(framework: str, device: str) -> str:
    from xloss.parity.mechanisms import load

    try:
        load(framework).device(device)
    except (ImportError, RuntimeError) as error:
        return str(error)
    return ""


def _own_group(function: Callable[..., Any], *args: Any) -> Any:
    """Call in a process group of its own: see `no_orphans`."""
    os.setpgid(0, 0)
    return function(*args)


@contextlib.contextmanager
def no_orphans() -> Iterator[None]:
    """On Ctrl-C or SIGTERM end the process that measures, with the compilers that it may have started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        for child in multiprocessing.active_children():
            with contextlib.suppress(OSError):  # it has ended, or is not yet a group: then `fresh` ends it
                if child.pid:
                    os.killpg(child.pid, signal.SIGKILL)
        raise KeyboardInterrupt(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_process(workload: Workload, names: tuple[str, ...], settings: Settings) -> dict[str, Any]:
    """Measure in a fresh process; where it dies, that is the result of each measurement."""
    try:
        return dict(fresh(_own_group, measure, workload, names, settings, timeout=settings.timeout))
    except TimeoutError:
        return dict.fromkeys(names, Failure("timeout", f"no answer in {settings.timeout:g} s"))
    except RuntimeError as error:
        return dict.fromkeys(names, Failure("crash", str(error).partition(": ")[2] or str(error)))


def measure(workload: Workload, names: tuple[str, ...], settings: Settings) -> dict[str, Any]:
    """Return measurements by name, or a `Failure` for each, made within this process; all can be pickled."""
    # No pool of compiler processes, for the sake of one or two programs.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    loss = get(workload.loss)
    out: dict[str, Any] = {}
    for name in names:
        try:
            out[name] = _MEASUREMENTS[name](loss, workload, settings)
        except Exception as error:  # whatever a contestant raises is a finding about it
            out[name] = failure(workload, error)
    return out


def failure(workload: Workload, error: Exception) -> Failure:
    """Return what an exception says of a contestant. Where a peer raises, it is unsupported."""
    reason = str(error) if isinstance(error, Unsupported) else f"{type(error).__name__}: {error}"
    reason = (reason.strip() or type(error).__name__).split("\n")[0][:300]
    if out_of_memory(error):
        return Failure("oom", reason)
    unsupported = isinstance(error, Unsupported) or workload.contestant.implementation != "xloss"
    return Failure("unsupported" if unsupported else "error", reason)


def _time(loss: Loss, workload: Workload, settings: Settings, quantity: str) -> Timing:
    from xloss.bench import timer

    with prepare(loss, replace(workload, quantity=quantity)) as prepared:
        compile_and_run(prepared)
        return timer.measure(prepared.call, prepared.wait, samples=settings.samples, least=LEAST_SAMPLES,
                             most_seconds=settings.seconds)  # fmt: skip


def _facts(loss: Loss, workload: Workload, _settings: Settings) -> dict[str, Any]:
    from xloss.bench.roofline import flops, least_bytes
    from xloss.bench.workload import draw
    from xloss.parity.mechanisms import load

    inputs = draw(loss, workload)
    least = least_bytes(inputs, workload.quantity)
    return {
        "version": load(workload.contestant.framework).version(),
        "least_bytes": least,
        # What must be there at the end beside the inputs: the gradients.
        "least_peak_bytes": least - least_bytes(inputs, "value"),
        "flops": flops(inputs, workload.quantity),
    }


def _device_time(loss: Loss, workload: Workload, _settings: Settings) -> Timing:
    from xloss.bench import device_time

    with prepare(loss, workload) as prepared:
        compile_and_run(prepared)
        return device_time.measure(prepared, cold=False)


def _peak(loss: Loss, workload: Workload, _settings: Settings) -> tuple[int, str]:
    """Return bytes and the method: the device's statistics, or resident memory, or (not on Linux) XLA's plan."""
    from xloss.bench.peak_memory import peak

    if workload.device != "cpu":
        return peak(loss, workload, "device"), "device"
    with contextlib.suppress(Unsupported):
        return peak(loss, workload, "resident"), "resident"
    return peak(loss, workload, "analysed"), "analysed"


def _compile(loss: Loss, workload: Workload, _settings: Settings) -> float:
    from xloss.bench.compile_time import seconds

    return seconds(loss, workload, "cold")


def _ulps(loss: Loss, workload: Workload, _settings: Settings) -> dict[str, float]:
    from xloss.bench.accuracy import ulps

    return ulps(loss, workload)


_MEASUREMENTS: Mapping[str, Callable[[Loss, Workload, Settings], Any]] = {
    "facts": _facts,
    **{quantity: functools.partial(_time, quantity=quantity) for quantity in QUANTITIES},
    "device": _device_time,
    "peak": _peak,
    "compile": _compile,
    "ulps": _ulps,
}


def _row(workload: Workload, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return one contestant's seconds, bytes and ulps; None where there is no number, the reason in `notes`."""
    import numpy as np

    good = {name: value for name, value in found.items() if not isinstance(value, Failure)}
    bad = {name: value for name, value in found.items() if isinstance(value, Failure)}
    facts, ulps = good.get("facts", {}), good.get("ulps", {})
    timings: list[Timing] = found["timings"]
    times = {name: good[name].lower_quartile for name in (*QUANTITIES, "device") if name in good}
    if timings:
        times[MAIN] = float(np.median([timing.lower_quartile for timing in timings]))
    stopped = [name for name, value in bad.items() if value.status != "unsupported"]
    main = bad.get(stopped[0] if stopped else MAIN)
    loss, contestant = get(workload.loss), workload.contestant
    peak_bytes, peak_ruler = good.get("peak", (None, None))
    return {
        "loss": loss.name, "variant": workload.variant_of(loss).name,
        "shape": shape_text(workload.shape_of(loss)),
        "dtype": workload.dtype, "device": workload.device, "framework": contestant.framework, "mode": contestant.mode,
        "implementation": contestant.implementation, "version": facts.get("version"),
        **{f"{name}_seconds": times.get(name) for name in (*QUANTITIES, "device")},
        "compile_seconds": good.get("compile"), "peak_bytes": peak_bytes, "peak_ruler": peak_ruler,
        "least_peak_bytes": facts.get("least_peak_bytes"), "least_bytes": facts.get("least_bytes"),
        "flops": facts.get("flops"),
        "value_worst_ulps": ulps.get("value_worst"), "gradient_worst_ulps": ulps.get("gradient_worst"),
        "status": main.status if main else "ok", "reason": main.reason if main else "",
        "notes": {name: value.reason for name, value in bad.items()},
        "samples": [list(timing.samples) for timing in timings],
    }  # fmt: skip
