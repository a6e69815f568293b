"""Cross entropy with soft targets of logits that are a linear map of the input, a chunk of rows at a time, in place.

Beside `linear_torch.py`, which has it for labels; JAX's compiler needs no such thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from xloss.ops import torch as ops
from xloss.ops.linear_torch import Sums, chunks, logits, over_rows, pull, transformed

# What plain operations hold of a chunk is some forty times its size, half of that in autograd's hands.
SMALLER = 8


def nll_of_rows(coefficients: Callable[..., Any], input: Any, target: Any, weight: Any, chunk: int, few: int,
                linear_weight: Any, *linear_bias: Any) -> Any:  # fmt: skip
    """Sum over classes of coefficient * -log softmax of the logits.

    `coefficients(target, logits, weight)` gives a new tensor like the logits, >= 0. Where derivatives by the target or the
    class weights, of higher order, or by another mechanism are asked for, it is plain operations on `few` rows at a time.
    """
    shared = (linear_weight, *linear_bias)
    given = () if weight is None else (weight,)
    if transformed(input, target, *given, *shared) or any(x.requires_grad for x in (target, *given)):
        return over_rows(_plain(coefficients, len(linear_bias)), few, (input, target), (*shared, *given))
    return _SoftNll.apply(coefficients, chunk, few, input, target, weight, *shared)


def _plain(coefficients: Callable[..., Any], biases: int) -> Callable[..., Any]:
    def whole(input: Any, target: Any, linear_weight: Any, *others: Any) -> Any:
        x = logits(input, linear_weight, *others[:biases])
        return ops.nll_of_logits_soft(x, coefficients(target, x, *others[biases:]), 1)

    return whole


class _SoftNll(torch.autograd.Function):
    """With the greatest logit apart: log sum exp is it + log1p(sum of the others), and 1 - its p is never a difference."""

    @staticmethod
    def forward(ctx: Any, coefficients: Any, chunk: int, few: int, input: Any, target: Any, weight: Any,
                *shared: Any) -> Any:  # fmt: skip
        shape = input.shape[0], *shared[0].shape[1:-1]
        loss, others, greatest = (input.new_empty(shape) for _ in range(3))
        top = torch.empty(shape, dtype=torch.int64, device=input.device)
        given = () if weight is None else (weight,)
        for part, x in chunks(chunk, input, shared):
            share = coefficients(target[part], x, *given)
            most, place = x.max(1, keepdim=True)
            x.sub_(most)
            below = (share * x).sum(1)
            total = x.exp_().scatter_(1, place, 0.0).sum(1)
            loss[part] = share.sum(1) * ops.log1p(total) - below
            others[part], greatest[part], top[part] = total, most.squeeze(1), place.squeeze(1)
        ctx.coefficients, ctx.chunk, ctx.few, ctx.weighted = coefficients, chunk, few, len(given)
        ctx.save_for_backward(others, greatest, top, input, target, *given, *shared)
        return loss

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        others, greatest, top, input, target, *rest = ctx.saved_tensors
        given, shared = rest[: ctx.weighted], rest[ctx.weighted :]
        wanted = ctx.needs_input_grad[3], *ctx.needs_input_grad[6:]
        if torch.is_grad_enabled() or transformed(cotangent):  # to be differentiated, or many at once
            plain = _plain(ctx.coefficients, len(shared) - 1)
            whole = lambda input, *shared: over_rows(plain, ctx.few, (input, target), (*shared, *given))  # noqa: E731
            of_input, *of_shared = pull(whole, wanted, (input, *shared), cotangent)
            return None, None, None, of_input, None, None, *of_shared
        sums = Sums(wanted, input, shared)
        for part, x in chunks(ctx.chunk, input, shared):
            share, place, total = (
                ctx.coefficients(target[part], x, *given),
                top[part].unsqueeze(1),
                others[part].unsqueeze(1),
            )
            mass = share.sum(1, keepdim=True)
            x.sub_(greatest[part].unsqueeze(1)).exp_().mul_(mass / (1 + total)).sub_(share)
            rest_of_mass = share.scatter_(1, place, 0.0).sum(1, keepdim=True)
            x.scatter_(1, place, rest_of_mass - mass * (total / (1 + total)))
            sums.add(part, x.mul_(cotangent[part].unsqueeze(1)))
        return None, None, None, sums.grads[0], None, None, *sums.grads[1:]
