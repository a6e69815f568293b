"""What is right for one result, as plain numbers: what a verdict needs of the exact result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)  # hashed by identity, so that what is derived from it can be cached
class Expected:
    """The exact result, as the sum of two float64, and the scale of its sensitivity.

    `rel_condition` is sum_i |x_i dT/dx_i|, plus what the order of a summation may add: a relative error u in each input
    moves the result T by at most u times it. `abs_condition` bounds what an absolute error does, in an input
    (sum_i |dT/dx_i|) or in an intermediate result (times inputs). Elements that are NaN in `high` have no exact value;
    `undefined` says what is right there: "nonfinite" (a NaN or an infinity), "nan or zero", "anything", or "nan".
    """

    high: np.ndarray
    low: np.ndarray
    rel_condition: np.ndarray
    abs_condition: np.ndarray
    undefined: str = "nonfinite"


@dataclass(frozen=True)
class Facts:
    """What running and judging a cell needs to know of its exact results, beside what is expected.

    `batch` is the number of rows, `shape` that of the unreduced values, `denominator` what a mean divides by (NaN for
    none); `scaled` says that the mean is not that of the sum; `sizes` are the numbers that a reduction may have taken
    for one another, by what they count.
    """

    batch: int
    shape: tuple[int, ...]
    denominator: float
    scaled: bool
    sizes: Mapping[str, float]
