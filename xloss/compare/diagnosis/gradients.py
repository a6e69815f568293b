"""The values are equal and the gradients are not: detached, scaled, clipped, or on a kink."""

from __future__ import annotations

from typing import Any

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.factors import name_of, ratio_of
from xloss.compare.diagnosis.question import Function, Question, equal, show
from xloss.compare.run import Case, Result, cotangent

KINK_STEP = 1e-6
MOST_ELEMENTS = 10


def differing_arguments(question: Question) -> list[str]:
    """Return the arguments whose gradients differ on some case."""
    pairs = question.results()
    return [
        n for n in pairs[0][0].grads if not all(equal(a.grads[n], b.grads[n], floor=_floor(a, b)) for a, b in pairs)
    ]


def _floor(a: Result, b: Result) -> float:
    return 1e-3 * max((float(np.abs(g).max(initial=0.0)) for g in [*a.grads.values(), *b.grads.values()]), default=0.0)


def _dishonest(question: Question, name: str) -> list[Function]:
    """Return the sides whose gradient is not the derivative of their own value."""
    return [f for f in question.pair if any(question.own_derivative(f, c, name) is False for c in question.telling[:2])]


def kink_convention(question: Question) -> Diagnosis | None:
    """Gradients differ only at elements where the value has a kink: its one-sided derivatives differ."""
    told = ""
    seen: dict[str, Any] = {}
    for case in question.telling:
        ((a, b),) = question.results([case])
        for name in a.grads:
            gap = np.abs(a.grads[name] - b.grads[name])
            scale = max(float(np.abs(a.grads[name]).max(initial=0)), float(np.abs(b.grads[name]).max(initial=0)))
            where = np.argwhere(gap > 1e-9 * scale)
            for index in map(tuple, where[:MOST_ELEMENTS]):
                sides = _one_sided(question.pair[0], case, name, index)
                if sides is None or abs(sides[0] - sides[1]) < 1e-3 * max(abs(sides[0]), abs(sides[1]), 1e-12):
                    return None
                if not told:
                    first, second = question.pair
                    x, y = float(a.grads[name][index]), float(b.grads[name][index])
                    told = (
                        f"the values are equal, and the gradients differ only where the value has a kink: at {name}"
                        f"[{', '.join(map(str, index))}] = {show(float(case.arrays[name][index]))} its slope is "
                        f"{show(sides[0])} on the left and {show(sides[1])} on the right; {first.name} takes "
                        f"{show(x)}, "
                        f"{second.name} {show(y)}"
                    )
                    seen = {"left": sides[0], "right": sides[1], first.name: x, second.name: y}
    return question.says("kink_convention", told, **seen) if told else None


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


def detached(question: Question) -> Diagnosis | None:
    """One side's gradient by an argument is zero where the other's is not."""
    for base, stopped in question.directions():
        for name in differing_arguments(question):
            results = [(base.result(c), stopped.result(c)) for c in question.telling]
            if any(a is None or b is None or np.any(b.grads[name]) for a, b in results):
                continue
            if not any(a is not None and np.any(a.grads[name]) for a, _ in results):
                continue
            if question.guilty and base.label == question.guilty and base.index < 2:
                return question.says(
                    "not_detached",
                    f"the values are equal; {base.name} has a gradient by {name}, and it should have none: "
                    f"{name} is not "
                    "detached (stop_gradient) there",
                    argument=name,
                )
            return question.says(
                "detached",
                f"the values are equal; the gradient of {stopped.name} by {name} is zero, that of {base.name} is not: "
                f"{name} is detached (stop_gradient) in {stopped.name}, whose value does depend on it",
                stopped.label,
                argument=name,
            )
    return None


