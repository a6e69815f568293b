"""Double-word arithmetic in PyTorch: unevaluated sums of two numbers, where rounding an exponent would cost digits.

`compensated_jax.py` has the same names in the same order.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from xloss.ops import torch as ops

__all__ = ["scale_double_word", "softplus", "two_sum_error"]


def two_sum_error(a: torch.Tensor, b: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """Return a + b - total exactly (Knuth's TwoSum), for the rounded sum `total`; a constant, 0 where not finite."""
    a, b, total = a.detach(), b.detach(), total.detach()
    b_virtual = total - a
    error = (a - (total - b_virtual)) + (b - b_virtual)
    return error.nan_to_num(0.0, 0.0, 0.0)


def scale_double_word(factor: Any, x: torch.Tensor, error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return factor * (x + error) as a sum of two: the factor's first bits times round(x), and the rest.

    The first is exact up to |x| = 4096, and a constant; the second carries the derivatives. Of a factor that is
    an option in an array the first eight bits are taken, else twelve.
    """
    if isinstance(factor, torch.Tensor):
        head: Any = factor.detach().to(torch.bfloat16).to(factor.dtype)
    else:
        mantissa, exponent = math.frexp(factor)
        head = math.ldexp(round(mantissa * 4096), exponent - 12)
    finite = torch.isfinite(x)
    whole = torch.where(finite, x.detach().round(), 0.0)
    # The rest of the factor may be negative: times an infinite x it would add -inf to inf.
    return head * whole, head * (x - whole) + (factor - head) * torch.where(finite, x, 0.0) + factor * error


def softplus(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute log(1 + exp(x + y)) without the error of rounding x + y."""
    total = x + y
    side = ops.neg_sign(total)
    small = torch.exp(x * side)
    # Not times exp(y): XLA would fuse the product of exponentials to exp(x + y).
    small = small + small * torch.expm1(y * side)
    return ops.positive_part(total) + ops.log1p(small)
