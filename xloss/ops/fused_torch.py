"""Losses reduced, with a gradient by the input that eager PyTorch gets from a few passes in place.

`fused_jax.py` has the same names in the same order; there the compiler fuses. Each loss is written twice here: as plain
operations, and as a `Kernel`, whose forward pass prepares the gradient. The kernel is taken where plain autograd is all
that is asked and only the input requires a gradient; plain operations are taken everywhere else (`_may_fuse`), for
second derivatives, and where the result is not finite, so that there is one place for the conventions of infinities.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops
from xloss.ops.linear_torch import vjp

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy", "nll", "soft_cross_entropy", "soft_margin"]


Kept = Sequence[Any]
# The unreduced loss, what is kept for the gradient, and the weights whose sum is the denominator of the mean.
Found = tuple[torch.Tensor, Kept, torch.Tensor | None]
Unreduced = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]


class Kernel(NamedTuple):
    """A loss and its gradient by the input.

    `forward(x, *constants)` returns `Found`; without weights the denominator is the count. `backward(cotangent, kept,
    x, *constants)` returns the gradient for a cotangent that is 0-d, or of the shape of the unreduced loss. Both may
    work in place on what they made themselves, not on what was kept: there may be another backward pass.
    """

    forward: Callable[..., Found]
    backward: Callable[..., torch.Tensor]


def _reduce(kernel: Kernel, unreduced: Unreduced, reduction: Any, dtype: torch.dtype, x: torch.Tensor,
            *constants: Any) -> Any:  # fmt: skip
    """Reduce a loss of x: by the kernel, or as `unreduced(x, *constants)`, which returns the loss and its weights."""
    plain = functools.partial(_reduce_plainly, unreduced, reduction, dtype)
    if not _may_fuse(reduction, x, constants):
        return plain(x, *constants)
    with torch.no_grad():
        loss, kept, weights = kernel.forward(x, *constants)
        total = loss.sum()
        denominator = None
        if reduction == "mean":
            denominator = loss.numel() if weights is None else weights.sum()
            total = total / denominator
    if not math.isfinite(total.item()):
        return plain(x, *constants)
    value = (loss if reduction == "none" else total).to(dtype)
    if not (x.requires_grad and torch.is_grad_enabled()):
        return value
    return _Fused.apply(x, _Forward(value, kernel.backward, plain, denominator, kept, constants))


def _reduce_plainly(unreduced: Unreduced, reduction: Any, dtype: torch.dtype, x: torch.Tensor, *constants: Any) -> Any:
    loss, weights = unreduced(x, *constants)
    return ops.reduce(loss, reduction, dtype, weights=weights)


def _may_fuse(reduction: Any, x: torch.Tensor, constants: tuple[Any, ...]) -> bool:
    """Tell whether values can be read, nothing but plain autograd is at work, and no constant needs a derivative."""
    if not isinstance(reduction, str) or not ops.on_cpu(x):
        return False
    tensors = [tensor for tensor in constants if tensor is not None]
    if any(tensor.requires_grad for tensor in tensors) or ops.is_transformed(x, *tensors):
        return False
    return bool(x.numel())  # asked last: what is traced may have a size that is not known


class _Forward(NamedTuple):
    """What the forward pass has found; not an argument of its own, of which the result would be a view."""

    value: torch.Tensor
    backward: Callable[..., torch.Tensor]
    plain: Callable[..., torch.Tensor]
    denominator: Any
    kept: Kept
    constants: tuple[Any, ...]


class _Fused(torch.autograd.Function):
    """Join the value that was found with its gradient; derivatives of the gradient are those of plain operations."""

    @staticmethod
    def forward(ctx: Any, x: Any, found: _Forward) -> Any:
        ctx.backward_of, ctx.plain, ctx.denominator = found.backward, found.plain, found.denominator
        ctx.count = len(found.kept)
        ctx.save_for_backward(x, *found.kept, *found.constants)
        return found.value

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        x, *rest = ctx.saved_tensors
        kept, constants = rest[: ctx.count], rest[ctx.count :]
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            wanted = True, *(False for _ in constants)
            return vjp(ctx.plain, wanted, (x, *constants), cotangent)[0], None
        cotangent = cotangent.to(x.dtype)
        if ctx.denominator is not None:
            cotangent = cotangent / ctx.denominator
        return ctx.backward_of(cotangent, kept, x, *constants), None


# Beyond it softplus(x) is x: e^-40 is less than half an ulp of 40 in float64.
_LARGE = 40.0


def cross_entropy(input: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor, outside: torch.Tensor | None,
                  weight: torch.Tensor | None, label_smoothing: Any, axis: int, reduction: Any,
                  dtype: torch.dtype) -> Any:  # fmt: skip
    """Compute the cross entropy of logits and labels, which are as `validate_classes` of `ops` returns them."""
    unreduced = functools.partial(_cross_entropy, outside, label_smoothing, axis)
    if outside is not None or isinstance(label_smoothing, torch.Tensor):
        return _reduce_plainly(unreduced, reduction, dtype, input, labels, ignored, weight)
    smooth = functools.partial(_smoothed_cross_entropy_forward, label_smoothing, axis)
    forward = smooth if label_smoothing else functools.partial(_cross_entropy_forward, axis)
    kernel = Kernel(forward, functools.partial(_times_rows, axis))
    return _reduce(kernel, unreduced, reduction, dtype, input, labels, ignored, weight)


def _cross_entropy(
    outside: torch.Tensor | None, label_smoothing: Any, axis: int, input: torch.Tensor, labels: torch.Tensor,
    ignored: torch.Tensor, weight: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    classes = input.shape[axis]
    input = ops.clear_ignored(input, ignored, axis)
    weights = ops.label_weights(weight, labels, ignored, input.dtype)
    loss = ops.nll_of_logits(input, labels, axis)
    loss = loss if weight is None else ops.weighted(weights, loss)
    if not arguments.is_zero(label_smoothing):
        share = torch.ones_like(input) if weight is None else ops.broadcast_class_weight(weight, axis, input)
        uniform = ops.nll_of_logits_soft(input, share * (label_smoothing / max(classes, 1)), axis)
        loss = (1 - label_smoothing) * loss + uniform
    return torch.where(ignored, 0.0, ops.nan_where(loss, outside)), weights


def _cross_entropy_forward(
    axis: int, x: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor, weight: torch.Tensor | None
) -> Found:
    """Keep p, with minus the sum of the others at the label, and the weights of the rows."""
    weights = _weights(weight, labels, ignored, x.dtype)
    index = labels.unsqueeze(axis)
    log_p = torch.log_softmax(ops.clear_ignored(x, ignored, axis), axis)
    at_label = log_p.gather(axis, index)
    slope, neg_others = _exp_of_others(log_p, index, axis)
    slope.scatter_(axis, index, neg_others)
    log_p = _log_of_rest(neg_others, at_label).squeeze(axis)
    return log_p.neg_() if weights is None else log_p * -weights, (slope, weights), weights


def _weights(weight: torch.Tensor | None, labels: torch.Tensor, ignored: torch.Tensor,
             dtype: torch.dtype) -> torch.Tensor | None:  # fmt: skip
    """Return the weights of the labels, None where all are 1."""
    if weight is None and not ignored.any():
        return None
    return ops.label_weights(weight, labels, ignored, dtype)


def _exp_of_others(log_p: torch.Tensor, index: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, in place, exp(log_p) with 0 at the index, and minus its sum."""
    p = log_p.exp_().scatter_(axis, index, 0.0)
    return p, p.sum(axis, keepdim=True).neg_()


