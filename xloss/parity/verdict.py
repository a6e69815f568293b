"""The verdict: how far a result may be from the exact one, and how far it is.

An implementation passes where its result is the exact result for inputs a few units of roundoff away:

    |got - truth| <= k u (|truth| + sum_i |x_i d truth / d x_i|) + 2 m (1 + sum_i |d truth / d x_i|) (1 + sum_i |x_i|)

u is the unit roundoff of the dtype of computation (float32 for the 16-bit formats, whose own rounding comes on top,
once), m its smallest normal number: what XLA flushes to 0. k is one number per dtype of computation and kind of mechanism, `K`, never tuned to a loss.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from xloss.parity.inputs import DTYPES
from xloss.parity.reference import Expected

# A loss is a chain of some four elementary operations, each right to about an ulp (two units of roundoff); a derivative is
# a chain twice as long, a second derivative twice that. "parts" are gradients put together from parts of a batch.
K: dict[str, dict[str, float]] = {
    "float32": {"value": 8.0, "first": 16.0, "parts": 16.0, "second": 32.0},
    "float64": {"value": 8.0, "first": 16.0, "parts": 16.0, "second": 32.0},
}


@dataclass(frozen=True)
class Verdict:
    """How far a result is from the exact one. `budget` is the worst error as a multiple of what is allowed."""

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
    """The distance between neighbouring numbers of the dtype at |at|."""
    info = ml_dtypes.finfo(DTYPES[dtype])
    least = float(info.smallest_normal)
    _, exponent = np.frexp(np.maximum(np.abs(at), least))
    return np.ldexp(float(info.eps), exponent - 1)


@functools.lru_cache(maxsize=64)  # many mechanisms are held against one expectation
def allowed(expected: Expected, dtype: str, kind: str) -> np.ndarray:
    """The error that the budget of this dtype and kind of mechanism allows, elementwise."""
    compute = "float64" if dtype == "float64" else "float32"
    size = np.abs(expected.high)
    unit = float(ml_dtypes.finfo(DTYPES[compute]).eps) / 2
    budget = K[compute][kind] * unit * (size + expected.rel_condition)
    # XLA takes numbers below the smallest normal one for 0, inputs and intermediate results alike.
    budget = budget + float(ml_dtypes.finfo(DTYPES[compute]).smallest_normal) * 2 * (1 + expected.abs_condition)
    if dtype != compute:
        # Half an ulp for the one rounding to 16 bits, and a hair for where it falls on the other side of a tie.
        budget = budget + ulp(dtype, size) * 0.5 * (1 + 2**-10)
        if kind == "parts":
            # Where a sum is divided by a denominator, 1 / denominator is a cotangent rounded to 16 bits.
            budget = budget + size * float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2
    return budget


@functools.lru_cache(maxsize=64)
def _ulp_of(expected: Expected, dtype: str) -> np.ndarray:
    return ulp(dtype, expected.high)


def judge(got: Any, expected: Expected, dtype: str, kind: str) -> Verdict:
    """Judge one result, a NumPy array."""
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
        error = np.abs((wide - expected.high) - expected.low)
        # Infinities: equal ones are right, and so is one where the exact result, or what may stand for it, overflows.
        greatest = float(ml_dtypes.finfo(DTYPES[dtype]).max)
        overflow = (
            np.isinf(wide) & (np.sign(wide) == np.sign(expected.high)) & (np.abs(expected.high) + limit > greatest)
        )
        error = np.where((wide == expected.high) | overflow, 0.0, error)
        error = np.where(np.isnan(error), np.inf, error)
        ratio = np.where(error == 0, 0.0, error / limit)
        # What was flushed to 0 is not counted in ulps, of which it would be millions.
        tiny = 4 * float(ml_dtypes.finfo(DTYPES[dtype]).smallest_normal)
        ulps = np.where((np.abs(expected.high) < tiny) & (error <= tiny), 0.0, error / _ulp_of(expected, dtype))
        relative = np.where(error == 0, 0.0, error / np.abs(expected.high))
    error, ratio, ulps, relative = (np.where(known, x, 0.0) for x in (error, ratio, ulps, relative))
    ratio = np.where(wrong_where_unknown, np.inf, ratio)
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    ok = bool(ratio[worst] <= 1)
    reason = ""
    if not ok and wrong_where_unknown[worst]:
        reason = (
            f"got {wide[worst]:.9g} at {worst}, where the exact result does not exist ({expected.undefined} is right)"
        )
    elif not ok:
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
    """Errors in ulps where the problem is well conditioned: an ulp in the inputs moves the result by `most` at the most.

    Left out, beside ill-conditioned elements, is what XLA's flushing of subnormal numbers to 0 may do.
    """
    wide = np.asarray(got, dtype=np.float64)
    least = float(ml_dtypes.finfo(DTYPES[dtype]).smallest_normal)
    with np.errstate(invalid="ignore"):
        well = np.isfinite(expected.high) & (np.abs(expected.high) > least)
        well &= expected.rel_condition <= most * np.abs(expected.high)
        error = np.abs((wide - expected.high) - expected.low) - 2 * least * (1 + expected.abs_condition)
    error = np.where(np.isnan(error) | np.isinf(wide), np.inf, np.maximum(error, 0))
    greatest = float(ml_dtypes.finfo(DTYPES[dtype]).max)
    error = np.where(np.isinf(wide) & (np.abs(expected.high) > greatest * (1 - 2**-8)), 0, error)
    return np.asarray((error / ulp(dtype, np.where(well, expected.high, 1)))[well])


def _misfit(reason: str) -> Verdict:
    return Verdict(False, np.inf, np.inf, np.inf, np.inf, np.inf, reason)


def _fits(wide: np.ndarray, undefined: str) -> np.ndarray:
    if undefined == "nan":
        return np.isnan(wide)
    if undefined == "nan or zero":
        return np.isnan(wide) | (wide == 0)
    if undefined == "nonfinite":
        return ~np.isfinite(wide)
    return np.ones(wide.shape, dtype=bool)
