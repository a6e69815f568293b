"""Fill templates: an operation and a condition, in one framework or in both."""

from __future__ import annotations

from tests.mutants.conditions import ALWAYS, Condition
from tests.mutants.edits import Edit
from tests.mutants.model import Mutant
from tests.mutants.operations import Operation


def in_torch(loss: str, operation: Operation, condition: Condition = ALWAYS) -> list[Mutant]:
    return [Mutant(loss, "torch", operation, condition)]


def in_jax(loss: str, operation: Operation, condition: Condition = ALWAYS) -> list[Mutant]:
    return [Mutant(loss, "jax", operation, condition)]


def both(loss: str, operation: Operation, condition: Condition = ALWAYS) -> list[Mutant]:
    return in_torch(loss, operation, condition) + in_jax(loss, operation, condition)


def edit(loss: str, framework: str, name: str, function: str, old: str, new: str) -> list[Mutant]:
    """Edit a function of a framework; `function` is a name in the loss's file, or "ops.module:name"."""
    place = f"xloss.{function}" if ":" in function else f"xloss.losses.{loss}:{framework}_{function or loss}"
    return [Mutant(loss, framework, edit=Edit(name, place, old, new))]


def edit_both(loss: str, name: str, function: str, old: str, new: str) -> list[Mutant]:
    """Make the same edit in both frameworks; in `function`, `old` and `new`, FRAMEWORK and NP are replaced."""
    out = []
    for framework, numpy in (("torch", "torch"), ("jax", "jnp")):
        place, was, now = (text.replace("FRAMEWORK", framework).replace("NP", numpy) for text in (function, old, new))
        out += edit(loss, framework, name, place, was, now)
    return out
