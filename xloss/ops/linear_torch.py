"""A loss of logits that are a linear map of the input, a chunk of rows at a time, so that the logits are never held whole.

`linear_jax.py` has the same names in the same order. What a chunk computes is computed again where a gradient asks for
it, instead of being stored: in PyTorch by `_Again`, through which all of autograd and `torch.func` pass (`checkpoint`
refuses the latter), and for plain gradients of class indices by `_Nll`, which works in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from xloss.ops import arguments
from xloss.ops import torch as ops
from xloss.ops.linear import rows_per_chunk

__all__ = ["add_where", "logits", "nll_of_rows", "over_rows", "validate_given"]


def validate_given(**tensors: Any) -> tuple[Any, ...]:
    """Refuse what is no tensor; None passes under `linear_bias` and `weight`."""
    for name, tensor in tensors.items():
        absent = tensor is None and name in ("linear_bias", "head_bias", "weight")
        if not absent and not isinstance(tensor, torch.Tensor):
            arguments.raise_type_error(name, type(tensor).__name__, "a torch.Tensor")
    return tuple(tensors.values())


def logits(input: Any, linear_weight: Any, linear_bias: Any = None) -> Any:
    """Of rows (N, in_features) and a weight (C, ..., in_features): (N, C, ...)."""
    flat = linear_weight.reshape(-1, linear_weight.shape[-1])
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    return torch.nn.functional.linear(input, flat, bias).reshape(input.shape[0], *linear_weight.shape[:-1])


def nll_of_rows(input: Any, labels: Any, chunk: int, linear_weight: Any, *linear_bias: Any) -> Any:
    """-log softmax of the logits at the labels, a chunk of rows at a time."""
    shared = (linear_weight, *linear_bias)
    if transformed(input, labels, *shared):
        return over_rows(_nll, chunk, (input, labels), shared)
    return _Nll.apply(chunk, input, labels, *shared)


def over_rows(function: Callable[..., Any], chunk: int, rows: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
    """`function(*rows, *shared)` for chunks of the rows, put together; its intermediate results are not kept for gradients.

    All of the rows at once where they are one chunk: there is nothing to be saved then.
    """
    if rows[0].shape[0] <= chunk:
        return function(*rows, *shared)
    parts = zip(*(tensor.split(chunk) for tensor in rows), strict=True)
    return torch.cat([_again(function, *part, *shared) for part in parts])


def add_where(inside: Any, loss: Any, input: Any, labels: Any, projection: Any, linear_weight: Any) -> Any:
    """Add to the loss of the rows under the mask -log softmax of (input projection^T) linear_weight^T at the labels.

    For these rows alone, where their number may be looked at.
    """
    chunk = rows_per_chunk(input.shape[0], linear_weight.shape[0])
    if not (torch.compiler.is_compiling() or _wrapped(inside)):
        rows = inside.nonzero().squeeze(1)
        some = nll_of_rows(logits(input[rows], projection), labels[rows], chunk, linear_weight)
        return loss.index_add(0, rows, some)
    # A row that is not meant is 0: whatever it holds reaches no gradient.
    input, labels = torch.where(inside.unsqueeze(1), input, 0.0), torch.where(inside, labels, 0)
    every = nll_of_rows(logits(input, projection), labels, chunk, linear_weight)
    return loss + torch.where(inside, every, 0.0)


def _nll(input: Any, labels: Any, *shared: Any) -> Any:
    return ops.nll_of_logits(logits(input, *shared), labels, 1)


def transformed(*tensors: Any) -> bool:
    """Whether autograd is not alone: while compiling, inside `torch.func`, in forward mode, on tensors of other kinds."""
    if torch.compiler.is_compiling() or torch.autograd.forward_ad._current_level >= 0:
        return True
    return any(map(_wrapped, tensors))


def _wrapped(tensor: Any) -> bool:
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    mapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor) or torch._C._functorch.is_legacy_batchedtensor(
        tensor
    )
    return not plain or mapped


class _Nll(torch.autograd.Function):
    """`_nll` of all rows: one buffer holds the logits of a chunk, and then their gradient; weights' gradients are added up.

    The gradient is that of softplus(logsumexp of the others - the one at the label), as in `nll_of_logits`.
    """

    @staticmethod
    def forward(ctx: Any, chunk: int, input: Any, labels: Any, *shared: Any) -> Any:
        loss, slope, scale, greatest = (input.new_empty(labels.shape) for _ in range(4))
        for part, x in chunks(chunk, input, shared):
            index = labels[part].unsqueeze(1)
            picked = x.gather(1, index)
            top = x.scatter_(1, index, -torch.inf).amax(1, keepdim=True)
            top.masked_fill_(top == -torch.inf, 0.0)
            total = x.sub_(top).exp_().sum(1, keepdim=True)
            gap = (top - picked) + torch.log(total)
            gap.masked_fill_(picked == torch.inf, torch.nan)  # an infinite logit has no probability
            share = torch.sigmoid(gap)
            loss[part] = ops.softplus(gap).squeeze(1)
            slope[part], greatest[part] = share.squeeze(1), top.squeeze(1)
            scale[part] = torch.where(total == 0, 0.0, share / total).squeeze(1)
        ctx.chunk = chunk
        ctx.save_for_backward(slope, scale, greatest, input, labels, *shared)
        return loss

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        slope, scale, greatest, input, labels, *shared = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1], *ctx.needs_input_grad[3:]
        if torch.is_grad_enabled() or transformed(cotangent):  # to be differentiated, or many at once
            whole = lambda input, *shared: over_rows(_nll, ctx.chunk, (input, labels), shared)  # noqa: E731
            of_input, *of_shared = pull(whole, wanted, (input, *shared), cotangent)
            return None, of_input, None, *of_shared
        scale, slope = scale * cotangent, slope * cotangent
        sums = Sums(wanted, input, shared)
        for part, x in chunks(ctx.chunk, input, shared):
            x.sub_(greatest[part].unsqueeze(1)).exp_().mul_(scale[part].unsqueeze(1))
            x.scatter_(1, labels[part].unsqueeze(1), -slope[part].unsqueeze(1))
            sums.add(part, x)
        return None, sums.grads[0], None, *sums.grads[1:]


class Sums:
    """The gradients of input, weight and bias where they are wanted, of those of the logits, a chunk at a time."""

    def __init__(self, wanted: Any, input: Any, shared: Any):
        given = zip((input, *shared), wanted, strict=True)
        self.grads: list[Any] = [x.new_zeros(x.shape) if want else None for x, want in given]
        self.input, self.flat = input, shared[0].reshape(-1, input.shape[1])

    def add(self, part: slice, slope: Any) -> None:
        """Add those of the rows of a chunk."""
        slope = slope.flatten(1)
        if self.grads[0] is not None:
            torch.mm(slope, self.flat, out=self.grads[0][part])
        if self.grads[1] is not None:
            self.grads[1].view(self.flat.shape).addmm_(slope.T, self.input[part])
        if any(grad is not None for grad in self.grads[2:]):
            self.grads[2] += slope.sum(0).view(self.grads[2].shape)


def chunks(chunk: int, input: Any, shared: Any) -> Any:
    """The rows of each chunk, as a slice, and their logits, in one buffer for all."""
    size, shape = input.shape[0], shared[0].shape[:-1]
    flat = shared[0].reshape(-1, input.shape[1])
    buffer = input.new_empty(min(chunk, size), flat.shape[0])
    for start in range(0, size, chunk):
        part = slice(start, min(start + chunk, size))
        x = torch.mm(input[part], flat.T, out=buffer[: part.stop - start])
        x = x.add_(shared[1].reshape(-1)) if len(shared) > 1 else x
        yield part, x.view(part.stop - start, *shape)


def _again(function: Callable[..., Any], *tensors: Any) -> Any:
    """`function(*tensors)`, one tensor, of which nothing is kept for the gradient but the tensors.

    Forward mode stores nothing, and through nested ones the rule of a Function gives wrong numbers: there, plain operations.
    The compiler would merge the two computations of a Function into one and store that, but not those of `checkpoint`,
    which in turn refuses `torch.func`.
    """
    if torch.autograd.forward_ad._current_level >= 0:
        return function(*tensors)
    if not torch.compiler.is_compiling():
        return _Again.apply(function, *tensors)
    return function(*tensors) if _in_func() else checkpoint(function, *tensors, use_reentrant=False)


@torch.compiler.assume_constant_result
def _in_func() -> bool:
    """Whether a transformation of `torch.func` is being traced."""
    return bool(torch._C._functorch.get_interpreter_stack())


class _Again(torch.autograd.Function):
    """Computes once more in the backward pass, where it is this very thing again: so derivatives of any order pass."""

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
        return None, *pull(ctx.function, wanted, tensors, cotangent, again=True)


def _held(function: Callable[..., Any], tensors: Any, chosen: list[int]) -> Callable[..., Any]:
    """`function` of the chosen tensors."""

    def of(*values: Any) -> Any:
        given = dict(zip(chosen, values, strict=True))
        return function(*(given.get(number, tensor) for number, tensor in enumerate(tensors)))

    return of


def pull(function: Callable[..., Any], wanted: Any, tensors: Any, cotangent: Any, again: bool = False) -> list[Any]:
    """The gradient for each tensor that is wanted, None for the others; with `again`, itself not stored."""
    chosen = [number for number, want in enumerate(wanted) if want]

    cotangents = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    several = len(cotangents)

    def back_through(*given: Any) -> Any:
        cotangents, tensors = given[:several], given[several:]
        point = [tensors[number] for number in chosen]
        back = torch.func.vjp(_held(function, tensors, chosen), *point)[1]
        grads = back(cotangents if several > 1 else cotangents[0])
        return grads if len(grads) > 1 else grads[0]

    found = _again(back_through, *cotangents, *tensors) if again else back_through(*cotangents, *tensors)
    found = iter(found if isinstance(found, tuple) else (found,))
    return [next(found) if want else None for want in wanted]
