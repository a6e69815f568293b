"""Cross entropy of a linear map's logits by the Triton kernels, a chunk of rows at a time, with three products.

For a mean or a sum the gradients are found in the forward pass, where the logits of a chunk are at hand: their product
is computed once, and one each gives the gradients by the input and the weight. They are kept in float32, for a
cotangent of 1; the backward pass multiplies by the cotangent and rounds, and leaves what is kept as it is for another
pass. With `'none'` the cotangent is not known before: a chunk's logits are computed again.

On a GPU bfloat16 factors are multiplied as they are, and summed in float32; the gradient by the logits, in float32, is
the sum of three bfloat16 matrices, so that each of the two products with it is three, and loses no digit. Elsewhere,
and for float16, whose range does not hold that gradient, factors are converted to float32.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch

from xloss.kernels.torch import Task, applies, check_device, check_labels, compute_dtype, load, refuse_probabilities
from xloss.ops import arguments
from xloss.ops import torch as ops
from xloss.ops.autocast_torch import without_autocast
from xloss.ops.linear_torch import vjp

__all__ = ["linear_cross_entropy"]

# Products of 16-bit factors with float32 sums, which torch has for GPUs since 2.8.
_HAS_WIDE_PRODUCT = "dtype" in torch.ops.aten.mm.overloads()


def linear_cross_entropy(
    backend: str, plain: Callable[..., Any], input: torch.Tensor, linear_weight: torch.Tensor, target: torch.Tensor,
    linear_bias: torch.Tensor | None, weight: torch.Tensor | None, ignore_index: int, reduction: Any,
    label_smoothing: Any, chunk: int
) -> Any:  # fmt: skip
    """Compute the loss of arguments whose shapes have been checked, by chunks of `chunk` rows.

    `plain(input, linear_weight=, linear_bias=, weight=, reduction=)` is the loss by plain operations.
    """
    kernels = load(backend)
    refuse_probabilities(backend, target)
    if linear_weight.ndim != 2:
        expected = f"shape (C, H), of which the kernels of backend {backend!r} are"
        arguments.raise_value_error("linear_weight", f"shape {tuple(linear_weight.shape)}", expected)
    check_device(backend, kernels, input)
    bias = () if linear_bias is None else (linear_bias,)
    named = {"linear_bias": linear_bias.new_empty(0)} if linear_bias is not None else {}
    *_, dtype = ops.validate_and_upcast(
        same_dtype=True, input=input.new_empty(0), linear_weight=linear_weight.new_empty(0),
        weight=None if weight is None else weight.new_empty(0), **named, optional=("weight",)
    )  # fmt: skip
    like = input.new_empty(0, dtype=compute_dtype(input))
    label_smoothing = ops.option("label_smoothing", label_smoothing, like, least=0, most=1)
    classes = linear_weight.shape[0]
    labels = check_labels(target, classes, ignore_index)
    if not applies(label_smoothing, weight, input, linear_weight, labels, *bias) or not (input.numel() and classes):
        return plain(
            input, linear_weight=linear_weight, linear_bias=linear_bias, weight=weight, reduction=reduction
        )  # fmt: skip
    task = Task.of(labels, weight, label_smoothing, ignore_index, classes, like)
    total = isinstance(reduction, str) and reduction in ("mean", "sum")
    by = task.denominator() if total and reduction == "mean" else None

    def whole(input: Any, linear_weight: Any, linear_bias: Any = None) -> Any:
        kept = reduction if total else "none"
        return plain(input, linear_weight=linear_weight, linear_bias=linear_bias, weight=weight, reduction=kept)

    loss = _LinearCrossEntropy.apply(input, linear_weight, linear_bias, _Call(task, chunk, whole, by, total))
    return loss.to(dtype) if total else ops.reduce(loss, reduction, dtype, weights=task.weights())


@dataclasses.dataclass(frozen=True)
class _Call:
    """What is constant in a call: `plain` of input, weight and bias, the denominator, and whether to add up."""

    task: Task
    chunk: int
    plain: Callable[..., Any]
    denominator: torch.Tensor | None
    total: bool


def multiplies_bfloat16(input: torch.Tensor) -> bool:
    """Tell whether factors are multiplied in bfloat16 and summed in float32."""
    return _HAS_WIDE_PRODUCT and input.is_cuda and input.dtype == torch.bfloat16


def wide_product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute x @ y of factors of one dtype, summed and returned in float32 where that is bfloat16."""
    return torch.mm(x, y, out_dtype=torch.float32) if x.dtype == torch.bfloat16 else torch.mm(x, y)


