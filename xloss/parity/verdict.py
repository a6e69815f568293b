"""The verdict: how far a result may be from the exact one, and how far it is.

An implementation passes where its result is the exact result for inputs a few units of roundoff away:

    |got - truth| <= k u (|truth| + sum_i |x_i d truth / d x_i|) + 2 m (1 + sum_i |d truth / d x_i|) (1 + sum_i |x_i|)

u is the unit roundoff of the dtype of computation (float32 for the 16-bit formats, whose own rounding comes on top,
once), m its smallest normal number: what XLA flushes to 0. k is one number per dtype of computation and kind of
mechanism, `K`, never tuned to a loss; twice that where thousands of results are judged at once.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from xloss.parity.expected import Expected
from xloss.parity.inputs import DTYPES

# A loss is a chain of some four elementary operations, each right to about an ulp (two units of roundoff); a derivative
# is a chain twice as long; a second derivative is three times that, for it is taken by all arguments at once and adds
# up their mixed terms, a third twice that again. "parts" are gradients put together from parts of a batch. The worst of
# more than `MANY` results is allowed twice as much as the worst of some dozens.
MANY = 1000
K: dict[str, dict[str, float]] = {
    "float32": {"value": 8.0, "first": 16.0, "parts": 16.0, "second": 48.0, "third": 96.0},
    "float64": {"value": 8.0, "first": 16.0, "parts": 16.0, "second": 48.0, "third": 96.0},
}


@dataclass(frozen=True)
class Verdict:
    """The distance of a result from the exact one. `budget` is the worst error as a multiple of what is allowed."""

    ok: bool
    max_abs: float
    max_rel: float
    max_ulp: float
    p99_ulp: float
    budget: float
    reason: str
    worst: tuple[int, ...] = ()
    got: float = np.nan
    truth: float = np.nan


def ulp(dtype: str, at: np.ndarray) -> np.ndarray:
    """Return the distance between neighbouring numbers of the dtype at |at|."""
    info = ml_dtypes.finfo(DTYPES[dtype])
    least = float(info.smallest_normal)
    _, exponent = np.frexp(np.maximum(np.abs(at), least))
    return np.asarray(np.ldexp(float(info.eps), exponent - 1))


@functools.lru_cache(maxsize=64)  # many mechanisms are held against one expectation
def allowed(expected: Expected, dtype: str, kind: str) -> np.ndarray:
    """Return the error that the budget of this dtype and kind of mechanism allows, elementwise."""
    compute = "float64" if dtype == "float64" else "float32"
    size = np.abs(expected.high)
    unit = float(ml_dtypes.finfo(DTYPES[compute]).eps) / 2
    k = K[compute][kind] * (2 if size.size > MANY else 1)
    budget = k * unit * (size + expected.rel_condition)
    # XLA takes numbers below the smallest normal one for 0, inputs and intermediate results alike.
    budget = budget + float(ml_dtypes.finfo(DTYPES[compute]).smallest_normal) * 2 * (1 + expected.abs_condition)
    if dtype != compute:
        # Half an ulp for the one rounding to 16 bits, and a hair for where it falls on the other side of a tie.
        budget = budget + ulp(dtype, size) * 0.5 * (1 + 2**-10)
        if kind == "parts":
            # Where a sum is divided by a denominator, 1 / denominator is a cotangent rounded to 16 bits.
            budget = budget + size * float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2
    return np.asarray(budget)


@functools.lru_cache(maxsize=64)
def _ulp_of(expected: Expected, dtype: str) -> np.ndarray:
    return ulp(dtype, expected.high)


def absolute_errors(got: np.ndarray, expected: Expected, dtype: str, slack: Any = 0.0) -> np.ndarray:
    """Return |got - truth| elementwise, infinite where `got` is NaN and the exact result is not.

    An infinity is right where the exact result, or what is within `slack` of it, overflows the dtype.
    """
    wide = got.astype(np.float64)
    greatest = float(ml_dtypes.finfo(DTYPES[dtype]).max)
    error = np.abs((wide - expected.high) - expected.low)
    overflow = np.isinf(wide) & (np.sign(wide) == np.sign(expected.high)) & (np.abs(expected.high) + slack > greatest)
    error = np.where((wide == expected.high) | overflow, 0.0, error)
    return np.where(np.isnan(error), np.inf, error)


def errors_in_ulps(got: np.ndarray, expected: Expected, dtype: str) -> np.ndarray:
    """Return the error of each element in ulps of the exact result; NaN where there is no exact result."""
    with np.errstate(invalid="ignore", over="ignore"):
        ulps = _in_ulps(absolute_errors(got, expected, dtype), expected, dtype)
    return np.where(np.isnan(expected.high), np.nan, ulps)


def _in_ulps(error: np.ndarray, expected: Expected, dtype: str) -> np.ndarray:
    """Return absolute errors in ulps. What was flushed to 0 counts as no error: in ulps it would be millions."""
    tiny = 4 * float(ml_dtypes.finfo(DTYPES[dtype]).smallest_normal)
    flushed = (np.abs(expected.high) < tiny) & (error <= tiny)
    return np.where(flushed, 0.0, error / _ulp_of(expected, dtype))


def judge(got: Any, expected: Expected, dtype: str, kind: str) -> Verdict:
    """Judge one result, a NumPy array, against what is expected, by the budget of the dtype and kind of mechanism."""
    if got.shape != expected.high.shape:
        return _misfit(f"shape {got.shape} where {expected.high.shape} is right")
    if got.dtype != DTYPES[dtype]:
        return _misfit(f"dtype {got.dtype} where {dtype} is right")
    if got.size == 0:
        return Verdict(True, 0.0, 0.0, 0.0, 0.0, 0.0, "")
    wide = got.astype(np.float64)
    known = ~np.isnan(expected.high) & ~np.isnan(expected.rel_condition)
    wrong_where_unknown = ~known & np.isnan(expected.high) & ~_fits(wide, expected.undefined)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        limit = allowed(expected, dtype, kind)
        error = absolute_errors(got, expected, dtype, limit)
        ratio = np.where(error == 0, 0.0, error / limit)
        ulps = _in_ulps(error, expected, dtype)
        relative = np.where(error == 0, 0.0, error / np.abs(expected.high))
    error, ratio, ulps, relative = (np.where(known, x, 0.0) for x in (error, ratio, ulps, relative))
    ratio = np.where(wrong_where_unknown, np.inf, ratio)
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    ok = bool(ratio[worst] <= 1)
    if ok:
        reason = ""
    elif wrong_where_unknown[worst]:
        reason = (
            f"got {wide[worst]:.9g} at {worst}, where the exact result does not exist ({expected.undefined} is right)"
        )
    else:
        reason = (
            f"got {wide[worst]:.9g} at {worst}, truth {expected.high[worst]:.9g}: {ulps[worst]:.3g} ulps off, "
            f"{ratio[worst]:.3g} times what is allowed"
        )
    return Verdict(
        ok,
        float(error.max()),
        float(relative.max()),
        float(ulps.max()),
        float(np.sort(ulps, axis=None)[math.ceil(0.99 * (ulps.size - 1))]),
        float(ratio[worst]),
        reason,
        worst,
        float(wide[worst]),
        float(expected.high[worst]),
    )


def ulps_where_conditioned(got: Any, expected: Expected, dtype: str, most: float = 32) -> np.ndarray:
    """Return errors in ulps where the problem is well conditioned: an ulp in the inputs moves the result by <= `most`.

    Ill-conditioned elements are left out, and so is what XLA's flushing of subnormal numbers to 0 may do.
    """
    info = ml_dtypes.finfo(DTYPES[dtype])
    least = float(info.smallest_normal)
    with np.errstate(invalid="ignore"):
        well = np.isfinite(expected.high) & (np.abs(expected.high) > least)
        well &= expected.rel_condition <= most * np.abs(expected.high)
        error = absolute_errors(np.asarray(got), expected, dtype, float(info.max) * 2**-8)
        error = np.maximum(error - 2 * least * (1 + expected.abs_condition), 0)
    return np.asarray((error / ulp(dtype, np.where(well, expected.high, 1)))[well])


def _misfit(reason: str) -> Verdict:
    return Verdict(False, np.inf, np.inf, np.inf, np.inf, np.inf, reason)


def _fits(wide: np.ndarray, undefined: str) -> np.ndarray:
    """Tell where a result is right that does not exist: see `Expected.undefined`."""
    if undefined == "nan":
        return np.asarray(np.isnan(wide))
    if undefined == "nan or zero":
        return np.asarray(np.isnan(wide) | (wide == 0))
    if undefined == "nonfinite":
        return np.asarray(~np.isfinite(wide))
    return np.ones(wide.shape, dtype=bool)
