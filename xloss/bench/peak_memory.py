"""The peak memory of an operation, above its inputs, by three methods that must not be mixed:

- `resident`: the high-water mark of the process's resident memory (CPU, both frameworks; Linux);
- `analysed`: what XLA's compiler planned for temporaries and results (JAX, any device);
- `device`: the allocator's statistics (GPU, both frameworks).

A high-water mark only rises in JAX's allocator: measure in a process that has done nothing else.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from typing import Any

from xloss.bench.runner import Prepared, compile_and_run, peer_errors_as_unsupported, prepare
from xloss.bench.workload import Workload
from xloss.catalog import Loss, Unsupported


def peak(loss: Loss, workload: Workload, method: str) -> int:
    """Return the bytes at the peak of one run, above those before it. `Unsupported` where the method does not apply."""
    if method == "resident" and workload.device != "cpu":
        raise Unsupported("resident memory says nothing of a GPU's")
    if method == "analysed" and workload.contestant.framework != "jax":
        raise Unsupported("PyTorch has no such analysis")
    if method == "device" and workload.device == "cpu":
        raise Unsupported("a CPU has no allocator that counts")
    with prepare(loss, workload) as prepared:
        return {"resident": _resident, "analysed": _analysed, "device": of_device}[method](prepared)


def _resident(prepared: Prepared) -> int:
    """Measure the kernel's high-water mark, which can be reset to the present."""
    compile_and_run(prepared)  # compiles, loads libraries, starts threads: none of that is the operation's
    _release()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
    except OSError as error:
        raise Unsupported(f"no high-water mark that can be set back: {error}") from error
    prepared.run()
    return max(_status("VmHWM") - before, 0)


def _analysed(prepared: Prepared) -> int:
    """Read the compiler's plan; its `peak_memory_in_bytes` leaves out temporaries on a CPU, and is not in old jax."""
    with peer_errors_as_unsupported(prepared.workload):
        plan = prepared.program.lower(*prepared.arguments).compile().memory_analysis()
    if plan is None:
        raise Unsupported("this compiler gives no analysis")
    return int(plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes)


def of_device(prepared: Prepared) -> int:
    """Return the peak of one run above what was there before, by the statistics of the device's allocator."""
    if prepared.framework.name == "torch":
        import torch

        compile_and_run(prepared)
        gc.collect()
        torch.cuda.reset_peak_memory_stats(prepared.device)
        start = torch.cuda.memory_allocated(prepared.device)
        prepared.run()
        return int(torch.cuda.max_memory_allocated(prepared.device) - start)
    # Compiled before: XLA tries out kernels on the device, in memory that is not the operation's.
    with peer_errors_as_unsupported(prepared.workload):
        program = prepared.program.lower(*prepared.arguments).compile()
    before: dict[str, int] = prepared.device.memory_stats()
    prepared.wait(program(*prepared.arguments))
    after: dict[str, int] = prepared.device.memory_stats()
    if after["peak_bytes_in_use"] <= before["peak_bytes_in_use"] > before["bytes_in_use"]:
        raise Unsupported("making the inputs, or compiling, took more memory than the operation did")
    return after["peak_bytes_in_use"] - before["bytes_in_use"]


def _release() -> None:
    """Return unused memory to the system, or the operation would find memory that it did not have to ask for."""
    gc.collect()
    try:
        trim: Any = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return  # another libc, which keeps less
    trim(0)


def _status(key: str) -> int:
    """Return the bytes that /proc/self/status has under a key."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise Unsupported(f"the system tells no {key}")
