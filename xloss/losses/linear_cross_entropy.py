r"""Cross entropy of the logits of a linear map, computed without holding all logits in memory.

Formula: `cross_entropy` of the logits z[n, c] = sum_h input[n, h] linear_weight[c, h] + linear_bias[c], with
log p = z - logsumexp(z) over the classes. The logits are computed a chunk of rows at a time, and once more for the
gradient: beside the arguments and their gradients, memory holds one chunk of logits (a few times that for second
derivatives, and for class probabilities or label smoothing).

Args:
    input: shape (H) or (N, H).
    linear_weight: shape (C, H) or, with a batch, (C, d1, ..., dK, H); the dtype of `input`.
    target: class indices, shape (), (N) or (N, d1, ..., dK) (torch: int64 or uint8, JAX: any integer dtype), or class
        probabilities, floating, shape (C), (N, C) or (N, C, d1, ..., dK).
    linear_bias: shape (C) or (C, d1, ..., dK), the dtype of `input`, or None.
    weight: one for each class, shape (C), or None; for class indices, the dtype of `input`.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, with the denominators of `cross_entropy`.
    ignore_index: the label that counts neither in the sum nor in the denominator; for indices only. Default: None,
        which means -100.
    label_smoothing: in [0, 1]. Default: 0.0.
    options: torch.nn.LinearCrossEntropyOptions, whose `batch_chunk_size` is taken as `chunk_size` where that is None;
        its other fields trade precision for memory and have no effect here.
    chunk_size: rows of a chunk. Default: None, for about 2^23 logits a chunk, but at least 256 rows.
    backend: None, or for class indices and a weight (C, H) the kernels of `xloss.kernels`: `'triton'` in PyTorch,
        `'pallas'` in JAX, which take three products for the gradients of a mean or a sum. Where a derivative by the
        class weights, or more than reverse mode, is asked, plain operations are taken. Default: None.

Returns: shape () for `'mean'` and `'sum'`, that of the logits without the classes for `'none'`; the dtype of `input`
(for probabilities the widest of `input`, `target` and `weight`).

Domain: all reals; a class of logit -inf (by its bias) and probability 0 is left out; with H = 0 the logits are the
bias. Gradient: to every floating argument; as in `cross_entropy`, value and gradient of a confident prediction keep
their relative accuracy. All transformations are supported; a reverse pass over PyTorch's forward mode, or of
`torch.func` under `torch.compile`, needs the memory of plain operations.
Errors: `ValueError` for shapes, reductions, options, an `ignore_index` set along with probabilities, and for labels
outside [0, C) where their values are known (concrete, on the CPU); elsewhere the value of such a row and the gradients
from it are NaN. `TypeError` for dtypes. An ignored row contributes nothing, even if it holds a NaN: the gradients from
it are 0.
Identities: `cross_entropy` of the logits.

>>> import numpy as np, xloss.jax
>>> x, w = np.float32([[1.0], [2.0]]), np.float32([[0.0], [50.0]])
>>> print(xloss.jax.linear_cross_entropy(x, w, np.int32([1, 0]), chunk_size=1))
50.0

Source: torch.nn.functional.linear_cross_entropy; chunks: Wijmans et al. 2024, arXiv:2411.09009, and Liger-Kernel.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Peer, Variant
from xloss.losses import cross_entropy
from xloss.ops import arguments
from xloss.ops import linear as shapes
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


class ChunkOptions(Protocol):
    """What is read of torch.nn.LinearCrossEntropyOptions, so that neither JAX nor an older torch needs it."""

    @property
    def batch_chunk_size(self) -> int | None:
        """Return the number of rows of a chunk, or None."""


def torch_linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *,
                               linear_bias: Tensor | None = None, weight: Tensor | None = None,
                               reduction: Reduction = "mean", ignore_index: int | None = None,
                               label_smoothing: float = 0.0, options: ChunkOptions | None = None,
                               chunk_size: int | None = None, backend: str | None = None) -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import linear_soft_torch as linear_soft
    from xloss.ops import linear_sum_torch as sums
    from xloss.ops import linear_torch as linear
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    optional = "linear_bias", "weight"
    input, linear_weight, target, linear_bias, weight = ops.as_arrays(
        optional, input=input, linear_weight=linear_weight, target=target, linear_bias=linear_bias, weight=weight
    ).values()
    shape = shapes.shape_of_logits(input, linear_weight, linear_bias)
    soft = target.is_floating_point()
    ignore_index = shapes.check_index(ignore_index)
    axis = shapes.check_target(target, shape, soft, weight, ignore_index)
    if backend is not None:
        from xloss.kernels import linear_torch as kernels

        plain = functools.partial(torch_linear_cross_entropy, target=target, ignore_index=ignore_index,
                                  label_smoothing=label_smoothing, options=options, chunk_size=chunk_size)  # fmt: skip
        chunk = linear.rows_per_chunk(input.shape[0] if axis else 1, shape[axis], chunk_size, options)
        given = input, linear_weight, target, linear_bias, weight, -100 if ignore_index is None else ignore_index
        return kernels.linear_cross_entropy(backend, plain, *given, reduction, label_smoothing, chunk)
    named = {} if linear_bias is None else {"linear_bias": linear_bias}
    tensors = {"input": input, "linear_weight": linear_weight, "weight": weight, **named}
    if soft:
        ops.validate_and_upcast(same_dtype=True, input=input, linear_weight=linear_weight, **named)
        target, input, linear_weight, weight, *bias, dtype = ops.validate_and_upcast(
            target=target, **tensors, optional=("weight",)
        )
    else:
        input, linear_weight, weight, *bias, dtype = ops.validate_and_upcast(
            same_dtype=True, **tensors, optional=("weight",)
        )
        target, ignored, outside = ops.validate_labels(
            target, shape[axis], -100 if ignore_index is None else ignore_index
        )
    label_smoothing = ops.option("label_smoothing", label_smoothing, input, least=0, most=1)
    input, target = (input.unsqueeze(0), target.unsqueeze(0)) if axis == 0 else (input, target)
    sizes = input.shape[0], math.prod(linear_weight.shape[:-1]), chunk_size, options
    chunk = linear.rows_per_chunk(*sizes)
    if not soft:
        # Nothing of an ignored row may reach the gradient of the weights, not even a NaN.
        silent = ignored.reshape(input.shape[0], math.prod(target.shape[1:])).all(1, keepdim=True)
        input = torch.where(silent, 0.0, input)
    smooth = not arguments.is_zero(label_smoothing)
    if soft or smooth:

        def smoothed(target, logits, weight=None):
            target = target if soft else torch.zeros_like(logits).scatter(1, target.unsqueeze(1), 1.0)
            target = target * (1 - label_smoothing) + label_smoothing / max(logits.shape[1], 1)
            return target if weight is None else target * ops.broadcast_class_weight(weight, 1, logits)

        few = linear.rows_per_chunk(*sizes, divisor=linear_soft.CHUNK_DIVISOR)
        # By a tensor that `smoothed` closes over no Function has a derivative.
        chunk = chunk if isinstance(label_smoothing, (int, float)) else 0
        nll = functools.partial(linear_soft.nll_of_rows, smoothed, input, target, weight, chunk, few)
        sum_of = functools.partial(sums.sum_of_soft_nll, smoothed, input, target, weight, chunk, few)
    else:
        nll = functools.partial(linear.nll_of_rows, input, target, chunk)
        sum_of = functools.partial(sums.sum_of_nll, input, target, chunk)
    constants = target, weight if soft or smooth else None
    if sums.may_sum(reduction, constants, input, weight, linear_weight, *bias) and chunk:
        ignored = torch.zeros_like(target[:, 0], dtype=torch.bool) if soft else ignored.reshape(target.shape)
        counted = (~ignored).to(input.dtype)
        weights = counted if soft else ops.label_weights(weight, target, ignored, input.dtype)
        share = sums.shares(reduction, counted if smooth else weights, weights, ignored, None if soft else outside)
        return sums.reduce(sum_of(share, ignored, linear_weight, *bias), reduction, dtype, weights, ignored)
    loss = nll(linear_weight, *bias)
    loss = loss.squeeze(0) if axis == 0 else loss
    if soft:
        return ops.reduce(loss, reduction, dtype)
    target = target.squeeze(0) if axis == 0 else target
    weights = ops.label_weights(weight, target, ignored, loss.dtype)
    loss = loss if weight is None or smooth else ops.weighted(weights, loss)
    loss = torch.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=weights)


def jax_linear_cross_entropy(input: ArrayLike, linear_weight: ArrayLike, target: ArrayLike, *,
                             linear_bias: ArrayLike | None = None, weight: ArrayLike | None = None,
                             reduction: Reduction = "mean", ignore_index: int | None = None,
                             label_smoothing: float = 0.0, options: ChunkOptions | None = None,
                             chunk_size: int | None = None, backend: str | None = None) -> Array:  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import linear_jax as linear
    from xloss.ops import linear_sum_jax as sums

    arguments.check_reduction(reduction)
    optional = "linear_bias", "weight"
    input, linear_weight, target, linear_bias, weight = ops.as_arrays(
        optional, input=input, linear_weight=linear_weight, target=target, linear_bias=linear_bias, weight=weight
    ).values()
    shape = shapes.shape_of_logits(input, linear_weight, linear_bias)
    soft = jnp.issubdtype(target.dtype, jnp.floating)
    ignore_index = shapes.check_index(ignore_index)
    axis = shapes.check_target(target, shape, soft, weight, ignore_index)
    if backend is not None:
        from xloss.kernels import linear_jax as kernels

        plain = functools.partial(jax_linear_cross_entropy, target=target, ignore_index=ignore_index,
                                  label_smoothing=label_smoothing, options=options, chunk_size=chunk_size)  # fmt: skip
        chunk = linear.rows_per_chunk(input.shape[0] if axis else 1, shape[axis], chunk_size, options)
        given = input, linear_weight, target, linear_bias, weight, -100 if ignore_index is None else ignore_index
        return kernels.linear_cross_entropy(backend, plain, *given, reduction, label_smoothing, chunk)
    named = {} if linear_bias is None else {"linear_bias": linear_bias}
    tensors = {"input": input, "linear_weight": linear_weight, "weight": weight, **named}
    if soft:
        ops.validate_and_upcast(same_dtype=True, input=input, linear_weight=linear_weight, **named)
        target, input, linear_weight, weight, *bias, dtype = ops.validate_and_upcast(
            target=target, **tensors, optional=("weight",)
        )
    else:
        input, linear_weight, weight, *bias, dtype = ops.validate_and_upcast(
            same_dtype=True, **tensors, optional=("weight",)
        )
        target, ignored, outside = ops.validate_labels(
            target, shape[axis], -100 if ignore_index is None else ignore_index
        )
    label_smoothing = ops.option("label_smoothing", label_smoothing, input, least=0, most=1)
    input, target = (input[None], target[None]) if axis == 0 else (input, target)
    sizes = input.shape[0], math.prod(linear_weight.shape[:-1]), chunk_size, options
    chunk = linear.rows_per_chunk(*sizes)
    if not soft:
        # Nothing of an ignored row may reach the gradient of the weights, not even a NaN.
        silent = ignored.reshape(input.shape[0], math.prod(target.shape[1:])).all(1, keepdims=True)
        input = jnp.where(silent, 0.0, input)
    smooth = not arguments.is_zero(label_smoothing)
    if soft or smooth:

        def smoothed(input, target, linear_weight, *others):
            logits = linear.logits(input, linear_weight, *others[: len(bias)])
            target = target if soft else jax.nn.one_hot(target, logits.shape[1], axis=1, dtype=logits.dtype)
            target = target * (1 - label_smoothing) + label_smoothing / max(logits.shape[1], 1)
            target = target if weight is None else target * ops.broadcast_class_weight(others[-1], 1, logits)
            return ops.nll_of_logits_soft(logits, target, 1)

        others = bias if weight is None else [*bias, weight]
        nll = functools.partial(linear.map_chunks, smoothed, chunk, (input, target))
        sum_of = functools.partial(sums.sum_of_chunks, smoothed, chunk, (input, target))
    else:
        others = bias
        nll = functools.partial(linear.map_chunks, linear.nll, chunk, (input, target))
        sum_of = functools.partial(sums.sum_of_chunks, linear.nll, chunk, (input, target))
    by_number = isinstance(label_smoothing, (int, float))
    if by_number and sums.may_sum(reduction, chunk, input):  # a custom rule closes over no array
        ignored = jnp.zeros_like(target[:, 0], dtype=bool) if soft else ignored.reshape(target.shape)
        counted = (~ignored).astype(input.dtype)
        weights = counted if soft else ops.label_weights(weight, target, ignored, input.dtype)
        share = sums.shares(reduction, counted if smooth else weights, weights, ignored, None if soft else outside)
        return sums.reduce(sum_of(share, ignored, linear_weight, *others), reduction, dtype, weights, ignored)
    loss = nll((linear_weight, *others))
    loss = loss.squeeze(0) if axis == 0 else loss
    if soft:
        return ops.reduce(loss, reduction, dtype)
    target = target.squeeze(0) if axis == 0 else target
    weights = ops.label_weights(weight, target, ignored, loss.dtype)
    loss = loss if weight is None or smooth else ops.weighted(weights, loss)
    loss = jnp.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=weights)


def truth(
    t, input, linear_weight, target, linear_bias=None, weight=None, label_smoothing=0.0, chunk_size=None,
    ignore_index=-100,
):  # fmt: skip
    rows = np.atleast_2d(input)
    z = np.tensordot(rows, linear_weight, (1, linear_weight.ndim - 1)) + (0 if linear_bias is None else linear_bias)
    return cross_entropy.truth(t, z if input.ndim > 1 else z[0], target, weight, ignore_index, label_smoothing)


def ruled_out_by_bias(input, linear_bias=None, label_smoothing=0.0, **_):
    """Return a class with the bias -inf and probability 0."""
    if linear_bias is None or label_smoothing:
        return {}
    axis = input.ndim - 1
    return {"linear_weight": (0.0, 0), "linear_bias": (-np.inf, 0), "weight": (1.0, 0), "target": (0.0, axis)}


def inputs(draw):
    classes = draw.extra[0] if draw.extra else 3
    outputs = (classes, 2) if draw.has("dimensional") else (classes,)
    axis = len(draw.shape) - 1
    input = draw.real(draw.shape)
    linear_weight = draw.real((*outputs, draw.shape[-1]))
    ignore_index = draw.variant.options.get("ignore_index", -100)
    target = draw.labels((*draw.shape[:-1], *outputs[1:]), classes, ignore_index)
    if draw.regime in ("confident", "badly_wrong"):
        input = draw.round(8 * input.astype(np.float64))
        logits = np.tensordot(input.astype(np.float64), linear_weight.astype(np.float64), (-1, -1))
        target = np.where(
            target == ignore_index, ignore_index, (logits if draw.regime == "confident" else -logits).argmax(axis)
        )
    if draw.variant.probabilities:
        target = draw.simplex((*draw.shape[:-1], *outputs), axis)
    linear_bias = draw.real(outputs) if draw.has("linear_bias") else None
    weight = draw.optional("weight", (classes,))
    return draw.arrays(input=input, linear_weight=linear_weight, target=target, linear_bias=linear_bias, weight=weight)


def unchunked(function):
    """Return a call of torch.nn.functional's, which has no `chunk_size`."""
    return lambda chunk_size=None, **given: function(**given)


