"""Labels and layouts: off by one, wrapped, clamped; another smoothing; axes in another order."""

from __future__ import annotations

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.inputs import Map, of_changed
from xloss.compare.diagnosis.quantities import ignored
from xloss.compare.diagnosis.question import Function, Question, equal, floating, labels, numbers, show
from xloss.compare.run import Case

SMOOTHING = ("smooth", "eps", "alpha")


def classes(case: Case) -> int | None:
    """Return the number of classes: the size of axis 1 of the first floating array that has one."""
    return next((a.shape[1] for a in case.arrays.values() if a.dtype.kind == "f" and a.ndim > 1), None)


def labels_off_by_one(question: Question) -> Diagnosis | None:
    """B(labels) = A(labels + 1) or A(labels - 1), on labels that stay within range."""
    for name in labels(question.cases[0]):
        cases = []
        for case in question.telling:
            array, top = case.arrays[name], classes(case)
            if top is None or top < 4 or ignored(case, name).any():
                continue
            cases.append(case.with_arrays(**{name: (1 + array % (top - 2)).astype(array.dtype)}))
        if not cases:
            continue
        for step in (1, -1):

            def change(c: Case, name: str = name, step: int = step) -> Case:
                return c.with_arrays(**{name: c.arrays[name] + np.asarray(step, c.arrays[name].dtype)})

            base, deviating = question.pair
            if question.explains(of_changed(base, change), deviating, cases):
                return question.says(
                    "labels_off_by_one",
                    f"{deviating.name}({name}) = {base.name}({name} {'+' if step > 0 else '-'} 1), value and "
                    "gradients: one "
                    "counts the classes from 0, the other from 1",
                    argument=name,
                )
    return None


def labels_out_of_range(question: Question, cases: list[Case]) -> Diagnosis | None:
    """B takes a negative label for one from the end, or a label out of range for the nearest class."""
    for name in labels(cases[0]) if cases else []:
        told = []
        for case in cases:
            top, array = classes(case), case.arrays[name]
            if top is not None and ((array < 0) | (array >= top)).any():
                told.append(case)
        if not told:
            continue
        for cause, words in (("labels_wrapped", "counts a negative label from the last class"),
                             ("labels_clamped", "takes a label out of range for the nearest class")):  # fmt: skip

            def change(c: Case, name: str = name, cause: str = cause) -> Case:
                top, array = classes(c) or 1, c.arrays[name]
                new = np.where((array < 0) & (array >= -top), array + top, array) if cause == "labels_wrapped" else (
                    np.clip(array, 0, top - 1))  # fmt: skip
                return c.with_arrays(**{name: new.astype(array.dtype)})

            for base, deviating in question.directions():
                # Its own value must not change when the labels are changed so: that is what it does itself.
                own = of_changed(deviating, change)
                every = [(deviating.value(c), own(c), base.value(c), base.value(change(c))) for c in told]
                changed = all((change(c).arrays[name] != c.arrays[name]).any() for c in told)
                if changed and all(_does_itself(*row) for row in every):
                    odd = told[0].arrays[name]
                    first = int(odd[(odd < 0) | (odd >= (classes(told[0]) or 0))].flat[0])
                    return question.says(
                        cause,
                        f"{deviating.name} {words} (label {first} of {classes(told[0])} classes in {name}), "
                        f"{base.name} does not",
                        deviating.label,
                        argument=name,
                    )
    return None


def _does_itself(
    value: np.ndarray | None,
    on_changed: np.ndarray | None,
    other: np.ndarray | None,
    other_on_changed: np.ndarray | None,
) -> bool:
    """Tell whether a value stays as it is on changed labels, is the other side's there, and not on the given ones."""
    if value is None or on_changed is None or other_on_changed is None or not np.isfinite(value).all():
        return False
    return equal(value, on_changed) and equal(other_on_changed, value) and (other is None or not equal(value, other))


def smoothing_convention(question: Question) -> Diagnosis | None:
    """Label smoothing by eps/C on all classes, against eps/(C - 1) on the others."""
    case = question.cases[0]
    for option in [o for o in numbers(case) if any(word in o for word in SMOOTHING)]:
        for base, deviating in question.directions():

            def change(c: Case, option: str = option) -> Case:
                top = classes(c) or 2
                return c.with_options(**{option: numbers(c)[option] * top / max(top - 1, 1)})

            if question.explains(of_changed(base, change), deviating):
                return _smoothing(question, base, deviating, numbers(case)[option])
    return _hard_coded_smoothing(question)


def _smoothing(question: Question, base: Function, deviating: Function, eps: float) -> Diagnosis:
    return question.says(
        "smoothing_convention",
        f"{deviating.name} spreads the smoothing eps = {show(eps)} over the other classes, eps/(C - 1); "
        f"{base.name} over all "
        "C classes, eps/C",
        eps=eps,
    )


