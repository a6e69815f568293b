"""Try each cause in turn, and name the one that fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis import behaviour, factors, gradients, inputs, labels, nonfinite, numerics, reductions
from xloss.compare.diagnosis.evidence import Diagnosis, Evidence
from xloss.compare.diagnosis.question import Function, Question, finite, same
from xloss.compare.run import Case

Hypothesis = Callable[[Question], Diagnosis | None]

# Exact ones before those that only bound a difference; within these, the cheaper first.
EQUAL_VALUES: tuple[Hypothesis, ...] = (
    gradients.kink_convention,
    gradients.detached,
    gradients.gradient_factor,
    gradients.clipped_gradient,
    numerics.lost_digits,
    gradients.stopped_term,
)
VALUES: tuple[Hypothesis, ...] = (
    factors.sign,
    factors.factor,
    factors.additive_constant,
    inputs.swapped_arguments,
    factors.wrong_power,
    labels.smoothing_convention,
    inputs.option_convention,
    inputs.argument_unused,
    inputs.argument_scaled,
    inputs.link,
    labels.labels_off_by_one,
    reductions.biased_variance,
    labels.axis_transposed,
    reductions.clipped_probabilities,
    reductions.mean_of_means,
    reductions.clipped_value,
)


def diagnose(evidence: Evidence) -> list[Diagnosis]:
    """Return the causes that explain why two functions disagree, best first; [] where nothing fits.

    Each cause is a hypothesis: one function is the other of transformed inputs, or transformed itself. It is accepted
    where both are then equal, in float64, values and gradients, on every case.
    """
    found: list[Diagnosis] = []
    for question in _questions(evidence):
        found += [d for d in _answer(question) if d.cause not in {f.cause for f in found}]
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
        tried = (*first, *VALUES, reductions.wrong_shape, numerics.lost_digits, numerics.eps_placement,
                 gradients.own_gradient_wrong)  # fmt: skip
    for hypothesis in tried:
        if question.expired:
            break
        with np.errstate(all="ignore"):
            answer = hypothesis(question)
        if answer:
            return [answer, *found]
    return found


def _with_odd_labels(question: Question) -> list[Case]:
    """Return the cases on which the sides differ, or one raises or is not finite: labels may be why."""
    odd = []
    for case in question.evidence.cases:
        a, b = (f.result(case) for f in question.pair)
        if (a is None) != (b is None) or (a is not None and b is not None and not same(a, b)):
            odd.append(case)
    return odd
