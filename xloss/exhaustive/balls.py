"""Decide in ball arithmetic, by the loss's own `truth`, what float64 found or could not decide."""

from __future__ import annotations

import functools
import heapq
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from xloss.exhaustive.problems import Problem
from xloss.exhaustive.tally import LIMITS, Found, Tally, numbers
from xloss.parity import truth
from xloss.parity.expected import Expected
from xloss.parity.inputs import DIGITS, DTYPES
from xloss.parity.reference import expected
from xloss.parity.verdict import errors_in_ulps


def inputs_of(problem: Problem, bits: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return all arguments of the loss at one input, as arrays of one element."""
    arrays = {
        axis.argument: numbers(np.array([one]), problem.dtype) for axis, one in zip(problem.axes, bits, strict=True)
    }
    fixed = {name: np.array([value]).astype(DTYPES[problem.dtype]) for name, value in problem.fixed.items()}
    return {**arrays, **fixed}


def exact(problem: Problem, arrays: dict[str, np.ndarray], quantity: str) -> Expected:
    """Return the exact result at one input; `Imprecise` where balls stay too wide."""
    wrt = [] if quantity == "value" else [problem.wrt]
    digits, least = DIGITS[problem.dtype]
    # As precise as float64 has it, that the error itself is known to many digits.
    found = truth.evaluate(problem.loss.truth, arrays, problem.options, wrt, problem.loss.arguments.class_axes,
                           order=len(wrt), digits=digits + 53, least_exponent=least)  # fmt: skip
    return expected(found.values if quantity == "value" else found.first[0], 0.0, 0.0)


def settle(problem: Problem, found: Found, quantity: str, flushes: bool) -> Found:
    """Return the same result with its error by truth; as it was where balls stay too wide."""
    arrays = inputs_of(problem, found.bits)
    got = np.array([found.got]).astype(DTYPES[problem.dtype])
    least = float(ml_dtypes.finfo(DTYPES[problem.dtype]).smallest_normal)
    try:
        right = exact(problem, arrays, quantity)
        ulps = float(errors_in_ulps(got, right, problem.dtype)[0])
        small = {name: np.abs(x.astype(np.float64)) < least for name, x in arrays.items() if name not in problem.fixed}
        if flushes and any(small.values()):
            at_zero = {n: x * 0 if n in small and small[n][0] else x for n, x in arrays.items()}
            ulps = min(ulps, float(errors_in_ulps(got, exact(problem, at_zero, quantity), problem.dtype)[0]))
    except truth.Imprecise:
        return found
    return replace(found, ulps=ulps, right=float(right.high[0]), settled=True)


def settled(problem: Problem, tally: Tally, quantity: str, flushes: bool) -> Tally:
    """Return a tally whose worst results, and those that float64 could not decide, are by truth."""
    by_truth: Any = functools.partial(settle, problem, quantity=quantity, flushes=flushes)
    over, undecided = list(tally.over), tally.undecided
    for one in tally.hard:
        there = by_truth(one)
        # It was within the bound of one limit, and counted as not above that one.
        place = min(range(len(LIMITS)), key=lambda n: abs(one.ulps - LIMITS[n]))
        over[place] += int(there.settled and there.ulps > LIMITS[place])
        undecided += int(not there.settled)
    worst, conditioned = (heapq.nlargest(len(kept), map(by_truth, kept)) for kept in (tally.worst, tally.conditioned))
    return replace(tally, over=over, undecided=undecided, hard=[], worst=worst, conditioned=conditioned)
