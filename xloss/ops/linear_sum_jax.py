"""Sums of losses of logits that are a linear map of the input, whose gradients are found by the way.

The cotangent of a sum is one number: a chunk's gradient can be formed while its logits are there, and three products of
matrices do, where unreduced losses need four. `linear_sum_torch.py` is PyTorch's.
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
from xloss.ops.sharding_jax import any_sharding

__all__ = ["may_sum", "reduce", "shares"]


def may_sum(reduction: Any, chunk: int, input: jax.Array) -> bool:
    """Tell whether several chunks make up a number; those of `chunk` 0 do not."""
    if reduction is not PARTS and (not isinstance(reduction, str) or reduction == "none"):
        return False
    return bool(0 < chunk < input.shape[0])


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
