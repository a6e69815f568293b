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
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from xloss import forkserver
from xloss.parity import worker
from xloss.parity.failures import (
    DeadlineExceeded,
    OutOfMemory,
    Raised,
    Stopped,
    Unpicklable,
    WorkerDied,
    WorkerFailure,
    ending,
)

TAIL = 8192  # bytes kept of what a task prints
WATCH = 0.05  # seconds between two looks at the memory
TO_START = 300.0  # seconds until a worker must be ready; importing the frameworks is part of it
ATTEMPTS = 3

# Starting a process and asking for an exit code read the same pipes inside multiprocessing.
_processes = threading.Lock()


@dataclass(frozen=True)
class _Task:
    future: concurrent.futures.Future[Any]
    payload: bytes
    timeout: float | None


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
        self._slots: list[tuple[threading.Thread, _Worker]] = []
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        atexit.register(self._kill)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Schedule a call, with the executor's own time-out."""
        return self.submit_within(self.timeout, function, *args, **kwargs)

    def submit_within(
        self, timeout: float | None, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Schedule a call that may take so many seconds."""
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
            self._tasks.put(_Task(future, payload, timeout))
            if len(self._slots) < self.jobs:
                process = _Worker(*self._start)
                thread = threading.Thread(target=self._serve, args=(process,), daemon=True, name="xloss worker")
                self._slots.append((thread, process))
                thread.start()
        return future

    def _serve(self, process: _Worker) -> None:
        while (task := self._tasks.get()) is not None:
            self._waiting.discard(task.future)
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                result = process.run(task.payload, task.timeout, self.memory)
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


class _Worker:
    """One process at a time, started again when it has died."""

    def __init__(self, initializer: Callable[..., Any] | None, initargs: tuple[Any, ...]):
        self._initializer, self._initargs = initializer, initargs
        self._process: Any = None
        self._channel: Any = None
        self._output = -1
        self._tail = bytearray()
        self._stopped = False

    def run(self, payload: bytes, timeout: float | None, memory: int | None) -> Any:
        """Return the result of a call, or raise how it failed."""
        self._ensure_started()
        self._tail.clear()
        answer = self._ask(payload, timeout, memory)
        try:
            done, *rest = pickle.loads(answer)
        except Exception as error:  # whatever an object's own unpickling raises
            self.kill()
            message = f"the answer cannot be unpickled ({error})"
            raise Raised(type(error).__name__, message, "", self._text()) from None
        if done:
            return rest[0]
        self._drain()
        kind, message, trace, memory_error = rest
        if memory_error:
            raise OutOfMemory(f"{kind}: {message}" if message else kind, self._text())
        raise Raised(kind, message, trace, self._text())

    def stop(self) -> None:
        """Kill the process for good, from another thread."""
        self._stopped = True
        if (process := self._process) is not None and process.pid is not None:
            _kill_group(process.pid)

    def kill(self) -> int | None:
        """Kill the process and all that it has started; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        code = None
        if process.pid is not None:
            if wait([process.sentinel], 0):
                with _processes:
                    code = process.exitcode
            _kill_group(process.pid)
            if wait([process.sentinel], 5.0):
                with _processes:
                    code = process.exitcode if code is None else code
            self._drain()
        self._channel.close()
        os.close(self._output)
        return code

    def _ensure_started(self) -> None:
        if self._process is not None:
            if not wait([self._process.sentinel], 0):
                return
            self.kill()
        reason = ""
        for _ in range(ATTEMPTS):
            if self._stopped:
                raise WorkerDied("stopped")
            try:
                self._launch()
                self._message(time.monotonic() + TO_START, TO_START, None)
                return
            except WorkerFailure as failure:
                reason = f"{failure}\n{failure.output}".strip()
            except (OSError, EOFError) as error:  # the forkserver died just now
                reason = f"{type(error).__name__}: {error}"
                self.kill()
        raise WorkerDied(f"no worker could be started, {ATTEMPTS} times: {reason}")

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._channel, self._output = ours, read
        context = forkserver.context("pandas", "xloss.parity.evaluate", "xloss.parity.worker")
        with theirs, os.fdopen(write, "wb", buffering=0) as output:
            arguments = (theirs, _Descriptor(output.fileno()), self._initializer, self._initargs)
            process = context.Process(target=worker.serve, args=arguments, name="xloss worker")
            self._process = process
            with _processes:
                if self._stopped:
                    raise OSError("stopped")
                process.start()
        if self._stopped:  # meanwhile: `stop` did not see this process
            raise OSError("stopped")

    def _ask(self, payload: bytes, timeout: float | None, memory: int | None) -> bytes:
        limit = None if timeout is None else time.monotonic() + timeout
        self._channel.settimeout(timeout)
        try:
            worker.send(self._channel, payload)
        except TimeoutError:
            raise self._too_late(timeout) from None
        except OSError:  # it died before it had the task
            raise self._death() from None
        return self._message(limit, timeout, memory)

    def _message(self, limit: float | None, timeout: float | None, memory: int | None) -> bytes:
        """Return the next message; read as it comes, so that a process stopped in the middle holds up nothing."""
        received = bytearray()
        look = 0.0
        while True:
            now = time.monotonic()
            if limit is not None and now >= limit:
                raise self._too_late(timeout)
            if memory is not None and now >= look:
                look = now + WATCH
                if (held := resident(self._process.pid)) > memory:
                    self.kill()
                    raise OutOfMemory(f"held {_size(held)}, more than the {_size(memory)} allowed", self._text())
            pause = min((x for x in (limit and limit - now, memory and WATCH) if x is not None), default=None)
            ready = wait([self._channel, self._process.sentinel, self._output], pause)
            if self._output in ready:
                self._drain(once=True)
            if self._channel in ready:
                try:
                    chunk = self._channel.recv(1 << 20)
                except OSError:
                    chunk = b""
                if not chunk:
                    wait([self._process.sentinel], 1.0)
                    raise self._death()
                received += chunk
                size = worker.HEADER.unpack_from(received)[0] if len(received) >= worker.HEADER.size else 0
                if size > worker.GREATEST:
                    self.kill()
                    raise WorkerDied("sent what is no answer", self._text())
                if size and len(received) >= worker.HEADER.size + size:
                    return bytes(received[worker.HEADER.size :])
            elif self._process.sentinel in ready:
                raise self._death()

    def _death(self) -> WorkerFailure:
        return WorkerDied(f"the process died: {ending(self.kill())}", self._text())

    def _too_late(self, timeout: float | None) -> WorkerFailure:
        """Ask the process where it is, kill it, and say so."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, worker.WHERE)
        if wait([self._output], 0.3):
            time.sleep(0.05)
        self.kill()
        return DeadlineExceeded(f"not done within {timeout:g} s", self._text())

    def _drain(self, once: bool = False) -> None:
        """Keep the end of what was printed; `once` reads no more than what is there now."""
        for _ in range(1 if once else 32):
            try:
                chunk = os.read(self._output, 1 << 16)
            except BlockingIOError:
                return
            if not chunk:
                return
            self._tail += chunk
            del self._tail[:-TAIL]

    def _text(self) -> str:
        return self._tail.decode("utf-8", "replace")


class _Descriptor:
    """An open file descriptor, sent to a child that is being started."""

    def __init__(self, number: int):
        self._number = number

    def __reduce__(self) -> Any:
        from multiprocessing.reduction import DupFd

        return _opened, (DupFd(self._number),)


def _opened(duplicate: Any) -> Any:
    return os.fdopen(duplicate.detach(), "wb", buffering=0)


def _kill_group(pid: int) -> None:
    """Kill a worker with all that it has started; it may not yet have made its group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def fair_memory(jobs: int) -> int:
    """Return the bytes that each of so many workers may hold, of what is available now; 4 GiB at least."""
    available = os.sysconf("SC_AVPHYS_PAGES") * resource.getpagesize()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return max(int(0.9 * available / jobs), 4 * 2**30)


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _check_positive(name: str, value: float | None) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a number greater than 0, or None, got {value!r}")
