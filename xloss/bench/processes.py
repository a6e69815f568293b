"""One call in a process of its own, that has done nothing before.

Forked from a server that has imported the framework and started nothing: 0.2 s where a new interpreter takes 3. (A process
in which a backend is active must not be forked: it hangs.)
"""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Callable
from typing import Any


def fresh(function: Callable[..., Any], /, *args: Any, timeout: float = 600.0) -> Any:
    """What `function(*args)` gives or raises, in a fresh process; both must be picklable.

    Raises `TimeoutError` after `timeout` seconds, `RuntimeError` where the process dies. A script that calls this does so
    under `if __name__ == "__main__":`, for the new process imports it.
    """
    context = multiprocessing.get_context("forkserver")
    installed = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
    context.set_forkserver_preload([*installed, "xloss.bench.workload"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, args), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(timeout):
            raise TimeoutError(f"{function}: no answer in {timeout:g} s")
        good, answer = ours.recv()
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
    if not good:
        raise answer
    return answer


def _answer(pipe: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    import os

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        message = (True, function(*args))
    except Exception as error:  # goes to who asked
        message = (False, error)
    try:
        pipe.send(message)
    except Exception as error:  # an answer, or an exception, that cannot be pickled
        pipe.send((False, RuntimeError(f"{type(error).__name__}: {error}; the answer was {message[1]!r:.500}")))
    pipe.close()
