"""All mutants, by id."""

from __future__ import annotations

import collections
import functools

from tests.mutants import contexts, gradients, sources, values
from tests.mutants.model import Mutant
from tests.mutants.operations import scaled


@functools.cache
def catalogue() -> dict[str, Mutant]:
    """Return the mutants by id."""
    found = [*values.mutants(), *gradients.mutants(), *contexts.mutants(), *sources.mutants()]
    twice = [id for id, count in collections.Counter(mutant.id for mutant in found).items() if count > 1]
    if twice:
        raise ValueError(f"mutants of one id: {', '.join(twice)}")
    return {mutant.id: mutant for mutant in found}


def harmless() -> Mutant:
    """Return one that changes nothing: a sweep that sees it sees the planting."""
    return Mutant("mse_loss", "torch", scaled(1.0))


def find(id: str) -> Mutant:
    """Return the mutant of that id, the harmless one among them."""
    return harmless() if id == harmless().id else catalogue()[id]
