"""The text of a loss's formula: all that its exact results depend on, its implementations left out."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from xloss.catalog import FRAMEWORKS


def parts_of(module: str) -> dict[str, str] | None:
    """Return the code of a formula's file and of the losses it imports, by module, without their implementations.

    None where the formula does not lie in a file: nothing is to be kept of it.
    """
    parts: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in parts:
            continue
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            return None
        text = Path(spec.origin).read_text("utf-8")
        tree = ast.parse(text)
        own = tuple(f"{framework}_" for framework in FRAMEWORKS)
        kept = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name.startswith(own))]
        # As it is written: what is made of the tree differs between versions of Python.
        parts[name] = "\n".join(ast.get_source_segment(text, node) or "" for node in kept)
        for node in ast.walk(ast.Module(kept, [])):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xloss.losses"):
                whole = node.module == "xloss.losses"
                waiting += [f"xloss.losses.{one.name}" for one in node.names] if whole else [str(node.module)]
    return parts
