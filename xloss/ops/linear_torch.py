"""Losses of logits that are a linear map of the input, by chunks of rows: the logits are never held whole.

`linear_jax.py` has the same names in the same order. Gradients recompute a chunk instead of storing it: in PyTorch by
`_Recompute`, which supports all of autograd and `torch.func` (`checkpoint` refuses the latter), and for plain gradients
of class indices by `_Nll`, which works in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from xloss.ops import linear
from xloss.ops import torch as ops
from xloss.ops.autocast_torch import in_functorch, product

__all__ = ["add_cluster_nll", "logits", "map_chunks", "nll_of_rows", "rows_per_chunk"]


def rows_per_chunk(
    rows: int, columns: int, chunk_size: int | None = None, options: Any = None, divisor: int = 1
) -> int:
    """Return `xloss.ops.linear.rows_per_chunk`; while exporting, where the number of rows may vary, all of them."""
    if not ops._is_exporting():
        return linear.rows_per_chunk(rows, columns, chunk_size, options, divisor)
    linear.rows_per_chunk(1, columns, chunk_size, options, divisor)  # refuses what is no chunk size
    return rows


def logits(input: torch.Tensor, linear_weight: torch.Tensor, linear_bias: torch.Tensor | None = None) -> torch.Tensor:
    """Compute the logits (N, C, ...) of rows (N, H), for a weight (C, ..., H) and a bias (C, ...)."""
    flat = linear_weight.flatten(0, -2)
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    return product(input, flat.mT, bias).reshape(input.shape[0], *linear_weight.shape[:-1])


def nll_of_rows(
    input: torch.Tensor, labels: torch.Tensor, chunk: int, linear_weight: torch.Tensor, *linear_bias: torch.Tensor
) -> torch.Tensor:
    """Compute -log softmax of the logits at the labels, by chunks of `chunk` rows."""
    shared = (linear_weight, *linear_bias)
    if ops.is_transformed(input, labels, *shared):
        return map_chunks(nll, chunk, (input, labels), shared)
    return _Nll.apply(chunk, input, labels, *shared)


def map_chunks(
    function: Callable[..., torch.Tensor], chunk: int, rows: tuple[torch.Tensor, ...], shared: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """Concatenate `function(*rows, *shared)` of chunks of the rows; what it stores for gradients is recomputed instead.

    Rows of a single chunk are computed as they are: recomputing would save no memory.
    """
    if rows[0].shape[0] <= chunk:
        return function(*rows, *shared)
    found = []
    for start in range(0, rows[0].shape[0], chunk):
        part = [tensor[start : start + chunk] for tensor in rows]
        found.append(_recompute(function, *part, *shared))
    return torch.cat(found)


def add_cluster_nll(
    inside: torch.Tensor,
    loss: torch.Tensor,
    input: torch.Tensor,
    labels: torch.Tensor,
    projection: torch.Tensor,
    linear_weight: torch.Tensor,
) -> torch.Tensor:
    """Add -log softmax of (input projection^T) linear_weight^T at the labels to the loss of the rows under the mask.

    Computed for these rows alone where their number may be read: not while tracing, under `torch.func`, or on an
    accelerator, which would have to be waited for, and no graph of whose kernels could be captured.
    """
    chunk = rows_per_chunk(input.shape[0], linear_weight.shape[0])
    if ops.concrete(inside) and not ops.is_wrapped(inside):
        rows = inside.nonzero().squeeze(1)
        some = nll_of_rows(logits(input[rows], projection), labels[rows], chunk, linear_weight)
        return loss.index_add(0, rows, some)
    # Other rows are set to 0, so that a NaN in them reaches no gradient.
    input, labels = torch.where(inside.unsqueeze(1), input, 0.0), torch.where(inside, labels, 0)
    every = nll_of_rows(logits(input, projection), labels, chunk, linear_weight)
    return loss + torch.where(inside, every, 0.0)


def nll(input: torch.Tensor, labels: torch.Tensor, *shared: torch.Tensor) -> torch.Tensor:
    """Compute -log softmax of the logits of all rows at the labels."""
    return ops.nll_of_logits(logits(input, *shared), labels, 1)


def nll_of_chunk(x: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Compute `nll` of logits x, which become exp(x - greatest), 0 at the index, the greatest logit not being that.

    Return, all with the axis of the classes, the loss, minus the gradient at the index, by what x is to be multiplied
    for the others, and the greatest.
    """
    picked = x.gather(1, index)
    top = x.scatter_(1, index, -torch.inf).amax(1, keepdim=True)
    top.masked_fill_(top == -torch.inf, 0.0)
    total = x.sub_(top).exp_().sum(1, keepdim=True)
    gap = (top - picked) + torch.log(total)
    gap.masked_fill_(picked == torch.inf, torch.nan)  # an infinite logit has no probability
    one_minus_p = torch.sigmoid(gap)
    scale = torch.where(total == 0, 0.0, one_minus_p / total)
    return ops.softplus(gap), one_minus_p, scale, top