def gradient_factor(question: Question) -> Diagnosis | None:
    """The gradients by the arguments that differ are a number times the other's."""
    names = differing_arguments(question)
    wrong = [f for f in question.pair if any(f in _dishonest(question, n) for n in names)]
    turned = len(wrong) == 1 and wrong[0] is question.pair[0] and not question.guilty
    for base, scaled in [question.pair[::-1]] if turned else [question.pair]:
        ratios = []
        for case in question.telling:
            a, b = base.result(case), scaled.result(case)
            if a is None or b is None:
                return None
            each = [c for n in names if np.any(a.grads[n]) and (c := ratio_of(a.grads[n], b.grads[n])) is not None]
            dead = [n for n in names if np.any(a.grads[n]) != np.any(b.grads[n])]
            if dead or not each or len(each) != sum(bool(np.any(a.grads[n])) for n in names):
                return None
            if max(each) - min(each) > 1e-8 * abs(each[0]):
                return None
            ratios.append((case, each[0]))
        constant = all(abs(c / ratios[0][1] - 1) < 1e-8 for _, c in ratios)
        named = name_of(ratios)
        if not constant and not named:
            return None
        c = ratios[0][1]
        side = wrong[0].label if len(wrong) == 1 else ""
        what = f" = {'-' if c < 0 else ''}{named[0].text}" if named and named[0].text != show(abs(c)) else ""
        own = f"; the gradient of {wrong[0].name} is not the derivative of its own value" if len(wrong) == 1 else ""
        return question.says(
            "gradient_factor",
            f"the values are equal; the gradient by {' and '.join(names)} of {scaled.name} is {show(c)}{what} times "
            f"that of {base.name}{own}",
            side,
            factor=c,
            quantity=named[0].text if named else "",
        )
    return None


def clipped_gradient(question: Question) -> Diagnosis | None:
    """The gradient is the other's, clipped to a largest element or to a largest norm."""
    names = differing_arguments(question)
    for base, clipped in question.directions():
        for how in ("element", "norm"):
            limits: list[float] = []
            free = 0
            for case in question.cases:
                a, b = base.result(case), clipped.result(case)
                if a is None or b is None:
                    break
                for name in names:
                    limit = _limit(a.grads[name], b.grads[name], how)
                    if limit is None:
                        limits = [0.0]
                        break
                    if limit:
                        limits.append(limit)
                    free += int(limit == 0) + (int((np.abs(b.grads[name]) < limit * (1 - 1e-9)).any()) if limit else 0)
            same = len(limits) > 1 and min(limits) > 0 and max(limits) - min(limits) <= 1e-5 * max(limits)
            if same and (free or len(limits) > 1):
                return question.says(
                    "clipped_gradient",
                    f"the values are equal; the gradient of {clipped.name} by {' and '.join(names)} is that of "
                    f"{base.name} "
                    f"clipped to {'a largest element' if how == 'element' else 'a norm'} of {show(limits[0])}",
                    clipped.label,
                    limit=limits[0],
                )
    return None


def _limit(a: np.ndarray, b: np.ndarray, how: str) -> float | None:
    """Return to which limit b is a clipped; 0 where it is not clipped at all, None where it is not a clipped."""
    if equal(a, b):
        return 0.0
    if how == "element":
        limit = float(np.abs(b).max(initial=0))
        return limit if limit and equal(np.clip(a, -limit, limit), b) else None
    c = ratio_of(a, b)
    return float(np.linalg.norm(b)) if c is not None and 0 < c < 1 else None


def stopped_term(question: Question) -> Diagnosis | None:
    """One side's gradient is not the derivative of its own value: a term of it is stopped, or its rule is wrong."""
    for name in differing_arguments(question):
        wrong = _dishonest(question, name)
        if len(wrong) != 1:
            continue
        (stopped,) = wrong
        other = next(f for f in question.pair if f is not stopped)
        if question.guilty and other.index < 2 and other.label == question.guilty:
            return question.says(
                "not_detached",
                f"the values are equal; {other.name} differentiates through all of {name}, and a part of it should be "
                "detached (stop_gradient)",
                argument=name,
            )
        return question.says(
            "detached",
            f"the values are equal; the gradient of {stopped.name} by {name} is not the numerical derivative "
            "of its own value "
            f"(that of {other.name} is): a term with {name} is detached (stop_gradient), or its backward pass is wrong",
            stopped.label,
            argument=name,
        )
    return None


def own_gradient_wrong(question: Question) -> Diagnosis | None:
    """The values differ, too; still, the gradient of one side alone is not the derivative of its own value."""
    for name in next(iter(question.results()))[0].grads:
        wrong = [f for f in _dishonest(question, name) if f.index < 2]
        if len(wrong) == 1:
            return question.says(
                "gradient_not_derivative",
                f"the gradient of {wrong[0].name} by {name} is not the numerical derivative of its own value",
                wrong[0].label,
                argument=name,
            )
    return None
