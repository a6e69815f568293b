"""What the losses of margins and log odds share in PyTorch; `margins_jax.py` has the same names in the same order."""

from __future__ import annotations

from typing import Any

import torch

from xloss.ops import torch as ops
from xloss.ops.elementary import ARTANH
from xloss.ops.linear_torch import vjp

__all__ = [
    "mean_hinge",
    "neg_log_odds",
    "neg_log_odds_of_all",
    "poly",
    "scale",
    "softplus_minus_sigmoid",
    "sparsemax_support",
]


def scale(x: torch.Tensor, factor: Any) -> torch.Tensor:
    """Compute x * factor. Forward mode gives a 0-d float32 tensor times a Python float a tangent in float64."""
    factor = factor if isinstance(factor, torch.Tensor) else torch.full((), factor, dtype=x.dtype, device=x.device)
    return x * factor


def neg_log_odds(x: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor:
    """Compute d = log((1 - p) / p) at `index` along `dim`, p = softmax(x): logsumexp of the others minus that logit.

    softplus(d) is -log p, and sigmoid(d) is 1 - p, each to a few ulps also where p rounds to 1.
    """
    index = index.unsqueeze(dim)
    picked = x.gather(dim, index).squeeze(dim)
    greatest, log_total = ops.log_sum_exp(x.scatter(dim, index, -torch.inf), dim)
    # An infinite logit has no probability: NaN, where the formula gives p = 1.
    return ops.nan_where((greatest - picked) + log_total, picked == torch.inf)


def neg_log_odds_of_all(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Compute `neg_log_odds` of every class, the shape of x.

    The sum of the others is added up anew for the greatest logit, without which little may be left; for another one at
    least half of the sum is left, and subtracting it loses no digits.
    """
    greatest, top = x.detach().max(dim, keepdim=True)
    greatest = torch.where(torch.isfinite(greatest), greatest, 0.0)
    is_top = torch.zeros_like(x, dtype=torch.bool).scatter(dim, top, 1)
    each = torch.exp(x - greatest)
    below = torch.where(is_top, 0.0, each).sum(dim, keepdim=True)
    rest = torch.where(is_top, below, each.gather(dim, top) + (below - torch.where(is_top, 0.0, each)))
    empty = rest == 0
    log_rest = torch.where(empty, -torch.inf, torch.log(torch.where(empty, 1.0, rest)))
    return ops.nan_where(log_rest - (x - greatest), x == torch.inf)


def softplus_minus_sigmoid(d: torch.Tensor) -> torch.Tensor:
    """Compute softplus(d) - sigmoid(d), -log p - (1 - p) for d = `neg_log_odds`; the difference cancels for d << 0.

    For d <= 0 it is a series of positive terms. With y = e / (2 + e), e = exp(d): log(1 + e) = 2 artanh(y), and
    e / (1 + e) = 2 y / (1 + y).
    """
    small = d <= 0
    e = torch.exp(torch.where(small, d, 0.0))
    y = e / (2 + e)
    series = torch.zeros_like(y)
    for coefficient in reversed(ARTANH):
        series = series * (y * y) + coefficient
    by_series = 2 * y * y / (1 + y) + 2 * y * y * y * series
    positive = torch.where(small, 0.0, d)
    return torch.where(small, by_series, ops.softplus(positive) - torch.exp(-ops.softplus(-positive)))


def poly(d: torch.Tensor, epsilon: Any) -> torch.Tensor:
    """Compute -log p + epsilon (1 - p), epsilon >= -1, for d = `neg_log_odds`."""
    one_minus_p = torch.exp(-ops.softplus(-d))
    if not isinstance(epsilon, (int, float)):
        positive = ops.softplus(d) + scale(one_minus_p, epsilon)
        negative = softplus_minus_sigmoid(d) + scale(one_minus_p, 1 + epsilon)
        return torch.where(epsilon >= 0, positive, negative)
    if epsilon >= 0:
        return ops.softplus(d) + scale(one_minus_p, epsilon)
    return softplus_minus_sigmoid(d) + scale(one_minus_p, 1 + epsilon)


def mean_hinge(x: torch.Tensor, labels: torch.Tensor, margin: Any, p: int) -> torch.Tensor:
    """Compute the sum of max(0, margin - x[n, y] + x[n, c])^p over the classes c other than the label y, over C.

    At its kink a term has derivative 0; of x (N, C) and labels (N), for p = 1 or 2.
    """
    index = labels.unsqueeze(1)
    if ops.on_cpu(x) and not isinstance(margin, torch.Tensor) and not ops.is_transformed(x, labels):
        return _MeanHinge.apply(x, index, margin, p)
    own = torch.arange(x.shape[1], device=labels.device) == index
    hinge = ops.above_zero(torch.where(own, 0.0, (margin - x.gather(1, index)) + x))
    return (hinge if p == 1 else hinge * hinge).sum(1) / x.shape[1]


def _hinges(x: torch.Tensor, index: torch.Tensor, margin: float, out: torch.Tensor | None = None) -> torch.Tensor:
    """Compute the terms of `mean_hinge` for p = 1, the label's 0; a NaN stays."""
    slack = torch.add(x, x.gather(1, index).neg_().add_(margin), out=out)
    return slack.scatter_(1, index, 0.0).clamp_(min=0)


class _MeanHinge(torch.autograd.Function):
    """Compute `mean_hinge` by blocks; the terms are computed again for gradients, and not stored."""

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, margin: float, p: int) -> Any:
        ctx.margin, ctx.p = margin, p
        ctx.save_for_backward(x, index)
        found = []
        for part, labels in ops.blocks(x, index):
            hinge = _hinges(part, labels, margin)
            found.append((hinge if p == 1 else hinge.mul_(hinge)).sum(1))
        total = found[0] if len(found) == 1 else torch.cat(found)
        return total.div_(x.shape[1])

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        x, index = ctx.saved_tensors
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            whole = lambda x: mean_hinge(x, index.squeeze(1), ctx.margin, ctx.p)  # noqa: E731
            return *vjp(whole, (True,), (x,), cotangent), None, None, None
        slope = (cotangent * (ctx.p / x.shape[1])).unsqueeze(1)
        found = torch.empty_like(x)
        for part, labels, grad, factor in ops.blocks(x, index, found, slope):
            hinge = _hinges(part, labels, ctx.margin, out=grad)
            if ctx.p == 1:
                torch.ne(hinge, 0, out=hinge)  # where it is above 0, 1
            hinge.mul_(factor)
            hinge.scatter_(1, labels, hinge.sum(1, keepdim=True).neg_())
        return found, None, None, None


def sparsemax_support(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the mask of the classes to which sparsemax(x) along `dim` gives more than 0; max(x) must be 0.

    With x in descending order, class k is in it where 1 + k x_k > x_1 + ... + x_k.
    """
    ordered = x.detach().sort(dim, descending=True).values
    shape = [-1 if axis == dim else 1 for axis in range(x.ndim)]
    rank = torch.arange(1, x.shape[dim] + 1, dtype=x.dtype, device=x.device).reshape(shape)
    inside = 1 + rank * ordered > ordered.cumsum(dim)
    least = torch.where(inside, ordered, 0.0).amin(dim, keepdim=True)
    return x.detach() >= least
