"""The state of a process that a loss may leak into what runs after it: noted before, compared and restored after."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# Variables that the frameworks, or xloss for one of them, set for themselves when they are first used.
LIBRARIES = ("KERAS_", "TF_", "TORCHINDUCTOR_", "TRITON_")
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
Entry = tuple[str, Callable[[], Any], Callable[[Any], Any]]


def _torch() -> Iterator[Entry]:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    yield "torch default dtype", torch.get_default_dtype, torch.set_default_dtype
    yield "torch number of threads", torch.get_num_threads, torch.set_num_threads
    yield "torch inference mode", torch.is_inference_mode_enabled, _set_inference_mode  # which sets the next one, too
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
    yield "torch default device", lambda: str(torch.get_default_device()), torch.set_default_device
    yield "torch random state", lambda: torch.get_rng_state().numpy().tobytes(), _set_torch_random
    yield "torch flushing of subnormal numbers", _flushes, torch.set_flush_denormal
    for owner, name in ((torch.backends.cudnn, "deterministic"), (torch.backends.cudnn, "benchmark"),
                        (torch.backends.cudnn, "enabled"), (torch.backends.mkldnn, "enabled")):  # fmt: skip
        yield (
            f"{owner.__name__} {name}",
            lambda owner=owner, name=name: getattr(owner, name),  # type: ignore[misc]
            lambda was, owner=owner, name=name: setattr(owner, name, was),  # type: ignore[misc]
        )


_held: list[Any] = []  # a mode of PyTorch's lasts as long as the object that set it


def _set_inference_mode(was: bool) -> None:
    mode = sys.modules["torch"].inference_mode(was)
    mode.__enter__()
    _held.append(mode)


def _set_torch_random(was: bytes) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(torch.frombuffer(bytearray(was), dtype=torch.uint8))


def _flushes() -> bool:
    return float.fromhex("0x1p-1074") * len(_LEAST) == 0.0


_LEAST = (0,)  # a length that no compiler knows


def _jax() -> Iterator[Entry]:
    jax: Any = sys.modules.get("jax")
    if jax is None:
        return
    for option in _jax_options():
        yield (
            f"jax option {option}",
            lambda option=option: getattr(jax.config, option),  # type: ignore[misc]
            lambda value, option=option: jax.config.update(option, value),  # type: ignore[misc]
        )


@functools.cache  # some two hundred, looked through several times a cell
def _jax_options() -> tuple[str, ...]:
    config = sys.modules["jax"].config
    return tuple(name for name in config.values if hasattr(config, name))


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


def _numpy_random() -> Entry:
    """Compare the global random state by its memory: `get_state` makes 624 Python objects, which takes longest here."""
    state: Any = np.random.get_state()  # noqa: NPY002 - the global state is what may leak

    def words() -> bytes:
        generator: Any = np.random.mtrand.get_bit_generator()
        if isinstance(generator, np.random.MT19937):  # 624 words, and the place among them
            return ctypes.string_at(generator.ctypes.state_address, 625 * 4)
        return repr(generator.state).encode()

    return "numpy random state", words, lambda _was: np.random.set_state(state)  # noqa: NPY002


def _common() -> Iterator[Entry]:
    yield "numpy error handling", np.geterr, lambda was: np.seterr(**was)
    yield _numpy_random()
    yield "warnings filters", _filters, _set_filters
    yield "environment variables", _variables, _environment
    yield "working directory", os.getcwd, os.chdir
    yield "random state of Python", random.getstate, random.setstate
    yield "garbage collection", gc.isenabled, lambda was: gc.enable() if was else gc.disable()
    yield "recursion limit", sys.getrecursionlimit, sys.setrecursionlimit
    yield "module search path", lambda: list(sys.path), _set_path
    yield "standard output", lambda: (sys.stdout, sys.stderr), _set_output
    if threading.current_thread() is threading.main_thread():
        for number in HANDLED:
            yield (
                f"handler of {number.name}",
                lambda number=number: signal.getsignal(number),  # type: ignore[misc]
                lambda was, number=number: signal.signal(number, was),  # type: ignore[misc]
            )
    if (flint := sys.modules.get("flint")) is not None:
        yield "precision of ball arithmetic", lambda: flint.ctx.prec, lambda was: setattr(flint.ctx, "prec", was)


def _set_path(was: list[str]) -> None:
    sys.path[:] = was


def _set_output(was: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = was


class Snapshot:
    """The state of this process at one moment; `restore` brings it back, as often as it is called."""

    def __init__(self) -> None:
        self._take()

    def _take(self) -> None:
        self._imported = len(sys.modules)
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

    def imported(self) -> bool:
        """Tell whether modules were imported since; then the state of these is noted, too."""
        if len(sys.modules) == self._imported:
            return False
        self._take()
        return True


def _change(was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [str(key) for key in {**was, **now} if was.get(key) != now.get(key)]
        return ", ".join(sorted(keys))
    if isinstance(was, (list, tuple)) and len(str(was)) > 60:
        return "not what it was"
    return f"{was} became {now}"
