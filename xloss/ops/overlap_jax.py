"""What the losses of overlap share in JAX; `overlap_torch.py` has the same names in the same order."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import arguments
from xloss.ops import jax as ops

__all__ = ["tversky", "validate_masks"]


def validate_masks(input: jax.Array, target: jax.Array, from_logits: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Check shapes and values; return p, 1 - p and the target, with NaN for values outside of [0, 1] while tracing."""
    if not input.ndim:
        arguments.raise_value_error("input", "shape ()", "shape (D) or (N, d1, ..., dK)")
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    if not arguments.check_flags(from_logits=from_logits):
        p, t, bad = ops.validate_unit_interval(input=input, target=target)
        p, t = ops.nan_where(p, bad, input), ops.nan_where(t, bad, target)
        return p, 1 - p, t
    t, bad = ops.validate_unit_interval(target=target)
    t = ops.nan_where(t, bad, target)
    # Computed as 1 - sigmoid(x), 1 - p and the derivative would lose all digits for a confident logit.
    positive = input >= 0
    small = jnp.exp(jnp.where(positive, -input, input))
    likely, unlikely = 1 / (1 + small), small / (1 + small)
    return jnp.where(positive, likely, unlikely), jnp.where(positive, unlikely, likely), t


def tversky(p: jax.Array, q: jax.Array, target: jax.Array, alpha: Any, beta: Any, smooth: Any) -> jax.Array:
    """Compute miss / (hit + miss) for each sample, with q = 1 - p.

    hit = sum p t + smooth; miss = alpha sum p (1 - t) + beta sum q t. All terms have one sign, where
    1 - hit / (hit + miss) cancels for a good prediction; and of miss / hit and hit / miss the one <= 1 is used, for
    otherwise the derivative is a difference of nearly equal terms.
    """
    axes = tuple(range(min(1, p.ndim - 1), p.ndim))
    hit = (p * target).sum(axes)
    hit = hit + ops.full_like(hit, smooth)
    miss = (alpha * (p * (1 - target)) + beta * (q * target)).sum(axes)
    empty = (hit == 0) & (miss == 0)
    good = miss <= hit
    ratio = jnp.where(good, miss, hit) / jnp.where(empty, 1.0, jnp.where(good, hit, miss))
    loss = jnp.where(good, ratio / (1 + ratio), 1 / (1 + ratio))
    return jnp.where(empty, 0.0, loss)
