"""One worker process at a time, and all that is watched of it: its connection, output, end, time and memory."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from xloss import forkserver
from xloss.parity import worker
from xloss.parity.failures import DeadlineExceeded, OutOfMemory, Raised, WorkerDied, WorkerFailure, ending

TAIL = 8192  # bytes kept of what a task prints
WATCH = 0.05  # seconds between two looks at the memory
TO_START = 300.0  # seconds until a worker must be ready; importing the frameworks is part of it
# Seconds before a worker is started once more: a forkserver that was killed refuses connections for a while before the
# system says that it is dead, and a new one is made only then.
PAUSES = (0.1, 0.3, 1.0)

# Starting a process and asking for an exit code read the same pipes inside multiprocessing.
_processes = threading.Lock()


class Supervised:
    """One process at a time, started again when it has died."""

    def __init__(self, initializer: Callable[..., Any] | None, initargs: tuple[Any, ...]):
        self._initializer, self._initargs = initializer, initargs
        self._process: Any = None
        self._channel: Any = None
        self._output = -1
        self._tail = bytearray()
        self._received = bytearray()
        self._stopped = False

    def run(
        self,
        payload: bytes,
        timeout: float | None,
        memory: int | None,
        part: Callable[[Any], None] | None = None,
    ) -> Any:
        """Return the result of a call, or raise how it failed.

        `part` is called with each part that the call hands over before its end; the time begins anew with each.
        """
        self._ensure_started()
        self._tail.clear()
        message = self._ask(payload, timeout, memory)
        while True:
            try:
                kind, *rest = pickle.loads(message)
            except Exception as error:  # whatever an object's own unpickling raises
                self.kill()
                message_of = f"the answer cannot be unpickled ({error})"
                raise Raised(type(error).__name__, message_of, "", self._text()) from None
            if kind != worker.PART:
                break
            if part is not None:
                part(rest[0])
            limit = None if timeout is None else time.monotonic() + timeout
            message = self._message(limit, timeout, memory)
        if kind == worker.RESULT:
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
            # What came after the last answer belongs to no task: someone else writes to this connection.
            if not self._received and not wait([self._process.sentinel, self._channel], 0):
                return
            self.kill()
        reason = ""
        for pause in (0.0, *PAUSES):
            time.sleep(pause)
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
        raise WorkerDied(f"no worker could be started, {1 + len(PAUSES)} times: {reason}")

    def _launch(self) -> None:
        self._received.clear()
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
        look = 0.0
        while (message := self._first_message()) is None:
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
                self._received += chunk
            elif self._process.sentinel in ready:
                raise self._death()
        return message

    def _first_message(self) -> bytes | None:
        """Take the first whole message out of what was received."""
        start = worker.HEADER.size
        if len(self._received) < start:
            return None
        size = worker.HEADER.unpack_from(self._received)[0]
        if not 0 < size <= worker.GREATEST:
            self.kill()
            raise WorkerDied("sent what is no answer", self._text())
        if len(self._received) < start + size:
            return None
        message = bytes(self._received[start : start + size])
        del self._received[: start + size]
        return message

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


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
