"""One function is the other put through a function, or has a term more: a power, a constant, a missing term."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.quantities import candidates
from xloss.compare.diagnosis.question import Function, Question, equal, show
from xloss.compare.run import Case

POWERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "square": (np.square, "the square of"),
    "sqrt": (np.sqrt, "the square root of"),
    "exp": (np.exp, "e to the power of"),
    "log": (np.log, "the logarithm of"),
    "half square": (lambda v: 0.5 * v * v, "half the square of"),
    "log1p": (np.log1p, "the logarithm of 1 plus"),
    "reciprocal": (lambda v: 1 / v, "1 divided by"),
    "abs": (np.abs, "the absolute value of"),
}


def wrong_power(question: Question) -> Diagnosis | None:
    """B = A**2, sqrt(A), log(A), ..., value and gradients."""
    for base, deviating in question.directions():
        for name, (function, words) in POWERS.items():
            if question.explains(_applied(base, function), deviating, question.cases):
                return question.says(
                    "wrong_power",
                    f"{deviating.name} is {words} {base.name}, value and gradients: the value goes through one "
                    "more or one "
                    "less operation at the end",
                    function=name,
                )
    return None


def _applied(base: Function, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Case], np.ndarray | None]:
    def model(case: Case) -> np.ndarray | None:
        value = base.value(case)
        if value is None:
            return None
        with np.errstate(all="ignore"):
            return np.asarray(function(value))

    return model


def additive_constant(question: Question) -> Diagnosis | None:
    """B = A + c with the same gradients; or a difference that does not depend on some argument."""
    pairs = question.results()
    if any(a.value.shape != b.value.shape for a, b in pairs) or question.values_equal:
        return None
    a, b = question.pair
    wrt = list(pairs[0][0].grads)
    free = [n for n in wrt if all(equal(x.grads[n], y.grads[n], floor=1e-6) for x, y in pairs)]
    if not free:
        return None
    ratios: list[tuple[Case, float]] = []
    for case, (x, y) in zip(question.cases, pairs, strict=True):
        gap = y.value - x.value
        if float(np.ptp(gap)) > 1e-9 * max(1.0, float(np.abs(gap).max())):
            ratios = []
            break
        ratios.append((case, float(gap.flat[0])))
    visible = all(abs(c) > 1e-9 * np.abs(x.value).max() for (_, c), (x, _) in zip(ratios, pairs, strict=False))
    if len(free) == len(wrt) and ratios and visible and (known := _known_constant(ratios)) is not None:
        c = ratios[0][1]
        text = f"{b.name} - {a.name} = {show(c)} throughout{known}, with the same gradients: a constant term"
        return question.says("additive_constant", text, constant=c)
    told = [float(np.abs(y.value - x.value).max()) > 1e-8 * float(np.abs(x.value).max()) for x, y in pairs]
    if not all(told[: question.differing]) or not _gap_stays(question, free):
        return None
    others = [n for n in question.cases[0].arrays if n not in free]
    on = f", only on {' and '.join(others)}" if others else ""
    which = " and ".join(free)
    return question.says(
        "missing_term",
        f"{b.name} - {a.name} ({show(float((pairs[0][1].value - pairs[0][0].value).flat[0]))} in the first "
        "case) does not "
        f"depend on {which}{on}: the gradients by {which} are the same, a term of the value is missing in one",
        independent_of=tuple(free),
    )


def _gap_stays(question: Question, free: list[str]) -> bool:
    """Tell whether the values' difference stays as it is when those arguments are changed throughout."""
    for case in question.telling[:2]:
        before = question.results([case])
        after = question.results([case.with_arrays(**{n: np.flip(case.arrays[n], axis=0) for n in free
                                                      if case.arrays[n].ndim})])  # fmt: skip
        if not after or not before:
            return False
        (x, y), (v, w) = before[0], after[0]
        scale = max(float(np.abs(v.value).max(initial=0)), float(np.abs(x.value).max(initial=0)))
        if np.abs((y.value - x.value) - (w.value - v.value)).max(initial=0) > 1e-9 * scale:
            return False
    return True


def _known_constant(ratios: list[tuple[Case, float]]) -> str | None:
    """Return " = log(2 pi)/2" or the like where the constant is one in every case; None where it is not."""
    half = math.log(2 * math.pi) / 2
    known = {"log(2 pi)/2": half, "log(2 pi)": 2 * half, "log 2": math.log(2), "1": 1.0, "1/2": 0.5, "2": 2.0}
    known |= {f"log {n}": math.log(n) for n in range(3, 17)}
    if all(abs(c - ratios[0][1]) <= 1e-9 * max(1.0, abs(c)) for _, c in ratios):
        text = next((t for t, v in known.items() if abs(v - abs(ratios[0][1])) < 1e-9), "")
        return f" = {'-' if ratios[0][1] < 0 else ''}{text}" if text else ""
    tables = [candidates(case) for case, _ in ratios]
    for term, value in known.items():
        for text in tables[0]:
            if all(text in t and abs(t[text].value * value - abs(c)) <= 1e-9 * abs(c)
                   for t, (_, c) in zip(tables, ratios, strict=True)):  # fmt: skip
                return f" = {text} * {term}"
    return None
