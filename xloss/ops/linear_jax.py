"""Losses of logits that are a linear map of the input, by chunks of rows: the logits are never held whole.

`linear_torch.py` has the same names in the same order. Gradients recompute a chunk instead of storing it: in JAX by
`jax.checkpoint` inside `lax.map`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from xloss.ops import jax as ops
from xloss.ops.arguments import PARTS
from xloss.ops.linear import rows_per_chunk
from xloss.ops.sharding_jax import any_sharding

__all__ = ["add_cluster_nll", "logits", "map_chunks", "nll_of_rows", "rows_per_chunk"]


@any_sharding(lambda input, linear_weight, *_: [
    (input, (0, *[None] * (linear_weight.ndim - 1))), (linear_weight, (None, *range(linear_weight.ndim - 1)))
])  # fmt: skip
def logits(input: jax.Array, linear_weight: jax.Array, linear_bias: jax.Array | None = None) -> jax.Array:
    """Compute the logits (N, C, ...) of rows (N, H), for a weight (C, ..., H) and a bias (C, ...)."""
    # By default accelerators round the factors to fewer bits; PyTorch does not.
    product = jnp.tensordot(input, linear_weight, (1, linear_weight.ndim - 1), precision=jax.lax.Precision.HIGHEST)
    return product if linear_bias is None else product + linear_bias[None]


def nll_of_rows(
    input: jax.Array, labels: jax.Array, chunk: int, linear_weight: jax.Array, *linear_bias: jax.Array
) -> jax.Array:
    """Compute -log softmax of the logits at the labels, by chunks of `chunk` rows."""
    return map_chunks(nll, chunk, (input, labels), (linear_weight, *linear_bias))


@any_sharding(lambda _function, _chunk, rows, _shared: [(array, (0,)) for array in rows])
def map_chunks(
    function: Callable[..., jax.Array], chunk: int, rows: tuple[jax.Array, ...], shared: tuple[jax.Array, ...]
) -> jax.Array:
    """Concatenate `function(*rows, *shared)` of chunks of the rows; what it stores for gradients is recomputed instead.

    Rows of a single chunk are computed as they are: recomputing would save no memory.
    """
    size = rows[0].shape[0]
    if size <= chunk:
        return function(*rows, *shared)
    count = size // chunk
    recompute = jax.checkpoint(lambda part: function(*part, *shared))
    chunks = tuple(array[: count * chunk].reshape(count, chunk, *array.shape[1:]) for array in rows)
    whole = jax.lax.map(recompute, chunks)
    whole = whole.reshape(count * chunk, *whole.shape[2:])
    if count * chunk == size:
        return whole
    return jnp.concatenate([whole, recompute(tuple(array[count * chunk :] for array in rows))])


def may_sum(reduction: Any, label_smoothing: Any, chunk: int, input: jax.Array) -> bool:
    """Tell whether several chunks make up a number; not where the loss closes over an array, for a custom rule."""
    one = reduction is PARTS or reduction in ("mean", "sum")
    return one and input.shape[0] > chunk and isinstance(label_smoothing, (int, float))


def shares(reduction: Any, factors: jax.Array, weights: jax.Array, ignored: jax.Array,
           outside: jax.Array | None) -> jax.Array:  # fmt: skip
    """Return what each loss is multiplied by: its factor, over the sum of the weights for a mean.

    Not the sum is divided: so a gradient is of the size of the result's, and neither overflows nor vanishes.
    """
    factors = factors / weights.sum() if reduction == "mean" else factors
    return jnp.where(ignored, 0.0, ops.nan_where(factors, outside))


def reduce(total: jax.Array, reduction: Any, dtype: Any, weights: jax.Array, ignored: jax.Array) -> Any:
    """Return what `ops.reduce` does, of the sum of the shares; a mean of nothing is NaN, with gradients 0."""
    if reduction is PARTS:
        return total, weights.sum()
    if reduction == "mean":
        total = jnp.where(ignored.all(), jnp.nan, total)
    return total.astype(dtype)


@any_sharding(lambda _function, _chunk, rows, *_: [(rows[0], ())])
def sum_of_chunks(
    function: Callable[..., jax.Array], chunk: int, rows: tuple[jax.Array, ...], share: jax.Array, ignored: jax.Array,
    *shared: jax.Array
) -> jax.Array:  # fmt: skip
    """Sum the shares times `function(*rows, *shared)` but for those that are ignored, by chunks of the rows.

    As the cotangent of a sum is one number, its gradients are found in the same pass, while a chunk's logits are there:
    three products of matrices do, where `map_chunks` needs four.
    """

    def of_chunk(rows: Any, shared: Any) -> jax.Array:
        share, ignored, *rows = rows
        return jnp.where(ignored, 0.0, ops.weighted(share, function(*rows, *shared))).sum()

    return _sum_of_chunks(of_chunk, chunk, (share, ignored, *rows), tuple(shared))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _sum_of_chunks(function: Callable[..., jax.Array], chunk: int, rows: Any, shared: Any) -> jax.Array:
    return _scan_chunks(lambda part: (function(part, shared), ()), chunk, rows)[0]


def _jvp_of_sum(function: Callable[..., jax.Array], chunk: int, primals: Any, tangents: Any) -> Any:
    """Find the gradients with the value; so forward mode, its transpose and what differentiates them have one rule."""
    rows, shared = primals
    tangents = [*tangents[0], *tangents[1]]
    wanted = [not isinstance(tangent, SymbolicZero) for tangent in tangents]
    count = len(rows)

    def of_chunk(part: Any) -> Any:
        given = [*part, *shared]

        def of_wanted(values: Any) -> jax.Array:
            values = iter(values)
            all_ = [next(values) if want else x for x, want in zip(given, wanted, strict=True)]
            return function(tuple(all_[:count]), tuple(all_[count:]))

        value, grads = jax.value_and_grad(of_wanted)([x for x, want in zip(given, wanted, strict=True) if want])
        of_rows = sum(wanted[:count])
        return (value, grads[of_rows:]), grads[:of_rows]

    (value, of_shared), of_rows = _scan_chunks(of_chunk, chunk, rows)
    moved = [tangent for tangent, want in zip(tangents, wanted, strict=True) if want]
    # Not `vdot`, which accelerators compute with fewer bits.
    return value, sum((g * t).sum() for g, t in zip([*of_rows, *of_shared], moved, strict=True))


_sum_of_chunks.defjvp(_jvp_of_sum, symbolic_zeros=True)


def _scan_chunks(function: Callable[[Any], Any], chunk: int, rows: Any) -> Any:
    """Return the sum over chunks of the first result of `function(part)`, and the second concatenated.

    Nothing is stored for derivatives: a chunk is computed again. The last chunk, which may be shorter, starts the sum.
    """
    size = rows[0].shape[0]
    count = (size - 1) // chunk
    function = jax.checkpoint(function)
    total, last = function(tuple(array[count * chunk :] for array in rows))
    chunks = tuple(array[: count * chunk].reshape(count, chunk, *array.shape[1:]) for array in rows)

    def advance(total: Any, part: Any) -> Any:
        found, of_rows = function(part)
        return jax.tree.map(jnp.add, total, found), of_rows

    total, firsts = jax.lax.scan(advance, total, chunks)
    join = lambda first, last: jnp.concatenate([first.reshape(count * chunk, *first.shape[2:]), last])  # noqa: E731
    return total, jax.tree.map(join, firsts, last)


def add_cluster_nll(
    inside: jax.Array,
    loss: jax.Array,
    input: jax.Array,
    labels: jax.Array,
    projection: jax.Array,
    linear_weight: jax.Array,
) -> jax.Array:
    """Add -log softmax of (input projection^T) linear_weight^T at the labels to the loss of the rows under the mask."""
    chunk = rows_per_chunk(input.shape[0], linear_weight.shape[0])
    # Other rows are set to 0, so that a NaN in them reaches no gradient.
    input, labels = jnp.where(inside[:, None], input, 0.0), jnp.where(inside, labels, 0)
    every = nll_of_rows(logits(input, projection), labels, chunk, linear_weight)
    return loss + jnp.where(inside, every, 0.0)


def nll(input: jax.Array, labels: jax.Array, *shared: jax.Array) -> jax.Array:
    """Compute -log softmax of the logits of all rows at the labels."""
    return ops.nll_of_logits(logits(input, *shared), labels, 1)
