"""What `xloss bench` asks of fresh processes, in turn, and the rows that come of it.

Everyone is timed in several processes, A B C, C B A, ...: one process alone says little (`xloss.bench.compare`). Peak
memory has a process to itself, because a peak only grows; compile time and accuracy share another.
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
from xloss.bench.timer import Timing
from xloss.bench.workload import CONTESTANTS, QUANTITIES, Work, shape_of
from xloss.catalog import Loss, Unsupported, get, substitute

#: The name of the size that a person gave.
ASKED = "asked"
MAIN = "value_and_grad"
#: Samples of a slow call in one process: the interval is that of several processes, where asv has one.
LEAST_SAMPLES = 3


@dataclass(frozen=True)
class Asked:
    """One contestant, at a shape of the first argument and in a variant of the loss; small and picklable."""

    work: Work
    variant: str
    shape: tuple[int, ...]
    samples: int
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Why there is no number: a status of the sweep's and a reason."""

    status: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """How much is asked."""

    rounds: int = 5
    quantities: tuple[str, ...] = QUANTITIES
    compiling: bool = True
    memory: bool = True
    accuracy: bool = True
    timeout: float = 600.0

    def first(self, device: str) -> tuple[str, ...]:
        """The jobs of the first round's processes."""
        others = tuple(quantity for quantity in self.quantities if quantity != MAIN)
        return ("facts", MAIN, *(("device",) if device == "cuda" else ()), *others)

    def after(self) -> tuple[tuple[str, ...], ...]:
        """The jobs of the processes after the timed rounds."""
        slow = ("compile",) * self.compiling + ("ulps",) * self.accuracy
        return (("peak",),) * self.memory + ((slow,) if slow else ())


def shape_at(loss: Loss, variant: str, size: str) -> tuple[int, ...]:
    """The shape that a variant has at a size; `Unsupported` where the loss names none."""
    return shape_of(replace(loss, variants=(loss.variant(variant),)), size)


def contestants(loss: Loss) -> list[str]:
    """Those of `CONTESTANTS` that the loss has."""
    peers = {(peer.framework, peer.name) for peer in loss.peers}
    there = []
    for contestant in CONTESTANTS:
        framework, _, implementation = contestant.split("/")
        if implementation == "xloss" or (framework, implementation) in peers:
            there.append(contestant)
    return there


