"""What the losses of distances and angles share in PyTorch; `distances_jax.py` has the same names in the same order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops

__all__ = ["cosine_above", "distance", "similarities", "unit", "validate_groups", "validate_signs"]

# What a vector is multiplied by whose greatest element is above, or below, what the dtype can square and add up.
_BANDS = {
    torch.float32: ((2.0**49, 2.0**-88), (2.0**-45, 2.0**94)),
    torch.float64: ((2.0**400, 2.0**-700), (2.0**-400, 2.0**600)),
}


def validate_signs(target: Any, dtype: Any) -> Any:
    """Bring a target of signs that comes in an integer dtype to a floating one; another is left to `admit`."""
    integer = isinstance(target, torch.Tensor) and not (target.is_floating_point() or target.is_complex())
    return target.to(dtype) if integer and target.dtype != torch.bool else target


def validate_groups(input: Any, target: Any) -> tuple[Any, Any]:
    """Check labels, of any integer dtype, of the rows of `input`. Of them only equality counts.

    Gives the masks of the positive pairs, of two rows with one label, and of the negative ones; shape (N, N).
    """
    if not isinstance(target, torch.Tensor):
        arguments.raise_type_error("target", type(target).__name__, "a torch.Tensor")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        arguments.raise_type_error("target", f"dtype {target.dtype}", "labels of an integer dtype")
    if input.ndim != 2:
        arguments.raise_value_error("input", f"shape {tuple(input.shape)}", "shape (N, D)")
    if target.shape != input.shape[:1]:
        arguments.raise_value_error(
            "target", f"shape {tuple(target.shape)}", f"a label for each row, shape ({input.shape[0]},)"
        )
    alike = target.unsqueeze(1) == target.unsqueeze(0)
    return alike & ~torch.eye(len(target), dtype=torch.bool, device=target.device), ~alike


def _factor(top: Any) -> Any:
    """A power of two, constant, that brings a vector whose greatest element is of size `top` to where its square is a number."""
    (big, down), (small, up) = _BANDS[top.dtype]
    factor = torch.where(top < small, up, torch.ones_like(top))
    return torch.where(top > big, down, factor)


def distance(x: Any, y: Any, p: float = 2.0, eps: float = 1e-6) -> Any:
    """The p-norm of x - y + eps along the last axis: `torch.pairwise_distance`, without overflow.

    At the zero vector the derivative is 0; for p = inf equal greatest elements share it, as in torch.
    """
    apart = x - y + eps
    if not apart.ndim:
        return ops.absolute(apart)
    if p == 1 or not apart.shape[-1]:
        return ops.absolute(apart).sum(-1)
    if math.isinf(p):
        return ops.absolute(apart).amax(-1)
    # The axis is kept to the end, for of 0-d tensors and Python's numbers PyTorch makes float64 tangents.
    top = apart.detach().abs().amax(-1, keepdim=True)
    factor, nothing = _factor(top), top == 0
    scaled = apart * factor
    if p == 2:
        total = torch.where(nothing, 1.0, scaled.square().sum(-1, keepdim=True))
        return torch.where(nothing, 0.0, torch.sqrt(total) / factor).squeeze(-1)
    size, top = ops.absolute(scaled), top * factor
    top = torch.where(nothing | torch.isinf(top), 1.0, top)
    # At 0 the derivative of a power is 0 times infinity, or infinite.
    none = size == 0
    powers = torch.where(none, 0.0, torch.where(none, 1.0, size / top) ** p)
    total = torch.where(nothing, 1.0, powers.sum(-1, keepdim=True))
    return torch.where(nothing, 0.0, total ** (1 / p) * (top / factor)).squeeze(-1)


def _ratios(x: Any) -> tuple[Any, Any]:
    """The vectors along the last axis, times a power of two, as functions of the ratios to their greatest element; their norms.

    The angle to another vector depends on these ratios alone. So the derivative by the greatest element is a sum over
    the others, where from the elements themselves it is the difference of two numbers that nearly cancel. The zero vector
    has norm 1 here, and no derivative.
    """
    if not x.shape[-1]:
        return x, x.new_ones((*x.shape[:-1], 1))
    index = x.detach().abs().argmax(-1, keepdim=True)
    greatest = x.gather(-1, index)
    top = greatest.detach()
    factor, nothing = _factor(top.abs()), top == 0
    greatest = torch.where(nothing, 1.0, greatest * factor)
    ratios = x * torch.where(nothing, 0.0, factor * (greatest.detach() / greatest))
    ratios = ratios.scatter(-1, index, top * factor)
    return ratios, torch.sqrt(torch.where(nothing, 1.0, ratios.square().sum(-1, keepdim=True)))


def unit(x: Any) -> Any:
    """The vectors along the last axis divided by their norms, tiny and huge ones as well; the zero vector is 0, with derivative 0."""
    ratios, norm = _ratios(x)
    return ratios / norm


def similarities(x: Any) -> Any:
    """The cosines of all pairs of rows, shape (N, N)."""
    rows = unit(x)
    return rows @ rows.mT


def cosine_above(x: Any, y: Any) -> Callable[[float], Any]:
    """The cosine of the angle between x and y along the last axis, minus a level that the result is called with.

    Of a small angle, or one near a straight one, 1 - |cosine| is half the squared distance of the unit vectors: in
    the difference it would be lost. A zero vector has cosine 0.
    """
    (x, x_norm), (y, y_norm) = _ratios(x), _ratios(y)
    cosine = (x * y).sum(-1, keepdim=True) / (x_norm * y_norm)
    side = torch.where(cosine.detach() < 0, -1.0, torch.ones_like(cosine))
    rest = 0.5 * side * (x / x_norm - y / (side * y_norm)).square().sum(-1, keepdim=True)
    narrow = cosine.detach().abs() > 0.5

    def above(level: float) -> Any:
        # 1 - level in Python, to the last digit.
        most = torch.where(side < 0, -1 - level, torch.full_like(cosine, 1 - level))
        return torch.where(narrow, most - rest, cosine - level).squeeze(-1)

    return above
