"""Which mechanisms a cell is checked by, with what arguments, and what each should give.

A `Probe` is one use of one mechanism: how to run it on a `Problem`, and how to get what is expected from a `Reference`.
Both give a dictionary from argument name ("" for the value) to array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xloss.catalog import Loss
from xloss.frameworks.base import Framework, Problem
from xloss.parity.cells import Cell
from xloss.parity.reference import Expected, Reference
from xloss.truth import balls

# The slower mechanisms run here, unless the cell is `full`.
TELLING = ("typical", "confident", "on_kink", "near_kink", "ties")


@dataclass(frozen=True)
class Probe:
    """One use of one mechanism."""

    mechanism: str
    reduction: str
    kind: str  # of budget: value, first, second
    run: Callable[[Framework, Problem], dict[str, Any]]
    expect: Callable[[Reference], dict[str, Expected]]
    frameworks: tuple[str, ...] = ("torch", "jax")
    peers: bool = False
    reason: str = ""  # why it does not apply here; then it is not run


@dataclass(frozen=True)
class Draws:
    """The directions of the linear mechanisms, drawn like inputs: once, in NumPy, exact in the dtype."""

    cotangent: np.ndarray
    tangents: dict[str, np.ndarray]


def probes(cell: Cell, loss: Loss, reductions: tuple[str, ...], wrt: tuple[str, ...], batched: tuple[str, ...],
           batch: int, draws: Draws, programs: dict[Any, Any]) -> Iterator[Probe]:  # fmt: skip
    """All probes of a cell, the cheap and telling ones first; `programs` keeps what was compiled, from cell to cell."""
    main = next(reduction for reduction in ("mean", *reductions) if reduction in reductions)
    for reduction in reductions:
        yield _value(reduction)
    for reduction in reductions:
        if reduction != "none":
            yield _gradient("backward", reduction, peers=True)
    yield _vjp(draws.cotangent)
    if not cell.full and (cell.regime not in TELLING or cell.shape != loss.variant(cell.variant).shapes[0]):
        return
    for reduction in [r for r in reductions if r != "none"] if cell.full else [main]:
        yield _gradient("grad", reduction)
        yield _gradient("func.grad", reduction, frameworks=("torch",))
        yield _compiled(reduction, programs)
        for mechanism in ("hvp", "double_backward") if cell.regime != "near_kink" else ():
            # Beside a kink, a second derivative is that of the one side or the other, for inputs an ulp away.
            yield _curvature(mechanism, wrt[0], draws.tangents[wrt[0]], reduction)
        if len(wrt) > 1:
            for held in wrt:
                yield _detach(held, reduction)
        apart = ""
        if batch < 1 or not set(wrt) <= set(batched):
            apart = "there is no batch to take samples from" if not batched or batch < 1 else "an argument is shared by the batch"
        elif loss.row_axis is None:
            apart = "its samples are coupled: the loss of one alone is another function"
        elif reduction == "batchmean":
            apart = "'batchmean' is the sum over samples by another factor"
        for mechanism in ("per_sample.vmap", "per_sample.loop", "accumulate"):
            yield _gradient(mechanism, reduction, reason=apart)
    yield _jvp(draws.tangents, wrt)


def _value(reduction: str) -> Probe:
    return Probe(
        "value",
        reduction,
        "value",
        lambda f, p: {"": f.mechanisms()["value"](p)},
        lambda r: {"": r.value(reduction)},
        peers=True,
    )


def _gradient(mechanism: str, reduction: str, frameworks: tuple[str, ...] = ("torch", "jax"), peers: bool = False,
              reason: str = "") -> Probe:  # fmt: skip
    return Probe(
        mechanism,
        reduction,
        "first",
        lambda f, p: f.mechanisms()[mechanism](p),
        lambda r: r.gradient(balls(np.ones(())), reduction),
        frameworks,
        peers,
        reason,
    )


def _vjp(cotangent: np.ndarray) -> Probe:
    return Probe(
        "vjp",
        "none",
        "first",
        lambda f, p: f.mechanisms()["vjp"](p, _put(f, p, cotangent)),
        lambda r: r.gradient(balls(cotangent)),
    )


def _jvp(tangents: dict[str, np.ndarray], wrt: tuple[str, ...]) -> Probe:
    return Probe(
        "jvp",
        "none",
        "first",
        lambda f, p: {"": f.mechanisms()["jvp"](p, tuple(_put(f, p, tangents[name]) for name in wrt))},
        lambda r: {"": r.directional({name: tangents[name] for name in wrt})},
    )


def _curvature(mechanism: str, argument: str, direction: np.ndarray, reduction: str) -> Probe:
    return Probe(
        mechanism,
        reduction,
        "second",
        lambda f, p: {argument: f.mechanisms()[mechanism](p, _put(f, p, direction))},
        lambda r: {argument: r.curvature(argument, direction, reduction)},
    )


def _detach(held: str, reduction: str) -> Probe:
    def expect(reference: Reference) -> dict[str, Expected]:
        out = reference.gradient(balls(np.ones(())), reduction)
        zeros = np.zeros(out[held].high.shape)
        out[held] = Expected(zeros, zeros, zeros, zeros)
        return out

    return Probe(f"detach({held})", reduction, "first", lambda f, p: f.mechanisms()["detach"](p, held), expect)


def _compiled(reduction: str, programs: dict[Any, Any]) -> Probe:
    def run(framework: Framework, p: Problem) -> dict[str, Any]:
        shapes = tuple((name, tuple(array.shape)) for name, array in p.arrays.items())
        key = (framework.name, p.function, reduction, shapes)
        if key not in programs:
            programs[key] = framework.compile_program(p)
        value, grads = framework.mechanisms()["compiled"](p, programs[key])
        return {"": value, **grads}

    def expect(reference: Reference) -> dict[str, Expected]:
        return {"": reference.value(reduction), **reference.gradient(balls(np.ones(())), reduction)}

    return Probe("compiled", reduction, "first", run, expect)


def _put(framework: Framework, p: Problem, array: np.ndarray) -> Any:
    first = next(iter(p.arrays.values()))
    return framework.put(array, first.device)
