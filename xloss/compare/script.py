"""A script of at most twenty lines that shows a disagreement without xloss, for a bug report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xloss.compare.comparison import Comparison
from xloss.compare.run import Case
from xloss.compare.sides import SHORT, Side
from xloss.parity.sweep import BAD

MOST_ELEMENTS = 120


def script(comparison: Comparison, texts: Sequence[str] = ()) -> str:
    """Return the script for the first check that failed; "" where a function cannot be imported by its name.

    Args:
        comparison: a comparison that failed.
        texts: what the user called the functions ("file.py:f"); otherwise the functions' own names are used.
    """
    row = next((row for row in comparison.failures if row["status"] in BAD), None)
    case = comparison.case
    if row is None or case is None:
        return ""
    imports = [_import(side, texts[i] if texts else "", "fg"[i]) for i, side in enumerate(comparison.sides)]
    if not all(imports):
        return ""
    case = case.in_dtype(row["dtype"]) if row["dtype"] in ("float64", "float32") else case.in_dtype("float32")
    if sum(a.size for a in case.arrays.values()) > MOST_ELEMENTS:
        case = case.row(slice(0, 2))
    argument = row["argument"] or (case.wrt[0] if case.wrt else "")
    frameworks = {side.framework for side in comparison.sides}
    lines = ["import numpy as np"]
    lines += ["import torch"] if "torch" in frameworks else []
    lines += ["import jax", "import jax.numpy as jnp"] if "jax" in frameworks else []
    lines += dict.fromkeys(line for one in imports for line in one)
    if row["dtype"] == "float64" and "jax" in frameworks:
        lines.append('jax.config.update("jax_enable_x64", True)')
    lines += [f"{name} = {_literal(array)}" for name, array in case.arrays.items()]
    lines += [_run(side, "fg"[i], case, argument, comparison.names[i]) for i, side in enumerate(comparison.sides)]
    return "\n".join(line for block in lines for line in block.split("\n")) + "\n"


def _import(side: Side, text: str, alias: str) -> list[str]:
    """Return the lines that import a function under a short name."""
    where, _, name = text.rpartition("=")[2].rpartition(":")
    if where == "xloss":
        where = f"xloss.{side.framework}"
    if not where:
        where, name = getattr(side.call, "__module__", "") or "", getattr(side.call, "__qualname__", "")
        if not where or "<" in name or where == "__main__" or where.startswith("_compared_"):
            return []
    lines = []
    if where.endswith(".py") or "/" in where:
        path = Path(where).resolve()
        lines.append(f"import sys; sys.path.insert(0, {str(path.parent)!r})")
        where = path.stem
    else:
        where = SHORT.get(where, where)
    head, *rest = name.split(".")
    lines.append(
        f"from {where} import {head} as {alias}" if not rest else f"from {where} import {head}; {alias} = {name}"
    )
    return lines


def _literal(array: np.ndarray) -> str:
    """Return an array as code; the cases' floating numbers are exact in float32, so its digits are enough."""
    if array.dtype.kind != "f":
        return f"np.array({array.tolist()}, dtype={array.dtype.name!r})"
    numbers = np.vectorize(lambda x: str(np.float32(x)), otypes=[object])(array).tolist()
    wide = '.astype("float64")' if array.dtype == np.float64 else ""
    text = str(numbers).replace("'", "").replace("nan", "np.nan").replace("inf", "np.inf")
    return f'np.array({text}, dtype="float32"){wide}'


def _run(side: Side, alias: str, case: Case, argument: str, name: str) -> str:
    """Return the lines that print the value and the gradient by one argument."""
    options = "".join(f", {k}={v!r}" for k, v in case.options.items() if side.takes(k))
    put = "torch.from_numpy({})" if side.framework == "torch" else "jnp.asarray({})"
    given = [put.format(n) if n != argument else "leaf" for n in case.arrays if n not in case.keywords]
    given += [f"{n}={put.format(n) if n != argument else 'leaf'}" for n in case.keywords]
    call = f"{alias}({', '.join(given)}{options})"
    if not argument:
        return f"print({name!r}, {call})"
    if side.framework == "torch":
        return (
            f"leaf = torch.from_numpy({argument}).requires_grad_(); v = {call}; v.sum().backward()\n"
            f"print({name!r}, v.detach().numpy(), leaf.grad.numpy())"
        )
    return (
        f"v, grad = jax.value_and_grad(lambda leaf: jnp.sum({call}))(jnp.asarray({argument}))\nprint({name!r}, v, grad)"
    )
