"""A softmax in one function where the other has a log_softmax, somewhere inside: seen by the gradients alone."""

from __future__ import annotations

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.inputs import softmax
from xloss.compare.diagnosis.question import Question

FITS = 1e-8


def link_inside(question: Question) -> Diagnosis | None:
    """A is linear in log_softmax(x), and B is the same of softmax(x).

    A's gradient g by x is w - q*s, with w the weights of the log-probabilities, q = softmax(x) and s the sum of w over
    the classes; B's then is q*(w - sum of q*w). One number s for all samples is to explain all elements of B's.
    """
    for name in question.cases[0].wrt:
        shape = question.cases[0].arrays[name].shape
        for axis in dict.fromkeys([len(shape) - 1, 1]) if len(shape) > 1 else []:
            for (base, deviating), order in zip(question.directions(), (0, 1), strict=True):
                told = []
                for case in question.telling:
                    pair = question.results([case])[0]
                    told.append(_fits(case.arrays[name], pair[order].grads[name], pair[1 - order].grads[name], axis))
                if told and all(told):
                    wrong = question.guilty in ("", deviating.label)
                    cause = "probabilities_as_log_probabilities" if wrong else "log_probabilities_as_probabilities"
                    return question.says(
                        cause,
                        f"the gradients by {name} fit one formula that is linear in log_softmax({name}) in {base.name} "
                        f"and in softmax({name}) in {deviating.name}: one has probabilities where the other has "
                        "their logarithms",
                        argument=name,
                    )
    return None


def _fits(x: np.ndarray, mine: np.ndarray, its: np.ndarray, axis: int) -> bool:
    """Tell whether one number explains the second gradient by the first."""
    size = float(np.abs(its).max(initial=0))
    if x.shape[axis] < 3 or not size or not np.isfinite(x).all():
        return False
    q = softmax(x.astype(np.float64), axis)

    def through(w: np.ndarray) -> np.ndarray:
        return np.asarray(q * (w - (q * w).sum(axis=axis, keepdims=True)))

    fixed, slope = through(mine), through(q)
    s = float((slope * (its - fixed)).sum() / (slope * slope).sum())
    return float(np.abs(fixed + s * slope - its).max()) <= FITS * size and abs(s) > FITS * size
