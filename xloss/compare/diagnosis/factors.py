"""One function is the other times a number: a factor with a name, a reduction, a sign, a power, a constant apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.quantities import Quantity, altered, candidates
from xloss.compare.diagnosis.question import Function, Question, equal, numbers, same_grads, show
from xloss.compare.run import Case, Result


def ratio_of(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return c where b = c*a throughout; None where there is none, or all is zero."""
    if a.shape != b.shape or not a.size:
        return None
    at = int(np.abs(a).argmax())
    largest = float(a.flat[at])
    if largest == 0:
        return None
    c = float(b.flat[at]) / largest
    return c if c != 0 and equal(a * c, b) else None


def ratio_of_results(a: Result, b: Result) -> float | None:
    """Return c where value and every gradient of b are c times those of a."""
    found = [c for c in (ratio_of(a.value, b.value), *(ratio_of(g, b.grads[n]) for n, g in a.grads.items())) if c]
    if not found:
        return None
    c = found[0]
    return c if equal(a.value * c, b.value) and same_grads({n: g * c for n, g in a.grads.items()}, b.grads) else None


def sign(question: Question) -> Diagnosis | None:
    """B = -A, B = 1 - A."""
    pairs = question.results()
    if all(ratio_of_results(a, b) == -1 for a, b in pairs if np.abs(a.value).max(initial=0)):
        a, b = question.pair
        return question.says("sign", f"{b.name} = -{a.name} throughout, value and gradients: the sign is turned round")
    if all(same_grads({n: -g for n, g in a.grads.items()}, b.grads) for a, b in pairs) and any(
        np.abs(g).max(initial=0) for a, _ in pairs for g in a.grads.values()
    ):
        sums = [float((a.value + b.value).flat[0]) for a, b in pairs if a.value.shape == b.value.shape]
        if sums and len(sums) == len(pairs) and max(sums) - min(sums) <= 1e-9 * max(1.0, abs(sums[0])):
            first, second = question.pair
            return question.says(
                "sign",
                f"{second.name} = {show(sums[0])} - {first.name} throughout, and each gradient of one is minus the "
                "other's: one is to be made small, the other large",
                constant=sums[0],
            )
    return None


def factor(question: Question) -> Diagnosis | None:
    """B = c*A, value and every gradient; c is the same named quantity of every case, or a constant."""
    ratios: list[tuple[Case, float]] = []
    for case in question.cases:
        (pair,) = question.results([case])
        if (c := ratio_of_results(*pair)) is not None:
            ratios.append((case, c))
        elif not question.differs(case):
            ratios.append((case, 1.0)) if np.abs(pair[0].value).max(initial=0) else None
        elif np.abs(pair[0].value).max(initial=0) or np.abs(pair[1].value).max(initial=0):
            return None
    if not ratios or all(abs(c - 1) < 1e-9 for _, c in ratios):
        return None
    for case in question.telling[:2]:  # with other counts and weights a name that fits by chance does so no more
        other = altered(case)
        pairs = question.results([other]) if other is not None else []
        if other is not None and pairs and (c := ratio_of_results(*pairs[0])) is not None:
            ratios.append((other, c))
    named = [q for q in name_of(ratios) if _follows(question, q)]
    if not named:
        return _constant(question, ratios)
    return _reduction(question, named[0], ratios)


def name_of(ratios: list[tuple[Case, float]]) -> list[Quantity]:
    """Return the named quantities that are the factor (or minus it) in every case, the likelier first."""
    tables = [candidates(case) for case, _ in ratios]
    signs = {math.copysign(1.0, c) for _, c in ratios}
    if len(signs) > 1:
        return []
    found = []
    for text, quantity in tables[0].items():
        pairs = zip(tables, ratios, strict=True)
        if all(text in table and abs(table[text].value / abs(c) - 1) < 1e-8 for table, (_, c) in pairs):
            found.append(quantity)
    # One that differs between the cases and fits each cannot be chance; an option's value can be a constant's.
    varies = [q for q in found if len({round(table[q.text].value, 12) for table in tables}) > 1]
    return varies or found


