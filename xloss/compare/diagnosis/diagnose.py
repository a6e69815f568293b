"""Try each cause in turn, and name the one that fits."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis import (
    behaviour,
    classes,
    domain,
    factors,
    fits,
    formula,
    gradients,
    inputs,
    inside,
    kinks,
    labels,
    nonfinite,
    numerics,
    options,
    reductions,
    shifts,
    terms,
)  # fmt: skip
from xloss.compare.diagnosis.evidence import Diagnosis, Evidence, OutOfTime
from xloss.compare.diagnosis.question import Function, Question, finite, same
from xloss.compare.run import Case

Hypothesis = Callable[[Question], Diagnosis | None]
SECONDS = 25.0  # of the clock on the wall: a comparison that waits longer for its cause is not waited for

# Exact ones before those that only bound a difference; within these, the cheaper first.
EQUAL_VALUES: tuple[Hypothesis, ...] = (
    kinks.kink_convention,
    gradients.detached,
    gradients.gradient_factor,
    gradients.gradient_rows,
    gradients.clipped_gradient,
    numerics.lost_digits,
    gradients.stopped_term,
)
VALUES: tuple[Hypothesis, ...] = (
    factors.sign,
    factors.factor,
    terms.additive_constant,
    inputs.swapped_arguments,
    terms.wrong_power,
    labels.smoothing_convention,
    options.option_convention,
    inputs.argument_unused,
    inputs.argument_scaled,
    inputs.link,
    labels.labels_off_by_one,
    reductions.biased_variance,
    labels.axis_transposed,
    reductions.clipped_probabilities,
    reductions.mean_of_means,
    reductions.clipped_value,
    shifts.labels_shifted,
    classes.class_weights,
    inside.link_inside,
    options.option_turned_inside,
    fits.option_fixed,
    fits.target_changed,
    fits.argument_rescaled,
)
LAST: tuple[Hypothesis, ...] = (
    reductions.wrong_shape,
    numerics.lost_digits,
    numerics.eps_placement,
    gradients.own_gradient_wrong,
)


def diagnose(evidence: Evidence, seconds: float = SECONDS) -> list[Diagnosis]:
    """Return the causes that explain why two functions disagree, best first; [] where they do not, or time is up.

    Each cause is a hypothesis: one function is the other of transformed inputs, or transformed itself. It is accepted
    where both are then equal, in float64, values and gradients, on every case. Where none fits and the values differ
    plainly, the last one says where and by how much ("wrong_formula").

    Args:
        evidence: both functions and their inputs.
        seconds: wall time after which no function is run any more: what is found until then is returned.
    """
    evidence.deadline = time.monotonic() + seconds
    found: list[Diagnosis] = []
    try:
        for question in _questions(evidence):
            for answer in _answer(question):
                if answer.cause not in {f.cause for f in found}:
                    found.append(answer)
    except OutOfTime:
        return found or [_unfinished("before a cause was tried")]
    return found


def _questions(evidence: Evidence) -> list[Question]:
    """Set the two against each other, or each that is wrong against what is right."""
    a, b = Function(evidence, 0), Function(evidence, 1)
    if evidence.right is None:
        return [Question(evidence, (a, b))]
    wrong = [f for f in (a, b) if not _right(evidence, f)]
    if len(wrong) == 1:
        good = b if wrong[0] is a else a
        return [Question(evidence, (good, wrong[0]), wrong[0].label)]
    if not wrong:
        lax = [
            f for f in (a, b) if any(domain.lets_through(evidence, f, b if f is a else a, c) for c in evidence.cases)
        ]
        if len(lax) == 1:
            return [Question(evidence, (b if lax[0] is a else a, lax[0]), lax[0].label)]
        return [Question(evidence, (a, b))]
    exact = Function(evidence, 2)
    return [Question(evidence, (exact, f), f.label) for f in wrong]


def _right(evidence: Evidence, which: Function) -> bool:
    """Tell whether a side is right in float64 wherever that is known."""
    for case in evidence.cases:
        exact = evidence.exact(case)
        got = which.result(case)
        if exact is None or not finite(exact):
            continue
        if got is None or not same(exact, got, 1e-8):
            return False
    return True


def _answer(question: Question) -> list[Diagnosis]:
    found = [d for d in (behaviour.nondeterministic(question),) if d]
    if found:
        return found
    question.prepare()
    if outside := domain.outside_domain(question):
        return [outside]
    found = [d for d in (behaviour.argument_mutated(question), nonfinite.non_finite(question)) if d]
    if odd := labels.labels_out_of_range(question, _with_odd_labels(question)):
        return [odd, *found]
    if not question.cases:
        return found
    if not question.differing:
        return found or [d for d in (numerics.lost_digits(question),) if d]
    if any(a.value.shape != b.value.shape for a, b in question.results()):
        return [d for d in (reductions.wrong_shape(question),) if d] + found
    first: tuple[Hypothesis, ...] = (numerics.low_precision,)
    if all(numerics.apart(a, b) < 1e-6 for a, b in question.results()):
        first += (numerics.lost_digits,)  # what float64 shows faintly, float32 shows plainly
    if question.values_equal:
        tried: tuple[Hypothesis, ...] = (*first, *EQUAL_VALUES)
    else:
        tried = (*first, *VALUES, *LAST)
    for number, hypothesis in enumerate(tried):
        try:
            with np.errstate(all="ignore"):
                answer = hypothesis(question)
        except OutOfTime:
            return found or [_unfinished(f"after {number} of {len(tried)} causes")]
        if answer:
            return [answer, *found]
    with np.errstate(all="ignore"):
        last = formula.wrong_formula(question, len(tried))
    if last is None:
        return found
    return [*found, last] if any(d.cause == "argument_mutated" for d in found) else [last, *found]


def _unfinished(when: str) -> Diagnosis:
    return Diagnosis("unfinished", "", f"the search for the cause ran out of time {when}: it may be any")


def _with_odd_labels(question: Question) -> list[Case]:
    """Return the cases on which the sides differ, or one raises or is not finite: labels may be why."""
    odd = []
    for case in question.evidence.cases:
        a, b = (f.result(case) for f in question.pair)
        if (a is None) != (b is None) or (a is not None and b is not None and not same(a, b)):
            odd.append(case)
    return odd