def _hard_coded_smoothing(question: Question) -> Diagnosis | None:
    """Solve for the smoothing from the gradients: they differ by one number on labels, and another elsewhere."""
    for name in labels(question.cases[0]):
        for logits in question.cases[0].wrt:
            found: list[tuple[int, float, float]] = []
            for case in question.telling:
                ((a, b),) = question.results([case])
                gap = b.grads[logits] - a.grads[logits]
                label = case.arrays[name]
                if gap.ndim < 2 or label.shape != gap.shape[:1] + gap.shape[2:] or ignored(case, name).any():
                    break
                top = gap.shape[1]
                if label.max(initial=0) >= top:
                    break
                hot = np.moveaxis(np.eye(top, dtype=bool)[label], -1, 1)
                on, off = gap[hot], gap[~hot]
                scale = float(np.abs(a.grads[logits]).max(initial=0)) * 1e-9
                if np.ptp(on) > scale or np.ptp(off) > scale or abs(float(on[0] + (top - 1) * off[0])) > 10 * scale:
                    break
                found.append((top, float(off[0]) * label.size, float(off[0])))
            if len(found) < 2 or len(found) != question.differing:
                continue
            for reduced in (0, 1):
                eps = [(row[1] if not reduced else row[2]) * row[0] * (row[0] - 1) for row in found]
                if max(eps) - min(eps) <= 1e-6 * max(abs(e) for e in eps) and 0 < abs(eps[0]) < 1:
                    base, deviating = question.pair if eps[0] < 0 else question.pair[::-1]
                    return _smoothing(question, base, deviating, abs(eps[0]))
                flat = [(row[1] if not reduced else row[2]) * row[0] for row in found]
                if max(flat) - min(flat) <= 1e-6 * max(abs(e) for e in flat) and 0 < abs(flat[0]) < 1:
                    base, deviating = question.pair if flat[0] < 0 else question.pair[::-1]
                    return question.says(
                        "smoothing_convention",
                        f"{deviating.name} smooths the labels by {show(abs(flat[0]))} (over all C classes) more than "
                        f"{base.name}",
                        eps=abs(flat[0]),
                    )
    return None


def axis_transposed(question: Question) -> Diagnosis | None:
    """B(x) = A(x with two axes in the other order, or flattened in the other order)."""
    case = question.cases[0]
    alike = [[n for n in floating(case) if case.arrays[n].shape == a.shape] for a in case.arrays.values()]
    both = [group for i, group in enumerate(alike) if len(group) > 1 and group not in alike[:i]]
    for group in [*([name] for name in case.arrays), *both]:
        array, name = case.arrays[group[0]], " and ".join(group)
        changes: dict[str, Map] = {}
        if array.ndim >= 2:
            changes["its first two axes transposed"] = lambda x: x.swapaxes(0, 1).reshape(x.shape)
            changes["its last two axes transposed"] = lambda x: x.swapaxes(-1, -2).reshape(x.shape)
            changes["its last two axes flattened in the other order"] = lambda x: x.reshape(
                *x.shape[:-2], x.shape[-1], x.shape[-2]).swapaxes(-1, -2)  # fmt: skip
            changes["its first two axes flattened in the other order"] = lambda x: x.reshape(
                x.shape[1], x.shape[0], *x.shape[2:]).swapaxes(0, 1)  # fmt: skip
        if array.ndim >= 3:
            changes["the classes on its last axis, not on axis 1"] = lambda x: np.moveaxis(
                x.reshape(x.shape[0], *x.shape[2:], x.shape[1]), -1, 1)  # fmt: skip
            changes["the classes on axis 1, not on its last"] = lambda x: np.moveaxis(x, 1, -1).reshape(x.shape)
        for words, function in changes.items():
            base, deviating = question.pair

            def plain(c: Case, group: list[str] = group, function: Map = function) -> Case:
                return c.with_arrays(**{n: function(c.arrays[n]) for n in group})

            if question.explains(of_changed(base, plain), deviating, question.telling):
                return question.says(
                    "axis_transposed",
                    f"{deviating.name}({name}) = {base.name}({name} with {words}), value and gradients",
                    argument=name,
                )
    return _wrong_axis(question)


def _wrong_axis(question: Question) -> Diagnosis | None:
    """A softmax over another axis: the gradient by the logits sums to zero along another axis on each side."""
    for name in question.cases[0].wrt:
        zero: list[set[int]] = []
        for which in (0, 1):
            common: set[int] | None = None
            for case in question.telling[:3]:
                grad = question.results([case])[0][which].grads[name]
                size = float(np.abs(grad).max(initial=0))
                axes = {k for k in range(grad.ndim) if size and grad.shape[k] > 1
                        and np.abs(grad.sum(axis=k)).max() <= 1e-9 * size * grad.shape[k]}  # fmt: skip
                common = axes if common is None else common & axes
            zero.append(common or set())
        if zero[0] and zero[1] and not zero[0] & zero[1]:
            a, b = question.pair
            return question.says(
                "axis_transposed",
                f"the gradient by {name} sums to zero along axis {min(zero[0])} in {a.name}, along axis "
                f"{min(zero[1])} in "
                f"{b.name}: the softmax (or mean) is taken over different axes",
                argument=name,
                axes=(min(zero[0]), min(zero[1])),
            )
    return None
