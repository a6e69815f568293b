"""The probes of a cell: how a mechanism is run, and what it should give.

A `Probe` is one use of one mechanism: how to run it on a `Problem`, and how to get what is expected from a `Reference`.
Both return a dictionary from argument name ("" for the value) to array. `run` is pure, so that JAX can put all probes
of a cell into one program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xloss.catalog import Loss
from xloss.parity import policy
from xloss.parity.cells import Cell
from xloss.parity.expected import Expected
from xloss.parity.mechanisms.base import Directions, Framework, Problem

if TYPE_CHECKING:  # ball arithmetic is needed where truth is computed, not where it is read
    from xloss.parity.reference import Reference

Run = Callable[[Framework, Problem, Directions], dict[str, Any]]
Expect = Callable[["Reference", Directions], dict[str, Expected]]


@dataclass(frozen=True)
class Probe:
    """One use of one mechanism.

    Attributes:
        mechanism, reduction: as in the table of a sweep.
        kind: which budget applies: "value", "first", "parts" or "second" (see `xloss.parity.verdict.K`).
        run: runs it on a problem and directions, in a framework.
        expect: returns what is right, from the reference and the same directions in NumPy.
        key: of what is expected; probes with one key share it.
        frameworks: where it is asked.
        peers: whether other libraries are asked as well.
        separate_program: whether it must not become part of a greater program.
        typical: whether it is asked at typical inputs only.
        wide: whether all but the first argument are in float32, and so their gradients and the value.
        with_value: whether it gives the value beside the gradients.
        reason: why it does not apply to this cell; then it is not run.
    """

    mechanism: str
    reduction: str
    kind: str
    run: Run
    expect: Expect
    key: str
    frameworks: tuple[str, ...] = ("torch", "jax")
    peers: bool = False
    separate_program: bool = False
    with_value: bool = False
    wide: bool = False
    typical: bool = False
    reason: str = ""

    def kind_of(self, argument: str) -> str:
        """Return the kind of budget for one of its results: a value beside gradients has that of values."""
        return "value" if argument == "" and self.with_value else self.kind


# Ways to call a loss that must not matter, each of which gives value and gradients, or the value alone.
CONTEXTS = (
    "eager", "compiled", "compiled.dynamic", "value.eager", "value.numpy", "no_grad", "inference_mode", "autocast",
    "parameters", "offset_views", "channels_last", "threads", "checkpoint", "nested_vmap", "numpy", "x64", "donated",
    "by_position", "default_float64", "narrow_labels", "unsigned_labels", "int32_labels", "weak_types", "mixed",
    "standard_promotion", "exported", "spoiled", "widened", "deterministic",
)  # fmt: skip
# Those that are not part of a greater program of JAX: what makes them is around the program.
SEPARATE = ("eager", "value.eager", "value.numpy", "numpy", "x64", "donated", "weak_types")
COMPILED = ("compiled", "compiled.dynamic")


def probes(loss: Loss, cell: Cell, wrt: tuple[str, ...], batched: Mapping[str, int], batch: int) -> Iterator[Probe]:
    """Yield all probes of a cell.

    Args:
        loss: the loss.
        cell: the cell.
        wrt: the arguments to differentiate by.
        batched: the arguments that carry the batch in this cell, and along which axis.
        batch: the number of rows.
    """
    for rule, reduction, frameworks, typical in policy.asked(loss, cell, batch):
        for probe in _probes_of(rule, reduction, frameworks, loss, wrt, batched, batch):
            yield replace(probe, typical=typical)


def _probes_of(rule: policy.Rule, reduction: str, frameworks: tuple[str, ...], loss: Loss, wrt: tuple[str, ...],
               batched: Mapping[str, int], batch: int) -> Iterator[Probe]:  # fmt: skip
    """Yield the probes of one rule with one reduction."""
    name = rule.mechanism
    if name in CONTEXTS:
        alone = name in SEPARATE
        if name in ("no_grad", "inference_mode", "value.eager", "value.numpy", "by_position"):
            yield Probe(name, reduction, "value", *_value_in_context(name, reduction), f"value/{reduction}",
                        frameworks, separate_program=alone, with_value=True)  # fmt: skip
        else:
            wide = name == "mixed" and len(wrt) + len(loss.arguments.constant) > 1
            yield Probe(name, reduction, "first", *_value_and_grads(name, reduction), f"both/{reduction}",
                        frameworks, separate_program=alone, with_value=True, wide=wide)  # fmt: skip
    elif name == "value":
        yield Probe(name, reduction, "value", *_value(reduction), f"value/{reduction}", frameworks, rule.peers)
    elif name in ("vjp", "func.vjp", "jvp", "vmap.jvp"):
        made = _vjp(name) if name.endswith("vjp") else _jvp(name, wrt, reduction)
        yield Probe(name, reduction, "first", *made, f"{name[-3:]}/{reduction}", frameworks)
    elif name in ("hvp", "double_backward", "func.double", "vmap.hvp"):
        yield Probe(name, reduction, "second", *_hvp(name, wrt, reduction), f"hvp/{reduction}", frameworks)
    elif name == "third":
        yield Probe(name, reduction, "third", *_third(wrt), name, frameworks)
    elif name == "detach":
        for held in wrt if len(wrt) > 1 else ():
            label = f"detach({held})"
            yield Probe(label, reduction, "first", *_detach(held, reduction), f"{label}/{reduction}", frameworks)
    elif name.startswith(("per_sample", "accumulate")):
        own = tuple(argument for argument in wrt if argument in batched)
        yield Probe(name, reduction, "parts", *_gradient_of_parts(name, reduction, own), f"parts/{reduction}",
                    frameworks, reason=_no_samples(loss, wrt, batched, batch))  # fmt: skip
    else:
        gradient = _gradient(name, reduction)
        yield Probe(name, reduction, "first", *gradient, f"gradient/{reduction}", frameworks, rule.peers)


def _no_samples(loss: Loss, wrt: tuple[str, ...], batched: Mapping[str, int], batch: int) -> str:
    """Return why the loss cannot be taken apart into samples, or ""."""
    if batch < 1 or not batched:
        return "there is no batch to take samples from"
    carry = {name for name in wrt if name in loss.arguments.batch_axes}
    if not set(wrt) & set(batched) or not carry <= set(batched):
        return "an argument is shared by the batch"
    if loss.arguments.class_axes is None:
        return "its samples are coupled: the loss of one alone is another function"
    return ""


def _balls(array: np.ndarray) -> np.ndarray:
    from xloss.parity.truth import balls

    return balls(array)


def _value(reduction: str) -> tuple[Run, Expect]:
    return lambda f, p, _: {"": f.mechanisms()["value"](p)}, lambda r, _: {"": r.value(reduction)}


def _gradient(mechanism: str, reduction: str) -> tuple[Run, Expect]:
    run: Run = lambda f, p, _: f.mechanisms()[mechanism](p)  # noqa: E731
    return run, lambda r, _: r.gradient(_balls(np.ones(())), reduction)


def _gradient_of_parts(mechanism: str, reduction: str, wrt: tuple[str, ...]) -> tuple[Run, Expect]:
    """Differentiate parts of the batch, by the arguments `wrt`, of which each part has its own."""
    run: Run = lambda f, p, _: f.mechanisms()[mechanism](replace(p, wrt=wrt))  # noqa: E731

    def expect(reference: Reference, _: Directions) -> dict[str, Expected]:
        out = reference.gradient(_balls(np.ones(())), reduction, given=True)
        return {name: out[name] for name in wrt}

    return run, expect


def _vjp(mechanism: str) -> tuple[Run, Expect]:
    run: Run = lambda f, p, d: f.mechanisms()[mechanism](p, d.cotangent)  # noqa: E731
    return run, lambda r, d: r.gradient(_balls(d.cotangent))


def _jvp(mechanism: str, wrt: tuple[str, ...], reduction: str) -> tuple[Run, Expect]:
    run: Run = lambda f, p, d: {"": f.mechanisms()[mechanism](p, tuple(d.tangents[name] for name in wrt))}  # noqa: E731
    if reduction == "none":
        return run, lambda r, d: {"": r.directional(d.tangents)}
    return run, lambda r, d: {"": r.directional_of_reduced(d.tangents, reduction)}


def _hvp(mechanism: str, wrt: tuple[str, ...], reduction: str) -> tuple[Run, Expect]:
    def run(framework: Framework, p: Problem, d: Directions) -> dict[str, Any]:
        cotangent = () if reduction != "none" else (d.cotangent,)
        found: dict[str, Any] = framework.mechanisms()[mechanism](
            p, tuple(d.tangents[name] for name in wrt), *cotangent
        )
        return found

    return run, lambda r, d: r.curvatures(d.tangents, reduction, _balls(d.cotangent) if reduction == "none" else None)


def _third(wrt: tuple[str, ...]) -> tuple[Run, Expect]:
    run: Run = lambda f, p, d: {"": f.mechanisms()["third"](p, tuple(d.tangents[name] for name in wrt))}  # noqa: E731
    return run, lambda r, d: {"": r.third(d.tangents)}


def _detach(held: str, reduction: str) -> tuple[Run, Expect]:
    def expect(reference: Reference, _: Directions) -> dict[str, Expected]:
        out = reference.gradient(_balls(np.ones(())), reduction)
        zeros = np.zeros(out[held].high.shape)
        return {**out, held: Expected(zeros, zeros, zeros, zeros)}

    return lambda f, p, _: f.mechanisms()["detach"](p, held), expect


def _value_in_context(mechanism: str, reduction: str) -> tuple[Run, Expect]:
    return lambda f, p, _: {"": f.mechanisms()[mechanism](p)[0]}, lambda r, _: {"": r.value(reduction)}


def _value_and_grads(mechanism: str, reduction: str) -> tuple[Run, Expect]:
    """Value and gradients at once, in a mode or a context that is not the framework's own."""

    def run(framework: Framework, p: Problem, _: Directions) -> dict[str, Any]:
        value, grads = framework.mechanisms()[mechanism](p)
        return {"": value, **grads}

    return run, lambda r, _: {"": r.value(reduction), **r.gradient(_balls(np.ones(())), reduction)}
