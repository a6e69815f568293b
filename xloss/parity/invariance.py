"""Measure batch invariance: whether a row's loss and gradient are the same bits in any batch, at any place in it.

Two evaluations of one sample agree exactly only where nothing in the computation depends on the other samples. A kernel
that cuts its work by the size of the batch, or a compiler that vectorizes it in another way, adds a row up in another
order. Each row is asked in batches of several sizes, at another place in each, and in PyTorch with another number of
threads; its unreduced loss and the gradient of the sum by its own arguments are compared bit by bit.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xloss.catalog import FRAMEWORKS, LOSSES, Loss, Unsupported, get
from xloss.parity.evaluate import batch_arguments, contestants
from xloss.parity.inputs import Draw
from xloss.parity.mechanisms import Framework, load
from xloss.parity.mechanisms.base import Problem

ROWS = 48
BATCHES = (48, 1, 2, 3, 7, 16, 33)  # the first is what the others are compared with
WIDE = 1000  # classes, or elements of a row, of the second shape
THREADS = 3
Bits = dict[int, dict[str, bytes]]  # of each row, those of "value" and of its gradients


@dataclass(frozen=True)
class Result:
    """Hold what was found of one implementation of a loss: of `rows` in each of `batches`, how many had other bits.

    `value` and `gradient` count (row, batch) pairs that differ from the whole batch; `threads` whether another number
    of threads gave other bits; `reason` says why nothing was asked.
    """

    loss: str
    implementation: str
    framework: str
    asked: int = 0
    value: int = 0
    gradient: int = 0
    threads: int = 0
    reason: str = ""


def measure(loss: Loss, framework: str, implementation: str, function: Any) -> Result:
    """Ask one implementation for each row in batches of several sizes, at two widths."""
    if loss.arguments.class_axes is None:
        return Result(loss.name, implementation, framework, reason="its samples are coupled")
    counts: collections.Counter[str] = collections.Counter()
    f = load(framework)
    with f.scope("float32"):
        for shape in _shapes(loss):
            arrays = loss.inputs(Draw(loss, loss.variants[0], shape, "typical", "float32"))
            batched = batch_arguments(loss, loss.variants[0], arrays)
            if not batched:
                return Result(loss.name, implementation, framework, reason="its rows are not samples of their own")
            wrt = tuple(name for name in loss.arguments.wrt if name in batched and arrays[name].dtype.kind not in "iub")
            evaluator = _evaluator(f, function, loss, wrt, batched)
            try:
                whole = _bits(f, evaluator, arrays, batched, BATCHES[0])
                for size in BATCHES[1:]:
                    counts.update(_differences(whole, _bits(f, evaluator, arrays, batched, size)))
                if framework == "torch":
                    other = _with_threads(f, evaluator, arrays, batched)
                    counts["threads"] += any(whole[row] != other[row] for row in whole)
            except (Unsupported, NotImplementedError) as error:
                return Result(loss.name, implementation, framework, reason=f"{error}".split("\n")[0][:200])
    number = counts.__getitem__
    return Result(
        loss.name, implementation, framework, number("asked"), number("value"), number("gradient"), number("threads")
    )


def _shapes(loss: Loss) -> list[tuple[int, ...]]:
    """Return the first shape with more rows, and that with many elements in each row too."""
    first = loss.variants[0].shapes[0]
    axis = next(iter(loss.arguments.batch_axes.values()), 0)
    long = tuple(ROWS if a == axis else size for a, size in enumerate(first))
    if len(first) != 2 or loss.large is not None:
        return [long]
    return [long, (ROWS, WIDE)]


def _differences(whole: Bits, part: Bits) -> Iterator[str]:
    for row, bits in part.items():
        yield "asked"
        if bits["value"] != whole[row]["value"]:
            yield "value"
        if any(bits[name] != whole[row][name] for name in bits if name != "value"):
            yield "gradient"


def _evaluator(f: Framework, function: Any, loss: Loss, wrt: tuple[str, ...], batched: Mapping[str, int]) -> Any:
    """Return the function of arrays that gives the unreduced loss and the gradients of its sum; one program in JAX."""

    def both(arrays: Any) -> Any:
        problem = Problem(function, arrays, loss.variants[0].options, "none", wrt, dict(batched))
        return problem(), f.mechanisms()["backward"](problem.with_reduction("sum"))

    if f.name == "torch":
        return both
    import jax

    return jax.jit(both)


def _bits(
    f: Framework, evaluator: Any, arrays: Mapping[str, np.ndarray], batched: Mapping[str, int], size: int
) -> Bits:
    """Evaluate all rows in batches of one size, in an order of their own, and return the bits of each row."""
    order = np.random.default_rng(size).permutation(ROWS) if size < ROWS else np.arange(ROWS)
    device, out = f.device("cpu"), {}
    for start in range(0, ROWS - size + 1, size):
        rows = order[start : start + size]
        part = {name: x.take(rows, batched[name]) if name in batched else x for name, x in arrays.items()}
        values, grads = evaluator({name: f.put(x, device) for name, x in part.items()})
        values, grads = f.get(values), {name: f.get(grad) for name, grad in grads.items()}
        for place, row in enumerate(rows):
            out[int(row)] = {
                "value": np.ascontiguousarray(values[place]).tobytes(),
                **{name: grad.take(place, batched[name]).tobytes() for name, grad in grads.items()},
            }
    return out


def _with_threads(f: Framework, evaluator: Any, arrays: Mapping[str, np.ndarray], batched: Mapping[str, int]) -> Bits:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(THREADS if before != THREADS else 1)
    try:
        return _bits(f, evaluator, arrays, batched, BATCHES[0])
    finally:
        torch.set_num_threads(before)


def measure_all(losses: Sequence[str] = (), frameworks: Sequence[str] = FRAMEWORKS) -> Iterator[Result]:
    """Measure every implementation of the losses, one after the other."""
    for loss in [get(name) for name in losses] or LOSSES.values():
        for framework in frameworks:
            for implementation, function in contestants(loss, framework, peers=True):
                yield measure(loss, framework, implementation, function)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line names, print it and write it as JSON; return 0."""
    from xloss.environment import version
    from xloss.files import write_text

    parser = argparse.ArgumentParser(prog="python -m xloss.parity.invariance", description=str(__doc__))
    parser.add_argument("--loss", action="append", default=[], choices=list(LOSSES), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("reports") / "invariance.json", metavar="FILE")
    given = parser.parse_args(arguments)
    results = []
    for one in measure_all(given.loss):
        results.append(one)
        what = one.reason or f"{one.value} of {one.asked} values, {one.gradient} gradients with other bits"
        print(f"{one.framework}/{one.implementation}/{one.loss}: {what}", flush=True)  # noqa: T201
    versions = {name: version(name) for name in ("torch", "jax", "jaxlib", "optax", "keras")}
    found = {"versions": versions, "rows": ROWS, "batches": BATCHES, "results": [vars(one) for one in results]}
    write_text(given.out, json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
