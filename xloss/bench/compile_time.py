"""The cost of compiling, apart from running: three times in seconds.

- `lowering`: from Python to the compiler's intermediate representation (in PyTorch Dynamo and AOTAutograd, by the
  backend "aot_eager");
- `cold`: lowering and compiling, with nothing in any cache;
- `cached`: lowering and compiling again, as a new process would with the compiler's cache on disk filled.

The compiler itself (its import, its first use) is warmed up before.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator

from xloss.bench.runner import compile_and_run, peer_errors_as_unsupported, prepare
from xloss.bench.workload import Workload
from xloss.catalog import Loss, Unsupported

STAGES = ("lowering", "cold", "cached")


def seconds(loss: Loss, workload: Workload, stage: str) -> float:
    """Return the seconds of one of `STAGES`. `Unsupported` for eager mode."""
    if workload.contestant.mode == "eager":
        raise Unsupported("eager mode compiles nothing")
    return (_jax if workload.contestant.framework == "jax" else _torch)(loss, workload, stage)


def _jax(loss: Loss, workload: Workload, stage: str) -> float:
    import jax
    import jax.numpy as jnp

    with _jax_cache(stage == "cached"), prepare(loss, workload) as prepared, peer_errors_as_unsupported(workload):
        jax.jit(lambda x: x + jnp.ones_like(x))(prepared.arguments[0]).block_until_ready()
        if stage == "cached":
            prepared.program.lower(*prepared.arguments).compile()
            jax.clear_caches()
        start = time.perf_counter()
        lowered = prepared.program.lower(*prepared.arguments)
        middle = time.perf_counter()
        if stage == "lowering":
            return middle - start
        lowered.compile()
        return time.perf_counter() - start


@contextlib.contextmanager
def _jax_cache(on: bool) -> Iterator[None]:
    """Turn JAX's cache on, in a folder of its own, or off."""
    import jax

    wanted: dict[str, object] = {"jax_enable_compilation_cache": on}
    with tempfile.TemporaryDirectory() as folder:
        if on:
            wanted |= {
                "jax_compilation_cache_dir": folder,
                "jax_persistent_cache_min_compile_time_secs": 0,
                "jax_persistent_cache_min_entry_size_bytes": -1,
            }
        before = {name: getattr(jax.config, name) for name in wanted}
        _configure(wanted)
        try:
            yield
        finally:
            _configure(before)


def _configure(settings: dict[str, object]) -> None:
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # else a cache that was found off stays off


def _torch(loss: Loss, workload: Workload, stage: str) -> float:
    import torch

    backend = "aot_eager" if stage == "lowering" else "inductor"
    torch.compile(lambda x: x + 1, backend=backend)(torch.zeros(3, device=workload.device))
    with _torch_cache(stage == "cached"):
        if stage == "cached":
            _first_less_second(loss, workload, backend)
            torch._dynamo.reset()
        return _first_less_second(loss, workload, backend)


@contextlib.contextmanager
def _torch_cache(on: bool) -> Iterator[None]:
    """Turn Inductor's caches on, in a folder of their own, or off."""
    import torch

    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ[name] = folder
        try:
            with torch._inductor.config.patch(force_disable_caches=not on):
                yield
        finally:
            os.environ.pop(name) if before is None else os.environ.update({name: before})


def _first_less_second(loss: Loss, workload: Workload, backend: str) -> float:
    """Return the seconds of the first run less those of the second, which compiles nothing."""
    with prepare(loss, workload, backend) as prepared:
        start = time.perf_counter()
        compile_and_run(prepared)
        middle = time.perf_counter()
        prepared.run()
        return max(2 * middle - start - time.perf_counter(), 0.0)
