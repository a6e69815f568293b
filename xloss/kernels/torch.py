"""Cross entropy by the Triton kernels: the gradient by the logits is found with the loss, in the pass that reads them.

For a mean or a sum the gradient is written in the forward pass, for a cotangent of 1. The backward pass compares the
cotangent with it on the device, without waiting; another one is a pass more, over the logits, not over the gradient,
which is rounded once. With `'none'`, and for float16 logits, whose range does not hold gradients divided by the number
of rows, the gradient is left to the backward pass.

What kernels do not do is computed by the plain operations of the loss: what is transformed or traced (`torch.func`,
forward mode, `torch.compile`, tensor subclasses), derivatives of the gradient, and those by class weights and by the
smoothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch

from xloss.ops import arguments
from xloss.ops import torch as ops
from xloss.ops.linear_torch import vjp

__all__ = ["cross_entropy"]

# Classes that a program loads at once; more of them are more registers a thread.
MOST_CLASSES = 4096


def cross_entropy(
    backend: str, plain: Callable[..., Any], input: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None,
    ignore_index: int, reduction: Any, label_smoothing: Any, axis: int
) -> Any:  # fmt: skip
    """Compute the cross entropy of logits and class indices, whose shapes have been checked.

    `plain(input, weight=, reduction=)` is the loss by plain operations.
    """
    kernels = load(backend)
    refuse_probabilities(backend, target)
    check_device(backend, kernels, input)
    *_, dtype = ops.validate_and_upcast(
        same_dtype=True, input=input.new_empty(0), weight=None if weight is None else weight.new_empty(0),
        optional=("weight",)
    )  # fmt: skip
    like = input.new_empty(0, dtype=compute_dtype(input))
    label_smoothing = ops.option("label_smoothing", label_smoothing, like, least=0, most=1)
    labels = check_labels(target, input.shape[axis], ignore_index)
    if not applies(label_smoothing, weight, input, labels) or not input.numel():
        return plain(input, weight=weight, reduction=reduction)
    task = Task.of(labels, weight, label_smoothing, ignore_index, input.shape[axis], like)
    if reduction in ("mean", "sum") and isinstance(reduction, str):
        whole = functools.partial(plain, weight=weight, reduction=reduction)
        by = task.denominator() if reduction == "mean" else None
        return _CrossEntropy.apply(input, task, axis, whole, by, True).to(dtype)
    whole = functools.partial(plain, weight=weight, reduction="none")
    loss = _CrossEntropy.apply(input, task, axis, whole, None, False)
    return ops.reduce(loss, reduction, dtype, weights=task.weights())


def load(backend: str) -> Any:
    """Return the module of the kernels; `ValueError` for another backend, `ImportError` where it is not installed."""
    if backend != "triton":
        arguments.raise_value_error("backend", repr(backend), "None or 'triton', the backend in PyTorch")
    try:
        from xloss.kernels import triton_kernels
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise ImportError("backend: 'triton' needs the package triton, which xloss[kernels] installs") from error
    return triton_kernels


def is_interpreted(kernels: Any) -> bool:
    """Tell whether the kernels were loaded under TRITON_INTERPRET=1: they run in NumPy, on tensors of the CPU."""
    import triton

    return not isinstance(kernels.forward, triton.JITFunction)


def check_device(backend: str, kernels: Any, input: torch.Tensor) -> None:
    """Refuse tensors that are not on a device that kernels are compiled for; `meta` has only shapes."""
    kind = input.device.type
    if kind != "meta" and (kind == "cpu") != is_interpreted(kernels):
        expected = "the CPU, under TRITON_INTERPRET=1" if is_interpreted(kernels) else "a GPU"
        arguments.raise_value_error("backend", f"tensors on {input.device}", f"for {backend!r}, tensors on {expected}")


def refuse_probabilities(backend: str, target: torch.Tensor) -> None:
    """Refuse class probabilities."""
    if target.is_floating_point():
        expected = f"class indices, of which the kernels of backend {backend!r} are"
        arguments.raise_value_error("target", f"probabilities, of dtype {target.dtype}", expected)


def check_labels(target: Any, classes: int, ignore_index: int) -> torch.Tensor:
    """Return labels as int64; raise for one that is out of range, where values can be read."""
    labels = ops.as_indices(target)
    if ops.concrete(labels):
        ops.validate_labels(labels, classes, ignore_index)
    return labels


def applies(label_smoothing: Any, weight: torch.Tensor | None, *tensors: torch.Tensor) -> bool:
    """Tell whether kernels may be taken: plain autograd is at work, not by class weights or a learned smoothing."""
    if isinstance(label_smoothing, torch.Tensor) or any(x.device.type == "meta" for x in tensors):
        return False
    given = () if weight is None else (weight,)
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in given)
    return not (wanted or ops.is_transformed(*tensors, *given))


def compute_dtype(x: torch.Tensor) -> torch.dtype:
    """Return the dtype of the sums."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


