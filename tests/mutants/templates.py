"""Fill templates: an operation and a condition, in one framework or in both."""

from __future__ import annotations

import zlib

from tests.mutants.conditions import ALWAYS, Condition
from tests.mutants.edits import Edit
from tests.mutants.model import Mutant
from tests.mutants.operations import Operation

#: Losses whose sweep takes longest.
LONG = frozenset(
    ("cross_entropy", "ctc_loss", "linear_cross_entropy", "ntxent_loss", "cosine_embedding_loss", "triplet_margin_loss",
     "multi_margin_loss", "dice_loss", "huber_loss", "kl_div", "binary_cross_entropy_with_logits", "nll_loss",
     "gaussian_nll_loss", "poisson_nll_loss")
)  # fmt: skip


def in_torch(loss: str, operation: Operation, condition: Condition = ALWAYS) -> list[Mutant]:
    return [Mutant(loss, "torch", operation, condition)]


def in_jax(loss: str, operation: Operation, condition: Condition = ALWAYS) -> list[Mutant]:
    return [Mutant(loss, "jax", operation, condition)]


def both(loss: str, operation: Operation, condition: Condition = ALWAYS) -> list[Mutant]:
    """Fill a template in both frameworks; in one of them, as chance has it, where a sweep takes long."""
    found = in_torch(loss, operation, condition) + in_jax(loss, operation, condition)
    return found if loss not in LONG else [found[zlib.crc32(f"{operation.text}/{condition.text}".encode()) % 2]]


def edit(loss: str, framework: str, name: str, function: str, old: str, new: str) -> list[Mutant]:
    """Edit a function of a framework; `function` is a name in the loss's file, or "ops.module:name"."""
    place = f"xloss.{function}" if ":" in function else f"xloss.losses.{loss}:{framework}_{function or loss}"
    return [Mutant(loss, framework, edit=Edit(name, place, old, new))]


def edit_both(loss: str, name: str, function: str, old: str, new: str) -> list[Mutant]:
    """Make the same edit in both frameworks, or in one as in `both`; FRAMEWORK and NP are replaced in the texts."""
    out = []
    for framework, numpy in (("torch", "torch"), ("jax", "jnp")):
        place, was, now = (text.replace("FRAMEWORK", framework).replace("NP", numpy) for text in (function, old, new))
        out += edit(loss, framework, name, place, was, now)
    return out if loss not in LONG else [out[zlib.crc32(name.encode()) % 2]]
