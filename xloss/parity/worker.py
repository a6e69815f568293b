"""What runs inside a worker process: wait for a task, run it, send what came of it."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib.util
import multiprocessing.forkserver
import os
import pickle
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

HEADER = struct.Struct("!Q")
GREATEST = 1 << 30  # bytes of a message; what claims to be longer is no message
PR_SET_PDEATHSIG = 1
RESULT, FAILURE, PART = "result", "failure", "part"  # what a message says, in its first field
# Asks a worker for the traceback of where it is.
WHERE = signal.SIGUSR1


_connection: list[socket.socket] = []  # of this process, where it is a worker


def hand_over(part: Any) -> None:
    """Send a part of the result of the call that is running to who has asked for it; only in a worker."""
    send(_connection[0], pickle.dumps((PART, part)))


def serve(channel: socket.socket, output: Any, initializer: Callable[..., Any] | None, initargs: Any) -> None:
    """Answer tasks until the other side is gone."""
    _detach()
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # seen even where the process then dies
    faulthandler.enable()
    faulthandler.register(WHERE, all_threads=True)
    _prepare()
    if initializer is not None:
        initializer(*initargs)
    _connection.append(channel)
    send(channel, b"ready")
    while (task := _receive(channel)) is not None:
        answer = _run(task)
        _flush()
        send(channel, answer)


def _detach() -> None:
    """Make a process group of its own, which ends with the forkserver; that ends with the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    # Each child inherits what keeps the forkserver alive: a hung one would keep it, and itself, for ever.
    server: Any = multiprocessing.forkserver._forkserver
    if getattr(server, "_forkserver_alive_fd", None) is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None


def _prepare() -> None:
    """No threads beside its own, no grabbing of the GPU's memory."""
    gc.freeze()  # what was imported stays: not to be looked through again and again
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    warnings.simplefilter("ignore")  # a sweep reports what it finds in its table
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


def _run(task: bytes) -> bytes:
    """Return the pickled outcome of a pickled call: RESULT and it, or FAILURE, type, message, traceback, of memory."""
    try:
        function, args, kwargs = pickle.loads(task)
        return pickle.dumps((RESULT, function(*args, **kwargs)))
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: the task's fault, not the worker's
        return pickle.dumps((FAILURE, *_described(error)))


def _described(error: BaseException) -> tuple[str, str, str, bool]:
    try:
        message = str(error)
    except Exception as second:
        message = f"its message cannot be had ({type(second).__name__})"
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    try:
        lines = traceback.format_exception(type(error), error, trace, limit=30)
    except Exception:
        lines = traceback.format_tb(trace, limit=30)
    return type(error).__name__, message[:4000], "".join(lines)[-8000:], isinstance(error, MemoryError)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def send(channel: socket.socket, message: bytes) -> None:
    """Send a message with its length before it."""
    channel.sendall(HEADER.pack(len(message)) + message)


def _receive(channel: socket.socket) -> bytes | None:
    header = _exactly(channel, HEADER.size)
    return None if header is None else _exactly(channel, HEADER.unpack(header)[0])


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    buffer = bytearray()
    while len(buffer) < size:
        chunk = channel.recv(min(size - len(buffer), 1 << 20))
        if not chunk:
            return None
        buffer += chunk
    return bytes(buffer)
