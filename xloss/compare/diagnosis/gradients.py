"""The values are equal and the gradients are not: detached, scaled, clipped, or on a kink."""

from __future__ import annotations

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.factors import name_of, ratio_of
from xloss.compare.diagnosis.question import Function, Question, equal, show
from xloss.compare.run import Case, Result


def differing_arguments(question: Question) -> list[str]:
    """Return the arguments whose gradients differ on some case."""
    pairs = question.results()
    return [
        n for n in pairs[0][0].grads if not all(equal(a.grads[n], b.grads[n], floor=_floor(a, b)) for a, b in pairs)
    ]


def _floor(a: Result, b: Result) -> float:
    return 1e-3 * max((float(np.abs(g).max(initial=0.0)) for g in [*a.grads.values(), *b.grads.values()]), default=0.0)


def dishonest(question: Question, name: str) -> list[Function]:
    """Return the sides whose gradient is not the derivative of their own value."""
    return [f for f in question.pair if any(question.own_derivative(f, c, name) is False for c in question.telling[:2])]


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
    wrong = [f for f in question.pair if any(f in dishonest(question, n) for n in names)]
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


def gradient_rows(question: Question) -> Diagnosis | None:
    """Each row of the gradient is a number of its own times the other's row: a weight of another row, or none."""
    names = [n for n in differing_arguments(question) if n in question.cases[0].batch_arguments()]
    for base, scaled in question.directions():
        for name in names:
            told: list[tuple[Case, np.ndarray]] = []
            for case in question.telling:
                a, b = base.result(case), scaled.result(case)
                if a is None or b is None:
                    break
                each = [0.0 if not np.any(y) else ratio_of(x, y) for x, y in zip(a.grads[name], b.grads[name],
                                                                                strict=True) if np.any(x)]  # fmt: skip
                empty = [np.any(y) for x, y in zip(a.grads[name], b.grads[name], strict=True) if not np.any(x)]
                if any(empty) or len(each) < 2 or any(c is None for c in each):
                    break
                told.append((case, np.array(each, dtype=np.float64)))
            if len(told) < question.differing or a is None or not a.grads[name][0].size > 1:
                continue
            wrong = [f for f in question.pair if f in dishonest(question, name)]
            own = f"; the gradient of {wrong[0].name} is not the derivative of its own value" if len(wrong) == 1 else ""
            if all(np.isin(each.round(9), (0.0, 1.0)).all() for _, each in told):
                return question.says(
                    "detached",
                    f"the values are equal; of the gradient by {name} {int((told[0][1] == 0).sum())} of "
                    f"{told[0][1].size} rows are zero in {scaled.name} alone, the others are the same: a part of "
                    f"{name} is detached (stop_gradient) in {scaled.name}{own}",
                    scaled.label,
                    argument=name,
                )
            c = ", ".join(show(float(x)) for x in told[0][1][:4])
            return question.says(
                "gradient_factor",
                f"the values are equal; each row of the gradient by {name} of {scaled.name} is a number times that of "
                f"{base.name}, another in each row ({c}, ...){_proportional(told)}{own}",
                wrong[0].label if len(wrong) == 1 else "",
                argument=name,
            )
    return None


def _proportional(told: list[tuple[Case, np.ndarray]]) -> str:
    """Say to which argument the numbers are proportional, or inversely."""
    for name, array in told[0][0].arrays.items():
        for words, power in (("", 1.0), ("1 / ", -1.0)):
            fits = []
            for case, each in told:
                x = case.arrays[name]
                if x.ndim != 1 or x.size != each.size or (power < 0 and (x == 0).any()) or not np.any(x):
                    fits.append(False)
                    continue
                fits.append(ratio_of(x.astype(np.float64) ** power, each) is not None)
            if all(fits) and array.ndim == 1:
                return f", in proportion to {words}{name}"
    return ""


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
        wrong = dishonest(question, name)
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
        wrong = [f for f in dishonest(question, name) if f.index < 2]
        if len(wrong) == 1:
            return question.says(
                "gradient_not_derivative",
                f"the gradient of {wrong[0].name} by {name} is not the numerical derivative of its own value",
                wrong[0].label,
                argument=name,
            )
    return None
