"""Reductions: none, sum, mean, batchmean; the one place, per framework, where a loss is divided by its denominator.

A loss passes its unreduced values, already weighted, and `weights`, whose sum is the denominator of its mean; without
them that is the count. The mean over a batch is not the mean of the means over its micro-batches unless all have the
same denominator. `sum_and_denominator` returns both, so that each can be added up over micro-batches, and divided once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from xloss.ops.arguments import PARTS, Parts
from xloss.ops.types import Array, Tensor


class Deferred(Parts):
    """A reduction that is left to `function(loss, dtype, weights, batch, terms)`, the arguments of `torch_reduce`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


def torch_reduce(loss: Tensor, reduction: str, dtype: Any, weights: Tensor | None = None, batch: int | None = None,
                 terms: Tensor | None = None) -> Any:  # fmt: skip
    """Reduce `loss` (in the dtype it was computed in) and round once, to `dtype`.

    `terms` replace `loss` for the means, where those are of other values (ctc_loss). `batch`: the denominator of
    `'batchmean'`. `PARTS`: return the sum and the denominator.
    """
    if isinstance(reduction, Deferred):
        return reduction.function(loss, dtype, weights, batch, terms)
    if terms is not None and reduction not in ("none", "sum"):
        loss = terms
    if reduction == "none":
        # Forward mode gives a 0-d float32 tensor times a Python number a float64 tangent; the round trip restores it.
        found = loss.double() if loss.ndim == 0 and loss.device.type != "mps" else loss
    elif reduction == "sum":
        found = loss.sum()
    elif reduction == "mean" and weights is None:
        found = loss.mean()
    elif reduction == "mean" and weights is not None:
        found = loss.sum() / weights.sum()
    elif reduction == "batchmean":
        found = loss.sum() / batch
    else:
        denominator = loss.new_full((), float(loss.numel())) if weights is None else weights.sum()
        return loss.sum(), denominator
    return found.to(dtype)


def jax_reduce(loss: Array, reduction: str, dtype: Any, weights: Array | None = None, batch: int | None = None,
               terms: Array | None = None) -> Any:  # fmt: skip
    """Reduce `loss` (in the dtype it was computed in) and round once, to `dtype`.

    `terms` replace `loss` for the means, where those are of other values (ctc_loss). `batch`: the denominator of
    `'batchmean'`. `PARTS`: return the sum and the denominator.
    """
    if terms is not None and reduction not in ("none", "sum"):
        loss = terms
    if reduction == "none":
        found = loss
    elif reduction == "sum":
        found = loss.sum()
    elif reduction == "mean" and weights is None:
        found = loss.mean()
    elif reduction == "mean" and weights is not None:
        found = loss.sum() / weights.sum()
    elif reduction == "batchmean":
        found = loss.sum() / batch
    else:
        denominator = _jax_constant()(float(loss.size), loss.dtype) if weights is None else weights.sum()
        return loss.sum(), denominator
    return found.astype(dtype)


@functools.cache
def _jax_constant() -> Callable[[float, Any], Array]:
    """Return a function that makes a number an array, by a program that holds it: no copy from the host to a device."""
    import jax

    constant: Callable[[float, Any], Array] = jax.jit(
        lambda value, dtype: jax.numpy.full((), value, dtype), static_argnums=(0, 1)
    )
    return constant


def sum_and_denominator(loss: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Return the two parts of a loss's mean, `sum` and `denominator`, in the dtype of computation (>= float32).

    `loss` is a loss of `xloss.torch` or `xloss.jax`, a function or an instance of its class (whose own `reduction` does
    not count); the other arguments are those of its call, without `reduction`. Over micro-batches, add up the sums and
    the denominators and divide once: that is the mean over the whole batch, and its gradient, whatever the class
    weights and ignored labels::

        sums, denominators = zip(*(sum_and_denominator(cross_entropy, x, y) for x, y in micro_batches))
        loss = sum(sums) / sum(denominators)

    Raises `TypeError` when `reduction` is given or when `loss` is not a loss of this package.
    """
    if "reduction" in kwargs:
        raise TypeError("reduction: sum_and_denominator chooses it; leave it out")
    if not hasattr(loss, "__xloss__") or isinstance(loss, type):
        raise TypeError(f"loss: expected a loss of xloss.torch or xloss.jax, a function or an instance, got {loss!r}")
    # Class forms, and a loss without `reduction`, have a method for it.
    parts = getattr(loss, "__xloss_parts__", functools.partial(loss, reduction=PARTS))
    total, denominator = parts(*args, **kwargs)
    return total, denominator
