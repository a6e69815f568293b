"""What is left to say where no hypothesis fits: where the two first differ, by how much, and what that depends on."""

from __future__ import annotations

from typing import Any

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.question import Question, equal, numbers, same, show
from xloss.compare.run import Case

PLAIN = 1e-7  # of the results: what is less is no other formula, but an approximation or an eps
OTHER_OPTIONS = (0.0, 1.0, 0.5, 2.0)
MOST_ROWS = 16


def wrong_formula(question: Question, tried: int) -> Diagnosis | None:
    """The values differ in float64, plainly, and none of the hypotheses explains it: another formula."""
    case = question.telling[0]
    ((x, y),) = question.results([case])
    if x.value.shape != y.value.shape or not x.value.size:
        return None
    apart = float(np.abs(y.value - x.value).max()) / max(float(np.abs(x.value).max()), float(np.abs(y.value).max()))
    if not apart > PLAIN:
        return None
    a, b = question.pair
    at, where = _first(question, case)
    says = [
        f"{b.name} computes another formula than {a.name}: they differ in float64, and none of the {tried} causes that "
        "were tried fits",
        where,
        *(part for part in (_cases(question), _depends(question), _option(question)) if part),
    ]
    return question.says("wrong_formula", "; ".join(says), **at)


def _first(question: Question, case: Case) -> tuple[dict[str, Any], str]:
    """Return the first element that differs: of the value, or of the rows one by one where the value is a number."""
    a, b = question.pair
    ((x, y),) = question.results([case])
    place = f"in the case '{case.name}'"
    one, two = x.value, y.value
    if not one.ndim and case.batched and case.rows > 1:
        rows = [case.row(slice(i, i + 1)) for i in range(min(case.rows, MOST_ROWS))]
        each = [(a.value(row), b.value(row)) for row in rows]
        alone = [(float(u), float(v)) for u, v in each if u is not None and v is not None and not u.ndim and not v.ndim]
        if len(alone) == len(rows) and np.isfinite(alone).all():
            first, second = np.array(alone).T
            if (np.abs(first - second) > 1e-9 * np.abs(first).max()).any():
                one, two, place = first, second, f"alone, of the case '{case.name}'"
            else:
                place += ", though not on any of its rows alone: the difference is in how the rows are put together"
    off = np.abs(one - two) > 1e-9 * max(float(np.abs(one).max()), float(np.abs(two).max()))
    index = tuple(int(i) for i in np.argwhere(off)[0]) if off.any() else (0,) * one.ndim
    u, v = float(one[index]), float(two[index])
    rows_alone = one.ndim > x.value.ndim
    name = f"{'row' if rows_alone else 'element'} ({', '.join(map(str, index))})" if index else "value"
    ratio = f", ratio {show(v / u)}" if u else ""
    text = f"the first {name} that differs, {place}: {b.name} {v:.9g}, {a.name} {u:.9g}"
    text += f" (difference {show(v - u)}{ratio})"
    share = f", {int(off.sum())} of {off.size} {'rows' if rows_alone else 'elements'} differ" if off.size > 1 else ""
    return {"difference": v - u, "ratio": v / u if u else float("nan")}, text + share


def _cases(question: Question) -> str:
    """Say on which cases they agree, where they do on some."""
    agree = [case.name for case in question.cases[question.differing :]]
    return f"they agree in the case{'s' if len(agree) > 1 else ''} {', '.join(agree)}" if agree else ""


def _depends(question: Question) -> str:
    """Say on which arguments the difference depends, where it does not on all: it stays when another is changed."""
    case = question.telling[0]
    ((x, y),) = question.results([case])
    gap = y.value - x.value
    on: list[str] = []
    for name, array in case.arrays.items():
        if not array.ndim:
            continue
        moved = np.flip(array, axis=0) if array.dtype.kind in "iub" else array[::-1] * 0.9
        after = question.results([case.with_arrays(**{name: moved})])
        if not after or not np.isfinite(after[0][0].value).all() or not np.isfinite(after[0][1].value).all():
            return ""
        if not equal(after[0][1].value - after[0][0].value, gap, 1e-8):
            on.append(name)
    if not on or len(on) == len([n for n, a in case.arrays.items() if a.ndim]):
        return ""
    return f"the difference depends on {' and '.join(on)} alone"


def _option(question: Question) -> str:
    """Say with which other value of one option they agree."""
    case = question.telling[0]
    for option in numbers(case):
        for number in OTHER_OPTIONS:
            pairs = [question.results([c.with_options(**{option: number})]) for c in question.telling[:2]]
            if number != numbers(case)[option] and all(pair and same(*pair[0]) for pair in pairs):
                return f"they agree where {option} = {show(number)}"
    return (
        f"they do not agree for any other value of {', '.join(numbers(case))} that was tried" if numbers(case) else ""
    )
