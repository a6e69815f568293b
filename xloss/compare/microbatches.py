"""Gradient accumulation: do the gradients of micro-batches add up to that of the batch, and by which denominator?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from xloss.compare.run import Case, Result
from xloss.compare.units import parts_of


def judge_accumulation(case: Case, whole: Result, parts: Result, number: int) -> Iterator[tuple[str, bool, str]]:
    """Yield, by argument, whether micro-batch gradients divided by their number are the batch's, and if not, why.

    Args:
        case: the batch.
        whole: value and gradients of the batch.
        parts: gradients of the micro-batches, put together along the batch.
        number: of micro-batches.
    """
    cut = parts_of(case, number)
    edges = np.cumsum([0, *(part.rows for part in cut)])
    counts = _denominators(case, cut)
    for name, grads in parts.grads.items():
        batch = whole.grads[name]
        if whole.value.ndim or batch.shape != grads.shape:
            continue
        pieces = [slice(a, b) for a, b in itertools.pairwise(edges)]

        def scaled(by: list[float], grads: np.ndarray = grads, pieces: list[slice] = pieces) -> np.ndarray:
            return np.concatenate([grads[piece] * w for piece, w in zip(pieces, by, strict=True)])

        if _near(scaled([1 / len(cut)] * len(cut)), batch):
            yield name, True, ""
            continue
        found = ""
        if _near(scaled([1.0] * len(cut)), batch):
            found = "they add up as they are: the function is a sum, divide by nothing"
        for what, sizes in counts.items():
            total = sum(sizes)
            if not found and total and _near(scaled([n / total for n in sizes]), batch):
                words = ", ".join(f"{n:g}" for n in sizes)
                found = f"they do when each is weighted by {what} ({words} of {total:g}) instead of 1/{len(cut)}"
        reason = f"the gradients of {len(cut)} micro-batches, each divided by {len(cut)}, are not that of the batch"
        yield name, False, f"{reason}; {found}" if found else reason


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-7, atol=1e-9 * float(np.nanmax(np.abs(b), initial=0.0)), equal_nan=True))


def _denominators(case: Case, cut: list[Case]) -> dict[str, list[float]]:
    """Return what each micro-batch holds of what a mean may divide by."""
    out: dict[str, list[float]] = {"its number of rows": [float(part.rows) for part in cut]}
    ignore = case.options.get("ignore_index", -100)
    for name, array in case.arrays.items():
        if array.dtype.kind in "iu":
            out[f"its number of {name} that are not {ignore}"] = [
                float((part.arrays[name] != ignore).sum()) for part in cut
            ]
            for other, weight in case.arrays.items():
                if weight.dtype.kind == "f" and weight.ndim == 1 and weight.size > array.max(initial=0):
                    out[f"the sum of {other} of its {name}"] = [
                        float(weight[part.arrays[name][part.arrays[name] != ignore]].sum()) for part in cut
                    ]
        elif array.ndim and array.shape[0] == case.rows:
            out[f"the sum of its {name}"] = [float(part.arrays[name].sum()) for part in cut]
    return out
