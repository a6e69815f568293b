"""What the losses of distances and angles share in JAX; `distances_torch.py` has the same names in the same order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import arguments
from xloss.ops import jax as ops

__all__ = ["cosine_above", "distance", "similarities", "unit", "validate_groups", "validate_signs"]

# What a vector is multiplied by whose greatest element is above, or below, what the dtype can square and add up.
_BANDS = {
    "float32": ((2.0**49, 2.0**-88), (2.0**-45, 2.0**94)),
    "float64": ((2.0**400, 2.0**-700), (2.0**-400, 2.0**600)),
}


def validate_signs(target: Any, dtype: Any) -> Any:
    """Bring a target of signs that comes in an integer dtype to a floating one; another is left to `admit`."""
    target = ops.as_array("target", target)
    return target.astype(dtype) if jnp.issubdtype(target.dtype, jnp.integer) else target


def validate_groups(input: Any, target: Any) -> tuple[Any, Any]:
    """Check labels, of any integer dtype, of the rows of `input`. Of them only equality counts.

    Gives the masks of the positive pairs, of two rows with one label, and of the negative ones; shape (N, N).
    """
    target = ops.as_array("target", target)
    if not jnp.issubdtype(target.dtype, jnp.integer):
        arguments.raise_type_error("target", f"dtype {target.dtype}", "labels of an integer dtype")
    if input.ndim != 2:
        arguments.raise_value_error("input", f"shape {tuple(input.shape)}", "shape (N, D)")
    if target.shape != input.shape[:1]:
        arguments.raise_value_error(
            "target", f"shape {tuple(target.shape)}", f"a label for each row, shape ({input.shape[0]},)"
        )
    alike = jnp.expand_dims(target, 1) == jnp.expand_dims(target, 0)
    return alike & ~jnp.eye(len(target), dtype=bool), ~alike


def _factor(top: Any) -> Any:
    """A power of two, constant, that brings a vector whose greatest element is of size `top` to where its square is a number."""
    (big, down), (small, up) = _BANDS[top.dtype.name]
    factor = jnp.where(top < small, up, jnp.ones_like(top))
    return jnp.where(top > big, down, factor)


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
        return ops.absolute(apart).max(-1)
    top = jnp.abs(jax.lax.stop_gradient(apart)).max(-1, keepdims=True)
    factor, nothing = _factor(top), top < float(jnp.finfo(top.dtype).tiny)
    scaled = apart * factor
    if p == 2:
        total = jnp.where(nothing, 1.0, jnp.square(scaled).sum(-1, keepdims=True))
        return jnp.where(nothing, 0.0, jnp.sqrt(total) / factor).squeeze(-1)
    size, top = ops.absolute(scaled), top * factor
    top = jnp.where(nothing | jnp.isinf(top), 1.0, top)
    # At 0 the derivative of a power is 0 times infinity, or infinite.
    none = size == 0
    powers = jnp.where(none, 0.0, jnp.where(none, 1.0, size / top) ** p)
    total = jnp.where(nothing, 1.0, powers.sum(-1, keepdims=True))
    return jnp.where(nothing, 0.0, total ** (1 / p) * (top / factor)).squeeze(-1)


def _ratios(x: Any) -> tuple[Any, Any]:
    """The vectors along the last axis, times a power of two, as functions of the ratios to their greatest element; their norms.

    The angle to another vector depends on these ratios alone. So the derivative by the greatest element is a sum over
    the others, where from the elements themselves it is the difference of two numbers that nearly cancel. The zero vector
    (and what XLA takes for it, below the smallest normal number) has norm 1 here, and no derivative.
    """
    if not x.shape[-1]:
        return x, jnp.ones((*x.shape[:-1], 1), x.dtype)
    # The first of the greatest, as argmax gives it in twice the time.
    size = jnp.abs(jax.lax.stop_gradient(x))
    place = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    index = jnp.where(size == size.max(-1, keepdims=True), place, x.shape[-1]).min(-1, keepdims=True)
    is_top = place == index
    greatest = jnp.where(is_top, x, 0.0).sum(-1, keepdims=True)
    top = jax.lax.stop_gradient(greatest)
    factor, nothing = _factor(jnp.abs(top)), jnp.abs(top) < float(jnp.finfo(top.dtype).tiny)
    greatest = jnp.where(nothing, 1.0, greatest * factor)
    ratios = x * jnp.where(nothing, 0.0, factor * (jax.lax.stop_gradient(greatest) / greatest))
    ratios = jnp.where(is_top, top * factor, ratios)
    return ratios, jnp.sqrt(jnp.where(nothing, 1.0, jnp.square(ratios).sum(-1, keepdims=True)))


def unit(x: Any) -> Any:
    """The vectors along the last axis divided by their norms, tiny and huge ones as well; the zero vector is 0, with derivative 0."""
    ratios, norm = _ratios(x)
    return ratios / norm


def similarities(x: Any) -> Any:
    """The cosines of all pairs of rows, shape (N, N)."""
    rows = unit(x)
    # Left to itself, JAX multiplies with ten bits on a GPU.
    return jnp.matmul(rows, rows.mT, precision="highest")


def cosine_above(x: Any, y: Any) -> Callable[[float], Any]:
    """The cosine of the angle between x and y along the last axis, minus a level that the result is called with.

    Of a small angle, or one near a straight one, 1 - |cosine| is half the squared distance of the unit vectors: in
    the difference it would be lost. A zero vector has cosine 0.
    """
    (x, x_norm), (y, y_norm) = _ratios(x), _ratios(y)
    cosine = (x * y).sum(-1, keepdims=True) / (x_norm * y_norm)
    side = jnp.where(jax.lax.stop_gradient(cosine) < 0, -1.0, jnp.ones_like(cosine))
    rest = 0.5 * side * jnp.square(x / x_norm - y / (side * y_norm)).sum(-1, keepdims=True)
    narrow = jnp.abs(jax.lax.stop_gradient(cosine)) > 0.5

    def above(level: float) -> Any:
        # 1 - level in Python, to the last digit.
        most = jnp.where(side < 0, -1 - level, jnp.full_like(cosine, 1 - level))
        return jnp.where(narrow, most - rest, cosine - level).squeeze(-1)

    return above
