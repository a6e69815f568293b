"""The peak memory of an operation, above its inputs. Three rulers, which must not be mixed, so each has its own name:

- `resident`: the high-water mark of the process's resident memory (CPU, both frameworks; Linux);
- `analysed`: what XLA's compiler planned for temporaries and results (JAX, any device);
- `device`: the allocator's statistics (GPU, both frameworks).

A high-water mark only rises in JAX's allocator: ask in a process that has done nothing else.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from typing import Any

from xloss.bench.workload import Ready, Work, first_run, forgiving, ready
from xloss.catalog import Unsupported

RULERS = ("resident", "analysed", "device")


def check_applies(work: Work, ruler: str) -> None:
    """`Unsupported` where a ruler does not apply to a work."""
    if ruler == "resident" and work.device != "cpu":
        raise Unsupported("resident memory says nothing of a GPU's")
    if ruler == "analysed" and work.framework != "jax":
        raise Unsupported("PyTorch has no such analysis")
    if ruler == "device" and work.device == "cpu":
        raise Unsupported("a CPU has no allocator that counts")


def peak_of(work: Work, ruler: str) -> int:
    """Make a work ready and find its peak; to be called in a fresh process (`processes.fresh`)."""
    check_applies(work, ruler)
    with ready(work) as run:
        return peak(run, ruler)


def peak(run: Ready, ruler: str) -> int:
    """Bytes at the peak of one run, above those before it. `Unsupported` where the ruler does not apply."""
    check_applies(run.work, ruler)
    return {"resident": resident, "analysed": analysed, "device": device}[ruler](run)


def resident(run: Ready) -> int:
    """By the kernel's high-water mark, which can be set back to the present."""
    del_results(first_run(run))  # compiles, loads libraries, starts threads: none of that is the operation's
    _give_back()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
    except OSError as error:
        raise Unsupported(f"no high-water mark that can be set back: {error}") from error
    results = run.run()
    after = _status("VmHWM")
    del_results(results)
    return max(after - before, 0)


def analysed(run: Ready) -> int:
    """By the compiler's own plan. (Its `peak_memory_in_bytes` leaves out temporaries on a CPU, and is not in old jax.)"""
    with forgiving(run.work):
        plan = run.program.lower(*run.arguments).compile().memory_analysis()
    if plan is None:
        raise Unsupported("this compiler gives no analysis")
    return plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes


def device(run: Ready) -> int:
    """By the statistics of the device's allocator."""
    if run.framework.name == "torch":
        import torch

        del_results(first_run(run))
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run.run()
        return torch.cuda.max_memory_allocated() - before
    before = run.device.memory_stats()
    first_run(run)
    after = run.device.memory_stats()
    if after["peak_bytes_in_use"] <= before["peak_bytes_in_use"] > before["bytes_in_use"]:
        raise Unsupported("making the inputs took more memory than the operation did")
    return after["peak_bytes_in_use"] - before["bytes_in_use"]


def del_results(results: Any) -> None:
    """Let go of results, whatever holds them in a cycle."""
    del results
    gc.collect()


def _give_back() -> None:
    """Have malloc return what it keeps, or the operation would find memory that it did not have to ask for."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return  # another libc, which keeps less


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise Unsupported(f"the system tells no {key}")
