"""Inputs and labels are paired otherwise along a sequence: shifted once more, or rolled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.inputs import Change, of_changed
from xloss.compare.diagnosis.question import Question
from xloss.compare.run import Case

SHIFTS = (1, -1, 2, -2)


def labels_shifted(question: Question) -> Diagnosis | None:
    """B(x, y) = A(x without its last, y without its first), or A(x, y rolled by one)."""
    for name, target, axis, own in _pairs(question.cases[0]):
        for by in SHIFTS:
            for base, deviating in question.directions():
                for change, words in ((_cut(name, target, axis, own, by), "cut"), (_roll(target, own, by), "rolled")):
                    if not question.explains(of_changed(base, change), deviating, question.telling):
                        continue
                    step = "1 place" if abs(by) == 1 else f"{abs(by)} places"
                    ends = ("last", "first") if by > 0 else ("first", "last")
                    what = (
                        f"{base.name}({name} without its {ends[0]}, {target} without its {ends[1]} {abs(by)} along "
                        f"axis {own})"
                        if words == "cut"
                        else f"{base.name}({name}, {target} rolled by {-by} along axis {own})"
                    )
                    return question.says(
                        "labels_shifted",
                        f"{deviating.name}({name}, {target}) = {what}, value and gradients: {target} is shifted by "
                        f"{step} more in {deviating.name} than in {base.name}",
                        argument=target,
                        by=by,
                    )
    return None


def _pairs(case: Case) -> Iterator[tuple[str, str, int, int]]:
    """Return (x, y, axis of x, axis of y) where both may run along the same sequence."""
    for name in case.wrt:
        for target, array in case.arrays.items():
            if target in case.wrt:
                continue
            x = case.arrays[name]
            for own in range(min(array.ndim, 2)):
                axes = [k for k in range(x.ndim) if x.shape[k] == array.shape[own] > 3 and (k > 0) == (own > 0)]
                yield from ((name, target, axis, own) for axis in axes)


def _without(array: np.ndarray, axis: int, by: int) -> np.ndarray:
    """Return the array without its first `by` along an axis, or its last -`by`."""
    part = slice(by, None) if by > 0 else slice(None, by)
    return np.asarray(array[(slice(None),) * axis + (part,)])


def _cut(name: str, target: str, axis: int, own: int, by: int) -> Change:
    def change(case: Case) -> Case:
        label = case.arrays[target]
        like = [n for n, a in case.arrays.items() if n not in case.wrt and a.shape == label.shape]
        cut = {n: _without(case.arrays[n], own, by) for n in like}
        return case.with_arrays(**{name: _without(case.arrays[name], axis, -by)}, **cut)

    return change


def _roll(target: str, own: int, by: int) -> Change:
    return lambda case: case.with_arrays(**{target: np.roll(case.arrays[target], -by, axis=own)})
