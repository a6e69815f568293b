"""The multiprocessing context of worker processes.

A process in which a backend is active must not be forked (it hangs), and one that is spawned takes seconds to import two
frameworks. So workers are forked from a server that has imported both and started neither: 0.2 s instead of 3.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
from multiprocessing.context import ForkServerContext


def context(*modules: str) -> ForkServerContext:
    """Return a forkserver context whose server imports the frameworks installed, and these modules of xloss."""
    made = multiprocessing.get_context("forkserver")
    frameworks = [name for name in ("torch", "jax", "optax") if importlib.util.find_spec(name)]
    made.set_forkserver_preload([*frameworks, "pandas", *modules])
    return made
