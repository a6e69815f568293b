"""What the losses of distances and angles share in JAX; `distances_torch.py` has the same names in the same order."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import arguments
from xloss.ops import jax as ops
from xloss.ops.elementary import RESCALING
from xloss.ops.sharding_jax import any_sharding

__all__ = ["cosine_minus", "cosine_similarities", "distance", "normalize", "pair_masks"]


def pair_masks(input: jax.Array, target: Any) -> tuple[jax.Array, jax.Array]:
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
    same = jnp.asarray(_same_label(target))
    return same & ~jnp.eye(target.shape[0], dtype=bool), ~same


@any_sharding(lambda target: [(target, (0, None))])
def _same_label(target: Any) -> Any:
    """Compare all pairs of labels; by methods that NumPy has, too, where those of 64 bits are compared as they are."""
    return target.reshape(-1, 1) == target.reshape(1, -1)


def _power_of_two(largest: jax.Array) -> jax.Array:
    """Return the power of two to multiply a vector by before squaring it, given the size of its largest element."""
    (upper, down), (lower, up) = RESCALING[largest.dtype.itemsize]
    factor = jnp.where(largest < lower, up, jnp.ones_like(largest))
    return jnp.where(largest > upper, down, factor)


def distance(x: jax.Array, y: jax.Array, p: float = 2.0, eps: float = 1e-6) -> jax.Array:
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
    largest = jnp.abs(jax.lax.stop_gradient(difference)).max(-1, keepdims=True)
    factor, is_zero = _power_of_two(largest), largest < float(jnp.finfo(largest.dtype).tiny)
    scaled = difference * factor
    if p == 2:
        total = jnp.where(is_zero, 1.0, jnp.square(scaled).sum(-1, keepdims=True))
        return jnp.where(is_zero, 0.0, jnp.sqrt(total) / factor).squeeze(-1)
    size, largest = ops.absolute(scaled), largest * factor
    largest = jnp.where(is_zero | jnp.isinf(largest), 1.0, largest)
    # At 0 the derivative of a power is 0 times infinity, or infinite.
    zeros = size == 0
    powers = jnp.where(zeros, 0.0, jnp.where(zeros, 1.0, size / largest) ** p)
    total = jnp.where(is_zero, 1.0, powers.sum(-1, keepdims=True))
    return jnp.where(is_zero, 0.0, total ** (1 / p) * (largest / factor)).squeeze(-1)


def _rescale(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the vectors along the last axis, rescaled, in terms of ratios to their largest element; and norms.

    Angles depend on these ratios alone: the largest element is a constant, and the derivative by it is a sum over the
    others, where differentiating the elements themselves subtracts nearly equal numbers. The zero vector
    (and what XLA takes for it, below the smallest normal number) has norm 1 here, and no derivative.
    """
    if not x.shape[-1]:
        return x, jnp.ones((*x.shape[:-1], 1), x.dtype)
    # The first of the largest: argmax takes twice the time.
    size = jnp.abs(jax.lax.stop_gradient(x))
    place = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    index = jnp.where(size == size.max(-1, keepdims=True), place, x.shape[-1]).min(-1, keepdims=True)
    is_top = place == index
    greatest = jnp.where(is_top, x, 0.0).sum(-1, keepdims=True)
    largest = jax.lax.stop_gradient(greatest)
    factor, is_zero = _power_of_two(jnp.abs(largest)), jnp.abs(largest) < float(jnp.finfo(largest.dtype).tiny)
    greatest = jnp.where(is_zero, 1.0, greatest * factor)
    ratios = x * jnp.where(is_zero, 0.0, factor * (jax.lax.stop_gradient(greatest) / greatest))
    ratios = jnp.where(is_top, largest * factor, ratios)
    return ratios, jnp.sqrt(jnp.where(is_zero, 1.0, jnp.square(ratios).sum(-1, keepdims=True)))


def normalize(x: jax.Array) -> jax.Array:
    """Divide the vectors along the last axis by their norms, of any size; the zero vector stays 0, derivative 0."""
    ratios, norm = _rescale(x)
    return ratios / norm


@any_sharding(lambda x: [(x, (0, None))])
def cosine_similarities(x: jax.Array) -> jax.Array:
    """Compute the cosines of all pairs of rows (N, D): shape (N, N)."""
    rows = normalize(x)
    # The default precision is TensorFloat-32 on a GPU: ten bits.
    return jnp.matmul(rows, rows.mT, precision="highest")


def cosine_minus(x: jax.Array, y: jax.Array, *levels: Any) -> tuple[jax.Array, ...]:
    """Compute cosine(x, y) - level for each level, of the angle along the last axis.

    For an angle near 0 or 180 degrees 1 - |cosine| is half the squared distance of the unit vectors, where
    the subtraction would cancel. A zero vector has cosine 0.
    """
    (x, x_norm), (y, y_norm) = _rescale(x), _rescale(y)
    cosine = (x * y).sum(-1, keepdims=True) / (x_norm * y_norm)
    side = jnp.where(jax.lax.stop_gradient(cosine) < 0, -1.0, jnp.ones_like(cosine))
    rest = 0.5 * side * jnp.square(x / x_norm - y / (side * y_norm)).sum(-1, keepdims=True)
    return tuple(_minus(level, cosine, side, rest).squeeze(-1) for level in levels)


def _minus(level: Any, cosine: jax.Array, side: jax.Array, rest: jax.Array) -> jax.Array:
    """Compute cosine - level, of a cosine that is `side` - `rest`, 1 or -1 but for a rest that has all its digits."""
    # 1 - level is a Python number, rounded once.
    gap = jnp.where(side < 0, -1 - level, ops.full_like(cosine, 1 - level))
    return jnp.where(jnp.abs(jax.lax.stop_gradient(cosine)) > 0.5, gap - rest, cosine - level)
