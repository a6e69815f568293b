"""Mutants made by an edit of the source, of the kind that a person makes: a sign, a bound, an axis, a factor."""

from __future__ import annotations

from tests.mutants.model import Mutant


def mutants() -> list[Mutant]:
    """Return all."""
    return []
