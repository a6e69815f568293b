"""One call in a fresh process.

It is forked from a server that has imported the frameworks and started neither: see `xloss.forkserver`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from xloss import forkserver


def fresh(function: Callable[..., Any], /, *args: Any, timeout: float = 600.0) -> Any:
    """Return, or raise, what `function(*args)` does in a fresh process; both must be picklable.

    Raises `TimeoutError` after `timeout` seconds, `RuntimeError` where the process dies. A script that calls this does
    so under `if __name__ == "__main__":`, for the new process imports it.
    """
    context = forkserver.context("xloss.bench.runner")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, function, args), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(timeout):
            raise TimeoutError(f"{function}: no answer in {timeout:g} s")
        returned, answer = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{function}: its process died (exit code {process.exitcode})") from None
    finally:
        if process.is_alive():
            process.join(1.0)
        if process.is_alive():
            process.kill()
        process.join()
        ours.close()
    if not returned:
        raise answer
    return answer


def _send(pipe: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Send what the function returns or raises."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        message = (True, function(*args))
    except Exception as error:  # raised again by `fresh`
        message = (False, error)
    try:
        pipe.send(message)
    except Exception as error:  # an answer, or an exception, that cannot be pickled
        pipe.send((False, RuntimeError(f"{type(error).__name__}: {error}; the answer was {message[1]!r:.500}")))
    pipe.close()
