"""A loss of logits that are a linear map of the input, a chunk of rows at a time, so that the logits are never held whole.

`linear_torch.py` has the same names in the same order. What a chunk computes is computed again where a gradient asks for
it, instead of being stored: in JAX by `jax.checkpoint`, inside the loop that `lax.map` is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xloss.ops import jax as ops
from xloss.ops.linear import rows_per_chunk

__all__ = ["add_where", "logits", "nll_of_rows", "over_rows", "validate_given"]


def validate_given(**arrays: Any) -> tuple[Any, ...]:
    """Refuse what is no array; None passes under `linear_bias` and `weight`."""
    absent = {
        name for name, value in arrays.items() if value is None and name in ("linear_bias", "head_bias", "weight")
    }
    return tuple(None if name in absent else ops.as_array(name, value) for name, value in arrays.items())


def logits(input: Any, linear_weight: Any, linear_bias: Any = None) -> Any:
    """Of rows (N, in_features) and a weight (C, ..., in_features): (N, C, ...)."""
    # Accelerators would round the factors to fewer digits by default; PyTorch's do not.
    product = jnp.tensordot(input, linear_weight, (1, linear_weight.ndim - 1), precision=jax.lax.Precision.HIGHEST)
    return product if linear_bias is None else product + linear_bias[None]


def nll_of_rows(input: Any, labels: Any, chunk: int, linear_weight: Any, *linear_bias: Any) -> Any:
    """-log softmax of the logits at the labels, a chunk of rows at a time."""
    return over_rows(_nll, chunk, (input, labels), (linear_weight, *linear_bias))


def over_rows(function: Callable[..., Any], chunk: int, rows: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
    """`function(*rows, *shared)` for chunks of the rows, put together; its intermediate results are not kept for gradients.

    All of the rows at once where they are one chunk: there is nothing to be saved then.
    """
    size = rows[0].shape[0]
    if size <= chunk:
        return function(*rows, *shared)
    count = size // chunk
    again = jax.checkpoint(lambda part: function(*part, *shared))
    chunks = tuple(array[: count * chunk].reshape(count, chunk, *array.shape[1:]) for array in rows)
    whole = jax.lax.map(again, chunks)
    whole = whole.reshape(count * chunk, *whole.shape[2:])
    if count * chunk == size:
        return whole
    return jnp.concatenate([whole, again(tuple(array[count * chunk :] for array in rows))])


def add_where(inside: Any, loss: Any, input: Any, labels: Any, projection: Any, linear_weight: Any) -> Any:
    """Add to the loss of the rows under the mask -log softmax of (input projection^T) linear_weight^T at the labels."""
    chunk = rows_per_chunk(input.shape[0], linear_weight.shape[0])
    # A row that is not meant is 0: whatever it holds reaches no gradient.
    input, labels = jnp.where(inside[:, None], input, 0.0), jnp.where(inside, labels, 0)
    every = nll_of_rows(logits(input, projection), labels, chunk, linear_weight)
    return loss + jnp.where(inside, every, 0.0)


def _nll(input: Any, labels: Any, *shared: Any) -> Any:
    return ops.nll_of_logits(logits(input, *shared), labels, 1)
