"""Losses reduced, of plain operations, which the compiler fuses.

`fused_torch.py` has the same names in the same order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import arguments
from xloss.ops import jax as ops

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy", "nll", "soft_cross_entropy", "soft_margin"]


def cross_entropy(input: jax.Array, labels: jax.Array, ignored: jax.Array, outside: jax.Array | None,
                  weight: jax.Array | None, label_smoothing: Any, axis: int, reduction: Any,
                  dtype: Any) -> Any:  # fmt: skip
    """Compute the cross entropy of logits and labels, which are as `validate_classes` of `ops` returns them."""
    loss, weights = _cross_entropy(outside, label_smoothing, axis, input, labels, ignored, weight)
    return ops.reduce(loss, reduction, dtype, weights=weights)


def _cross_entropy(
    outside: jax.Array | None, label_smoothing: Any, axis: int, input: jax.Array, labels: jax.Array,
    ignored: jax.Array, weight: jax.Array | None
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    classes = input.shape[axis]
    input = ops.clear_ignored(input, ignored, axis)
    weights = ops.label_weights(weight, labels, ignored, input.dtype)
    loss = ops.nll_of_logits(input, labels, axis)
    loss = loss if weight is None else ops.weighted(weights, loss)
    if not arguments.is_zero(label_smoothing):
        share = jnp.ones_like(input) if weight is None else ops.broadcast_class_weight(weight, axis, input)
        uniform = ops.nll_of_logits_soft(input, share * (label_smoothing / max(classes, 1)), axis)
        loss = (1 - label_smoothing) * loss + uniform
    return jnp.where(ignored, 0.0, ops.nan_where(loss, outside)), weights


def soft_cross_entropy(input: jax.Array, target: jax.Array, weight: jax.Array | None, label_smoothing: Any,
                       axis: int, reduction: Any, dtype: Any) -> Any:  # fmt: skip
    """Compute the cross entropy of logits and class probabilities."""
    loss, _ = _soft_cross_entropy(label_smoothing, axis, input, target, weight)
    return ops.reduce(loss, reduction, dtype)


def _soft_cross_entropy(
    label_smoothing: Any, axis: int, input: jax.Array, target: jax.Array, weight: jax.Array | None
) -> tuple[jax.Array, None]:
    if not arguments.is_zero(label_smoothing):
        target = target * (1 - label_smoothing) + label_smoothing / max(input.shape[axis], 1)
    weights = None if weight is None else ops.broadcast_class_weight(weight, axis, input)
    coefficients = target if weights is None else target * weights
    return ops.nll_of_logits_soft(input, coefficients, axis), None


def nll(input: jax.Array, labels: jax.Array, ignored: jax.Array, outside: jax.Array | None,
        weight: jax.Array | None, axis: int, reduction: Any, dtype: Any) -> Any:  # fmt: skip
    """Compute minus the entries at the labels, which are as `validate_classes` of `ops` returns them."""
    loss, weights = _nll(outside, axis, input, labels, ignored, weight)
    return ops.reduce(loss, reduction, dtype, weights=weights)


def _nll(
    outside: jax.Array | None, axis: int, input: jax.Array, labels: jax.Array, ignored: jax.Array,
    weight: jax.Array | None
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    picked = ops.gather(input, jnp.expand_dims(labels, axis), axis).squeeze(axis)
    # A NaN in an ignored row must reach neither the value nor the gradient.
    picked = ops.nan_where(jnp.where(ignored, 0.0, picked), outside)
    weights = ops.label_weights(weight, labels, ignored, input.dtype)
    return jnp.where(ignored, 0.0, -ops.weighted(weights, picked)), weights


def binary_cross_entropy_with_logits(
    input: jax.Array, target: jax.Array, weight: jax.Array | None, pos_weight: jax.Array | None,
    reduction: Any, dtype: Any
) -> Any:  # fmt: skip
    """Compute the binary cross entropy of logits and targets of one shape."""
    loss, _ = _bce(input, target, weight, pos_weight)
    return ops.reduce(loss, reduction, dtype)


def _bce(
    input: jax.Array, target: jax.Array, weight: jax.Array | None, pos_weight: jax.Array | None
) -> tuple[jax.Array, None]:
    loss = ops.bce_of_logits(input, target, pos_weight)
    if weight is not None:
        loss = ops.weighted(jnp.broadcast_to(weight, loss.shape), loss)
    return loss, None


def soft_margin(input: jax.Array, target: jax.Array, reduction: Any, dtype: Any) -> Any:
    """Compute softplus(-target * input), for a target that broadcasts to the input."""
    loss, _ = _soft_margin(input, target)
    return ops.reduce(loss, reduction, dtype)


def _soft_margin(input: jax.Array, target: jax.Array) -> tuple[jax.Array, None]:
    return ops.softplus(-jnp.broadcast_to(target, input.shape) * input), None