def chunked(chunk_size=None, **given):
    import torch

    if chunk_size is None or given["target"].is_floating_point():
        raise third_party.Unsupported("asked where the loss is chunked, and torch's can be")
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=chunk_size, allow_retain_graph=True)
    return torch.nn.functional.linear_cross_entropy(**given, options=options)


def confident(function):
    """Return the loss of class 0 of three, whose logit is greater by 20, in float32."""
    import torch

    weight = torch.tensor([[1.0], [0.0], [0.0]])
    return float(function(input=torch.tensor([[20.0]]), linear_weight=weight, target=torch.tensor([0])))


def ignored_nan(function):
    """Return the greatest gradient of the weight, where the row that is ignored holds a NaN."""
    import torch

    input, weight = torch.tensor([[1.0], [torch.nan]]), torch.ones(3, 1, requires_grad=True)
    function(input=input, linear_weight=weight, target=torch.tensor([0, -100])).backward()
    return str(float(weight.grad.abs().max()))[:6]


FUNCTIONAL = third_party.functional("linear_cross_entropy").call

LOSS = Loss(
    name="linear_cross_entropy",
    summary="cross entropy of a linear map's logits, which are never held whole",
    torch=torch_linear_cross_entropy,
    jax=jax_linear_cross_entropy,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((5, 2),)),
        Variant("chunked", options={"chunk_size": 2}, tensors=("linear_bias", "weight"), ignored=True,
                shapes=((5, 1),)),
        Variant("dimensional+smoothing", options={"label_smoothing": 0.125}, tensors=("linear_bias",),
                draws=("dimensional",), ignored=True, shapes=((4, 1),)),
        Variant("unbatched", unbatched=True, shapes=((2,),)),
        Variant("probabilities", options={"chunk_size": 2}, tensors=("weight",), probabilities=True,
                shapes=((3, 2),)),
    ),
    arguments=Arguments(
        weights=("weight",),
        wrt=("input", "linear_weight", "linear_bias", "target"),
        class_axes=lambda argument, rank: {"input": rank - 1, "target": 0 if rank == 1 else 1, "linear_bias": 0,
                                           "weight": 0}.get(argument),
    ),
    domain=Domain(regimes=("all_ignored", "zero_weight")),
    large=((1100, 2),),
    crossed=(
        crossed.tensor("linear_bias"), crossed.tensor("weight"),
        crossed.option("label_smoothing", 0.0625, 0.375), crossed.option("chunk_size", 1, 3),
        crossed.option("ignore_index", 0, 2),
        crossed.either(crossed.flag("ignored", ignored=True), crossed.flag("probabilities", probabilities=True)),
    ),
    excluded=lambda variant: variant.probabilities and "ignore_index" in variant.options,
    peers=(Peer("torch.nn.functional", "torch", unchunked(FUNCTIONAL)),
           Peer("torch.nn.functional, chunked", "torch", chunked)),
    differences=(
        Difference.between("linear_cross_entropy/confident",
                           "logits (20, 0, 0), class 0, float32; exactly 4.12230723e-09", "torch.nn.functional",
                           confident, torch_linear_cross_entropy, FUNCTIONAL, (4.12230723e-09, 0.0), "torch 2.13.0"),
        Difference.between("linear_cross_entropy/ignored-nan",
                           "gradient of the weight, where an ignored row holds a NaN", "torch.nn.functional",
                           ignored_nan, torch_linear_cross_entropy, FUNCTIONAL, ("0.6666", "nan"), "torch 2.13.0"),
        Difference.between("linear_cross_entropy/ruled-out",
                           "a class of logit -inf and probability 0: left out, or 0 * inf",
                           "torch.nn.functional",
                           third_party.sum_as_text(
                               "torch", input=[[0.0]], linear_weight=[[0.0]] * 3, linear_bias=[-math.inf, 0.0, 0.0],
                               target=[[0.0, 0.5, 0.5]]),
                           torch_linear_cross_entropy, FUNCTIONAL, ("0.6931", "nan"), "torch 2.13.0"),
    ),
    patched_torch=unchunked,
    # Rows, features, classes.
    workloads={"small": (16, 64, 256), "medium": (512, 128, 4096), "large": (4096, 256, 32000)},
    class_form=ClassForm("LinearCrossEntropyLoss", parametric=True),
    adds_nothing=ruled_out_by_bias,
    latex=(
        r"z_{n,c} = \sum_{h} \mathrm{input}_{n,h} \, \mathrm{linear\_weight}_{c,h} + \mathrm{linear\_bias}_{c}",
        r"\ell = \operatorname{cross\_entropy}(z, y), \qquad \log p = z - \log \sum_{c} e^{z_c}",
    ),
    source="torch.nn.functional.linear_cross_entropy",
)  # fmt: skip
