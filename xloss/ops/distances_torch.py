"""What the losses of distances and angles share in PyTorch; `distances_jax.py` has the same names in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops
from xloss.ops.autocast_torch import product
from xloss.ops.elementary import RESCALING

__all__ = ["cosine_minus", "cosine_similarities", "distance", "normalize", "pair_masks"]


def pair_masks(input: torch.Tensor, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Check labels (N), of any integer dtype, of the rows of `input` (N, D); return two masks of pairs of rows, (N, N).

    Positive pairs are two rows with one label, negative pairs rows with two labels.
    """
    target = ops.as_array("target", target)
    ops.check_devices(input=input, target=target)
    if not ops.is_integer(target):
        arguments.raise_type_error("target", f"dtype {target.dtype}", "labels of an integer dtype")
    if input.ndim != 2:
        arguments.raise_value_error("input", f"shape {tuple(input.shape)}", "shape (N, D)")
    if target.shape != input.shape[:1]:
        arguments.raise_value_error(
            "target", f"shape {tuple(target.shape)}", f"a label for each row, shape ({input.shape[0]},)"
        )
    same = target.unsqueeze(1) == target.unsqueeze(0)
    return same & ~torch.eye(target.shape[0], dtype=torch.bool, device=target.device), ~same


def _power_of_two(largest: torch.Tensor) -> torch.Tensor:
    """Return the power of two to multiply a vector by before squaring it, given the size of its largest element."""
    (upper, down), (lower, up) = RESCALING[largest.dtype.itemsize]
    factor = torch.where(largest < lower, up, torch.ones_like(largest))
    return torch.where(largest > upper, down, factor)


def distance(x: torch.Tensor, y: torch.Tensor, p: float = 2.0, eps: float = 1e-6) -> torch.Tensor:
    """Compute the p-norm of x - y + eps along the last axis: `torch.pairwise_distance`, without overflow.

    At the zero vector the derivative is 0; for p = inf ties share it equally.
    """
    difference = x - y + eps
    if not difference.ndim:
        return ops.absolute(difference)
    if p == 1 or not difference.shape[-1]:
        return ops.absolute(difference).sum(-1)
    if p > 1e18:  # infinite, to all digits; and XLA may take a power of 1 by such a p for 0
        return ops.greatest(ops.absolute(difference))
    # The axis is kept to the end: PyTorch gives a 0-d float32 tensor times a Python number a float64 tangent.
    largest = difference.detach().abs().amax(-1, keepdim=True)
    factor, is_zero = _power_of_two(largest), largest == 0
    scaled = difference * factor
    if p == 2:
        total = torch.where(is_zero, 1.0, scaled.square().sum(-1, keepdim=True))
        return torch.where(is_zero, 0.0, torch.sqrt(total) / factor).squeeze(-1)
    size, largest = ops.absolute(scaled), largest * factor
    largest = torch.where(is_zero | torch.isinf(largest), 1.0, largest)
    # At 0 the derivative of a power is 0 times infinity, or infinite.
    zeros = size == 0
    powers = torch.where(zeros, 0.0, torch.where(zeros, 1.0, size / largest) ** p)
    total = torch.where(is_zero, 1.0, powers.sum(-1, keepdim=True))
    return torch.where(is_zero, 0.0, total ** (1 / p) * (largest / factor)).squeeze(-1)


def _rescale(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vectors along the last axis, rescaled, in terms of ratios to their largest element; and norms.

    Angles depend on these ratios alone: the largest element is a constant, and the derivative by it is a sum over the
    others, where differentiating the elements themselves subtracts nearly equal numbers. The zero vector has norm 1
    here, and no derivative.
    """
    if not x.shape[-1]:
        return x, x.new_ones((*x.shape[:-1], 1))
    index = x.detach().abs().argmax(-1, keepdim=True)
    greatest = x.gather(-1, index)
    largest = greatest.detach()
    factor, is_zero = _power_of_two(largest.abs()), largest == 0
    greatest = torch.where(is_zero, 1.0, greatest * factor)
    ratios = x * torch.where(is_zero, 0.0, factor * (greatest.detach() / greatest))
    ratios = ratios.scatter(-1, index, largest * factor)
    return ratios, torch.sqrt(torch.where(is_zero, 1.0, ratios.square().sum(-1, keepdim=True)))


def normalize(x: torch.Tensor) -> torch.Tensor:
    """Divide the vectors along the last axis by their norms, of any size; the zero vector stays 0, derivative 0."""
    ratios, norm = _rescale(x)
    return ratios / norm


def cosine_similarities(x: torch.Tensor) -> torch.Tensor:
    """Compute the cosines of all pairs of rows (N, D): shape (N, N)."""
    rows = normalize(x)
    return product(rows, rows.mT)


def cosine_minus(x: torch.Tensor, y: torch.Tensor) -> Callable[[float], torch.Tensor]:
    """Return the function that computes cosine(x, y) - level, of the angle along the last axis.

    For an angle near 0 or 180 degrees 1 - |cosine| is half the squared distance of the unit vectors, where
    the subtraction would cancel. A zero vector has cosine 0.
    """
    (x, x_norm), (y, y_norm) = _rescale(x), _rescale(y)
    cosine = (x * y).sum(-1, keepdim=True) / (x_norm * y_norm)
    side = torch.where(cosine.detach() < 0, -1.0, torch.ones_like(cosine))
    rest = 0.5 * side * (x / x_norm - y / (side * y_norm)).square().sum(-1, keepdim=True)
    narrow = cosine.detach().abs() > 0.5

    def minus(level: Any) -> torch.Tensor:
        # 1 - level is a Python number, rounded once.
        gap = torch.where(side < 0, -1 - level, ops.full_like(cosine, 1 - level))
        return torch.where(narrow, gap - rest, cosine - level).squeeze(-1)

    return minus
