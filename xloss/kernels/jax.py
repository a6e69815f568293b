"""Cross entropy by the Pallas kernels: the gradient by the logits is found with the loss, in the pass that reads them.

A `custom_jvp`, not a `custom_vjp`, so that forward mode stays: the tangent is a product with the gradient, which a
kernel finds, and the derivatives of that gradient are those of plain operations. So `jit`, `vmap`, `grad`, `jvp` and
second derivatives all pass. For reverse mode the gradient of each row is kept, in float32 (float64 for such logits),
and multiplied by the cotangent later. Derivatives by class weights and by the smoothing are the plain operations'.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.experimental.pallas import triton as plt

from xloss.ops import arguments, fused_jax
from xloss.ops import jax as ops

__all__ = ["cross_entropy"]


def cross_entropy(
    backend: str, plain: Callable[..., Any], input: jax.Array, target: Any, weight: jax.Array | None,
    ignore_index: int, reduction: Any, label_smoothing: Any, axis: int
) -> Any:  # fmt: skip
    """Compute the cross entropy of logits and class indices, whose shapes have been checked.

    `plain(input, weight=, reduction=)` is the loss by plain operations.
    """
    check(backend, target)
    weight, dtype = check_dtypes(weight, input=input)
    compute = compute_dtype(input)
    label_smoothing = ops.option("label_smoothing", label_smoothing, jnp.zeros((), compute), least=0, most=1)
    if isinstance(label_smoothing, jax.Array) or not input.size:
        return plain(input, weight=weight, reduction=reduction)
    labels, weights = labels_and_weights(target, input.shape[axis], ignore_index, weight, compute)
    x = jnp.moveaxis(input, axis, -1)
    loss = rows(float(label_smoothing), x.reshape(-1, x.shape[-1]), labels.reshape(-1), weight)
    return ops.reduce(loss.reshape(labels.shape), reduction, dtype, weights=weights)


def check(backend: str, target: Any) -> None:
    """Refuse another backend, and class probabilities."""
    if backend != "pallas":
        arguments.raise_value_error("backend", repr(backend), "None or 'pallas', the backend in JAX")
    if jnp.issubdtype(target.dtype, jnp.floating):
        expected = f"class indices, of which the kernels of backend {backend!r} are"
        arguments.raise_value_error("target", f"probabilities, of dtype {target.dtype}", expected)
    if not hasattr(plt, "load") or not hasattr(plt, "CompilerParams"):
        raise ImportError(f"backend: 'pallas' needs a newer jax than {jax.__version__}")


def check_dtypes(weight: Any, **tensors: Any) -> tuple[jax.Array | None, Any]:
    """Refuse mixed dtypes; return the class weights, and the dtype of the loss."""
    weight = None if weight is None else ops.as_array("weight", weight)
    empty = {name: jnp.zeros((0,), x.dtype) for name, x in tensors.items()}
    of_weight = None if weight is None else jnp.zeros((0,), weight.dtype)
    *_, dtype = ops.validate_and_upcast(same_dtype=True, **empty, weight=of_weight, optional=("weight",))
    return weight, dtype


def compute_dtype(x: jax.Array) -> Any:
    """Return the dtype of the sums."""
    return jnp.float64 if x.dtype == jnp.float64 else jnp.float32


def labels_and_weights(target: Any, classes: int, ignore_index: int, weight: jax.Array | None,
                       dtype: Any) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """Return labels as the kernels take them, and the weight of each."""
    from xloss.kernels.pallas_kernels import IGNORED, OUTSIDE

    labels, ignored, outside = ops.validate_labels(target, classes, ignore_index)
    weights = ops.label_weights(None if weight is None else weight.astype(dtype), labels, ignored, dtype)
    labels = jnp.where(ignored, IGNORED, labels.astype(jnp.int32))
    return labels if outside is None else jnp.where(outside, OUTSIDE, labels), weights


class Smoothing(NamedTuple):
    """The five numbers of the smoothing, and the class of the greatest share; None without smoothing."""

    numbers: jax.Array | None
    most: jax.Array | None

    @classmethod
    def of(cls, label_smoothing: float, classes: int, weight: jax.Array | None, dtype: Any) -> Smoothing:
        """Return them, in the dtype of the sums."""
        if not label_smoothing:
            return cls(None, None)
        each = label_smoothing / classes
        given = jnp.ones((1,), dtype) if weight is None else weight.astype(dtype)
        share = given * each
        most = jnp.argmax(share).astype(jnp.int32)
        total = share.sum() * (classes if weight is None else 1)
        without = share.at[most].set(0.0).sum()
        without = total * ((classes - 1) / classes) if weight is None else without
        first = jnp.asarray([1 - label_smoothing, each], dtype)
        return cls(jnp.concatenate([first, jnp.stack([total, without, share.max()])]), most)


def by_kernel(label_smoothing: float, x: jax.Array, labels: jax.Array, weight: jax.Array | None, slope: Any) -> Any:
    """Return the loss of rows, and with `slope`, a dtype, their gradient."""
    from xloss.kernels import pallas_kernels

    dtype = compute_dtype(x)
    smoothing = Smoothing.of(label_smoothing, x.shape[1], weight, dtype)
    return pallas_kernels.rows(x, labels, weight, *smoothing, dtype, slope)


def by_operations(label_smoothing: float, x: jax.Array, labels: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Return the loss of rows by plain operations."""
    from xloss.kernels.pallas_kernels import IGNORED, OUTSIDE

    dtype = compute_dtype(x)
    safe = jnp.where(labels < 0, 0, labels)
    weight = None if weight is None else weight.astype(dtype)
    ignored, outside = labels == IGNORED, labels == OUTSIDE
    loss, _ = fused_jax._cross_entropy(outside, label_smoothing, 1, x.astype(dtype), safe, ignored, weight)
    return loss


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def rows(label_smoothing: float, x: jax.Array, labels: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Return the loss of rows of logits (N, C), in the dtype of the sums."""
    return by_kernel(label_smoothing, x, labels, weight, None)


def _rows_jvp(label_smoothing: float, primals: Any, tangents: Any) -> Any:
    x, labels, weight = primals
    x_dot, _, weight_dot = tangents
    if is_moved(weight_dot) or not is_moved(x_dot):
        return plain_jvp(lambda x, weight: by_operations(label_smoothing, x, labels, weight), (x, weight),
                         (x_dot, weight_dot))  # fmt: skip
    loss, slope = rows_and_slope(label_smoothing, x, labels, weight)
    return loss, (slope * x_dot.astype(slope.dtype)).sum(-1)


rows.defjvp(_rows_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def rows_and_slope(label_smoothing: float, x: jax.Array, labels: jax.Array, weight: jax.Array | None) -> Any:
    """Return the loss of rows, and its gradient by the logits, in the dtype of the sums."""
    return by_kernel(label_smoothing, x, labels, weight, compute_dtype(x))


def _rows_and_slope_jvp(label_smoothing: float, primals: Any, tangents: Any) -> Any:
    x, labels, weight = primals

    def both(x: jax.Array, weight: jax.Array | None) -> Any:
        wide = x.astype(compute_dtype(x))
        loss, pull = jax.vjp(lambda wide: by_operations(label_smoothing, wide, labels, weight), wide)
        return loss, pull(jnp.ones_like(loss))[0]

    return plain_jvp(both, (x, weight), (tangents[0], tangents[2]))


rows_and_slope.defjvp(_rows_and_slope_jvp, symbolic_zeros=True)


def is_moved(tangent: Any) -> bool:
    """Tell whether there is a tangent."""
    return tangent is not None and not isinstance(tangent, SymbolicZero)


def plain_jvp(function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """Differentiate in the direction of those tangents that are there."""
    chosen = [number for number, tangent in enumerate(tangents) if is_moved(tangent)]

    def of_chosen(*values: Any) -> Any:
        replaced = dict(zip(chosen, values, strict=True))
        return function(*(replaced.get(number, primal) for number, primal in enumerate(primals)))

    if not chosen:
        found = function(*primals)
        return found, jax.tree.map(jnp.zeros_like, found)
    return jax.jvp(of_chosen, tuple(primals[n] for n in chosen), tuple(tangents[n] for n in chosen))
