"""What compiling costs, apart from running: three times in seconds.

- `lowering`: from Python to the compiler's own language (in PyTorch Dynamo and AOTAutograd, by the backend "aot_eager");
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

from xloss.bench.workload import Work, first_run, forgiving, ready
from xloss.catalog import Unsupported

STAGES = ("lowering", "cold", "cached")


def seconds(work: Work, stage: str) -> float:
    """Seconds of one stage of compiling a work. `Unsupported` for eager mode."""
    if work.mode == "eager":
        raise Unsupported("eager mode compiles nothing")
    return (_jax if work.framework == "jax" else _torch)(work, stage)


def _jax(work: Work, stage: str) -> float:
    import jax
    import jax.numpy as jnp

    with _jax_cache(stage == "cached"), ready(work) as run, forgiving(work):
        jax.jit(lambda x: x + jnp.ones_like(x))(run.arguments[0]).block_until_ready()
        if stage == "cached":
            run.program.lower(*run.arguments).compile()
            jax.clear_caches()
        start = time.perf_counter()
        lowered = run.program.lower(*run.arguments)
        middle = time.perf_counter()
        if stage == "lowering":
            return middle - start
        lowered.compile()
        return time.perf_counter() - start


@contextlib.contextmanager
def _jax_cache(on: bool) -> Iterator[None]:
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
        _settle(wanted)
        try:
            yield
        finally:
            _settle(before)


def _settle(settings: dict[str, object]) -> None:
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # else a cache that was found off stays off


def _torch(work: Work, stage: str) -> float:
    import torch

    backend = "aot_eager" if stage == "lowering" else "inductor"
    torch.compile(lambda x: x + 1, backend=backend)(torch.zeros(3, device=work.device))
    with _torch_cache(stage == "cached"):
        if stage == "cached":
            _first(work, backend)
            torch._dynamo.reset()
        return _first(work, backend)


@contextlib.contextmanager
def _torch_cache(on: bool) -> Iterator[None]:
    """Inductor's caches: on, in a folder of their own, or off."""
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


def _first(work: Work, backend: str) -> float:
    """Seconds until the first result, less those of the second one, which only runs."""
    with ready(work, backend) as run:
        start = time.perf_counter()
        first_run(run)
        middle = time.perf_counter()
        run.run()
        return max(2 * middle - start - time.perf_counter(), 0.0)
