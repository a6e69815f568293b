"""What the losses of margins and log odds share in JAX; `margins_torch.py` has the same names in the same order."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import jax as ops
from xloss.ops.elementary import ARTANH

__all__ = [
    "mean_hinge",
    "neg_log_odds",
    "neg_log_odds_of_all",
    "poly",
    "scale",
    "softplus_minus_sigmoid",
    "sparsemax_support",
]


def scale(x: jax.Array, factor: Any) -> jax.Array:
    """Compute x * factor."""
    return x * factor


def neg_log_odds(x: jax.Array, index: jax.Array, dim: int) -> jax.Array:
    """Compute d = log((1 - p) / p) at `index` along `dim`, p = softmax(x): logsumexp of the others minus that logit.

    softplus(d) is -log p, and sigmoid(d) is 1 - p, each to a few ulps also where p rounds to 1.
    """
    index = jnp.expand_dims(index, dim)
    picked = ops.gather(x, index, dim).squeeze(dim)
    at_index = jax.lax.broadcasted_iota(index.dtype, x.shape, dim) == index
    greatest, log_total = ops.log_sum_exp(jnp.where(at_index, -jnp.inf, x), dim)
    # An infinite logit has no probability: NaN, where the formula gives p = 1.
    return ops.nan_where((greatest - picked) + log_total, picked == jnp.inf)


def neg_log_odds_of_all(x: jax.Array, dim: int) -> jax.Array:
    """Compute `neg_log_odds` of every class, the shape of x.

    The sum of the others is added up anew for the greatest logit, without which little may be left; for another one at
    least half of the sum is left, and subtracting it loses no digits.
    """
    fixed = jax.lax.stop_gradient(x)
    top = jnp.argmax(fixed, dim, keepdims=True)
    greatest = ops.gather(fixed, top, dim)
    greatest = jnp.where(jnp.isfinite(greatest), greatest, 0.0)
    is_top = jax.lax.broadcasted_iota(top.dtype, x.shape, dim) == top
    each = jnp.exp(x - greatest)
    below = jnp.where(is_top, 0.0, each).sum(dim, keepdims=True)
    rest = jnp.where(is_top, below, ops.gather(each, top, dim) + (below - jnp.where(is_top, 0.0, each)))
    empty = rest == 0
    # log(rest) at a scale of 1: JAX would divide its second derivative by a square, which underflows.
    scale = jax.lax.stop_gradient(jnp.where(empty, 1.0, rest))
    log_rest = jnp.where(empty, -jnp.inf, jnp.log(scale) + jnp.log(jnp.where(empty, 1.0, rest / scale)))
    return ops.nan_where(log_rest - (x - greatest), x == jnp.inf)


def softplus_minus_sigmoid(d: jax.Array) -> jax.Array:
    """Compute softplus(d) - sigmoid(d), -log p - (1 - p) for d = `neg_log_odds`; the difference cancels for d << 0.

    For d <= 0 it is a series of positive terms. With y = e / (2 + e), e = exp(d): log(1 + e) = 2 artanh(y), and
    e / (1 + e) = 2 y / (1 + y).
    """
    small = d <= 0
    e = jnp.exp(jnp.where(small, d, 0.0))
    y = e / (2 + e)
    series = jnp.zeros_like(y)
    for coefficient in reversed(ARTANH):
        series = series * (y * y) + coefficient
    by_series = 2 * y * y / (1 + y) + 2 * y * y * y * series
    positive = jnp.where(small, 0.0, d)
    return jnp.where(small, by_series, ops.softplus(positive) - jnp.exp(-ops.softplus(-positive)))


def poly(d: jax.Array, epsilon: Any) -> jax.Array:
    """Compute -log p + epsilon (1 - p), epsilon >= -1, for d = `neg_log_odds`."""
    one_minus_p = jnp.exp(-ops.softplus(-d))
    if not isinstance(epsilon, (int, float)):
        positive = ops.softplus(d) + scale(one_minus_p, epsilon)
        negative = softplus_minus_sigmoid(d) + scale(one_minus_p, 1 + epsilon)
        return jnp.where(epsilon >= 0, positive, negative)
    if epsilon >= 0:
        return ops.softplus(d) + scale(one_minus_p, epsilon)
    return softplus_minus_sigmoid(d) + scale(one_minus_p, 1 + epsilon)


def mean_hinge(x: jax.Array, labels: jax.Array, margin: Any, p: int) -> jax.Array:
    """Compute the sum of max(0, margin - x[n, y] + x[n, c])^p over the classes c other than the label y, over C.

    At its kink a term has derivative 0; of x (N, C) and labels (N), for p = 1 or 2.
    """
    index = labels[:, None]
    own = jnp.arange(x.shape[1], dtype=labels.dtype)[None] == index
    hinge = ops.above_zero(jnp.where(own, 0.0, (margin - ops.gather(x, index, 1)) + x))
    return (hinge if p == 1 else hinge * hinge).sum(1) / x.shape[1]


def sparsemax_support(x: jax.Array, dim: int) -> jax.Array:
    """Return the mask of the classes to which sparsemax(x) along `dim` gives more than 0; max(x) must be 0.

    Not by sorting, over ten times slower in XLA: classes not above the threshold of those left are dropped, until none
    is (Michelot 1986).
    """
    x = jax.lax.stop_gradient(x)

    def drop(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        inside, _ = state
        count = inside.sum(dim, keepdims=True, dtype=x.dtype)
        threshold = (jnp.where(inside, x, 0.0).sum(dim, keepdims=True) - 1) / count
        left = inside & (x > threshold)
        return left, (left != inside).any()

    inside = x > -1
    # Not `True`: in `shard_map` both parts of the state vary over the devices, as the scores do.
    return jax.lax.while_loop(lambda state: state[1], drop, (inside, inside.any()))[0]
