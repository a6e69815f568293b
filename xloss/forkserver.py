"""The multiprocessing context of worker processes.

A process in which a backend is active must not be forked (it hangs), and one that is spawned takes seconds to import
two frameworks. So workers are forked from a server that has imported both and started neither: 0.2 s instead of 3.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
from multiprocessing.context import ForkServerContext

from xloss.catalog import FRAMEWORKS

_left_out: set[str] = set()


def leave_out(name: str) -> None:
    """Take a framework for not installed in this process: one that cannot be imported would end the server."""
    _left_out.add(name)


def installed() -> list[str]:
    """Return the frameworks that are installed."""
    return [name for name in FRAMEWORKS if name not in _left_out and importlib.util.find_spec(name)]


def context(*modules: str) -> ForkServerContext:
    """Return a forkserver context whose server imports the frameworks installed, and these modules of xloss."""
    made = multiprocessing.get_context("forkserver")
    peers = ["optax"] if importlib.util.find_spec("optax") and "jax" in installed() else []
    made.set_forkserver_preload([*installed(), *peers, *modules])
    return made
