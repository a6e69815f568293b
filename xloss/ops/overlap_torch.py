"""What the losses of overlap share in PyTorch; `overlap_jax.py` has the same names in the same order."""

from __future__ import annotations

from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops

__all__ = ["tversky", "validate_masks"]


def validate_masks(
    input: torch.Tensor, target: torch.Tensor, from_logits: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
    small = torch.exp(torch.where(positive, -input, input))
    likely, unlikely = 1 / (1 + small), small / (1 + small)
    return torch.where(positive, likely, unlikely), torch.where(positive, unlikely, likely), t


def tversky(p: torch.Tensor, q: torch.Tensor, target: torch.Tensor, alpha: Any, beta: Any, smooth: Any) -> torch.Tensor:
    """Compute miss / (hit + miss) for each sample, with q = 1 - p.

    hit = sum p t + smooth; miss = alpha sum p (1 - t) + beta sum q t. All terms have one sign, where
    1 - hit / (hit + miss) cancels for a good prediction; and of miss / hit and hit / miss the one <= 1 is used, for
    otherwise the derivative is a difference of nearly equal terms.
    """
    axes = tuple(range(min(1, p.ndim - 1), p.ndim))
    hit = (p * target).sum(axes)
    # Not `+ smooth`: PyTorch's forward mode makes a float64 tangent of a float32 scalar plus a Python number.
    hit = hit + ops.full_like(hit, smooth)
    miss = (alpha * (p * (1 - target)) + beta * (q * target)).sum(axes)
    empty = (hit == 0) & (miss == 0)
    good = miss <= hit
    ratio = torch.where(good, miss, hit) / torch.where(empty, 1.0, torch.where(good, hit, miss))
    loss = torch.where(good, ratio / (1 + ratio), 1 / (1 + ratio))
    return torch.where(empty, 0.0, loss)
