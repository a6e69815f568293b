"""Double-word arithmetic in JAX: unevaluated sums of two numbers, where rounding an exponent would cost digits.

`compensated_torch.py` has the same names in the same order.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import jax as ops

__all__ = ["scale_double_word", "softplus", "two_sum_error"]


def two_sum_error(a: jax.Array, b: jax.Array, total: jax.Array) -> jax.Array:
    """Return a + b - total exactly (Knuth's TwoSum), for the rounded sum `total`; a constant, 0 where not finite."""
    a, b, total = jax.lax.stop_gradient(a), jax.lax.stop_gradient(b), jax.lax.stop_gradient(total)
    b_virtual = total - a
    error = (a - (total - b_virtual)) + (b - b_virtual)
    return jnp.where(jnp.isfinite(error), error, 0.0)


def scale_double_word(factor: Any, x: jax.Array, error: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return factor * (x + error) as a sum of two: the factor's first bits times round(x), and the rest.

    The first is exact up to |x| = 4096, and a constant; the second carries the derivatives. Of a factor that is
    an option in an array the first eight bits are taken, else twelve.
    """
    if isinstance(factor, jax.Array):
        head: Any = jax.lax.stop_gradient(factor).astype(jnp.bfloat16).astype(factor.dtype)
    else:
        mantissa, exponent = math.frexp(factor)
        head = math.ldexp(round(mantissa * 4096), exponent - 12)
    finite = jnp.isfinite(x)
    whole = jnp.where(finite, jax.lax.stop_gradient(x).round(), 0.0)
    # The rest of the factor may be negative: times an infinite x it would add -inf to inf.
    return head * whole, head * (x - whole) + (factor - head) * jnp.where(finite, x, 0.0) + factor * error


def softplus(x: jax.Array, y: jax.Array) -> jax.Array:
    """Compute log(1 + exp(x + y)) without the error of rounding x + y."""
    total = x + y
    side = ops.neg_sign(total)
    small = jnp.exp(x * side)
    # Not times exp(y): XLA would fuse the product of exponentials to exp(x + y).
    small = small + small * jnp.expm1(y * side)
    return ops.positive_part(total) + ops.log1p(small)