def run(asked: Sequence[Asked], plan: Plan, show: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """Measure all contestants of one table; a row each, in the order asked. `show` is called with processes done, of all."""
    found: list[dict[str, Any]] = [{"timings": []} for _ in asked]
    total = len(asked) * (plan.rounds + len(plan.after()))
    done = 0

    def ask(number: int, jobs: tuple[str, ...]) -> dict[str, Any]:
        nonlocal done
        answers = _in_process(asked[number], jobs, plan.timeout)
        done += 1
        show(done, total)
        return answers

    show(0, total)
    for turn in range(plan.rounds):
        order = range(len(asked))
        # Neither is always the one that finds the machine warm.
        for number in order if turn % 2 == 0 else reversed(order):
            if turn and not isinstance(found[number].get(MAIN), Timing):
                done += 1
                continue
            answers = ask(number, (MAIN,) if turn else plan.first(asked[number].work.device))
            if isinstance(answers[MAIN], Timing):
                found[number]["timings"].append(answers[MAIN])
            found[number] |= answers
    for jobs in plan.after():
        for number in range(len(asked)):
            found[number] |= ask(number, jobs)
    return [_row(one, answers) for one, answers in zip(asked, found, strict=True)]


def bandwidth(frameworks: Iterable[str], device: str, timeout: float) -> float:
    """The machine's copy bandwidth in bytes a second, by the framework that copies faster."""
    from xloss.bench.bandwidth import bytes_per_second

    return max(fresh(_apart, bytes_per_second, name, device, timeout=timeout) for name in frameworks)


def no_device(framework: str, device: str) -> str:
    """Why a framework has no such device, asked in a process of its own; "" where it has."""
    return fresh(_apart, _no_device, framework, device)


def _no_device(framework: str, device: str) -> str:
    from xloss.parity.mechanisms import load

    try:
        load(framework).device(device)
    except (ImportError, RuntimeError) as error:
        return str(error)
    return ""


def _apart(function: Callable[..., Any], *args: Any) -> Any:
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


def _in_process(asked: Asked, jobs: tuple[str, ...], timeout: float) -> dict[str, Any]:
    """The answers to jobs by name; what its process dies of is the answer to each."""
    try:
        return fresh(_apart, answer, asked, jobs, timeout=timeout)
    except TimeoutError:
        return dict.fromkeys(jobs, Failure("timeout", f"no answer in {timeout:g} s"))
    except RuntimeError as error:
        return dict.fromkeys(jobs, Failure("crash", str(error).partition(": ")[2] or str(error)))


def answer(asked: Asked, jobs: tuple[str, ...]) -> dict[str, Any]:
    """The answers to jobs by name, within this process: a number of things that can be pickled, or a `Failure`."""
    # No pool of compiler processes, for the sake of one or two programs.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    loss = get(asked.work.loss)
    out: dict[str, Any] = {}
    with substitute(loss.name, variants=(loss.variant(asked.variant),), workloads={ASKED: asked.shape}):
        for job in jobs:
            try:
                out[job] = _JOBS[job](asked)
            except Exception as error:  # whatever a contestant raises is a finding about it
                out[job] = failure(asked.work, error)
    return out


def failure(work: Work, error: Exception) -> Failure:
    """What an exception says of a contestant. What a peer raises, it does not offer."""
    reason = str(error) if isinstance(error, Unsupported) else f"{type(error).__name__}: {error}"
    reason = (reason.strip() or type(error).__name__).split("\n")[0][:300]
    if "out of memory" in reason.lower() or "RESOURCE_EXHAUSTED" in reason or isinstance(error, MemoryError):
        return Failure("oom", reason)
    return Failure(
        "unsupported" if isinstance(error, Unsupported) or work.implementation != "xloss" else "error", reason
    )


def _time(asked: Asked, quantity: str) -> Timing:
    from xloss.bench import timer
    from xloss.bench.workload import first_run, ready

    with ready(replace(asked.work, quantity=quantity)) as run:
        first_run(run)
        return timer.measure(run.call, run.wait, samples=asked.samples, least=LEAST_SAMPLES, most_seconds=asked.seconds)


def _facts(asked: Asked) -> dict[str, Any]:
    from xloss.bench.roofline import flops, least_bytes
    from xloss.bench.workload import draw
    from xloss.parity.mechanisms import load

    drawn = draw(asked.work)
    least = least_bytes(asked.work, drawn)
    return {
        "version": load(asked.work.framework).version(),
        "least_bytes": least,
        # What must be there at the end beside the inputs: the gradients.
        "least_peak_bytes": least - least_bytes(replace(asked.work, quantity="value"), drawn),
        "flops": flops(asked.work, drawn),
    }


def _on_device(asked: Asked) -> Timing:
    from xloss.bench import device_time
    from xloss.bench.workload import first_run, ready

    with ready(asked.work) as run:
        first_run(run)
        return device_time.measure(run, cold=False)


def _peak(asked: Asked) -> tuple[int, str]:
    """Bytes, and the ruler: the device's own statistics, or resident memory, or (elsewhere than on Linux) XLA's plan."""
    from xloss.bench.peak_memory import peak_of

    *first, last = ("device",) if asked.work.device != "cpu" else ("resident", "analysed")
    for ruler in first:
        with contextlib.suppress(Unsupported):
            return peak_of(asked.work, ruler), ruler
    return peak_of(asked.work, last), last


def _compile(asked: Asked) -> float:
    from xloss.bench.compile_time import seconds

    return seconds(asked.work, "cold")


def _ulps(asked: Asked) -> dict[str, float]:
    from xloss.bench.accuracy import ulps

    return ulps(asked.work)


_JOBS: Mapping[str, Callable[[Asked], Any]] = {
    "facts": _facts,
    **{quantity: functools.partial(_time, quantity=quantity) for quantity in QUANTITIES},
    "device": _on_device,
    "peak": _peak,
    "compile": _compile,
    "ulps": _ulps,
}


def _row(asked: Asked, found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found of one contestant: seconds, bytes and ulps; None where there is no number, the reason in `notes`."""
    import numpy as np

    good = {name: value for name, value in found.items() if not isinstance(value, Failure)}
    bad = {name: value for name, value in found.items() if isinstance(value, Failure)}
    facts, off = good.get("facts", {}), good.get("ulps", {})
    taken: list[Timing] = found["timings"]
    times = {name: good[name].quiet for name in (*QUANTITIES, "device") if isinstance(good.get(name), Timing)}
    if taken:
        times[MAIN] = float(np.median([timing.quiet for timing in taken]))
    stopped = [name for name, value in bad.items() if value.status != "unsupported"]
    main = bad.get(stopped[0] if stopped else MAIN)
    work = asked.work
    return {
        "loss": work.loss, "variant": asked.variant, "shape": "x".join(map(str, asked.shape)) or "scalar",
        "dtype": work.dtype, "device": work.device, "framework": work.framework, "mode": work.mode,
        "implementation": work.implementation, "version": facts.get("version"),
        **{f"{name}_seconds": times.get(name) for name in (*QUANTITIES, "device")},
        "compile_seconds": good.get("compile"),
        "peak_bytes": good["peak"][0] if "peak" in good else None,
        "peak_ruler": good["peak"][1] if "peak" in good else None,
        "least_peak_bytes": facts.get("least_peak_bytes"), "least_bytes": facts.get("least_bytes"),
        "flops": facts.get("flops"),
        "value_worst_ulps": off.get("value_worst"), "gradient_worst_ulps": off.get("gradient_worst"),
        "status": main.status if main else "ok", "reason": main.reason if main else "",
        "notes": {name: value.reason for name, value in bad.items()},
        "samples": [list(timing.samples) for timing in taken],
    }  # fmt: skip
