"""The classes weigh otherwise: each element counts a number of times that depends on its label alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.question import Question, show
from xloss.compare.run import Case

MOST_LABELS = 16
SAME = 1e-8


def class_weights(question: Question) -> Diagnosis | None:
    """The gradient of B at each element is A's times a number that depends on the element's label alone."""
    for target in question.cases[0].arrays:
        if target in question.cases[0].wrt:
            continue
        for name in question.cases[0].wrt:
            seen: dict[float, list[float]] = {}
            if all(_collect(question, case, target, name, seen) for case in _relabelled(question, target)) and (
                found := _weights(seen)
            ):
                return _says(question, target, name, found)
    return None


def _relabelled(question: Question, target: str) -> Iterator[Case]:
    """Return the cases that differ, and each with its labels moved on, so that a label meets other samples."""
    for case in question.telling:
        yield case
        for turn in (1, 2) if case.arrays[target].ndim else ():
            yield case.with_arrays(**{target: np.roll(case.arrays[target], turn, axis=0)})


def _collect(question: Question, case: Case, target: str, name: str, seen: dict[float, list[float]]) -> bool:
    """Add the ratio of the gradients at each sample to its label's; False where there is none, or it is not one."""
    pairs = question.results([case])
    if not pairs:
        return False
    ((a, b),) = pairs
    label, mine, its = case.arrays[target], a.grads[name], b.grads[name]
    if not label.ndim or len(np.unique(label)) > MOST_LABELS:
        return False
    if label.shape == mine.shape:
        samples = [(x, np.atleast_1d(mine[i]), np.atleast_1d(its[i])) for i, x in np.ndenumerate(label)]
    elif mine.ndim > 1 and label.shape == mine.shape[:1] + mine.shape[2:]:
        last = (np.moveaxis(g, 1, -1) for g in (mine, its))
        first, second = last
        samples = [(x, first[i], second[i]) for i, x in np.ndenumerate(label)]
    else:
        return False
    size = float(np.abs(mine).max(initial=0))
    for x, one, two in samples:
        if np.abs(one).max(initial=0) <= SAME * size:
            if np.abs(two).max(initial=0) > SAME * size:
                return False
            continue
        at = int(np.abs(one).argmax())
        ratio = float(two[at] / one[at])
        if np.abs(two - ratio * one).max() > SAME * max(np.abs(one).max(), np.abs(two).max()):
            return False
        seen.setdefault(float(x), []).append(ratio)
    return True


def _weights(seen: dict[float, list[float]]) -> dict[float, float]:
    """Return the number by label, where it is one for each label, another for some, and was seen often enough."""
    if len(seen) < 2 or sum(map(len, seen.values())) < 2 * len(seen):
        return {}
    if any(max(r) - min(r) > SAME * max(1.0, *map(abs, r)) for r in seen.values()):
        return {}
    each = {label: ratios[0] for label, ratios in sorted(seen.items())}
    values = list(each.values())
    return each if max(values) - min(values) > 1e-6 * max(map(abs, values)) else {}


def _says(question: Question, target: str, name: str, weights: dict[float, float]) -> Diagnosis:
    a, b = question.pair
    each = ", ".join(f"{show(w)} times where {target} = {show(label)}" for label, w in list(weights.items())[:4])
    values = list(weights.values())
    turned = ""
    if len(values) == 2 and abs(values[0] * values[1] - 1) < 1e-8:
        turned = ": as if the weights of the two classes were in each other's place"
    elif (one := [label for label, w in weights.items() if w == 0]) and len(one) < len(weights):
        turned = f": {b.name} leaves out the label {show(one[0])}"
    return question.says(
        "class_weights",
        f"the gradient of {b.name} by {name} is that of {a.name}, {each}{turned}; the classes have other weights",
        argument=target,
        weights={show(label): w for label, w in weights.items()},
    )
