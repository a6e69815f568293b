"""The class forms that own parameters, in PyTorch: torch.nn's modules and state, with this package's loss.

`parametric_jax.py` has the same names in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from xloss.catalog import LOSSES
from xloss.losses.adaptive_log_softmax_with_loss import AdaptiveLogSoftmax, sum_and_count
from xloss.ops import arguments
from xloss.ops.linear import check_cutoffs, check_options
from xloss.ops.types import Reduction, Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"]


class LinearCrossEntropyLoss(torch.nn.Module):
    """`linear_cross_entropy` with a weight, and a bias, of its own: torch.nn's constructor, and `chunk_size`.

    `forward(input, target)` of input (H) or (N, H). Parameters: `linear.weight`, `linear.bias`; buffer: `weight`. Not a
    subclass of torch.nn's, which torch has from 2.13 on.
    """

    __xloss__ = "linear_cross_entropy"
    weight: Tensor | None

    def __init__(self, in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (), bias: bool = False,
                 device: Any = None, dtype: torch.dtype | None = None, reduction: Reduction = "mean",
                 weight: Tensor | None = None, ignore_index: int | None = None, label_smoothing: float = 0.0,
                 options: Any = None, chunk_size: int | None = None, backend: str | None = None) -> None:  # fmt: skip
        arguments.check_reduction(reduction)
        check_options(ignore_index, label_smoothing)
        if weight is not None:
            arguments.check_same_shape("weight", weight.shape, "num_classes", (num_classes,))
        super().__init__()
        self.register_buffer("weight", weight)
        self.num_classes, self.out_features, self.reduction = num_classes, tuple(out_features), reduction
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.options, self.chunk_size, self.backend = options, chunk_size, backend
        # The linear map has one axis of outputs; the weight of the loss is reshaped.
        outputs = math.prod(self.out_features, start=num_classes)
        self.linear = torch.nn.Linear(in_features, outputs, bias=bias, device=device, dtype=dtype)

    if TYPE_CHECKING:  # torch.nn.Module's own is Callable[..., Any]

        def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...  # noqa: D102

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return self._loss(input, target, self.reduction)

    def __xloss_parts__(self, input: Tensor, target: Tensor) -> Any:
        """Return the parts of the mean."""
        return self._loss(input, target, arguments.PARTS)

    def _loss(self, input: Tensor, target: Tensor, reduction: Any) -> Any:
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return LOSSES["linear_cross_entropy"].torch(
            input, self.linear.weight.reshape(*shape, self.linear.in_features), target,
            linear_bias=None if bias is None else bias.reshape(shape), weight=self.weight, reduction=reduction,
            ignore_index=self.ignore_index, label_smoothing=self.label_smoothing, options=self.options,
            chunk_size=self.chunk_size, backend=self.backend,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the options."""
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, "
            f"bias={self.linear.bias is not None}, reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}, chunk_size={self.chunk_size}"
            f", backend={self.backend}"
        )


class AdaptiveLogSoftmaxWithLoss(torch.nn.AdaptiveLogSoftmaxWithLoss):
    """`adaptive_log_softmax_with_loss` with weights of its own: torch.nn's constructor, `log_prob` and `predict`.

    `forward(input, target)` gives `output` and `loss`. Parameters: `head.weight`, `head.bias`,
    `tail.<i>.<0, 1>.weight`.
    """

    __xloss__ = "adaptive_log_softmax_with_loss"

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
                 head_bias: bool = False, device: Any = None, dtype: torch.dtype | None = None) -> None:  # fmt: skip
        check_cutoffs([*cutoffs, n_classes])
        super().__init__(in_features, n_classes, cutoffs, div_value, head_bias, device=device, dtype=dtype)

    if TYPE_CHECKING:  # torch.nn.Module's own is Callable[..., Any]

        def __call__(self, input: Tensor, target: Tensor) -> AdaptiveLogSoftmax: ...  # noqa: D102

    def forward(self, input: Tensor, target: Tensor) -> AdaptiveLogSoftmax:
        """Return the log-probabilities of the targets, and the loss."""
        tails = [(projection.weight, linear.weight) for projection, linear in self.tail]
        loss: Callable[..., AdaptiveLogSoftmax] = LOSSES["adaptive_log_softmax_with_loss"].torch
        return loss(input, target, self.head.weight, tails, self.cutoffs, self.head.bias)

    def __xloss_parts__(self, input: Tensor, target: Tensor) -> Any:
        """Return the parts of the mean."""
        return sum_and_count(self, "torch")(input, target)

    def extra_repr(self) -> str:
        """Return the options."""
        return (
            f"in_features={self.in_features}, n_classes={self.n_classes}, cutoffs={self.cutoffs[:-1]}, "
            f"div_value={self.div_value}, head_bias={self.head_bias}"
        )
