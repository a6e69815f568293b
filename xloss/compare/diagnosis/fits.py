"""One function is the other of an argument or an option changed by numbers to be found: they are solved for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.inputs import of_changed
from xloss.compare.diagnosis.question import Function, Question, equal, floating, numbers, show
from xloss.compare.run import Case, Result

Parametric = Callable[[Case, np.ndarray], Case]
ROUNDS = 8


def solve(
    question: Question, base: Function, deviating: Function, change: Parametric, start: tuple[float, ...]
) -> np.ndarray | None:  # fmt: skip
    """Return the numbers p for which base(change(inputs, p)) is the deviating function, by Gauss and Newton's steps.

    Value and gradients of two cases are many equations for one or two numbers: that they all hold is no chance.
    """
    cases = question.telling[:2]
    wanted = [deviating.result(case) for case in cases]
    if any(w is None for w in wanted):
        return None
    right = np.concatenate([_flat(w) for w in wanted if w is not None])
    # The gradient by an argument that is changed itself is another one; values alone are enough with many cases.
    if right.size < 2 * len(start):
        return None

    def off(p: np.ndarray) -> np.ndarray | None:
        got = [base.result(change(case, p)) for case in cases]
        if any(g is None for g in got):
            return None
        left = np.concatenate([_flat(g) for g in got if g is not None])
        return left - right if left.shape == right.shape and np.isfinite(left).all() else None

    p = np.array(start, dtype=np.float64)
    now = off(p)
    for _ in range(ROUNDS):
        if now is None:
            return None
        columns = []
        for k in range(p.size):
            step = np.zeros(p.size)
            step[k] = 1e-5
            moved = off(p + step)
            if moved is None:
                return None
            columns.append((moved - now) / 1e-5)
        ahead = np.linalg.lstsq(np.stack(columns, axis=1), -now, rcond=1e-10)[0]
        p = p + ahead
        now = off(p)
        if float(np.abs(ahead).max()) <= 1e-12 * float(np.abs(p).max()):
            break
    if now is None or float(np.abs(now).max()) > 1e-8 * float(np.abs(right).max()) + 1e-14:
        return None
    model = of_changed(base, lambda case: change(case, p))
    return p if question.explains(model, deviating, question.telling) else None


def _flat(result: Result) -> np.ndarray:
    return np.concatenate([result.value.ravel(), *(g.ravel() for g in result.grads.values())]).astype(np.float64)


def target_changed(question: Question) -> Diagnosis | None:
    """B(x, t) = A(x, a*t + b): targets that are smoothed otherwise, or scaled."""
    case = question.cases[0]
    for name in [n for n in floating(case) if n not in case.wrt and case.arrays[n].ndim]:

        def change(c: Case, p: np.ndarray, name: str = name) -> Case:
            return c.with_arrays(**{name: p[0] * c.arrays[name] + p[1]})

        for base, deviating in question.directions():
            p = solve(question, base, deviating, change, (1.0, 0.0))
            if p is None or equal(p, np.array([1.0, 0.0]), 1e-7):
                continue
            a, b = (0.0 if abs(x) < 1e-9 else float(x) for x in p)
            times = name if equal(p[:1], np.ones(1)) else f"{show(a)} * {name}"
            what = f"{times} {'+' if b > 0 else '-'} {show(abs(b))}" if b else times
            soft = all(((c.arrays[name] >= 0) & (c.arrays[name] <= 1)).all() for c in question.telling)
            says = f"{deviating.name}({name}) = {base.name}({what}), value and gradients"
            if soft and (b or 0 < a < 1):
                return question.says(
                    "smoothing_convention",
                    f"{says}: labels 0 and 1 are {show(b)} and {show(a + b)} in place of those of {base.name}; "
                    "the labels are smoothed otherwise",
                    argument=name,
                    scale=a,
                    shift=b,
                )
            return question.says("argument_scaled", says, argument=name, scale=a, shift=b)
    return None


def argument_rescaled(question: Question) -> Diagnosis | None:
    """B(x) = A(c*x) or A(x + c) with a number that is written into one of them, as a temperature or a margin."""
    case = question.cases[0]
    for names in [[n] for n in case.wrt] + ([list(case.wrt)] if len(case.wrt) > 1 else []):

        def scaled(c: Case, p: np.ndarray, names: list[str] = names) -> Case:
            return c.with_arrays(**{n: p[0] * c.arrays[n] for n in names})

        def moved(c: Case, p: np.ndarray, names: list[str] = names) -> Case:
            return c.with_arrays(**{n: c.arrays[n] + p[0] for n in names})

        for change, start, word in ((scaled, 1.0, "*"), (moved, 0.0, "+")):
            if word == "+" and len(names) > 1:
                continue
            base, deviating = question.pair
            p = solve_values(question, base, deviating, change, start)
            if p is None or abs(p - start) < 1e-9:
                continue
            what = " and ".join(names)
            return question.says(
                "argument_scaled",
                f"{deviating.name}({what}) = {base.name}({what} {word} {show(p)}), value and gradients",
                argument=what,
                scale=p if word == "*" else 1.0,
                shift=p if word == "+" else 0.0,
            )
    return None


def option_fixed(question: Question) -> Diagnosis | None:
    """B does not follow an option: it is A with another value of it, the same whatever the option is."""
    case = question.cases[0]
    for option, value in numbers(case).items():
        for base, deviating in question.directions():
            before = deviating.value(case)
            after = deviating.value(case.with_options(**{option: value * 1.25 + 0.01}))
            if before is None or after is None or not np.array_equal(before, after):
                continue

            def change(c: Case, p: np.ndarray, option: str = option) -> Case:
                return c.with_options(**{option: float(p[0])})

            p = solve(question, base, deviating, change, (value,))
            if p is not None and abs(p[0] - value) > 1e-9:
                return question.says(
                    "option_unused",
                    f"{deviating.name} with {option} = {show(value)} is {base.name} with {option} = "
                    f"{show(float(p[0]))}, whatever {option} is: {deviating.name} does not use it",
                    deviating.label,
                    option=option,
                    value=float(p[0]),
                )
    return None


def solve_values(
    question: Question, base: Function, deviating: Function, change: Parametric, start: float
) -> float | None:  # fmt: skip
    """Return the number for which the values are the same, by secants from there; it must explain every case."""
    case = question.telling[0]
    wanted = deviating.value(case)
    if wanted is None or not np.isfinite(wanted).all():
        return None

    def off(c: float) -> float | None:
        got = base.value(change(case, np.array([c])))
        return float((got - wanted).sum()) if got is not None and got.shape == wanted.shape else None

    last, here = start, start + 0.01
    before, now = off(last), off(here)
    for _ in range(20):
        if before is None or now is None or not np.isfinite([before, now]).all() or before == now:
            break
        last, here, before = here, here - now * (here - last) / (now - before), now
        now = off(here)
        if now is not None and abs(here - last) <= 1e-13 * max(abs(here), 1.0):
            break
    model = of_changed(base, lambda c: change(c, np.array([here])))
    if not np.isfinite(here) or not question.explains(model, deviating, question.telling):
        return None
    # A value that hardly depends on the number would fit any: a scale so large that an eps vanishes beside it.
    beside = base.value(change(case, np.array([here * 1.01 + (0.01 if start == 0 else 0.0)])))
    return here if beside is not None and not equal(beside, wanted, 1e-6) else None
