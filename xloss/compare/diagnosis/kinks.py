"""Gradients that differ at single points alone: on a kink, or where kinks of the pieces should cancel."""

from __future__ import annotations

from typing import Any

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.gradients import dishonest
from xloss.compare.diagnosis.question import Function, Question, equal, show
from xloss.compare.run import Case, cotangent

KINK_STEP = 1e-6
MOST_ELEMENTS = 10


def kink_convention(question: Question) -> Diagnosis | None:
    """Gradients differ only at elements where the value has a kink: its one-sided derivatives differ."""
    told = ""
    seen: dict[str, Any] = {}
    for case in question.telling:
        ((a, b),) = question.results([case])
        for name in a.grads:
            for index in map(tuple, np.argwhere(_apart(a.grads[name], b.grads[name]))[:MOST_ELEMENTS]):
                sides = _one_sided(question.pair[0], case, name, index)
                if sides is None:
                    return None
                if abs(sides[0] - sides[1]) < 1e-3 * max(abs(sides[0]), abs(sides[1]), 1e-12):
                    return _kinks_that_cancel(question)
                if not told:
                    first, second = question.pair
                    x, y = float(a.grads[name][index]), float(b.grads[name][index])
                    told = (
                        "the values are equal, and the gradients differ only where the value has a kink: at "
                        f"{_place(case, name, index)} its slope is "
                        f"{show(sides[0])} on the left and {show(sides[1])} on the right; {first.name} takes "
                        f"{show(x)}, "
                        f"{second.name} {show(y)}"
                    )
                    seen = {"left": sides[0], "right": sides[1], first.name: x, second.name: y}
    return question.says("kink_convention", told, **seen) if told else None


def _kinks_that_cancel(question: Question) -> Diagnosis | None:
    """The value is smooth, and yet a gradient is wrong at single points: made of pieces whose kinks cancel."""
    told = ""
    seen: dict[str, Any] = {}
    for case in question.telling:
        ((a, b),) = question.results([case])
        for name in a.grads:
            off = _apart(a.grads[name], b.grads[name])
            if not off.any():
                continue
            for sign in (1, -1):
                moved = case.with_arrays(**{name: np.where(off, case.arrays[name] + sign * 1e-4, case.arrays[name])})
                pair = question.results([moved])
                if not pair or not equal(pair[0][0].grads[name], pair[0][1].grads[name], 1e-8):
                    return None
            if not told:
                index = tuple(int(i) for i in np.argwhere(off)[0])
                own = dishonest(question, name)
                wrong = own[0] if len(own) == 1 else question.pair[1]
                sides = _one_sided(question.pair[0], case, name, index) or (float("nan"),) * 2
                got = [float(r.grads[name][index]) for r in (a, b)]
                told = (
                    "the values are equal, and the gradients differ only at single points: at "
                    f"{_place(case, name, index)} the value is smooth "
                    f"(slope {show(sides[0])} on both sides), {question.pair[0].name} takes {show(got[0])}, "
                    f"{question.pair[1].name} {show(got[1])}; a little beside it both are the same: {wrong.name} is "
                    "made of pieces with a kink there (abs, relu, maximum), whose gradients do not cancel"
                )
                seen = {"slope": sides[0], question.pair[0].name: got[0], question.pair[1].name: got[1]}
    return question.says("kink_convention", told, **seen) if told else None


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mask of the elements in which two gradients differ by more than rounding."""
    scale = max(float(np.abs(grad).max(initial=0)) for grad in (a, b))
    return np.asarray(np.abs(a - b) > 1e-9 * scale)


def _place(case: Case, name: str, index: tuple[int, ...]) -> str:
    """Return an element of an argument in words: "x[0, 1] = 0"."""
    return f"{name}[{', '.join(map(str, index))}] = {show(float(case.arrays[name][index]))}"


def _one_sided(which: Function, case: Case, name: str, index: tuple[int, ...]) -> tuple[float, float] | None:
    """Return the slope of a side's value on the left and on the right of one element."""
    at = []
    for step in (-KINK_STEP, 0.0, KINK_STEP):
        moved = case.arrays[name].astype(np.float64).copy()
        moved[index] += step
        value = which.value(case.with_arrays(**{name: moved}))
        if value is None or not np.isfinite(value).all():
            return None
        at.append(float((value * cotangent(value.shape, np.dtype(np.float64))).sum()))
    return (at[1] - at[0]) / KINK_STEP, (at[2] - at[1]) / KINK_STEP
