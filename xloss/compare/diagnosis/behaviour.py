"""What a function does besides returning a value: it writes into an argument, or gives another number each time."""

from __future__ import annotations

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.question import Question, equal
from xloss.compare.run import Result, twice


def argument_mutated(question: Question) -> Diagnosis | None:
    """A side changes an array that it was given."""
    for which in (f for f in question.pair if f.index < 2):
        for case in question.evidence.cases[:3]:
            got = which.result(case)
            if got is not None and got.mutated:
                names = " and ".join(got.mutated)
                return question.says(
                    "argument_mutated",
                    f"{which.name} writes into its argument {names}: after the call it holds other numbers",
                    which.label,
                    arguments=got.mutated,
                )
    return None


def nondeterministic(question: Question) -> Diagnosis | None:
    """A side gives another result for the same inputs."""
    for which in (f for f in question.pair if f.index < 2):
        for case in question.evidence.cases[:2]:
            kept = which.result(case)
            if kept is None or kept.mutated:
                continue
            question.evidence.check_time()
            # A program of JAX that is kept gives the same again: only a second trace shows what was drawn in it.
            first, again = twice(question.evidence.sides[which.index], case)
            if not isinstance(first, Result) or not isinstance(again, Result):
                continue
            if first.value.shape != again.value.shape or equal(first.value, again.value):
                continue
            if np.isnan(first.value).any() and np.isnan(again.value).any():
                continue
            return question.says(
                "nondeterministic",
                f"{which.name} gives another result for the same inputs: {float(first.value.flat[0])!r}, then "
                f"{float(again.value.flat[0])!r} (dropout, random numbers, or a state that it keeps)",
                which.label,
            )
    return None
