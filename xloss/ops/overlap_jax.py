"""What the losses of overlap share in JAX; `overlap_torch.py` has the same names in the same order."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from xloss.ops import arguments
from xloss.ops import jax as ops

__all__ = ["tversky", "validate_masks"]


def validate_masks(input: Any, target: Any, from_logits: bool) -> tuple[Any, Any, Any]:
    """Check shapes and values, and give p, 1 - p and the target; what is outside of [0, 1] where it cannot be seen: NaN."""
    if not input.ndim:
        arguments.raise_value_error("input", "shape ()", "shape (D) or (N, d1, ..., dK)")
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    if not from_logits:
        p, t, bad = ops.check_inside(input=input, target=target)
        p, t = ops.nan_where(p, bad, input), ops.nan_where(t, bad, target)
        return p, 1 - p, t
    t, bad = ops.check_inside(target=target)
    t = ops.nan_where(t, bad, target)
    # Both of one exponential: 1 - sigmoid(x), and with it the derivative, has no digits left for a confident logit.
    positive = input >= 0
    small = jnp.exp(jnp.where(positive, -input, input))
    likely, unlikely = 1 / (1 + small), small / (1 + small)
    return jnp.where(positive, likely, unlikely), jnp.where(positive, unlikely, likely), t


def tversky(p: Any, q: Any, target: Any, alpha: float, beta: float, smooth: float) -> Any:
    """miss / (hit + miss) for each sample: hit is sum p t + smooth, miss alpha sum p (1 - t) + beta sum q t, q being 1 - p.

    All terms are of one sign, where 1 - hit / (hit + miss) is lost for a good prediction; and of the quotients of the two
    the one up to 1 is taken, for otherwise the derivative is a difference of nearly equal terms.
    """
    axes = tuple(range(min(1, p.ndim - 1), p.ndim))
    hit = (p * target).sum(axes)
    hit = hit + jnp.full_like(hit, smooth)
    miss = (alpha * (p * (1 - target)) + beta * (q * target)).sum(axes)
    nothing = (hit == 0) & (miss == 0)
    good = miss <= hit
    ratio = jnp.where(good, miss, hit) / jnp.where(nothing, 1.0, jnp.where(good, hit, miss))
    loss = jnp.where(good, ratio / (1 + ratio), 1 / (1 + ratio))
    return jnp.where(nothing, 0.0, loss)
