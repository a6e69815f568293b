"""The class forms that own parameters, in JAX: immutable pytrees, their parameters leaves, their options static.

`parametric_torch.py` has the same names in the same order. The constructors are torch.nn's with a `key` for the initial
values, which are torch.nn's, uniform within 1 / sqrt(in_features); `reset_parameters(key)` gives a loss with others.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp

from xloss.catalog import LOSSES
from xloss.losses.adaptive_log_softmax_with_loss import AdaptiveLogSoftmax, sum_and_count
from xloss.modules.jax import ImmutableLoss
from xloss.ops import arguments
from xloss.ops import linear_jax as linear
from xloss.ops.linear import check_cutoffs, check_options
from xloss.ops.types import Array, ArrayLike, Reduction

__all__ = ["AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"]


def uniform(key: Array, shape: tuple[int, ...], features: int, dtype: Any, device: Any) -> Array:
    """Return the initial values of torch.nn.Linear."""
    bound = 1 / math.sqrt(features) if features else 0.0
    return jax.device_put(jax.random.uniform(key, shape, dtype, -bound, bound), device)


class LinearCrossEntropyLoss(ImmutableLoss):
    """`linear_cross_entropy` with a weight, and a bias, of its own: torch.nn's constructor, `chunk_size` and `key`.

    Called with input (H) or (N, H) and target. Leaves: `linear_weight`, `linear_bias`, `weight`.
    """

    __xloss__ = "linear_cross_entropy"
    leaves = ("linear_weight", "linear_bias", "weight")
    static = ("in_features", "num_classes", "out_features", "bias", "reduction", "ignore_index", "label_smoothing",
              "chunk_size", "backend")  # fmt: skip
    in_features: int
    num_classes: int
    out_features: tuple[int, ...]
    bias: bool
    reduction: Reduction
    ignore_index: int | None
    label_smoothing: float
    chunk_size: int | None
    backend: str | None
    linear_weight: Array
    linear_bias: Array | None
    weight: Array | None

    def __init__(self, in_features: int, num_classes: int, *, key: Array, out_features: tuple[int, ...] = (),
                 bias: bool = False, device: Any = None, dtype: Any = None, reduction: Reduction = "mean",
                 weight: Array | None = None, ignore_index: int | None = None, label_smoothing: float = 0.0,
                 options: Any = None, chunk_size: int | None = None, backend: str | None = None) -> None:  # fmt: skip
        arguments.check_reduction(reduction)
        check_options(ignore_index, label_smoothing)
        if weight is not None:
            arguments.check_same_shape("weight", weight.shape, "num_classes", (num_classes,))
        chunk_size = options.batch_chunk_size if chunk_size is None and options is not None else chunk_size
        self._set(in_features=in_features, num_classes=num_classes, out_features=tuple(out_features), bias=bias,
                  reduction=reduction, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing,
                  chunk_size=chunk_size, backend=backend)  # fmt: skip
        self._start(key, jnp.zeros(()).dtype if dtype is None else dtype, device)

    def _start(self, key: Array, dtype: Any, device: Any = None) -> None:
        shape = (self.num_classes, *self.out_features)
        for_weight, for_bias = jax.random.split(key)
        weight = uniform(for_weight, (*shape, self.in_features), self.in_features, dtype, device)
        self._set(linear_weight=weight, linear_bias=None)
        if self.bias:
            self._set(linear_bias=uniform(for_bias, shape, self.in_features, dtype, device))

    def reset_parameters(self, key: Array) -> Self:
        """Return a loss with other initial values."""
        other = copy.copy(self)
        other._start(key, self.linear_weight.dtype)
        return other

    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array:
        """Return the loss."""
        return self._loss(input, target, self.reduction)

    def __xloss_parts__(self, input: ArrayLike, target: ArrayLike) -> Any:
        """Return the parts of the mean."""
        return self._loss(input, target, arguments.PARTS)

    def _loss(self, input: ArrayLike, target: ArrayLike, reduction: Any) -> Any:
        return LOSSES["linear_cross_entropy"].jax(
            input, self.linear_weight, target, linear_bias=self.linear_bias, weight=self.weight,
            reduction=reduction, ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing, chunk_size=self.chunk_size, backend=self.backend,
        )  # fmt: skip


class AdaptiveLogSoftmaxWithLoss(ImmutableLoss):
    """`adaptive_log_softmax_with_loss` with weights of its own: torch.nn's constructor, and `key`.

    Called with input and target, gives `output` and `loss`. Leaves: `head_weight`, `tail_weights`, `head_bias`.
    """

    __xloss__ = "adaptive_log_softmax_with_loss"
    leaves = ("head_weight", "tail_weights", "head_bias")
    static = ("in_features", "n_classes", "cutoffs", "div_value", "has_head_bias")
    in_features: int
    n_classes: int
    cutoffs: tuple[int, ...]
    div_value: float
    has_head_bias: bool
    head_weight: Array
    tail_weights: tuple[tuple[Array, Array], ...]
    head_bias: Array | None

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
                 head_bias: bool = False, device: Any = None, dtype: Any = None, *, key: Array) -> None:  # fmt: skip
        check_cutoffs([*cutoffs, n_classes])
        self._set(in_features=in_features, n_classes=n_classes, cutoffs=(*cutoffs, n_classes), div_value=div_value,
                  has_head_bias=head_bias)  # fmt: skip
        self._start(key, jnp.zeros(()).dtype if dtype is None else dtype, device)

    def _start(self, key: Array, dtype: Any, device: Any = None) -> None:
        clusters, features = len(self.cutoffs) - 1, self.in_features
        keys = iter(jax.random.split(key, 2 + 2 * clusters))
        outputs = self.cutoffs[0] + clusters
        self._set(head_weight=uniform(next(keys), (outputs, features), features, dtype, device), head_bias=None)
        bias = uniform(next(keys), (outputs,), features, dtype, device)
        tails = []
        for i in range(clusters):
            hidden = int(features // self.div_value ** (i + 1))
            projection = uniform(next(keys), (hidden, features), features, dtype, device)
            shape = (self.cutoffs[i + 1] - self.cutoffs[i], hidden)
            tails.append((projection, uniform(next(keys), shape, hidden, dtype, device)))
        self._set(tail_weights=tuple(tails), head_bias=bias if self.has_head_bias else None)

    def reset_parameters(self, key: Array) -> Self:
        """Return a loss with other initial values."""
        other = copy.copy(self)
        other._start(key, self.head_weight.dtype)
        return other

    def __call__(self, input: ArrayLike, target: ArrayLike) -> AdaptiveLogSoftmax:
        """Return the log-probabilities of the targets, and the loss."""
        loss: Callable[..., AdaptiveLogSoftmax] = LOSSES["adaptive_log_softmax_with_loss"].jax
        return loss(input, target, self.head_weight, self.tail_weights, self.cutoffs, self.head_bias)

    def __xloss_parts__(self, input: ArrayLike, target: ArrayLike) -> Any:
        """Return the parts of the mean."""
        return sum_and_count(self, "jax")(input, target)

    def log_prob(self, input: Array) -> Array:
        """Return the log-probabilities of all classes, shape (N, n_classes), of input (N, H)."""
        head = jax.nn.log_softmax(linear.logits(input, self.head_weight, self.head_bias))
        short = self.cutoffs[0]
        parts = [head[:, :short]]
        for i, (projection, weight) in enumerate(self.tail_weights):
            tail = linear.logits(linear.logits(input, projection), weight)
            parts.append(jax.nn.log_softmax(tail) + head[:, short + i : short + i + 1])
        return jnp.concatenate(parts, axis=1)

    def predict(self, input: Array) -> Array:
        """Return the class of the greatest log-probability for each row, shape (N)."""
        return self.log_prob(input).argmax(1)
