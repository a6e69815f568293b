"""Worker processes that isolate what they run: a `concurrent.futures.Executor` whose futures fail in typed ways.

Each worker has a connection, a pipe for what it prints and a thread of this process that watches both, the process
itself, the time and the memory. Nothing is shared between workers (a pool with one queue under a lock is stopped by a
worker that dies with the lock), and an exit is seen whatever its code.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import math
import os
import pickle
import queue
import resource
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xloss.parity.failures import Stopped, Unpicklable, WorkerDied, WorkerFailure
from xloss.parity.supervised import Supervised


@dataclass(frozen=True)
class _Task:
    future: concurrent.futures.Future[Any]
    payload: bytes
    timeout: float | None
    part: Callable[[Any], None] | None


class Workers(concurrent.futures.Executor):
    """Run calls in worker processes; each future gives the result or raises a `WorkerFailure`.

    Args:
        jobs: how many processes; None for one a core.
        timeout: seconds that a call may take, None for any; `submit_within` gives another. Time in the queue does not
            count, nor does starting a worker.
        memory: bytes that a worker may hold (resident), None for any.
        initializer: called with `initargs` in each worker before its first task.
    """

    def __init__(
        self,
        jobs: int | None = None,
        timeout: float | None = 600.0,
        memory: int | None = None,
        *,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
    ):
        if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
            raise ValueError(f"jobs: expected a whole number of at least 1, got {jobs!r}")
        _check_positive("timeout", timeout)
        _check_positive("memory", memory)
        self.jobs = jobs or len(os.sched_getaffinity(0))
        self.timeout, self.memory = timeout, memory
        self._start = (initializer, initargs)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = self._stopping = False
        self._slots: list[tuple[threading.Thread, Supervised]] = []
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        atexit.register(self._kill)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Schedule a call, with the executor's own time-out."""
        return self.submit_within(self.timeout, function, *args, **kwargs)

    def submit_within(
        self, timeout: float | None, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Schedule a call that may take so many seconds."""
        return self.submit_in_parts(None, timeout, function, *args, **kwargs)

    def submit_in_parts(
        self,
        part: Callable[[Any], None] | None,
        timeout: float | None,
        function: Callable[..., Any],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> concurrent.futures.Future[Any]:
        """Schedule a call that hands over parts of its result as it goes, by `xloss.parity.worker.hand_over`.

        `part` is called with each, in a thread of this executor; the call may take `timeout` seconds to the next part,
        or to its end.
        """
        _check_positive("timeout", timeout)
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            payload = pickle.dumps((function, args, kwargs))
        except Exception as error:  # whatever an object's own pickling raises
            future.set_exception(Unpicklable(f"the call cannot be pickled ({type(error).__name__}: {error})"))
            return future
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule a call: the workers were shut down")
            self._waiting.add(future)
            self._tasks.put(_Task(future, payload, timeout, part))
            if len(self._slots) < self.jobs:
                process = Supervised(*self._start)
                thread = threading.Thread(target=self._serve, args=(process,), daemon=True, name="xloss worker")
                self._slots.append((thread, process))
                thread.start()
        return future

    def _serve(self, process: Supervised) -> None:
        while (task := self._tasks.get()) is not None:
            self._waiting.discard(task.future)
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                result = process.run(task.payload, task.timeout, self.memory, task.part)
            except WorkerFailure as failure:
                stopped = self._stopping and isinstance(failure, WorkerDied)
                task.future.set_exception(Stopped("stopped", failure.output) if stopped else failure)
            except BaseException as error:  # a fault of this file, or of the system: no future may be left waiting
                process.kill()
                task.future.set_exception(WorkerDied(f"the worker was lost ({type(error).__name__}: {error})"))
            else:
                task.future.set_result(result)
        process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish, or with `cancel_futures` kill them at once."""
        with self._lock:
            self._closed = True
            slots = list(self._slots)
        if cancel_futures:
            for future in list(self._waiting):
                future.cancel()
            self._kill()
        for _ in slots:
            self._tasks.put(None)
        for thread, _process in slots:
            if wait:
                thread.join(1.0 / len(slots) if cancel_futures else None)
        atexit.unregister(self._kill)

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        """Stop at once when left by an exception (Ctrl-C, too)."""
        self.shutdown(cancel_futures=kind is not None)

    def _kill(self) -> None:
        self._stopping = True
        for _thread, process in list(self._slots):
            process.stop()


def fair_memory(jobs: int) -> int:
    """Return the bytes that each of so many workers may hold, of what is available now; 4 GiB at least."""
    available = os.sysconf("SC_AVPHYS_PAGES") * resource.getpagesize()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return max(int(0.9 * available / jobs), 4 * 2**30)


def _check_positive(name: str, value: float | None) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a number greater than 0, or None, got {value!r}")
