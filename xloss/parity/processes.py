"""Worker processes for a sweep on this machine: a `concurrent.futures.Executor` on pebble's pool.

Pebble loses only the task whose worker died, where `ProcessPoolExecutor` loses all.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import pebble

from xloss import forkserver


class Workers(concurrent.futures.Executor):
    """Worker processes, each with one thread for PyTorch and with a time-out per task in seconds."""

    def __init__(self, jobs: int | None = None, timeout: float | None = 600.0):
        self.jobs = jobs or os.cpu_count() or 1
        self.timeout = timeout
        self._pool = pebble.ProcessPool(
            max_workers=self.jobs, initializer=_start, context=forkserver.context("pandas", "xloss.parity.evaluate")
        )

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Schedule a call."""
        future: concurrent.futures.Future[Any] = self._pool.schedule(
            function, args=args, kwargs=kwargs, timeout=self.timeout
        )
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish, or with `cancel_futures` stop them at once."""
        self._pool.stop() if cancel_futures else self._pool.close()
        if wait:
            self._pool.join()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        """Stop at once when left by an exception (Ctrl-C, too)."""
        self.shutdown(cancel_futures=kind is not None)


def _start() -> None:
    """Prepare a worker: no threads beside its own, no grabbing of the GPU's memory."""
    import gc
    import warnings

    gc.freeze()  # what was imported stays: not to be looked through again and again
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    warnings.simplefilter("ignore")  # a sweep reports what it finds in its table
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
