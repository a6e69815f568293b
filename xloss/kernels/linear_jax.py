"""Cross entropy of a linear map's logits by the Pallas kernels, a chunk of rows at a time, with three products.

For a mean or a sum the gradients are found with the value, where the logits of a chunk are at hand: their product is
computed once, and one each gives the gradients by the input and the weight, in the dtype of the sums; the tangent of
the loss is a product with them. As in `jax.py` that is a `custom_jvp`, and derivatives of the gradients are those of
plain operations, by chunks. With `'none'` a chunk's logits are computed again in reverse mode.

bfloat16 factors are multiplied as they are, and summed in float32; the gradient by the logits, in float32, is the sum
of three bfloat16 matrices, so that each of the two products with it is three, and loses no digit. float16, whose range
does not hold that gradient, is converted to float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xloss.kernels import jax as kernels
from xloss.kernels.pallas_kernels import IGNORED
from xloss.ops import arguments, linear_jax
from xloss.ops import jax as ops

__all__ = ["linear_cross_entropy"]


class Spec(NamedTuple):
    """What is static: the smoothing, the rows of a chunk, and which of input, weight and bias are differentiated."""

    label_smoothing: float
    chunk: int
    wanted: tuple[bool, bool, bool] = (False, False, False)


def linear_cross_entropy(
    backend: str, plain: Callable[..., Any], input: jax.Array, linear_weight: jax.Array, target: Any,
    linear_bias: jax.Array | None, weight: jax.Array | None, ignore_index: int, reduction: Any, label_smoothing: Any,
    chunk: int
) -> Any:  # fmt: skip
    """Compute the loss of arguments whose shapes have been checked, by chunks of `chunk` rows.

    `plain(input, linear_weight=, linear_bias=, weight=, reduction=)` is the loss by plain operations.
    """
    kernels.check(backend, target)
    if linear_weight.ndim != 2:
        expected = f"shape (C, H), of which the kernels of backend {backend!r} are"
        arguments.raise_value_error("linear_weight", f"shape {linear_weight.shape}", expected)
    named = {} if linear_bias is None else {"linear_bias": linear_bias}
    weight, dtype = kernels.check_dtypes(weight, input=input, linear_weight=linear_weight, **named)
    compute = kernels.compute_dtype(input)
    label_smoothing = ops.option("label_smoothing", label_smoothing, jnp.zeros((), compute), least=0, most=1)
    if isinstance(label_smoothing, jax.Array) or not (input.size and linear_weight.size):
        return plain(
            input, linear_weight=linear_weight, linear_bias=linear_bias, weight=weight, reduction=reduction
        )  # fmt: skip
    labels, weights = kernels.labels_and_weights(target, linear_weight.shape[0], ignore_index, weight, compute)
    spec = Spec(float(label_smoothing), chunk)
    rows = input.reshape(-1, input.shape[-1]), labels.reshape(-1)
    if isinstance(reduction, str) and reduction in ("mean", "sum"):
        by = weights.sum() if reduction == "mean" else jnp.ones((), compute)
        return total(spec, rows[0], linear_weight, linear_bias, rows[1], weight, by).astype(dtype)
    by_chunk = functools.partial(chunk_rows, spec.label_smoothing)
    named_weights = {"bias": linear_bias, "weight": weight}
    loss = linear_jax.map_chunks(
        lambda x, labels, w: by_chunk(x, labels, w, **named_weights), chunk, rows, (linear_weight,)
    )  # fmt: skip
    return ops.reduce(loss.reshape(labels.shape), reduction, dtype, weights=weights)


def product(x: jax.Array, y: jax.Array, contract: tuple[int, int]) -> jax.Array:
    """Contract an axis of each, summed and returned in the dtype of the sums; accelerators round no factor."""
    dtype = kernels.compute_dtype(x)
    if x.dtype != jnp.bfloat16:
        x, y = x.astype(dtype), y.astype(dtype)
    axes = (((contract[0],), (contract[1],)), ((), ()))
    return jax.lax.dot_general(x, y, axes, precision=jax.lax.Precision.HIGHEST, preferred_element_type=dtype)


def product_of_parts(x: jax.Array, y: jax.Array, contract: tuple[int, int]) -> jax.Array:
    """Contract an axis of each; where only y is bfloat16, of the three bfloat16 matrices whose sum is x."""
    if y.dtype != jnp.bfloat16:
        return product(x, y, contract)
    found = []
    for _ in range(3):
        # Not a cast alone: XLA may leave out a conversion there and back, and with it the other parts.
        part = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
        x = x - part
        found.append(product(part.astype(y.dtype), y, contract))
    return found[0] + (found[1] + found[2])


def chunk_logits(x: jax.Array, w: jax.Array, bias: jax.Array | None) -> jax.Array:
    """Compute the logits of some rows, in the dtype of the sums."""
    z = product(x, w, (1, 1))
    return z if bias is None else z + bias.astype(z.dtype)[None]


def cleared(x: jax.Array, labels: jax.Array) -> jax.Array:
    """Set ignored rows to 0: nothing of them reaches a gradient, not even a NaN times 0."""
    return jnp.where((labels == IGNORED)[:, None], jnp.zeros_like(x), x)


def chunk_rows(label_smoothing: float, x: jax.Array, labels: jax.Array, w: jax.Array, bias: jax.Array | None,
               weight: jax.Array | None) -> jax.Array:  # fmt: skip
    """Return the loss of some rows."""
    return kernels.rows(label_smoothing, chunk_logits(cleared(x, labels), w, bias), labels, weight)


def by_operations(spec: Spec, x: jax.Array, w: jax.Array, bias: jax.Array | None, labels: jax.Array,
                  weight: jax.Array | None, by: jax.Array) -> jax.Array:  # fmt: skip
    """Return the sum over a denominator by plain operations, a chunk at a time."""
    shared = tuple(array for array in (bias, weight) if array is not None)

    def some(x: jax.Array, labels: jax.Array, w: jax.Array, *others: jax.Array) -> jax.Array:
        given = iter(others)
        bias_of = None if bias is None else next(given)
        z = chunk_logits(cleared(x, labels), w, bias_of)
        return kernels.by_operations(spec.label_smoothing, z, labels, None if weight is None else next(given))

    return linear_jax.map_chunks(some, spec.chunk, (x, labels), (w, *shared)).sum() / by


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def total(spec: Spec, x: jax.Array, w: jax.Array, bias: jax.Array | None, labels: jax.Array,
          weight: jax.Array | None, by: jax.Array) -> jax.Array:  # fmt: skip
    """Return the sum of the loss over the denominator `by`."""
    return found_by_kernel(spec, x, w, bias, labels, weight, by)[0]


def _total_jvp(spec: Spec, primals: Any, tangents: Any) -> Any:
    x, w, bias, labels, weight, by = primals
    moved = tuple(map(kernels.is_moved, tangents))
    if moved[4] or moved[5] or not any(moved[:3]):
        whole = lambda x, w, bias, weight, by: by_operations(spec, x, w, bias, labels, weight, by)  # noqa: E731
        return kernels.plain_jvp(whole, (x, w, bias, weight, by), (*tangents[:3], *tangents[4:]))
    wanted = moved[0], moved[1], moved[2]
    value, grads = total_and_gradients(spec._replace(wanted=wanted), *primals)
    moving = (tangent for tangent in tangents[:3] if kernels.is_moved(tangent))
    terms = [(grad * tangent.astype(grad.dtype)).sum() for grad, tangent in zip(grads, moving, strict=True)]
    return value, functools.reduce(jnp.add, terms)


total.defjvp(_total_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def total_and_gradients(spec: Spec, x: jax.Array, w: jax.Array, bias: jax.Array | None, labels: jax.Array,
                        weight: jax.Array | None, by: jax.Array) -> Any:  # fmt: skip
    """Return the sum over the denominator, and its gradients by those that are wanted, in the dtype of the sums."""
    return found_by_kernel(spec, x, w, bias, labels, weight, by)


def _total_and_gradients_jvp(spec: Spec, primals: Any, tangents: Any) -> Any:
    x, w, bias, labels, weight, by = primals

    def both(x: Any, w: Any, bias: Any, weight: Any, by: Any) -> Any:
        given = [None if array is None else array.astype(by.dtype) for array in (x, w, bias)]
        chosen = [number for number, want in enumerate(spec.wanted) if want]

        def of_chosen(*values: Any) -> Any:
            replaced = dict(zip(chosen, values, strict=True))
            x, w, bias = (replaced.get(number, array) for number, array in enumerate(given))
            return by_operations(spec, x, w, bias, labels, weight, by)

        return jax.value_and_grad(of_chosen, tuple(range(len(chosen))))(*(given[number] for number in chosen))

    return kernels.plain_jvp(both, (x, w, bias, weight, by), (*tangents[:3], *tangents[4:]))


total_and_gradients.defjvp(_total_and_gradients_jvp, symbolic_zeros=True)


def found_by_kernel(spec: Spec, x: jax.Array, w: jax.Array, bias: jax.Array | None, labels: jax.Array,
                    weight: jax.Array | None, by: jax.Array) -> Any:  # fmt: skip
    """Return the sum over the denominator, and the gradients that are wanted, by chunks of the rows."""
    rows, dtype = x.shape[0], by.dtype
    chunk = min(spec.chunk, rows)
    count = -(-rows // chunk)
    missing = count * chunk - rows
    if missing:  # rows that count as ignored
        x, labels = jnp.pad(x, ((0, missing), (0, 0))), jnp.pad(labels, (0, missing), constant_values=IGNORED)
    by_x, by_w, by_bias = spec.wanted
    shapes = [shape for shape, want in ((w.shape, by_w), (w.shape[:1], by_bias)) if want]

    def add(sums: Any, part: Any) -> Any:
        x, labels = cleared(*part), part[1]
        z = chunk_logits(x, w, bias)
        if not any(spec.wanted):
            return sums, (kernels.by_kernel(spec.label_smoothing, z, labels, weight, None), None)
        loss, slope = kernels.by_kernel(spec.label_smoothing, z, labels, weight, dtype)
        found = [product_of_parts(slope, x, (0, 0))] if by_w else []
        found += [slope.sum(0)] if by_bias else []
        of_x = product_of_parts(slope, w, (1, 0)) if by_x else None
        return [one + other for one, other in zip(sums, found, strict=True)], (loss, of_x)

    parts = x.reshape(count, chunk, -1), labels.reshape(count, chunk)
    sums, (loss, of_x) = jax.lax.scan(add, [jnp.zeros(shape, dtype) for shape in shapes], parts)
    grads = [of_x.reshape(count * chunk, -1)[:rows]] if by_x else []
    return loss.sum() / by, tuple(grad / by for grad in (*grads, *sums))
