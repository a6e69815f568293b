"""One function gives a plausible number where its arguments make no sense; the other gives NaN, or refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis, Evidence
from xloss.compare.diagnosis.question import Function, Question, equal, floating, show
from xloss.compare.run import Case

Domain = tuple[str, Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]
# What is outside, and what to put there: inside, and off the edge, where other things happen.
DOMAINS: tuple[Domain, ...] = (
    ("[0, 1]", lambda x: (x < 0) | (x > 1), lambda x: np.where(x < 0, 0.3, 0.6)),
    ("the numbers of at least 0", lambda x: x < 0, np.abs),
    ("the numbers of at most 0", lambda x: x > 0, lambda x: -np.abs(x)),
    ("[-1, 1]", lambda x: np.abs(x) > 1, lambda x: 0.5 * np.sign(x)),
)


def outside_domain(question: Question) -> Diagnosis | None:
    """On inputs outside some range one side is finite, the other NaN or refuses; moved inside, both are the same."""
    for lax, strict in question.directions():
        told = [case for case in question.evidence.cases if lets_through(question.evidence, lax, strict, case)]
        for case in told:
            for name in floating(case):
                for words, outside, inside in DOMAINS:
                    x = case.arrays[name]
                    out = outside(x)
                    if not out.any() or not np.isfinite(x).all() or _goes_beyond(question, name, outside):
                        continue
                    if _agree_inside(lax, strict, case, name, np.where(out, inside(x), x)):
                        return _says(question, lax, strict, case, name, words, out)
    return None


def _goes_beyond(question: Question, name: str, outside: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Tell whether both agree on a case that goes beyond that range: then it is not the domain."""
    for case in question.evidence.cases:
        a, b = (f.value(case) for f in question.pair)
        beyond = name in case.arrays and outside(case.arrays[name]).any()
        if beyond and a is not None and b is not None and np.isfinite(a).all() and equal(a, b):
            return True
    return False


def lets_through(evidence: Evidence, lax: Function, strict: Function, case: Case) -> bool:
    """Tell whether one gives a number that the other does not give, and what is right is none, if it is known."""
    got, other = lax.value(case), strict.value(case)
    if got is None or not np.isfinite(got).all() or (other is not None and not np.isnan(other).any()):
        return False
    exact = evidence.exact(case)
    return exact is None or bool(np.isnan(exact.value).any())


def _agree_inside(lax: Function, strict: Function, case: Case, name: str, moved: np.ndarray) -> bool:
    """Tell whether both are the same with those elements moved inside: them alone, or what lies on an edge with them.

    What lies on an edge (0 * log 0) may be the only reason, too: then it is not the domain.
    """
    alike = [n for n in floating(case) if n != name and case.arrays[n].shape == moved.shape]
    edges = {n: np.clip(x, 0.2, 0.7) for n in alike if np.isin(x := case.arrays[n], (0.0, 1.0)).any()}
    for besides in ({}, edges) if edges else ({},):
        before = strict.value(case.with_arrays(**besides))
        if besides and before is not None and np.isfinite(before).all():
            return False
        changed = case.with_arrays(**{name: moved}, **besides)
        a, b = lax.value(changed), strict.value(changed)
        if a is not None and b is not None and np.isfinite(a).all() and equal(a, b):
            return True
    return False


def _says(question: Question, lax: Function, strict: Function, case: Case, name: str, words: str,
          out: np.ndarray) -> Diagnosis:  # fmt: skip
    number, got = float(case.arrays[name][out].flat[0]), lax.value(case)
    given = show(float(np.asarray(got).flat[0]))
    other = "NaN" if strict.value(case) is not None else "an error"
    return question.says(
        "outside_domain",
        f"{lax.name} gives {given} where {name} has the element {show(number)}, outside of {words}, and {strict.name} "
        f"gives {other}; inside both are the same: {lax.name} clips the argument or a logarithm of it, or takes "
        "the term for 0, and hides the mistake",
        lax.label,
        argument=name,
        element=number,
    )
