"""One function is the other times a number: a factor with a name, a reduction, a sign, a power, a constant apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.quantities import Quantity, altered, candidates, ignored, masks
from xloss.compare.diagnosis.question import Question, equal, numbers, same_grads, show
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
    ratios = [ratio_of_results(a, b) for a, b in pairs if np.abs(a.value).max(initial=0)]
    if ratios and all(c is not None and abs(c + 1) < 1e-9 for c in ratios):
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
    if (not named or "less one" in named[0].kind) and (found := _without_part(question, ratios)):
        return found
    if not named:
        return _constant(question, ratios)
    return _reduction(question, named[0], ratios)


def _without_part(question: Question, ratios: list[tuple[Case, float]]) -> Diagnosis | None:
    """One divides by all samples, the other by those alone that have part in the loss: that have a gradient."""
    a, b = question.pair
    for name in question.cases[0].wrt:
        ndim = question.cases[0].arrays[name].ndim
        for axis in dict.fromkeys([None, *([1, ndim - 1] if ndim > 1 else [])]):
            counts: list[tuple[int, int, float]] = []
            for case, c in ratios:
                grad = question.results([case])[0][0].grads[name]
                live = grad != 0 if axis is None else (grad != 0).any(axis=axis)
                counts.append((int(live.sum()), live.size, c))
            if all(0 < n < size for n, size, _ in counts) and any(
                all(abs(abs(c) * (n / size) ** power - 1) < 1e-9 for n, size, c in counts) for power in (1, -1)
            ):
                n, size, c = counts[0]
                return question.says(
                    "ignored_in_denominator",
                    f"{b.name}/{a.name} = {show(c)} throughout, {n} against {size} in the first case: only {n} of "
                    f"{size} samples have a gradient by {name}; one divides by the number of all, the other only by "
                    "those that have part in the loss",
                    factor=c,
                )
    return None


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
    return varies or sorted(found, key=lambda q: "less one" in q.kind)  # a plain 2 rather than a C - 1 that is 2


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
    if not question.cases[0].wrt and all(not a.value.ndim for a, _ in question.results()):
        return None  # two numbers always have a ratio
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
    if kinds == {"valid", "total"} and not _of_its_own_total(ratios):
        return question.says(
            "mean_against_batchmean",
            f"{says}: one divides by the rows (or samples), the other by the elements in them that are not ignored",
            **numbers,
        )
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


def _of_its_own_total(ratios: list[tuple[Case, float]]) -> bool:
    """Tell whether the factor is the share that is not ignored of one mask or one array of labels."""
    for name in ratios[0][0].arrays:
        each = []
        for case, c in ratios:
            array = case.arrays[name]
            valid = int(np.count_nonzero(array)) if name in masks(case) else int((~ignored(case, name)).sum())
            each.append(array.size and valid and min(abs(abs(c) * valid / array.size - 1),
                                                     abs(abs(c) * array.size / valid - 1)) < 1e-8)  # fmt: skip
        if all(each):
            return True
    return False


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
