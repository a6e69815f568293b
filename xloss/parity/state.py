"""The state of a process that a loss may leak into what runs after it: noted before, compared and restored after."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# Variables that the frameworks, or xloss for one of them, set for themselves when they are first used.
LIBRARIES = ("KERAS_", "TF_", "TORCHINDUCTOR_", "TRITON_")
Entry = tuple[str, Callable[[], Any], Callable[[Any], Any]]


def _torch() -> Iterator[Entry]:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    yield "torch default dtype", torch.get_default_dtype, torch.set_default_dtype
    yield "torch number of threads", torch.get_num_threads, torch.set_num_threads
    yield "torch grad mode", torch.is_grad_enabled, torch.set_grad_enabled
    yield (
        "torch autocast on the CPU",
        lambda: torch.is_autocast_enabled("cpu"),
        (lambda on: torch.set_autocast_enabled("cpu", on)),
    )
    yield (
        "torch autocast on the GPU",
        lambda: torch.is_autocast_enabled("cuda"),
        (lambda on: torch.set_autocast_enabled("cuda", on)),
    )
    yield (
        "torch deterministic algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda was: torch.use_deterministic_algorithms(was[0], warn_only=was[1]),
    )
    yield "torch matmul precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield "torch anomaly mode", torch.is_anomaly_enabled, torch.set_anomaly_enabled


def _jax() -> Iterator[Entry]:
    jax: Any = sys.modules.get("jax")
    if jax is None:
        return
    for option in ("jax_enable_x64", "jax_default_matmul_precision", "jax_debug_nans", "jax_debug_infs",
                   "jax_numpy_dtype_promotion", "jax_disable_jit", "jax_numpy_rank_promotion"):  # fmt: skip
        yield (
            f"jax option {option}",
            lambda option=option: getattr(jax.config, option),  # type: ignore[misc]
            lambda value, option=option: jax.config.update(option, value),  # type: ignore[misc]
        )


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(LIBRARIES)}


def _environment(was: dict[str, str]) -> None:
    for name in set(_variables()) - set(was):
        del os.environ[name]
    os.environ.update(was)


def _filters() -> list[Any]:
    """Return the filters that concern any code; one of a message, a module or a library's own warning is the import's
    of that library.
    """
    return [one for one in warnings.filters if one[1] is None and one[3] is None and one[2].__module__ == "builtins"]


def _set_filters(was: list[Any]) -> None:
    others = [one for one in warnings.filters if one not in _filters()]
    warnings.filters[:] = [*others, *was]  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _random() -> tuple[Any, ...]:
    state: Any = np.random.get_state()  # noqa: NPY002 - the global state is what may leak
    name, keys, *rest = state
    return (name, keys.tobytes(), *rest)


def _set_random(was: tuple[Any, ...]) -> None:
    name, keys, *rest = was
    np.random.set_state((name, np.frombuffer(keys, dtype=np.uint32), *rest))  # noqa: NPY002


def _common() -> Iterator[Entry]:
    yield "numpy error handling", np.geterr, lambda was: np.seterr(**was)
    yield "numpy random state", _random, _set_random
    yield "warnings filters", _filters, _set_filters
    yield "environment variables", _variables, _environment
    yield "working directory", os.getcwd, os.chdir


class Snapshot:
    """The state of this process at one moment."""

    def __init__(self) -> None:
        self._was = [(name, get, put, get()) for name, get, put in (*_torch(), *_jax(), *_common())]

    def restore(self) -> list[tuple[str, str]]:
        """Put back what has changed since; return the name of each with what became of it."""
        changed = []
        for name, get, put, was in self._was:
            try:
                now = get()
            except OSError as error:  # the working directory was removed
                now = error
            if now != was:
                put(was)
                changed.append((name, _change(was, now)))
        return changed


def _change(was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [str(key) for key in {**was, **now} if was.get(key) != now.get(key)]
        return ", ".join(sorted(keys))
    if isinstance(was, (list, tuple)) and len(str(was)) > 60:
        return "not what it was"
    return f"{was} became {now}"
