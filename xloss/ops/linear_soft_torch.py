"""Cross entropy with soft targets, of logits that are a linear map of the input, by chunks of rows and in index.

`linear_torch.py` has it for labels. JAX has no counterpart: its compiler needs none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from xloss.ops import torch as ops
from xloss.ops.linear_torch import GradientSums, logit_chunks, logits, map_chunks, vjp

# Plain operations hold some forty times the size of a chunk, half of it stored by autograd: their chunks are smaller.
CHUNK_DIVISOR = 8


def nll_of_rows(
    coefficients: Callable[..., torch.Tensor], input: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None,
    chunk: int, few: int, linear_weight: torch.Tensor, *linear_bias: torch.Tensor
) -> torch.Tensor:  # fmt: skip
    """Compute the sum over classes of coefficient * -log softmax of the logits.

    `coefficients(target, logits, weight)` returns a new tensor like the logits, >= 0. Derivatives by the target or the
    class weights, higher ones and `torch.func` take plain operations on `few` rows at a time; with `chunk` 0,
    so does all, on all rows at once.
    """
    shared = (linear_weight, *linear_bias)
    given = () if weight is None else (weight,)
    if not chunk:
        return plain(coefficients, len(linear_bias))(input, target, *shared, *given)
    if ops.is_transformed(input, target, *given, *shared) or any(x.requires_grad for x in (target, *given)):
        return map_chunks(plain(coefficients, len(linear_bias)), few, (input, target), (*shared, *given))
    return _SoftNll.apply(coefficients, chunk, few, input, target, weight, *shared)


def plain(coefficients: Callable[..., torch.Tensor], biases: int) -> Callable[..., torch.Tensor]:
    """Return the function of all rows, of plain operations."""

    def whole(
        input: torch.Tensor, target: torch.Tensor, linear_weight: torch.Tensor, *others: torch.Tensor
    ) -> torch.Tensor:
        x = logits(input, linear_weight, *others[:biases])
        return ops.nll_of_logits_soft(x, coefficients(target, x, *others[biases:]), 1)

    return whole


def nll_of_chunk(x: torch.Tensor, coefficient: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Compute the loss of logits x, which become exp(x - greatest); both are then 0 at the greatest.

    Return, all with the axis of the classes, the loss, the sum of what x has become, the greatest, its index, and the
    sums of the coefficients, of all and of the others.
    """
    greatest, index = x.max(1, keepdim=True)
    x.sub_(greatest)
    at_top = coefficient.gather(1, index)
    rest_of_mass = coefficient.scatter_(1, index, 0.0).sum(1, keepdim=True)
    mass = rest_of_mass + at_top
    below = (coefficient * x).sum(1, keepdim=True)
    if not (ops.concrete(below) and math.isfinite(below.sum().item())):  # a class may have to be left out
        below = ops.weighted(coefficient, x).sum(1, keepdim=True)
        below = below + ops.weighted(at_top, x.gather(1, index))
    total = x.exp_().scatter_(1, index, 0.0).sum(1, keepdim=True)
    return mass * ops.log1p(total) - below, total, greatest, index, mass, rest_of_mass


def slope_of_chunk(
    x: torch.Tensor, coefficient: torch.Tensor, total: torch.Tensor, index: torch.Tensor, mass: torch.Tensor,
    rest_of_mass: torch.Tensor, factor: torch.Tensor
) -> None:  # fmt: skip
    """Make x, as `nll_of_chunk` leaves it, the gradient by the logits times the factor."""
    x.mul_(mass / (1 + total) * factor).addcmul_(coefficient, factor, value=-1)
    x.scatter_(1, index, (rest_of_mass - mass * (total / (1 + total))) * factor)


class _SoftNll(torch.autograd.Function):
    """Use logsumexp = max + log1p(sum of the others), so that 1 - p of the greatest logit is never a difference."""

    @staticmethod
    def forward(ctx: Any, coefficients: Any, chunk: int, few: int, input: Any, target: Any, weight: Any,
                *shared: Any) -> Any:  # fmt: skip
        shape = input.shape[0], *shared[0].shape[1:-1]
        loss, *kept = (input.new_empty(shape) for _ in range(5))
        top = torch.empty(shape, dtype=torch.int64, device=input.device)
        given = () if weight is None else (weight,)
        for part, x in logit_chunks(chunk, input, shared):
            coefficient = coefficients(target[part], x, *given)
            found = nll_of_chunk(x, coefficient)
            loss[part], top[part] = found[0].squeeze(1), found[3].squeeze(1)
            for whole, some in zip(kept, (found[1], found[2], *found[4:]), strict=True):
                whole[part] = some.squeeze(1)
        ctx.coefficients, ctx.chunk, ctx.few, ctx.weighted = coefficients, chunk, few, len(given)
        ctx.save_for_backward(*kept, top, input, target, *given, *shared)
        return loss

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        others, greatest, mass, rest_of_mass, top, input, target, *rest = ctx.saved_tensors
        given, shared = rest[: ctx.weighted], rest[ctx.weighted :]
        wanted = ctx.needs_input_grad[3], *ctx.needs_input_grad[6:]
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            of_rows = plain(ctx.coefficients, len(shared) - 1)
            whole = lambda input, *shared: map_chunks(of_rows, ctx.few, (input, target), (*shared, *given))  # noqa: E731
            of_input, *of_shared = vjp(whole, wanted, (input, *shared), cotangent)
            return None, None, None, of_input, None, None, *of_shared
        sums = GradientSums(wanted, input, shared)
        for part, x in logit_chunks(ctx.chunk, input, shared):
            kept = [y[part].unsqueeze(1) for y in (others, top, mass, rest_of_mass, cotangent)]
            coefficient = ctx.coefficients(target[part], x, *given).scatter_(1, kept[1], 0.0)
            x.sub_(greatest[part].unsqueeze(1)).exp_().scatter_(1, kept[1], 0.0)
            slope_of_chunk(x, coefficient, *kept)
            sums.add(part, x)
        return None, None, None, sums.grads[0], None, None, *sums.grads[1:]
