"""Write the snippet that shows a difference between implementations: a script that runs as it stands."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from xloss.catalog import Difference, Loss
from xloss.site import code


def snippet(loss: Loss, difference: Difference) -> str:
    """Return a script that prints what xloss gives and what the other implementation gives.

    Where what is measured is a function of its own, the script has it and calls torch.nn.functional beside xloss; else
    it asks the catalogue for the record.
    """
    measure = _measure(difference)
    source = _alone(loss, measure) if measure is not None else ""
    if source and difference.who == "torch.nn.functional" and not loss.wrap_call:
        return (
            f"import torch.nn.functional as F\n\nfrom xloss.torch import {loss.name}\n\n\n{source}\n\n\n"
            f'print("xloss:", {measure.__name__}({loss.name}))\n'
            f'print("torch.nn.functional:", {measure.__name__}(F.{loss.name}))\n'
        )
    return textwrap.dedent(f"""\
        from xloss.catalog import get

        difference = next(d for d in get("{loss.name}").differences if d.id == "{difference.id}")
        print("xloss:", difference.here())
        print("{difference.who}:", difference.there())
        """)


def measured_by(loss: Loss, difference: Difference) -> str:
    """Return the source of what is measured where the snippet does not show it; nothing where it is no function."""
    measure = _measure(difference)
    if measure is None or "def " in snippet(loss, difference):
        return ""
    return code.function_in_file(loss, measure.__name__)


def _measure(difference: Difference) -> Any:
    """Return the function that measures either side, where `Difference.between` was given a named one."""
    found = inspect.getclosurevars(difference.here).nonlocals.get("measure")
    return found if callable(found) and getattr(found, "__name__", "<").isidentifier() else None


def _alone(loss: Loss, measure: Callable[..., Any]) -> str:
    """Return the source of a function of the loss's file that needs nothing else of that file, else nothing."""
    source = code.function_in_file(loss, measure.__name__)
    if not source or getattr(measure, "__closure__", None):
        return ""
    tree = ast.parse(source)
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    stored |= {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)}
    stored |= {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    stored |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    foreign = {name for name in used - stored if not hasattr(builtins, name)}
    imports = {"math": "import math", "np": "import numpy as np", "torch": "import torch"}
    if not foreign <= set(imports):
        return ""
    return "\n".join([*(imports[name] for name in sorted(foreign)), *([""] * bool(foreign)), source])
