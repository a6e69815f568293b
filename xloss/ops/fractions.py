"""Continued fractions in plain arithmetic, the same code for both frameworks."""

from __future__ import annotations

from typing import Any

__all__ = ["excess"]


def excess(x: Any) -> Any:
    """exp(x) - 1 - x for |x| <= 1, where the difference has lost the digits of x^2 / 2; its derivatives likewise.

    By Lambert's fraction tanh(x / 2) = x / (2 + x^2 / (6 + x^2 / (10 + ...))), as deep as the dtype needs: half as many
    operations to compile as a series has.
    """
    square = x * x
    deepest = 30 if str(x.dtype).endswith("float64") else 18
    below = square / deepest
    for depth in range(deepest - 4, 6, -4):
        below = square / (below + depth)
    part = x / (below + 6)
    return square * (1 - part) / (2 - x + x * part)
