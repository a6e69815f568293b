"""Why a result is wrong: the constant factor between it and the exact result, and what in the cell has that size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xloss.parity.expected import Expected


def explain(got: np.ndarray, expected: Expected, sizes: Mapping[str, float]) -> str:
    """Name the fault in a few words, or nothing.

    `sizes` are the numbers that a reduction may have taken for one another: the count of elements, of rows, of classes,
    the denominator. A fault shows as a constant factor got / truth, or as zeros where the truth has none.
    """
    if got.shape != expected.high.shape:
        missing = [size for size in expected.high.shape if size not in got.shape]
        if got.size == expected.high.size and got.ndim > expected.high.ndim:
            return "a dimension was kept"
        return "a reduction is missing" if not missing else ""
    wide, truth = got.astype(np.float64), expected.high
    if np.isnan(wide[np.isfinite(truth)]).any():
        return "NaN where the exact result is finite"
    telling = np.isfinite(truth) & np.isfinite(wide) & (np.abs(truth) > 1e-6 * np.max(np.abs(truth), initial=0.0))
    telling &= truth != 0
    if not telling.any():
        return ""
    if (wide[telling] == 0).all():
        return "zero throughout: detached, or not depending on it"
    ratios = wide[telling] / truth[telling]
    factor = float(np.median(ratios))
    if np.ptp(ratios) > 1e-2 * abs(factor) or abs(factor - 1) < 1e-6:
        zeros = int((wide[telling] == 0).sum())
        return f"zero in {zeros} of {int(telling.sum())} places where the exact result is not" if zeros else ""
    return f"got/truth = {factor:.4g} throughout{_cause(factor, sizes)}"


def _cause(factor: float, sizes: Mapping[str, float]) -> str:
    sign = ", the wrong sign" if factor < 0 else ""
    size = abs(factor)
    if abs(size - 1) < 1e-3:
        return sign or ""
    for name, n in sizes.items():
        if n > 0 and abs(n - 1) > 1e-3:
            if abs(size / n - 1) < 1e-3:
                return f"{sign} = {name}: is one a sum, the other divided by it?"
            if abs(size * n - 1) < 1e-3:
                return f"{sign} = 1 / {name}: is it divided by it once too often?"
    for name, n in sizes.items():
        for other, m in sizes.items():
            if name != other and n > 0 and m > 0 and abs(size * m / n - 1) < 1e-3:
                return f"{sign} = {name} / {other}: divided by the latter instead of the former?"
    if abs(size - 2) < 1e-3 or abs(size - 0.5) < 1e-3:
        return f"{sign}: a factor 2 (a square's derivative, or a detached factor of it)"
    return sign