def _log_of_rest(neg_others: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """Compute log p from the sum of the other p where that is the lesser; `log_softmax` gives 0 for p near 1."""
    return torch.where(neg_others > -0.5, torch.log1p(neg_others), log_p)


def _times_rows(axis: int, cotangent: torch.Tensor, kept: Kept, *_: Any) -> torch.Tensor:
    slope, weights = kept
    if weights is not None:
        cotangent = cotangent * weights
    return slope * (cotangent.unsqueeze(axis) if cotangent.ndim else cotangent)


def _smoothed_cross_entropy_forward(
    label_smoothing: float, axis: int, x: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor,
    weight: torch.Tensor | None
) -> Found:  # fmt: skip
    """Keep mass * p - k, of coefficients k with sum `mass`: `hard` at the label, and `share` at each class.

    Where p of the class of the greatest k is above 1/2, its entry is the sum over the others of k - mass * p.
    """
    weights = ops.label_weights(weight, labels, ignored, x.dtype)
    classes, index = x.shape[axis], labels.unsqueeze(axis)
    hard = (1 - label_smoothing) * weights.unsqueeze(axis)
    given = x.new_ones(classes) if weight is None else weight
    share = given * (label_smoothing / classes)
    most, greatest = share.argmax(), share.amax()
    total, without = share.sum(), share.scatter(0, most, 0.0).sum()
    own = ops.gather_class_weight(share, labels).unsqueeze(axis)
    is_label = hard + own >= greatest
    top = torch.where(is_label, index, most)
    at_top = torch.where(is_label, own, greatest)
    rest = torch.where(top == most, without, total - own) + torch.where(top == index, 0.0, hard)
    share = share.view((-1,) + (1,) * (x.ndim - axis - 1))
    log_p = torch.log_softmax(ops.clear_ignored(x, ignored, axis), axis)
    log_label, log_top = log_p.gather(axis, index), log_p.gather(axis, top)
    log_p.scatter_(axis, top, 0.0)
    spread = (log_p if weight is None else log_p * share).sum(axis, keepdim=True)
    spread = spread * share.flatten()[0] if weight is None else spread
    slope, neg_others = _exp_of_others(log_p, top, axis)
    exact = _log_of_rest(neg_others, log_top)
    loss = hard * torch.where(top == index, exact, log_label) + spread + at_top * exact
    mass = hard + total
    slope.mul_(mass).sub_(share).scatter_add_(axis, index, -hard)
    direct = mass * log_top.exp() - at_top - torch.where(top == index, hard, 0.0)
    slope.scatter_(axis, top, torch.where(neg_others > -0.5, rest + mass * neg_others, direct))
    counted = (~ignored).to(x.dtype)
    return loss.squeeze(axis) * -counted, (slope, counted), weights


def soft_cross_entropy(input: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, label_smoothing: Any,
                       axis: int, reduction: Any, dtype: torch.dtype) -> Any:  # fmt: skip
    """Compute the cross entropy of logits and class probabilities."""
    unreduced = functools.partial(_soft_cross_entropy, label_smoothing, axis)
    if isinstance(label_smoothing, torch.Tensor):
        return _reduce_plainly(unreduced, reduction, dtype, input, target, weight)
    forward = functools.partial(_soft_cross_entropy_forward, label_smoothing, axis)
    kernel = Kernel(forward, functools.partial(_times_rows, axis))
    return _reduce(kernel, unreduced, reduction, dtype, input, target, weight)


def _soft_cross_entropy(
    label_smoothing: Any, axis: int, input: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
) -> tuple[torch.Tensor, None]:
    if not arguments.is_zero(label_smoothing):
        target = target * (1 - label_smoothing) + label_smoothing / max(input.shape[axis], 1)
    weights = None if weight is None else ops.broadcast_class_weight(weight, axis, input)
    coefficients = target if weights is None else target * weights
    return ops.nll_of_logits_soft(input, coefficients, axis), None


def _soft_cross_entropy_forward(
    label_smoothing: float, axis: int, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
) -> Found:
    """Keep mass * p - k, of coefficients k with sum `mass`; where p > 1/2, minus the sum of the other entries."""
    k = target
    if label_smoothing:
        k = (target * (1 - label_smoothing)).add_(label_smoothing / x.shape[axis])
    if weight is not None:
        k = k * ops.broadcast_class_weight(weight, axis, x)
    log_p = torch.log_softmax(x, axis)
    log_top, top = log_p.max(axis, keepdim=True)
    at_top, mass = k.gather(axis, top), k.sum(axis, keepdim=True)
    log_p.scatter_(axis, top, 0.0)
    below = (k * log_p).sum(axis, keepdim=True)
    slope, neg_others = _exp_of_others(log_p, top, axis)
    loss = below + at_top * _log_of_rest(neg_others, log_top)
    slope.mul_(mass).sub_(k).scatter_(axis, top, 0.0)
    rest = slope.sum(axis, keepdim=True).neg_()
    slope.scatter_(axis, top, torch.where(neg_others > -0.5, rest, mass * log_top.exp() - at_top))
    return loss.squeeze(axis).neg_(), (slope, None), None


def nll(input: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor, outside: torch.Tensor | None,
        weight: torch.Tensor | None, axis: int, reduction: Any, dtype: torch.dtype) -> Any:  # fmt: skip
    """Compute minus the entries at the labels, which are as `validate_classes` of `ops` returns them."""
    unreduced = functools.partial(_nll, outside, axis)
    if outside is not None:
        return _reduce_plainly(unreduced, reduction, dtype, input, labels, ignored, weight)
    kernel = Kernel(functools.partial(_nll_forward, axis), functools.partial(_nll_backward, axis))
    return _reduce(kernel, unreduced, reduction, dtype, input, labels, ignored, weight)


def _nll(
    outside: torch.Tensor | None, axis: int, input: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor,
    weight: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    picked = input.gather(axis, labels.unsqueeze(axis)).squeeze(axis)
    # A NaN in an ignored row must reach neither the value nor the gradient.
    picked = ops.nan_where(torch.where(ignored, 0.0, picked), outside)
    weights = ops.label_weights(weight, labels, ignored, input.dtype)
    return torch.where(ignored, 0.0, -ops.weighted(weights, picked)), weights


def _nll_forward(
    axis: int, x: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor, weight: torch.Tensor | None
) -> Found:
    weights = _weights(weight, labels, ignored, x.dtype)
    picked = x.gather(axis, labels.unsqueeze(axis)).squeeze(axis)
    return picked.neg_() if weights is None else picked * -weights, (weights,), weights


def _nll_backward(axis: int, cotangent: torch.Tensor, kept: Kept, x: torch.Tensor,
                  labels: torch.Tensor, *_: Any) -> torch.Tensor:  # fmt: skip
    by_label = -cotangent if kept[0] is None else kept[0] * -cotangent
    return torch.zeros_like(x).scatter_(axis, labels.unsqueeze(axis), by_label.expand(labels.shape).unsqueeze(axis))


def binary_cross_entropy_with_logits(
    input: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, pos_weight: torch.Tensor | None,
    reduction: Any, dtype: torch.dtype
) -> Any:  # fmt: skip
    """Compute the binary cross entropy of logits and targets of one shape."""
    return _reduce(_BCE, _bce, reduction, dtype, input, target, weight, pos_weight)


def _bce(
    input: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, pos_weight: torch.Tensor | None
) -> tuple[torch.Tensor, None]:
    loss = ops.bce_of_logits(input, target, pos_weight)
    if weight is not None:
        loss = ops.weighted(weight.expand(loss.shape), loss)
    return loss, None


def _bce_forward(
    x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, pos_weight: torch.Tensor | None
) -> Found:
    """Compute total * tail + side * x and its slope, side - total * sigmoid(-|x|) * sign of x.

    With P t = `positive`: tail = softplus(-|x|), total = P t + (1 - t), and side is 1 - t where x >= 0, else -P t.
    """
    side = torch.copysign(x.new_full((), 0.5), x).add_(0.5)
    size = torch.copysign(x, -1.0)
    loss = torch.nn.functional.softplus(size, 1.0, _LARGE)
    slope = size.sigmoid_().copysign_(x)
    if pos_weight is None:
        side.sub_(target)
    else:
        positive, negative = pos_weight * target, 1 - target
        side = torch.lerp(-positive, negative, side)
        total = positive.add_(negative)
        loss.mul_(total)
        slope.mul_(total)
    loss.addcmul_(side, x)
    slope = torch.sub(side, slope, out=slope)
    if weight is not None:
        loss.mul_(weight)
        slope.mul_(weight)
    return loss, (slope,), None


def _times(cotangent: torch.Tensor, kept: Kept, *_: Any) -> torch.Tensor:
    return kept[0] * cotangent


_BCE = Kernel(_bce_forward, _times)


def soft_margin(input: torch.Tensor, target: torch.Tensor, reduction: Any, dtype: torch.dtype) -> Any:
    """Compute softplus(-target * input), for a target that broadcasts to the input."""
    return _reduce(_SOFT_MARGIN, _soft_margin, reduction, dtype, input, target)


def _soft_margin(input: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, None]:
    return ops.softplus(-target * input), None


def _soft_margin_forward(x: torch.Tensor, target: torch.Tensor) -> Found:
    gap = (x * target).neg_()
    loss = torch.nn.functional.softplus(gap, 1.0, _LARGE)
    return loss, (gap.sigmoid_().mul_(target).neg_(),), None


_SOFT_MARGIN = Kernel(_soft_margin_forward, _times)