def product_of_parts(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute x @ y; where only y is bfloat16, of the three bfloat16 matrices whose sum is x: 24 bits, 8 in each."""
    if y.dtype == x.dtype:
        return torch.mm(x, y)
    found = torch.zeros((), device=x.device)
    for _ in range(3):
        part = x.to(y.dtype)
        x = x - part
        found = found + wide_product(part, y)
    return found


class _Chunks:
    """The logits by chunks, in the dtype of the sums, and the products that follow from their gradient."""

    def __init__(self, task: Task, chunk: int, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None):
        self.task, self.chunk, self.bias = task, chunk, bias
        self.dtype = input.dtype if multiplies_bfloat16(input) else task.dtype
        self.input, self.weight = input.reshape(-1, weight.shape[1]), weight.to(self.dtype)
        self.silent = (task.labels == task.ignore_index).reshape(-1, 1)

    def __iter__(self) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
        """Yield the rows of each chunk as a slice, their factor and their logits."""
        for start in range(0, self.input.shape[0], self.chunk):
            part = slice(start, start + self.chunk)
            # An ignored row reaches no gradient, not even by a NaN times 0.
            x = torch.where(self.silent[part], 0.0, self.input[part]).to(self.dtype)
            logits = wide_product(x, self.weight.T)
            yield part, x, logits if self.bias is None else logits.add_(self.bias)


class _Gradients:
    """Accumulate the gradients by input, weight and bias, where wanted."""

    def __init__(self, wanted: tuple[bool, ...], chunks: _Chunks):
        rows, features = chunks.input.shape
        classes = chunks.weight.shape[0]
        new, dtype = chunks.input.new_zeros, chunks.task.dtype
        shapes = (rows, features), (classes, features), (classes,)
        self.chunks = chunks
        self.grads = [new(s, dtype=dtype) if want else None for s, want in zip(shapes, wanted, strict=True)]

    def add(self, part: slice, x: torch.Tensor, slope: torch.Tensor) -> None:
        """Add what follows from `slope`, the gradient by the logits of the rows `part`."""
        by_input, by_weight, by_bias = self.grads
        if by_input is not None:
            by_input[part] = product_of_parts(slope, self.chunks.weight)
        if by_weight is not None:
            by_weight += product_of_parts(slope.T, x)
        if by_bias is not None:
            by_bias += slope.sum(0)


class _LinearCrossEntropy(torch.autograd.Function):
    """Compute the unreduced loss, or its sum over a denominator; in the dtype of the sums."""

    @staticmethod
    def forward(ctx: Any, input: Any, weight: Any, bias: Any, call: _Call) -> Any:
        task, wanted = call.task, ctx.needs_input_grad[:3]
        with without_autocast(input):
            chunks = _Chunks(task, call.chunk, input, weight, bias)
            fused = call.total and any(wanted)
            sums = _Gradients(wanted if fused else (False,) * 3, chunks)
            one = task.one(input)
            scale = one if call.denominator is None else one / call.denominator
            rows = chunks.input.shape[0]
            loss, kept = input.new_empty(rows, dtype=task.dtype), input.new_empty(rows, 2, dtype=task.dtype)
            for part, x, logits in chunks:
                loss[part], kept[part] = task.forward(logits, logits if fused else None, scale, part)
                if fused:  # the gradient by the logits is in their place
                    sums.add(part, x, logits)
        ctx.call, ctx.fused = call, fused
        ctx.save_for_backward(input, weight, bias, kept, *sums.grads)
        if not call.total:
            return loss.reshape(task.labels.shape)
        return loss.sum() if call.denominator is None else loss.sum() / call.denominator

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        input, weight, bias, kept, *grads = ctx.saved_tensors
        call: _Call = ctx.call
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            given = (input, weight) if bias is None else (input, weight, bias)
            plain = lambda *tensors: call.plain(*tensors).to(cotangent.dtype)  # noqa: E731
            found = vjp(plain, ctx.needs_input_grad[: len(given)], given, cotangent)
            return *found, *[None] * (4 - len(found))
        if not ctx.fused:
            grads = _again(ctx.needs_input_grad[:3], call, input, weight, bias, kept, cotangent)
            cotangent = None
        # Not in place: another backward pass, with another cotangent, starts from the same.
        scaled = (g if g is None or cotangent is None else g * cotangent for g in grads)
        shaped = zip(scaled, (input, weight, bias), strict=True)
        return *(None if g is None else g.reshape(x.shape).to(x.dtype) for g, x in shaped), None


def _again(wanted: Any, call: _Call, input: Any, weight: Any, bias: Any, kept: Any, cotangent: Any) -> Any:
    """Return the gradients for a cotangent of each row, from logits that are computed again."""
    with without_autocast(input):
        chunks = _Chunks(call.task, call.chunk, input, weight, bias)
        sums = _Gradients(wanted, chunks)
        scale = cotangent if cotangent.ndim == 0 else cotangent.reshape(-1)
        for part, x, logits in chunks:
            by = scale[part] if scale.ndim else scale
            call.task.backward(logits, kept[part], logits, by, None, part)
            sums.add(part, x, logits)
    return sums.grads
