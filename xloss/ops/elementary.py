"""Elementary functions and constants in plain arithmetic, the same code for both frameworks."""

from __future__ import annotations

from typing import Any

__all__ = ["ARTANH", "RESCALING", "expm1_minus_x"]

# Taylor coefficients of y^3, y^5, ... in artanh(y): for y <= 1/3 as many as float64 needs.
ARTANH = tuple(1 / (2 * n + 3) for n in range(17))

# By bytes of the dtype: ((upper, factor), (lower, factor)). A vector whose largest element is above `upper`, or below
# `lower`, is multiplied by the factor, so that the sum of its squares neither overflows nor underflows.
RESCALING = {
    4: ((2.0**49, 2.0**-88), (2.0**-45, 2.0**94)),
    8: ((2.0**400, 2.0**-700), (2.0**-400, 2.0**600)),
}


def expm1_minus_x(x: Any) -> Any:
    """Compute exp(x) - 1 - x, and its derivatives, for |x| <= 1: subtracting loses the digits of x^2 / 2.

    By Lambert's continued fraction tanh(x / 2) = x / (2 + x^2 / (6 + x^2 / (10 + ...))), as deep as the dtype needs:
    half as many operations to compile as a series has.
    """
    square = x * x
    deepest = 30 if str(x.dtype).endswith("float64") else 18
    tail = square / deepest
    for depth in range(deepest - 4, 6, -4):
        tail = square / (tail + depth)
    ratio = x / (tail + 6)
    return square * (1 - ratio) / (2 - x + x * ratio)
