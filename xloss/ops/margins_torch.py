"""What the losses of margins and of odds share in PyTorch: class indices without an ignored one, a class against the others.

`margins_jax.py` has the same names in the same order.
"""

from __future__ import annotations

from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops

__all__ = ["as_indices", "as_numbers", "excess", "odds", "odds_against", "poly", "support", "times", "within"]

# Coefficients of y^3, y^5, ... in artanh(y): with y <= 1/3 as many as float64 needs.
_ARTANH = tuple(1 / (2 * n + 3) for n in range(17))


def as_indices(target: Any) -> Any:
    """Admit class indices, of any shape and range."""
    if not isinstance(target, torch.Tensor):
        arguments.raise_type_error("target", type(target).__name__, "a torch.Tensor")
    if target.dtype not in (torch.int64, torch.uint8):
        arguments.raise_type_error(
            "target", f"dtype {target.dtype}", "class indices of dtype torch.int64 or torch.uint8"
        )
    return target.long()


def as_numbers(target: Any, like: Any) -> Any:
    """Labels of 0 and 1 that come as integers, in the dtype of `like`; anything else as it is."""
    if not isinstance(target, torch.Tensor) or not isinstance(like, torch.Tensor) or target.dtype == torch.bool:
        return target
    return target if target.is_floating_point() or target.is_complex() else target.to(like.dtype)


def times(x: Any, number: float) -> Any:
    """x times a number. Of a tensor without axes times a Python float, forward mode gives the derivative in float64."""
    return x * torch.full((), number, dtype=x.dtype, device=x.device)


def within(target: Any, least: int, classes: int) -> tuple[Any, Any]:
    """Give indices that are safe to gather with, and the mask of those outside of [least, classes), None if there are none.

    Those raise `ValueError` where values can be looked at; elsewhere the caller makes their rows NaN.
    """
    outside = (target < least) | (target >= classes)
    if not ops.concrete(outside):
        return torch.where(outside, 0, target), outside
    if outside.any():
        arguments.raise_value_error(
            "target", f"label {target[outside][0].item()}", f"class indices in [{least}, {classes})"
        )
    return target, None


def odds_against(x: Any, index: Any, dim: int) -> Any:
    """log((1 - p) / p) of the class at `index`, p = softmax(x): logsumexp of the others minus the one at index.

    softplus of it is -log p, and sigmoid of it 1 - p, each to the last digits where p itself is 1.
    """
    index = index.unsqueeze(dim)
    picked = x.gather(dim, index).squeeze(dim)
    greatest, log_total = ops.log_sum_exp(x.scatter(dim, index, -torch.inf), dim)
    # An infinite logit has no probability: NaN, where the odds would be 0.
    return ops.nan_where((greatest - picked) + log_total, picked == torch.inf)


def odds(x: Any, dim: int) -> Any:
    """`odds_against` of every class.

    Without the greatest there is at most half of the sum left, and it is added up apart; without another one there is at
    least half of it, and it may be subtracted.
    """
    greatest, top = x.detach().max(dim, keepdim=True)
    greatest = torch.where(torch.isfinite(greatest), greatest, 0.0)
    is_top = torch.zeros_like(x, dtype=torch.bool).scatter(dim, top, True)
    each = torch.exp(x - greatest)
    below = torch.where(is_top, 0.0, each).sum(dim, keepdim=True)
    rest = torch.where(is_top, below, each.gather(dim, top) + (below - torch.where(is_top, 0.0, each)))
    none = rest == 0
    log_rest = torch.where(none, -torch.inf, torch.log(torch.where(none, 1.0, rest)))
    return ops.nan_where(log_rest - (x - greatest), x == torch.inf)


def excess(d: Any) -> Any:
    """softplus(d) - sigmoid(d), that is -log p - (1 - p) for odds d against: for d <= 0 by a series of positive terms.

    With y = e / (2 + e), e = exp(d): log(1 + e) = 2 artanh(y), and e / (1 + e) = 2 y / (1 + y).
    """
    small = d <= 0
    e = torch.exp(torch.where(small, d, 0.0))
    y = e / (2 + e)
    series = torch.zeros_like(y)
    for coefficient in reversed(_ARTANH):
        series = series * (y * y) + coefficient
    by_series = 2 * y * y / (1 + y) + 2 * y * y * y * series
    positive = torch.where(small, 0.0, d)
    return torch.where(small, by_series, ops.softplus(positive) - torch.exp(-ops.softplus(-positive)))


def poly(d: Any, epsilon: float) -> Any:
    """-log p + epsilon (1 - p), epsilon >= -1, for odds d against."""
    miss = torch.exp(-ops.softplus(-d))
    if epsilon >= 0:
        return ops.softplus(d) + times(miss, epsilon)
    return excess(d) + times(miss, 1 + epsilon)


def support(x: Any, dim: int) -> Any:
    """The mask of the classes to which sparsemax(x) gives more than 0: those that fewer than 1 in all lies above.

    `x` is shifted so that its greatest is 0.
    """
    ordered = x.detach().sort(dim, descending=True).values
    shape = [-1 if axis == dim else 1 for axis in range(x.ndim)]
    rank = torch.arange(1, x.shape[dim] + 1, dtype=x.dtype, device=x.device).reshape(shape)
    inside = 1 + rank * ordered > ordered.cumsum(dim)
    least = torch.where(inside, ordered, 0.0).amin(dim, keepdim=True)
    return x.detach() >= least
