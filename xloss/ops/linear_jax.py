"""Losses of logits that are a linear map of the input, by chunks of rows: the logits are never held whole.

`linear_torch.py` has the same names in the same order. Gradients recompute a chunk instead of storing it: in JAX by
`jax.checkpoint` inside `lax.map`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from xloss.ops import jax as ops
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
