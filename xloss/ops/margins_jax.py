"""What the losses of margins and of odds share in JAX: class indices without an ignored one, a class against the others.

`margins_torch.py` has the same names in the same order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.ops import arguments
from xloss.ops import jax as ops

__all__ = ["as_indices", "as_numbers", "excess", "odds", "odds_against", "poly", "support", "times", "within"]

# Coefficients of y^3, y^5, ... in artanh(y): with y <= 1/3 as many as float64 needs.
_ARTANH = tuple(1 / (2 * n + 3) for n in range(17))


def as_indices(target: Any) -> Any:
    """Admit class indices, of any shape and range, and of any integer dtype: without x64, JAX has no int64, torch's."""
    target = ops.as_array("target", target)
    if not jnp.issubdtype(target.dtype, jnp.integer):
        arguments.raise_type_error("target", f"dtype {target.dtype}", "class indices of an integer dtype")
    return target.astype(jnp.int32) if jnp.iinfo(target.dtype).bits < 32 else target


def as_numbers(target: Any, like: Any) -> Any:
    """Labels of 0 and 1 that come as integers, in the dtype of `like`; anything else as it is."""
    if not isinstance(target, (jax.Array, np.ndarray)) or not isinstance(like, (jax.Array, np.ndarray)):
        return target
    return jnp.asarray(target).astype(like.dtype) if jnp.issubdtype(target.dtype, jnp.integer) else target


def times(x: Any, number: float) -> Any:
    """x times a number."""
    return x * number


def within(target: Any, least: int, classes: int) -> tuple[Any, Any]:
    """Give indices that are safe to gather with, and the mask of those outside of [least, classes), None if there are none.

    Those raise `ValueError` where values can be looked at; elsewhere the caller makes their rows NaN.
    """
    outside = (target < least) | (target >= classes)
    if not ops.concrete(outside):
        return jnp.where(outside, 0, target), outside
    if outside.any():
        arguments.raise_value_error("target", f"label {target[outside][0]}", f"class indices in [{least}, {classes})")
    return target, None


def odds_against(x: Any, index: Any, dim: int) -> Any:
    """log((1 - p) / p) of the class at `index`, p = softmax(x): logsumexp of the others minus the one at index.

    softplus of it is -log p, and sigmoid of it 1 - p, each to the last digits where p itself is 1.
    """
    index = jnp.expand_dims(index, dim)
    picked = jnp.take_along_axis(x, index, dim).squeeze(dim)
    at_index = jax.lax.broadcasted_iota(index.dtype, x.shape, dim) == index
    greatest, log_total = ops.log_sum_exp(jnp.where(at_index, -jnp.inf, x), dim)
    # An infinite logit has no probability: NaN, where the odds would be 0.
    return ops.nan_where((greatest - picked) + log_total, picked == jnp.inf)


def odds(x: Any, dim: int) -> Any:
    """`odds_against` of every class.

    Without the greatest there is at most half of the sum left, and it is added up apart; without another one there is at
    least half of it, and it may be subtracted.
    """
    fixed = jax.lax.stop_gradient(x)
    top = jnp.argmax(fixed, dim, keepdims=True)
    greatest = jnp.take_along_axis(fixed, top, dim)
    greatest = jnp.where(jnp.isfinite(greatest), greatest, 0.0)
    is_top = jax.lax.broadcasted_iota(top.dtype, x.shape, dim) == top
    each = jnp.exp(x - greatest)
    below = jnp.where(is_top, 0.0, each).sum(dim, keepdims=True)
    rest = jnp.where(is_top, below, jnp.take_along_axis(each, top, dim) + (below - jnp.where(is_top, 0.0, each)))
    none = rest == 0
    log_rest = jnp.where(none, -jnp.inf, jnp.log(jnp.where(none, 1.0, rest)))
    return ops.nan_where(log_rest - (x - greatest), x == jnp.inf)


def excess(d: Any) -> Any:
    """softplus(d) - sigmoid(d), that is -log p - (1 - p) for odds d against: for d <= 0 by a series of positive terms.

    With y = e / (2 + e), e = exp(d): log(1 + e) = 2 artanh(y), and e / (1 + e) = 2 y / (1 + y).
    """
    small = d <= 0
    e = jnp.exp(jnp.where(small, d, 0.0))
    y = e / (2 + e)
    series = jnp.zeros_like(y)
    for coefficient in reversed(_ARTANH):
        series = series * (y * y) + coefficient
    by_series = 2 * y * y / (1 + y) + 2 * y * y * y * series
    positive = jnp.where(small, 0.0, d)
    return jnp.where(small, by_series, ops.softplus(positive) - jnp.exp(-ops.softplus(-positive)))


def poly(d: Any, epsilon: float) -> Any:
    """-log p + epsilon (1 - p), epsilon >= -1, for odds d against."""
    miss = jnp.exp(-ops.softplus(-d))
    if epsilon >= 0:
        return ops.softplus(d) + times(miss, epsilon)
    return excess(d) + times(miss, 1 + epsilon)


def support(x: Any, dim: int) -> Any:
    """The mask of the classes to which sparsemax(x) gives more than 0: those that fewer than 1 in all lies above.

    `x` is shifted so that its greatest is 0. Not by sorting, for which XLA takes over ten times as long: what is not above the
    threshold of the classes that are left is left out, until none is (Michelot 1986).
    """
    x = jax.lax.stop_gradient(x)

    def fewer(state: tuple[Any, Any]) -> tuple[Any, Any]:
        inside, _ = state
        count = inside.sum(dim, keepdims=True, dtype=x.dtype)
        threshold = (jnp.where(inside, x, 0.0).sum(dim, keepdims=True) - 1) / count
        left = inside & (x > threshold)
        return left, (left != inside).any()

    return jax.lax.while_loop(lambda state: state[1], fewer, (x > -1, jnp.asarray(True)))[0]
