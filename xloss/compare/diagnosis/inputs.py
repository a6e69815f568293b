"""One function is the other of changed arguments: swapped, turned into probabilities, scaled, or left out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.question import Function, Model, Question, equal, floating, numbers
from xloss.compare.run import Case

Change = Callable[[Case], Case]
Map = Callable[[np.ndarray], np.ndarray]


def of_changed(base: Function, change: Change) -> Model:
    """Return base(change(inputs)) as a model."""

    def model(case: Case) -> np.ndarray | None:
        with np.errstate(all="ignore"):
            return base.value(change(case))

    return model


def mapped(name: str, function: Map) -> Change:
    """Return the change that maps one argument."""
    return lambda case: case.with_arrays(**{name: function(case.arrays[name].astype(np.float64))})


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Return the softmax."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Return the logarithm of the softmax."""
    moved = x - x.max(axis=axis, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the sigmoid."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def swapped_arguments(question: Question) -> Diagnosis | None:
    """B(x, y) = A(y, x)."""
    case = question.cases[0]
    arrays = case.arrays
    for one, two in itertools.combinations(arrays, 2):
        if arrays[one].shape != arrays[two].shape or arrays[one].dtype != arrays[two].dtype:
            continue

        def change(c: Case, one: str = one, two: str = two) -> Case:
            return c.with_arrays(**{one: c.arrays[two], two: c.arrays[one]})

        base, other = question.pair
        if question.explains(of_changed(base, change), other):
            return question.says(
                "swapped_arguments",
                f"{other.name}({one}, {two}) = {base.name}({two}, {one}), value and gradients: the two "
                "arguments are swapped",
                arguments=(one, two),
            )
        if arrays[one].dtype.kind == "f" and (arrays[two] > 0).all() and (arrays[one] <= 0).all():

            def reverse(c: Case, one: str = one, two: str = two) -> Case:
                return c.with_arrays(**{one: np.log(c.arrays[two]), two: np.exp(c.arrays[one])})

            if question.explains(of_changed(base, reverse), other):
                return question.says(
                    "swapped_arguments",
                    f"{other.name}({one}, {two}) = {base.name}(log {two}, exp {one}), value and gradients: the two "
                    "distributions are swapped",
                    arguments=(one, two),
                )
    if found := _swapped_pairs(question):
        return found
    values = list(numbers(case))
    for one, two in itertools.combinations(values, 2):

        def exchange(c: Case, one: str = one, two: str = two) -> Case:
            return c.with_options(**{one: c.options[two], two: c.options[one]})

        base, other = question.pair
        if question.explains(of_changed(base, exchange), other):
            return question.says(
                "swapped_arguments",
                f"{other.name} is {base.name} with the options {one} and {two} swapped",
                arguments=(one, two),
            )
    return None


def _swapped_pairs(question: Question) -> Diagnosis | None:
    """B(x, u, y, v) = A(y, v, x, u): two distributions of two parameters each in the other's place."""
    arrays = question.cases[0].arrays
    base, other = question.pair
    for four in itertools.combinations(arrays, 4):
        if len({(arrays[n].shape, arrays[n].dtype) for n in four}) > 1:
            continue
        first, second, third, fourth = four
        for one, two in (((first, second), (third, fourth)), ((first, third), (second, fourth)),
                         ((first, fourth), (second, third))):  # fmt: skip
            # (one[0], one[1]) and (two[0], two[1]) are each exchanged
            def change(c: Case, one: tuple[str, str] = one, two: tuple[str, str] = two) -> Case:
                new = {a: c.arrays[b] for pair in (one, two) for a, b in (pair, pair[::-1])}
                return c.with_arrays(**new)

            if question.explains(of_changed(base, change), other):
                return question.says(
                    "swapped_arguments",
                    f"{other.name} = {base.name} with {one[0]} and {one[1]} swapped, and {two[0]} and {two[1]}, value "
                    "and gradients: the two distributions (or pairs) are in each other's place",
                    arguments=four,
                )
    return None


def links(case: Case, name: str) -> list[tuple[str, str, Map]]:
    """Return the maps between logits, probabilities and their logarithms: (what goes in, what comes out, map)."""
    array = case.arrays[name]
    out: list[tuple[str, str, Map]] = []
    for axis in [-1, 1] if array.ndim > 2 else [-1] if array.ndim else []:
        out += [("logits", "probabilities", functools.partial(softmax, axis=axis)),
                ("logits", "log_probabilities", functools.partial(log_softmax, axis=axis))]  # fmt: skip
    out += [
        ("logits", "probabilities", sigmoid),
        ("log_probabilities", "probabilities", np.exp),
        ("probabilities", "log_probabilities", np.log),
        ("logits", "log_probabilities", lambda x: -np.logaddexp(0.0, -x)),
    ]
    return out


WORDS = {"logits": "logits", "probabilities": "probabilities", "log_probabilities": "log-probabilities"}
STEPS = {
    ("logits", "probabilities"): "a softmax (or sigmoid)", ("logits", "log_probabilities"): "a log_softmax",
    ("log_probabilities", "probabilities"): "exp", ("probabilities", "log_probabilities"): "log",
}  # fmt: skip


def link(question: Question) -> Diagnosis | None:
    """B(x) = A(softmax(x)) and the like: applied once too often, or missing."""
    for name in floating(question.cases[0]):
        for given, wanted, function in links(question.cases[0], name):
            for base, deviating in question.directions():
                model = of_changed(base, mapped(name, function))
                usable = [c for c in question.cases if any(c is other for other in question.telling)]
                if not question.explains(model, deviating, usable):
                    continue
                step = STEPS[given, wanted]
                says = f"{deviating.name}({name}) = {base.name}({step} of {name}), value and gradients: "
                missing = _missing(question, base, name, given)
                if missing:
                    return question.says(
                        f"{given}_as_{wanted}",
                        f"{says}{base.name} takes the {WORDS[given]} for {WORDS[wanted]}; {step} is missing there",
                        base.label if question.guilty else "",
                        argument=name,
                    )
                return question.says(
                    f"{wanted}_as_{given}",
                    f"{says}{step} is applied once more in {deviating.name}, and its result then taken for "
                    f"{WORDS[given]}",
                    deviating.label if question.guilty else "",
                    argument=name,
                )
    return None


def _missing(question: Question, base: Function, name: str, given: str) -> bool:
    """Tell whether `base` lacks the step, rather than `deviating` having it once too often."""
    if question.guilty:
        return base.index < 2 and base.label == question.guilty
    case = question.cases[0]
    array = case.arrays[name]
    if given == "logits" and array.ndim > 1:
        for axis in {1, array.ndim - 1}:
            shift = np.linspace(0.1, 0.3, array.size // array.shape[axis]).reshape(np.delete(array.shape, axis))
            moved = base.value(case.with_arrays(**{name: array + np.expand_dims(shift, axis)}))
            before = base.value(case)
            if moved is not None and before is not None and equal(moved, before):
                return False  # it normalises by itself
        return not _logits_inside(base, case, name)
    if given == "logits":
        return not _logits_inside(base, case, name)
    for target in (n for n, a in case.arrays.items() if n != name and a.shape == array.shape and a.dtype.kind == "f"):
        plain = np.clip(case.arrays[target], 0, 1)
        for tried, wants in ((plain, "probabilities"), (np.log(np.maximum(plain, 1e-30)), "log_probabilities")):
            got = base.value(case.with_arrays(**{name: tried, target: plain}))
            if got is not None and np.isfinite(got).all() and np.abs(got).max(initial=0) < 1e-9:
                return wants != given  # nothing is lost where the prediction is the target: so that is what it takes
    return True


def _logits_inside(base: Function, case: Case, name: str) -> bool:
    """Tell whether a function takes logits: a perfect prediction given as 0 and 1 does not cost it nothing."""
    same_shape = [n for n, a in case.arrays.items() if n != name and a.shape == case.arrays[name].shape]
    for target in same_shape:
        perfect = (case.arrays[target] > 0.5).astype(np.float64)
        typed = perfect.astype(case.arrays[target].dtype)
        got = base.value(case.with_arrays(**{name: perfect, target: typed}))
        if got is not None and np.isfinite(got).all():
            return bool(np.abs(got).max(initial=0) > 1e-3)
    return False


def link_where_not_finite(question: Question, cases: list[Case], bad: Function, good: Function) -> Diagnosis | None:
    """The function that lacks the step is not finite on logits (log of a negative number); the other is."""
    if len(cases) < 2:
        return None
    for name in floating(cases[0]):
        for given, wanted, function in links(cases[0], name):
            if question.explains(of_changed(bad, mapped(name, function)), good, cases):
                step = STEPS[given, wanted]
                return question.says(
                    f"{given}_as_{wanted}",
                    f"{good.name}({name}) = {bad.name}({step} of {name}), value and gradients, and "
                    f"{bad.name}({name}) is not "
                    f"finite: {bad.name} takes the {WORDS[given]} for {WORDS[wanted]}; {step} is missing there",
                    bad.label,
                    argument=name,
                )
    return None


def _power_of_option(case: Case, option: str, power: float) -> float:
    return float(abs(numbers(case)[option]) ** power)


def _power_of_size(case: Case, name: str, power: float) -> float:
    return float(case.arrays[name].shape[-1] ** power)


def argument_scaled(question: Question) -> Diagnosis | None:
    """B(x) = A(c*x), with c = -1, 1/2, 2, an option or its inverse, the square root of a size."""
    case = question.cases[0]
    scales: dict[str, Callable[[Case], float]] = {
        "-1": lambda c: -1.0, "2": lambda c: 2.0, "1/2": lambda c: 0.5, "sqrt(2)": lambda c: 2.0**0.5,
        "1/sqrt(2)": lambda c: 0.5**0.5,
    }  # fmt: skip
    for option in numbers(case):
        if numbers(case)[option] not in (0.0, 1.0):
            for text, power in (("{}", 1.0), ("1/{}", -1.0), ("{} squared", 2.0), ("1/{} squared", -2.0)):
                scales[text.format(option)] = functools.partial(_power_of_option, option=option, power=power)
    for name in floating(case):
        if name not in case.wrt:
            continue
        here = dict(scales)
        if case.arrays[name].ndim:
            for text, power in (("the square root of the last axis' size", 0.5),
                                ("1 / the square root of the last axis' size", -0.5)):  # fmt: skip
                here[text] = functools.partial(_power_of_size, name=name, power=power)
        for text, scale in here.items():

            def change(c: Case, name: str = name, scale: Callable[[Case], float] = scale) -> Case:
                return c.with_arrays(**{name: c.arrays[name] * scale(c)})

            base, deviating = question.pair
            if question.explains(of_changed(base, change), deviating):
                cause = "sign" if text == "-1" else "argument_scaled"
                what = f"-{name}" if text == "-1" else f"{name} * {text}"
                return question.says(
                    cause,
                    f"{deviating.name}({name}) = {base.name}({what}), value and gradients",
                    argument=name,
                    scale=text,
                )
    return None


def argument_unused(question: Question) -> Diagnosis | None:
    """B(x, w) = A(x, ones): a mask or weight that one side does not use."""
    case = question.cases[0]
    for name, array in case.arrays.items():
        if name in case.wrt or array.dtype.kind in "iu":
            continue
        for text, fill in (("ones", 1), ("zeros", 0)):
            for base, deviating in question.directions():

                def change(c: Case, name: str = name, fill: int = fill) -> Case:
                    return c.with_arrays(**{name: np.full_like(c.arrays[name], fill)})

                if question.explains(of_changed(base, change), deviating):
                    return question.says(
                        "argument_unused",
                        f"{deviating.name} = {base.name} with {name} all {text}: {deviating.name} does not use {name}",
                        deviating.label,
                        argument=name,
                    )
    return None
