"""Numbers as unevaluated sums of two, in JAX: what one rounding would cost where a result is an exponent.

`pairs_torch.py` has the same names in the same order.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import jax as ops

__all__ = ["rounding", "scaled", "softplus"]


def rounding(a: Any, b: Any, total: Any) -> Any:
    """What is exactly a + b - total, total being the rounded sum (Knuth); a constant, and 0 where it is not finite."""
    a, b, total = (jax.lax.stop_gradient(x) for x in (a, b, total))
    part = total - a
    error = (a - (total - part)) + (b - part)
    return jnp.where(jnp.isfinite(error), error, 0.0)


def scaled(factor: float, x: Any, error: Any) -> tuple[Any, Any]:
    """factor * (x + error) as a sum of two: the factor's first 12 bits times the whole part of x, and the rest.

    The former is exact up to |x| = 4096, and a constant; the latter carries the derivative.
    """
    mantissa, exponent = math.frexp(factor)
    first = math.ldexp(round(mantissa * 4096), exponent - 12)
    finite = jnp.isfinite(x)
    whole = jnp.where(finite, jax.lax.stop_gradient(x).round(), 0.0)
    # Of an infinity the remainder of the factor, which may be negative, must not make NaN.
    return first * whole, first * (x - whole) + (factor - first) * jnp.where(finite, x, 0.0) + factor * error


def softplus(x: Any, y: Any) -> Any:
    """log(1 + exp(x + y)), whose last digits do not feel the rounding of x + y."""
    total = x + y
    side = ops.neg_sign(total)
    small = jnp.exp(x * side)
    # Not times exp(y): of that product XLA makes the exponential of the sum.
    small = small + small * jnp.expm1(y * side)
    return jax.nn.relu(total) + ops.log1p(small)