def _follows(question: Question, quantity: Quantity) -> bool:
    """Tell whether the factor still is that quantity when the option that it names is changed."""
    case = question.cases[0]
    for name, value in numbers(case).items():
        if quantity.kind != "option" or name not in quantity.text:
            continue
        moved = case.with_options(**{name: value * 1.25 if isinstance(case.options[name], float) else value + 1})
        pairs = question.results([moved])
        table = candidates(moved)
        if not pairs or (c := ratio_of_results(*pairs[0])) is None or quantity.text not in table:
            return False
        return abs(table[quantity.text].value / abs(c) - 1) < 1e-8
    return True


def _constant(question: Question, ratios: list[tuple[Case, float]]) -> Diagnosis | None:
    a, b = question.pair
    c = ratios[0][1]
    if all(abs(other / c - 1) < 1e-9 for _, other in ratios):
        text = f"{b.name}/{a.name} = {show(c)} throughout, value and gradients: a constant factor"
        return question.says("factor", text, factor=c, quantity="a constant")
    each = ", ".join(show(c) for _, c in ratios[:3])
    return question.says(
        "factor",
        f"{b.name}/{a.name} is one number for value and gradients of a case, but another for each case ({each}): they "
        "are divided by different amounts, which are no size, count, weight or option that is known here",
        factor=c,
        quantity="",
    )


def _reduction(question: Question, quantity: Quantity, ratios: list[tuple[Case, float]]) -> Diagnosis:
    """Say what the factor means: sum against mean, a denominator that counts too much, or just a factor."""
    a, b = question.pair
    c = ratios[0][1]
    minus = "-" if c < 0 else ""
    says = f"{b.name}/{a.name} = {show(c)} throughout = {minus}{quantity.text}"
    numbers: dict[str, Any] = {"factor": c, "quantity": quantity.text, "kind": quantity.kind}
    kinds = set(quantity.kind.split("/"))
    if "less one" in kinds and "constant" not in kinds:
        return question.says("biased_variance", f"{says}: one divides by n, the other by n - 1", **numbers)
    if kinds == {"valid", "total"}:
        return question.says(
            "ignored_in_denominator",
            f"{says}: one divides by the number of all, the other only by those that are not ignored or masked",
            **numbers,
        )
    if "weights" in kinds and len(kinds) > 1 and "axis" not in kinds:
        return question.says(
            "weights_in_denominator", f"{says}: one divides by the sum of the weights, the other by a count", **numbers
        )
    counts = kinds & {"total", "valid", "weights", "axis"}
    if counts and (grows := _grows(question)) is not None:
        if grows[0] != grows[1]:
            total, mean = (a, b) if grows[0] else (b, a)
            what = "mean" if "weights" not in kinds else "weighted mean"
            return question.says(
                "sum_against_mean",
                f"{says}: with the batch repeated {total.name} doubles and {mean.name} does not; {total.name} "
                "takes the "
                f"sum, {mean.name} the {what}",
                **numbers,
            )
        if "axis" in kinds and not grows[0] and kinds != {"axis", "constant"}:
            per_row, per_element = (a, b) if abs(c) < 1 else (b, a)
            return question.says(
                "mean_against_batchmean",
                f"{says}: {per_row.name} divides by fewer (the rows alone), {per_element.name} also by that",
                **numbers,
            )
    return question.says("factor", f"{says}, value and gradients", **numbers)


def _grows(question: Question) -> tuple[bool, bool] | None:
    """Tell for both whether the value doubles with the batch repeated; None where that cannot be told."""
    case = question.cases[0]
    carried = case.batch_arguments()
    if not carried:
        return None
    twice = case.with_arrays(**{n: np.concatenate([case.arrays[n]] * 2) for n in carried})
    out = []
    for function in question.pair:
        once, both = function.value(case), function.value(twice)
        if once is None or both is None or once.ndim or both.ndim or not once:
            return None
        out.append(float(both) / float(once) > 1.5)
    return out[0], out[1]


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
