"""Sums of losses of logits that are a linear map of the input, whose gradients the forward pass finds by the way.

The cotangent of a sum is one number: a chunk's gradient can be formed while its logits are there, and three products of
matrices do, where unreduced losses need four. Taken where plain autograd alone is at work. JAX's is
`linear_sum_jax.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from xloss.ops import linear_soft_torch as linear_soft
from xloss.ops import linear_torch as linear
from xloss.ops import torch as ops
from xloss.ops.arguments import PARTS

__all__ = ["may_sum", "reduce", "shares"]

# `kernel(part, x, share, *constants)` returns the losses of the rows `part`, of logits x; these become, in place, the
# gradient by the logits times the share, unless that is None.
Kernel = Callable[..., torch.Tensor]


def may_sum(reduction: Any, constants: Sequence[torch.Tensor | None], *tensors: torch.Tensor | None) -> bool:
    """Tell whether plain autograd is to differentiate a number, by some of the tensors and by none of the constants."""
    if reduction is not PARTS and (not isinstance(reduction, str) or reduction == "none"):
        return False
    fixed, free = ([tensor for tensor in given if tensor is not None] for given in (constants, tensors))
    asked = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in free)
    return asked and not (any(tensor.requires_grad for tensor in fixed) or ops.is_transformed(*free, *fixed))


def shares(reduction: Any, factors: torch.Tensor, weights: torch.Tensor, ignored: torch.Tensor,
           outside: torch.Tensor | None) -> torch.Tensor:  # fmt: skip
    """Return what each loss is multiplied by: its factor, over the sum of the weights for a mean.

    Not the sum is divided: so a gradient is of the size of the result's, and neither overflows nor vanishes.
    """
    factors = factors / weights.sum() if reduction == "mean" else factors
    return torch.where(ignored, 0.0, ops.nan_where(factors, outside))


def reduce(total: torch.Tensor, reduction: Any, dtype: torch.dtype, weights: torch.Tensor,
           ignored: torch.Tensor) -> Any:  # fmt: skip
    """Return what `ops.reduce` does, of the sum of the shares; a mean of nothing is NaN, with gradients 0."""
    if reduction is PARTS:
        return total, weights.sum()
    if reduction == "mean":
        total = torch.where(ignored.all(), torch.nan, total)
    return total.to(dtype)


def sum_of_nll(input: torch.Tensor, labels: torch.Tensor, chunk: int, share: torch.Tensor, ignored: torch.Tensor,
               *shared: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """Sum the share of each label times -log softmax of the logits there; those that are `ignored` do not count."""

    def kernel(part: slice, x: torch.Tensor, share: Any, labels: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        index = labels[part].unsqueeze(1)
        loss, slope, scale, _ = linear.nll_of_chunk(x, index)
        if share is not None:
            x.mul_(scale * share).scatter_(1, index, -slope * share)
        return loss

    def plain(input: torch.Tensor, share: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        *shared, labels, ignored = rest
        return _total(share, linear.map_chunks(linear.nll, chunk, (input, labels), tuple(shared)), ignored)

    return _sum(kernel, plain, chunk, input, share, shared, labels, ignored)


def sum_of_soft_nll(
    coefficients: Callable[..., torch.Tensor], input: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None,
    chunk: int, few: int, share: torch.Tensor, ignored: torch.Tensor, *shared: torch.Tensor
) -> torch.Tensor:  # fmt: skip
    """Sum the share of each row times its loss, that of `linear_soft_torch.nll_of_rows`."""
    of_rows, count = linear_soft.plain(coefficients, len(shared) - 1), len(shared)

    def kernel(part: slice, x: torch.Tensor, share: Any, target: torch.Tensor, _: Any, *given: Any) -> torch.Tensor:
        coefficient = coefficients(target[part], x, *given)
        loss, total, _, index, mass, rest_of_mass = linear_soft.nll_of_chunk(x, coefficient)
        if share is not None:
            linear_soft.slope_of_chunk(x, coefficient, total, index, mass, rest_of_mass, share)
        return loss

    def plain(input: torch.Tensor, share: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        shared, (target, ignored, *given) = rest[:count], rest[count:]
        return _total(share, linear.map_chunks(of_rows, few, (input, target), (*shared, *given)), ignored)

    return _sum(kernel, plain, chunk, input, share, shared, target, ignored, *(() if weight is None else (weight,)))


def _sum(kernel: Kernel, plain: Callable[..., torch.Tensor], chunk: int, input: torch.Tensor, share: torch.Tensor,
         shared: tuple[torch.Tensor, ...], *constants: torch.Tensor) -> torch.Tensor:  # fmt: skip
    found: torch.Tensor = _Sum.apply(kernel, plain, chunk, input, share, len(shared), *shared, *constants)
    return found


def _total(share: torch.Tensor, loss: torch.Tensor, ignored: torch.Tensor) -> torch.Tensor:
    return torch.where(ignored, 0.0, ops.weighted(share, loss)).sum()


class _Sum(torch.autograd.Function):
    """Compute a sum, and its gradients with it; derivatives of these are those of plain operations."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, plain: Any, chunk: int, input: Any, share: Any, count: int,
                *rest: Any) -> Any:  # fmt: skip
        shared, constants = rest[:count], rest[count:]
        wanted = ctx.needs_input_grad[3], *ctx.needs_input_grad[6 : 6 + count]
        sums = linear.GradientSums(wanted, input, shared)
        loss = torch.empty_like(share)
        for part, x in linear.logit_chunks(chunk, input, shared):
            factor = share[part].unsqueeze(1) if any(wanted) else None
            loss[part] = kernel(part, x, factor, *constants).squeeze(1)
            if any(wanted):
                sums.add(part, x)
        ctx.plain, ctx.wanted, ctx.count = plain, wanted, count
        ctx.save_for_backward(loss, *(grad for grad in sums.grads if grad is not None), input, share, *rest)
        return _total(share, loss, constants[1])

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        loss, *saved = ctx.saved_tensors
        grads, (input, share, *rest) = saved[: sum(ctx.wanted)], saved[sum(ctx.wanted) :]
        by_share = ctx.needs_input_grad[4]
        constants = rest[ctx.count :]
        none = (None,) * len(constants)
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            wanted = ctx.wanted[0], by_share, *ctx.wanted[1:], *(False for _ in constants)
            of_input, of_share, *others = linear.vjp(ctx.plain, wanted, (input, share, *rest), cotangent)
            return None, None, None, of_input, of_share, None, *others
        # Not in place: there may be another backward pass.
        found = iter(grads)
        of_input, *of_shared = (next(found) * cotangent if want else None for want in ctx.wanted)
        of_share = None
        if by_share:
            absent = constants[1] | ((share == 0) & ops.is_infinite(loss))
            of_share = torch.where(absent, 0.0, loss * cotangent)
        return None, None, None, of_input, of_share, None, *of_shared, *none