class _Nll(torch.autograd.Function):
    """Compute `nll` with one buffer, for a chunk's logits and then their gradient; other gradients are accumulated.

    The gradient is that of softplus(logsumexp of the other logits - the logit at the label), as in `nll_of_logits`.
    """

    @staticmethod
    def forward(ctx: Any, chunk: int, input: Any, labels: Any, *shared: Any) -> Any:
        loss, slope, scale, greatest = (input.new_empty(labels.shape) for _ in range(4))
        for part, x in logit_chunks(chunk, input, shared):
            found = nll_of_chunk(x, labels[part].unsqueeze(1))
            loss[part], slope[part], scale[part], greatest[part] = (y.squeeze(1) for y in found)
        ctx.chunk = chunk
        ctx.save_for_backward(slope, scale, greatest, input, labels, *shared)
        return loss

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        slope, scale, greatest, input, labels, *shared = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1], *ctx.needs_input_grad[3:]
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            whole = lambda input, *shared: map_chunks(nll, ctx.chunk, (input, labels), shared)  # noqa: E731
            of_input, *of_shared = vjp(whole, wanted, (input, *shared), cotangent)
            return None, of_input, None, *of_shared
        scale, slope = scale * cotangent, slope * cotangent
        sums = GradientSums(wanted, input, shared)
        for part, x in logit_chunks(ctx.chunk, input, shared):
            x.sub_(greatest[part].unsqueeze(1)).exp_().mul_(scale[part].unsqueeze(1))
            x.scatter_(1, labels[part].unsqueeze(1), -slope[part].unsqueeze(1))
            sums.add(part, x)
        return None, sums.grads[0], None, *sums.grads[1:]


class GradientSums:
    """Accumulate the gradients by input, weight and bias, where wanted, from chunks of the gradient by the logits."""

    def __init__(self, wanted: tuple[bool, ...], input: torch.Tensor, shared: Sequence[torch.Tensor]):
        given = zip((input, *shared), wanted, strict=True)
        self.grads: list[Any] = [x.new_zeros(x.shape) if want else None for x, want in given]
        self.input, self.flat = input, shared[0].flatten(0, -2)

    def add(self, part: slice, slope: torch.Tensor) -> None:
        """Add what follows from `slope`, the gradient by the logits of the rows `part`."""
        slope = slope.flatten(1)
        if self.grads[0] is not None:
            torch.mm(slope, self.flat, out=self.grads[0][part])
        if self.grads[1] is not None:
            self.grads[1].view(self.flat.shape).addmm_(slope.T, self.input[part])
        if any(grad is not None for grad in self.grads[2:]):
            self.grads[2] += slope.sum(0).view(self.grads[2].shape)


def logit_chunks(
    chunk: int, input: torch.Tensor, shared: Sequence[torch.Tensor]
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield the rows of each chunk, as a slice, and their logits, all in one buffer."""
    size, shape = input.shape[0], shared[0].shape[:-1]
    flat = shared[0].flatten(0, -2)
    buffer = input.new_empty(min(chunk, size), flat.shape[0])
    for start in range(0, size, chunk):
        part = slice(start, min(start + chunk, size))
        x = torch.mm(input[part], flat.T, out=buffer[: part.stop - start])
        x = x.add_(shared[1].reshape(-1)) if len(shared) > 1 else x
        yield part, x.view(part.stop - start, *shape)


def _recompute(function: Callable[..., Any], *tensors: torch.Tensor) -> Any:
    """Compute `function(*tensors)`, storing for its gradient nothing but the tensors.

    Forward mode stores nothing, and nested in forward mode a Function gives wrong numbers: there, plain operations. The
    compiler would merge the two computations of a Function into one and store its results, but not those of
    `checkpoint`, which in turn refuses `torch.func`.
    """
    if torch.autograd.forward_ad._current_level >= 0:
        return function(*tensors)
    if not torch.compiler.is_compiling():
        return _Recompute.apply(function, *tensors)
    return function(*tensors) if in_functorch() else checkpoint(function, *tensors, use_reentrant=False)


class _Recompute(torch.autograd.Function):
    """Compute again in the backward pass, itself a recomputed function: so it has derivatives of any order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(function: Callable[..., Any], *tensors: Any) -> Any:
        return function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004 - torch's signature
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[1:]
        cotangent = cotangents if len(cotangents) > 1 else cotangents[0]
        return None, *vjp(ctx.function, wanted, tensors, cotangent, recompute=True)


def vjp(function: Callable[..., Any], wanted: Sequence[bool], tensors: Sequence[torch.Tensor], cotangent: Any,
        recompute: bool = False) -> list[torch.Tensor | None]:  # fmt: skip
    """Return the gradient by each tensor that is wanted, None for the others; `recompute`: store nothing for its own.

    `cotangent` is a tuple where `function` returns several tensors.
    """
    chosen = [number for number, want in enumerate(wanted) if want]
    cotangents = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    count = len(cotangents)

    def backward(*given: torch.Tensor) -> Any:
        cotangents, tensors = given[:count], given[count:]

        def of_chosen(*values: torch.Tensor) -> Any:
            replaced = dict(zip(chosen, values, strict=True))
            return function(*(replaced.get(number, tensor) for number, tensor in enumerate(tensors)))

        pullback = torch.func.vjp(of_chosen, *(tensors[number] for number in chosen))[1]
        grads = pullback(cotangents if count > 1 else cotangents[0])
        return grads if len(grads) > 1 else grads[0]

    found = _recompute(backward, *cotangents, *tensors) if recompute else backward(*cotangents, *tensors)
    grads = iter(found if isinstance(found, tuple) else (found,))
    return [next(grads) if want else None for want in wanted]
