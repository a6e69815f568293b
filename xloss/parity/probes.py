"""Which mechanisms a cell is checked by, and what each should give.

A `Probe` is one use of one mechanism: how to run it on a `Problem`, and how to get what is expected from a `Reference`.
Both give a dictionary from argument name ("" for the value) to array. `run` is pure, so that JAX can put all probes of a
cell into one program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xloss.catalog import Loss
from xloss.parity.cells import MAIN_DTYPE, Cell
from xloss.parity.mechanisms.base import Directions, Framework, Problem
from xloss.parity.reference import Expected, Reference
from xloss.parity.truth import balls

# The regimes in which a sweep that is not full compiles with torch.
TELLING = ("typical", "confident", "on_kink", "near_kink", "ties", "large")


@dataclass(frozen=True)
class Probe:
    """One use of one mechanism."""

    mechanism: str
    reduction: str
    kind: str  # of budget: value, first, parts, second
    run: Callable[[Framework, Problem, Directions], dict[str, Any]]
    expect: Callable[[Reference, Draws], dict[str, Expected]]
    key: str  # of what is expected: probes with one key share it
    frameworks: tuple[str, ...] = ("torch", "jax")
    peers: bool = False
    alone: bool = False  # whether it must not become part of a greater program
    reason: str = ""  # why it does not apply here; then it is not run


@dataclass(frozen=True)
class Draws:
    """The directions of the linear mechanisms, drawn like inputs: once, in NumPy, exact in the dtype."""

    cotangent: np.ndarray
    tangents: Mapping[str, np.ndarray]


def probes(cell: Cell, loss: Loss, reductions: tuple[str, ...], wrt: tuple[str, ...], batched: Mapping[str, int],
           batch: int) -> Iterator[Probe]:  # fmt: skip
    """All probes of a cell, the cheap and telling ones first."""
    variant = loss.variant(cell.variant)
    thorough = cell.full or (cell.dtype == MAIN_DTYPE and cell.shape == variant.shapes[0] and batch > 1)
    # What JAX would compile for long, and which differs by framework rather than by option: once a loss. And what is
    # there another way to the same (`grad`, which `backward` takes, reverse over reverse, a loop over rows): never.
    first = cell.full or variant is loss.variants[0]
    once = ("torch", "jax") if first else ("torch",)
    twice = ("torch", "jax") if cell.full else ("torch",)
    main = next(reduction for reduction in ("mean", *reductions) if reduction in reductions)
    reduced = [reduction for reduction in reductions if reduction != "none"]
    for reduction in reductions:
        yield _value(reduction, ("torch", "jax") if reduction in ("none", main) else once)
    for reduction in reduced if thorough else [main]:
        yield _gradient("backward", reduction, ("torch", "jax") if reduction == main else once, peers=True)
    if not thorough:
        return
    yield _vjp(once)
    if cell.full:
        yield _both("eager", main, ("jax",))
    if cell.full or (first and cell.regime in TELLING):
        yield _both("compiled", main, ("torch",))
    for reduction in reduced if cell.full else [main]:
        yield _gradient("grad", reduction, twice)
        yield _gradient("func.grad", reduction, frameworks=("torch",))
        if cell.regime != "near_kink":
            # There a second derivative is that of the one side or the other, for inputs an ulp away.
            yield _curvature("hvp", wrt[0], reduction, once)
            yield _curvature("double_backward", wrt[0], reduction, twice)
        if len(wrt) > 1:
            for held in wrt:
                yield _detach(held, reduction, once)
        apart = ""
        if batch < 1 or not batched:
            apart = "there is no batch to take samples from"
        elif not set(wrt) <= set(batched):
            apart = "an argument is shared by the batch"
        elif loss.arguments.class_axes is None:
            apart = "its samples are coupled: the loss of one alone is another function"
        yield _gradient("per_sample.vmap", reduction, reason=apart)
        yield _gradient("per_sample.loop", reduction, twice, reason=apart)
        yield _gradient("accumulate", reduction, once, reason=apart)
    yield _jvp(wrt, once)


def _value(reduction: str, frameworks: tuple[str, ...]) -> Probe:
    return Probe(
        "value",
        reduction,
        "value",
        lambda f, p, _: {"": f.mechanisms()["value"](p)},
        lambda r, _: {"": r.value(reduction)},
        f"value/{reduction}",
        frameworks,
        peers=True,
    )


def _gradient(mechanism: str, reduction: str, frameworks: tuple[str, ...] = ("torch", "jax"), peers: bool = False,
              reason: str = "") -> Probe:  # fmt: skip
    return Probe(
        mechanism,
        reduction,
        "parts" if mechanism.startswith(("per_sample", "accumulate")) else "first",
        lambda f, p, _: f.mechanisms()[mechanism](p),
        lambda r, _: r.gradient(balls(np.ones(())), reduction),
        f"gradient/{reduction}",
        frameworks,
        peers,
        reason=reason,
    )


def _vjp(frameworks: tuple[str, ...]) -> Probe:
    return Probe(
        "vjp",
        "none",
        "first",
        lambda f, p, d: f.mechanisms()["vjp"](p, d.cotangent),
        lambda r, d: r.gradient(balls(d.cotangent)),
        "vjp",
        frameworks,
    )


def _jvp(wrt: tuple[str, ...], frameworks: tuple[str, ...]) -> Probe:
    return Probe(
        "jvp",
        "none",
        "first",
        lambda f, p, d: {"": f.mechanisms()["jvp"](p, tuple(d.tangents[name] for name in wrt))},
        lambda r, d: {"": r.directional(d.tangents)},
        "jvp",
        frameworks,
    )


def _curvature(mechanism: str, argument: str, reduction: str, frameworks: tuple[str, ...] = ("torch", "jax")) -> Probe:
    return Probe(
        mechanism,
        reduction,
        "second",
        lambda f, p, d: {argument: f.mechanisms()[mechanism](p, d.tangents[argument])},
        lambda r, d: {argument: r.curvature(argument, d.tangents[argument], reduction)},
        f"curvature/{reduction}",
        frameworks,
    )


def _detach(held: str, reduction: str, frameworks: tuple[str, ...]) -> Probe:
    def expect(reference: Reference, _: Draws) -> dict[str, Expected]:
        out = reference.gradient(balls(np.ones(())), reduction)
        zeros = np.zeros(out[held].high.shape)
        out[held] = Expected(zeros, zeros, zeros, zeros)
        return out

    name = f"detach({held})"
    run = lambda f, p, _: f.mechanisms()["detach"](p, held)  # noqa: E731
    return Probe(name, reduction, "first", run, expect, f"{name}/{reduction}", frameworks)


def _both(mechanism: str, reduction: str, frameworks: tuple[str, ...]) -> Probe:
    """Value and gradients at once, in the execution mode that is not the framework's own: compiled, or eager."""

    def run(framework: Framework, p: Problem, _: Directions) -> dict[str, Any]:
        value, grads = framework.mechanisms()[mechanism](p)
        return {"": value, **grads}

    def expect(reference: Reference, _: Draws) -> dict[str, Expected]:
        return {"": reference.value(reduction), **reference.gradient(balls(np.ones(())), reduction)}

    return Probe(mechanism, reduction, "first", run, expect, f"both/{reduction}", frameworks, alone=True)
