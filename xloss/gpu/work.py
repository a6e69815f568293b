"""What a child does with a cell: a function for each kind of work, whose answer is a row of plain values.

A row has a `status` of the sweep's; `restart` says that the process must not be asked again, since an error of CUDA
stays with it.
"""

from __future__ import annotations

import functools
import importlib
import math
import re
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from xloss.catalog import Unsupported, get
from xloss.gpu.journal import Row

#: The functions by kind of work, imported in the child when they are first asked for.
KINDS = {
    "planted": "xloss.gpu.planted:answer",
    "parity": "xloss.gpu.work:parity",
    "fake": "xloss.gpu.fake:answer",
    "lowered": "xloss.gpu.lowering:answer",
    **{name: f"xloss.gpu.measure:{name}" for name in ("bandwidth", "timed", "memory", "repeats", "products")},
}
# What CUDA says of a context that is lost to this process, and XLA of the same.
_LOST = re.compile(
    r"CUDA error|CUDA_ERROR_(?!OUT_OF_MEMORY)|cudaError|device-side assert|illegal memory access|unspecified launch"
)
# The worst status of the rows of a cell is that of the cell.
_ORDER = ("ok", "unsupported", "inaccurate", "error", "oom")


def answer(kind: str, cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Row:
    """Do the work of a kind with a cell; whatever it raises is its answer."""
    from xloss.parity.mechanisms.base import out_of_memory

    start = time.perf_counter()
    try:
        _set_up(settings.get("truth"), bool(settings.get("rehearse")))
        module, name = KINDS[kind].split(":")
        function: Callable[..., Row] = getattr(importlib.import_module(module), name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = function(cell, settings)
    except Unsupported as reason:
        row = {"status": "unsupported", "reason": str(reason)[:400]}
    except BaseException as error:  # SystemExit, too: a child that ends would say less
        said = str(error).strip().split("\n")[0]
        status = "oom" if isinstance(error, Exception) and out_of_memory(error) else "error"
        row = {"status": status, "reason": f"{type(error).__name__}: {said}"[:400]}
    row["seconds"] = round(time.perf_counter() - start, 3)
    texts = [str(row.get("reason", "")), *(str(one[-1]) for one in row.get("bad", ()))]
    if any(is_lost(text) for text in texts):
        row["restart"] = True
    return row


def is_lost(text: str) -> bool:
    """Tell whether a message says that the device is lost to this process."""
    return bool(_LOST.search(text)) and "out of memory" not in text.lower()


@functools.cache
def _set_up(truth: str | None, rehearse: bool) -> None:
    from xloss.ops import accelerator
    from xloss.parity import truth_file

    truth_file.use(truth)
    accelerator.hide_values(rehearse)


_programs: dict[str, dict[Any, Any]] = {}  # of the last loss, variant and dtype: their regimes share programs


def parity(cell: Mapping[str, Any], _settings: Mapping[str, Any]) -> Row:
    """Judge the mechanisms of one cell of the sweep against the exact results."""
    from xloss.parity.cells import OURS, Cell
    from xloss.parity.evaluate import evaluate

    point = Cell(**{**cell["at"], "shape": tuple(cell["at"]["shape"])})
    group = f"{point.loss}:{point.variant}:{point.shape_text}:{point.dtype}:{cell['framework']}"
    if group not in _programs:
        _programs.clear()
    programs = _programs.setdefault(group, {})
    rows = evaluate(get(point.loss), point, (cell["framework"],), cell["peers"], programs, None, cell["mechanisms"])
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    own = [row for row in rows if row["implementation"] == OURS]
    status = max((row["status"] for row in own), key=_ORDER.index, default="unsupported")
    if status == "unsupported" and counts.get("ok"):
        status = "ok"  # a mechanism that does not apply here
    fields = ("implementation", "mechanism", "reduction", "argument", "status", "max_ulp", "budget", "reason")
    return {
        "status": status,
        "loss": point.loss,
        "counts": counts,
        "value_ulps": _worst(row for row in own if row["argument"] == ""),
        "gradient_ulps": _worst(row for row in own if row["argument"] != ""),
        "budget": _worst(own, "budget"),
        "bad": [[_short(row[f]) for f in fields] for row in rows if row["status"] not in ("ok", "unsupported")],
    }


def _worst(rows: Any, column: str = "max_ulp") -> float | None:
    found = [row[column] for row in rows if isinstance(row[column], float) and math.isfinite(row[column])]
    return _short(max(found)) if found else None


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else str(value)
