"""How a task in a worker process may fail, as typed exceptions that can be pickled."""

from __future__ import annotations

import signal


class WorkerFailure(Exception):
    """A task gave no result; `output` is the end of what it printed, `status` what a sweep calls it."""

    status = "crash"

    def __init__(self, message: str, output: str = ""):
        super().__init__(message, output)
        self.message, self.output = message, output

    def __str__(self) -> str:
        return self.message


class WorkerDied(WorkerFailure):
    """The process ended in the middle of the task, by a signal or an exit."""


class DeadlineExceeded(WorkerFailure):
    """The task took longer than it was given, and its process was killed."""

    status = "timeout"


class OutOfMemory(WorkerFailure):
    """The task used more memory than it was given, or there was no more."""

    status = "oom"


class Stopped(WorkerFailure):
    """The executor was shut down before the task had ended."""


class Unpicklable(WorkerFailure):
    """The call cannot be sent to another process."""

    status = "error"


class Raised(WorkerFailure):
    """The task raised an exception, `SystemExit` and `KeyboardInterrupt` among them.

    `kind` is the exception's type, `trace` the formatted traceback, which starts at the task.
    """

    status = "error"

    def __init__(self, kind: str, message: str, trace: str = "", output: str = ""):
        super().__init__(f"{kind}: {message}" if message else kind, output)
        self.args = (kind, message, trace, output)
        self.kind, self.trace = kind, trace


def ending(code: int | None) -> str:
    """Say in words how a process ended, from its exit code (negative: a signal)."""
    if code is None:
        return "ended its connection"
    if code == 255:  # what multiprocessing says as well where no one was left to report the exit code
        return "ended without a status (exit code 255, or its forkserver was killed)"
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}"