@dataclasses.dataclass(frozen=True)
class Task:
    """What is constant in a loss: the labels, the class weights, the smoothing; and the launches of the kernels."""

    labels: torch.Tensor
    weight: torch.Tensor | None
    smoothing: torch.Tensor | None
    most: torch.Tensor | None
    ignore_index: int
    classes: int
    dtype: torch.dtype

    @classmethod
    def of(cls, labels: torch.Tensor, weight: torch.Tensor | None, label_smoothing: float, ignore_index: int,
           classes: int, like: torch.Tensor) -> Task:  # fmt: skip
        """Return the task; the numbers of the smoothing are computed on the device, in the dtype of `like`."""
        weight = None if weight is None else weight.detach().contiguous()
        smoothing = most = None
        if label_smoothing:
            share = like.new_ones(1) if weight is None else weight.to(like.dtype)
            share = share * (label_smoothing / classes)
            most, greatest = share.argmax(0), share.amax()
            total = share.sum() * (classes if weight is None else 1)
            without = share.scatter(0, most.unsqueeze(0), 0.0).sum()
            without = total * ((classes - 1) / classes) if weight is None else without
            hard, each = (like.new_full((), number) for number in (1 - label_smoothing, label_smoothing / classes))
            smoothing = torch.stack([hard, each, total, without, greatest])
        return cls(labels.contiguous(), weight, smoothing, most, ignore_index, classes, like.dtype)

    def weights(self) -> torch.Tensor:
        """Return the weight of each label, 0 where it is ignored; a label out of range has some weight."""
        ignored = self.labels == self.ignore_index
        safe = torch.where((self.labels < 0) | (self.labels >= self.classes), 0, self.labels)
        weight = None if self.weight is None else self.weight.to(self.dtype)
        return ops.label_weights(weight, safe, ignored, self.dtype)

    def one(self, like: torch.Tensor) -> torch.Tensor:
        """Return the cotangent of a loss that is differentiated itself."""
        return like.new_ones((), dtype=self.dtype)

    def denominator(self) -> torch.Tensor:
        """Return the denominator of the mean."""
        return self.weights().sum()

    def _launch(self, kernel: Any, x: torch.Tensor, *given: Any, strides: tuple[int, ...], rows: slice = slice(None),
                **flags: bool) -> None:  # fmt: skip
        labels = self.labels.reshape(-1)[rows]
        empty = labels if self.weight is None else self.weight
        smoothing, most = (empty, labels) if self.smoothing is None else (self.smoothing, self.most)
        block = block_of(self.classes)
        with on_device(x):
            kernel[(x.shape[0],)](
                x, labels, empty, smoothing, most, *given, x.stride(0), *strides, self.ignore_index,
                CLASSES=self.classes, WEIGHTED=self.weight is not None, SMOOTH=self.smoothing is not None, **flags,
                BLOCK=block, ACC=triton_dtype(self.dtype), num_warps=warps(block),
            )  # fmt: skip

    def forward(self, x: torch.Tensor, slope: torch.Tensor | None, scale: torch.Tensor | None,
                rows: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Return the loss of each row of x, and what is kept for `backward`; write `slope`, the gradient times `scale`.

        `rows` are those of the labels that belong to x.
        """
        loss, kept = x.new_empty(x.shape[0], dtype=self.dtype), x.new_empty(x.shape[0], 2, dtype=self.dtype)
        out = x if slope is None else slope
        self._launch(
            load("triton").forward, x, loss, kept, out, loss if scale is None else scale, strides=(out.stride(0),),
            rows=rows, SLOPE=slope is not None,
        )  # fmt: skip
        return loss, kept

    def backward(self, x: torch.Tensor, kept: torch.Tensor, slope: torch.Tensor, scale: torch.Tensor,
                 held: torch.Tensor | None, rows: slice = slice(None)) -> None:  # fmt: skip
        """Write the gradient times `scale`, of shape () or one a row, unless `slope` is it already: times `held`."""
        step = scale.stride(0) if scale.ndim else 0
        self._launch(
            load("triton").backward, x, kept, slope, scale, scale if held is None else held,
            strides=(slope.stride(0), step), rows=rows, HELD=held is not None,
        )  # fmt: skip


def on_device(x: torch.Tensor) -> Any:
    """Return the context in which the tensor's GPU is the current one, which is where Triton launches."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def block_of(classes: int) -> int:
    """Return how many classes a program loads at once, a power of 2."""
    return min(MOST_CLASSES, 1 << max(4, (classes - 1).bit_length()))


def warps(block: int) -> int:
    """Return the warps of a program, for 16 classes a thread; powers of 2."""
    return max(1, min(8, block // 512))


def triton_dtype(dtype: torch.dtype) -> Any:
    """Return Triton's name of a dtype."""
    import triton.language as tl

    return tl.float64 if dtype == torch.float64 else tl.float32


def as_rows(input: torch.Tensor, axis: int) -> torch.Tensor:
    """Return logits (rows, classes), the classes adjacent in memory."""
    rows = input.movedim(axis, -1).reshape(-1, input.shape[axis])
    return rows if rows.stride(1) == 1 else rows.contiguous()


def empty_slope(x: torch.Tensor) -> torch.Tensor:
    """Return where the gradient goes; Triton's interpreter, other than a GPU, truncates to bfloat16: float32 there."""
    narrow = x.dtype == torch.bfloat16 and is_interpreted(load("triton"))
    return torch.empty(x.shape, dtype=torch.float32 if narrow else x.dtype, device=x.device)


class _CrossEntropy(torch.autograd.Function):
    """Compute the unreduced loss or, with `total`, its sum over a denominator; in the dtype of the sums."""

    @staticmethod
    def forward(ctx: Any, input: Any, task: Task, axis: int, plain: Any, denominator: Any, total: bool) -> Any:
        x = as_rows(input, axis)
        slope = scale = None
        if total and ctx.needs_input_grad[0] and input.dtype != torch.float16:
            slope = empty_slope(x)
            one = task.one(x)
            scale = one if denominator is None else one / denominator
        loss, kept = task.forward(x, slope, scale)
        ctx.task, ctx.axis, ctx.plain, ctx.denominator, ctx.held = task, axis, plain, denominator, (slope, scale)
        ctx.save_for_backward(input, kept)
        if not total:
            return loss.reshape(task.labels.shape)
        return loss.sum() if denominator is None else loss.sum() / denominator

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        input, kept = ctx.saved_tensors
        task: Task = ctx.task
        if torch.is_grad_enabled() or ops.is_transformed(cotangent):  # double backward, or vmap
            return vjp(lambda x: ctx.plain(x).to(cotangent.dtype), (True,), (input,), cotangent)[0], *[None] * 5
        x = as_rows(input, ctx.axis)
        # Handed over: it becomes the gradient. A second backward pass makes its own.
        (slope, held), ctx.held = ctx.held, (None, None)
        scale = cotangent.reshape(-1) if cotangent.ndim else cotangent
        scale = scale if ctx.denominator is None else scale / ctx.denominator
        slope = empty_slope(x) if slope is None else slope
        task.backward(x, kept, slope, scale, held)
        slope = slope.to(x.dtype).reshape(*task.labels.shape, task.classes)
        return slope.movedim(-1, ctx.axis), *[None] * 5
