r"""Cross entropy of logits that are a linear map of the input, without ever holding all logits.

Formula: `cross_entropy` of the logits z[n, c] = sum_h input[n, h] linear_weight[c, h] + linear_bias[c], with log p = z -
logsumexp(z) over the classes. They are computed a chunk of rows at a time, and once more for the gradient, so that beside
the arguments and their gradients memory holds one chunk of logits (in second order and with soft targets, a few of its size).

Args:
    input: shape (H) or (N, H).
    linear_weight: shape (C, H) or, with a batch, (C, d1, ..., dK, H); the dtype of `input`.
    target: class indices, shape (), (N) or (N, d1, ..., dK) (torch: int64 or uint8, JAX: any integer dtype), or class
        probabilities, floating, shape (C), (N, C) or (N, C, d1, ..., dK).
    linear_bias: shape (C) or (C, d1, ..., dK), or None.
    weight: one for each class, shape (C), the dtype of `input`, or None.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, with the denominators of `cross_entropy`.
    ignore_index: the label that counts neither in the sum nor in the denominator, for indices only. Default: None, -100.
    label_smoothing: in [0, 1]. Default: 0.0.
    options: torch.nn.LinearCrossEntropyOptions, of which `batch_chunk_size` is `chunk_size`; the others choose between
        memory and precision, and here there is nothing to choose.
    chunk_size: rows of a chunk. Default: None, as many as have 2^23 logits, 256 at least.

Domain: all reals. Gradient: of every floating argument, a confident prediction keeps its digits, as in `cross_entropy`.
Every transformation passes; in PyTorch's forward mode, and in `torch.func` under `torch.compile`, a reverse pass around it
stores what plain operations store.
Errors: `ValueError` for shapes, reductions, options, an `ignore_index` along with probabilities, and for labels outside
of [0, C) where their values are at hand (concrete, on the CPU); elsewhere the value of such a row and the gradients from it
are NaN. `TypeError` for dtypes. An ignored row counts for nothing, even with a NaN in it: gradients there are 0.
Identities: `cross_entropy` of the logits.

Source: torch.nn.functional.linear_cross_entropy; chunks: Wijmans et al. 2024, arXiv:2411.09009, and Liger-Kernel.
"""

import math

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Peer, Variant
from xloss.ops import arguments
from xloss.ops import linear as shapes


def torch_linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean",
                               ignore_index=None, label_smoothing=0.0, options=None, chunk_size=None):  # fmt: skip
    import torch

    from xloss.ops import linear_soft_torch as linear_soft
    from xloss.ops import linear_torch as linear
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    optional = "linear_bias", "weight"
    input, linear_weight, target, linear_bias, weight = ops.as_arrays(
        optional, input=input, linear_weight=linear_weight, target=target, linear_bias=linear_bias, weight=weight
    ).values()
    shape = shapes.shape_of_logits(input, linear_weight, linear_bias)
    soft = target.is_floating_point()
    axis = shapes.check_target(target, shape, soft, weight, ignore_index, label_smoothing)
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
    input, target = (input.unsqueeze(0), target.unsqueeze(0)) if axis == 0 else (input, target)
    sizes = input.shape[0], math.prod(linear_weight.shape[:-1]), chunk_size, options
    chunk = shapes.rows_per_chunk(*sizes)
    if not soft:
        # Of a row that is ignored nothing must reach the gradient of the weights, not even a NaN.
        silent = ignored.reshape(input.shape[0], math.prod(target.shape[1:])).all(1, keepdim=True)
        input = torch.where(silent, 0.0, input)
    if soft or label_smoothing > 0:

        def smoothed(target, logits, weight=None):
            target = target if soft else torch.zeros_like(logits).scatter(1, target.unsqueeze(1), 1.0)
            target = target * (1 - label_smoothing) + label_smoothing / max(logits.shape[1], 1)
            return target if weight is None else target * ops.broadcast_class_weight(weight, 1, logits)

        few = shapes.rows_per_chunk(*sizes, divisor=linear_soft.CHUNK_DIVISOR)
        loss = linear_soft.nll_of_rows(smoothed, input, target, weight, chunk, few, linear_weight, *bias)
    else:
        loss = linear.nll_of_rows(input, target, chunk, linear_weight, *bias)
    loss = loss.squeeze(0) if axis == 0 else loss
    if soft:
        return ops.reduce(loss, reduction, dtype)
    target = target.squeeze(0) if axis == 0 else target
    weights = (
        (~ignored).to(loss.dtype)
        if weight is None
        else torch.where(ignored, 0.0, ops.gather_class_weight(weight, target))
    )
    loss = loss if weight is None or label_smoothing > 0 else weights * loss
    loss = torch.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=weights)


def jax_linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean",
                             ignore_index=None, label_smoothing=0.0, options=None, chunk_size=None):  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import linear_jax as linear

    arguments.check_reduction(reduction)
    optional = "linear_bias", "weight"
    input, linear_weight, target, linear_bias, weight = ops.as_arrays(
        optional, input=input, linear_weight=linear_weight, target=target, linear_bias=linear_bias, weight=weight
    ).values()
    shape = shapes.shape_of_logits(input, linear_weight, linear_bias)
    soft = jnp.issubdtype(target.dtype, jnp.floating)
    axis = shapes.check_target(target, shape, soft, weight, ignore_index, label_smoothing)
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
    input, target = (input[None], target[None]) if axis == 0 else (input, target)
    chunk = shapes.rows_per_chunk(input.shape[0], math.prod(linear_weight.shape[:-1]), chunk_size, options)
    if not soft:
        # Of a row that is ignored nothing must reach the gradient of the weights, not even a NaN.
        silent = ignored.reshape(input.shape[0], math.prod(target.shape[1:])).all(1, keepdims=True)
        input = jnp.where(silent, 0.0, input)
    if soft or label_smoothing > 0:

        def smoothed(input, target, linear_weight, *others):
            logits = linear.logits(input, linear_weight, *others[: len(bias)])
            target = target if soft else jax.nn.one_hot(target, logits.shape[1], axis=1, dtype=logits.dtype)
            target = target * (1 - label_smoothing) + label_smoothing / max(logits.shape[1], 1)
            target = target if weight is None else target * ops.broadcast_class_weight(others[-1], 1, logits)
            return ops.nll_of_logits_soft(logits, target, 1)

        others = bias if weight is None else (*bias, weight)
        loss = linear.map_chunks(smoothed, chunk, (input, target), (linear_weight, *others))
    else:
        loss = linear.nll_of_rows(input, target, chunk, linear_weight, *bias)
    loss = loss.squeeze(0) if axis == 0 else loss
    if soft:
        return ops.reduce(loss, reduction, dtype)
    target = target.squeeze(0) if axis == 0 else target
    weights = (
        (~ignored).astype(loss.dtype)
        if weight is None
        else jnp.where(ignored, 0.0, ops.gather_class_weight(weight, target))
    )
    loss = loss if weight is None or label_smoothing > 0 else weights * loss
    loss = jnp.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=weights)


def truth(t, input, linear_weight, target, linear_bias=None, weight=None, label_smoothing=0.0, chunk_size=None):
    s = t.const(label_smoothing)
    classes = linear_weight.shape[0]
    rows = np.atleast_2d(input)
    z = np.tensordot(rows, linear_weight, (1, linear_weight.ndim - 1)) + (0 if linear_bias is None else linear_bias)
    z = z if input.ndim > 1 else z[0]
    axis = input.ndim - 1
    log_p = z - np.log(t.sum(np.exp(z), axis, keepdims=True))
    w = 1 if weight is None else weight.reshape((classes,) + (1,) * (z.ndim - axis - 1))
    if target.dtype == object:
        return -t.sum(w * ((1 - s) * target + s / classes) * log_p, axis)
    counted = target != -100
    labels = np.where(counted, target, 0)
    weights = t.where(counted, 1 if weight is None else weight[labels], 0)
    hard = weights * np.take_along_axis(log_p, np.expand_dims(labels, axis), axis).squeeze(axis)
    loss = hard if label_smoothing == 0 else (1 - s) * hard + s / classes * t.sum(w * log_p, axis)
    return t.where(counted, -loss, 0), weights


def inputs(draw):
    classes = draw.extra[0] if draw.extra else 3
    outputs = (classes, 2) if draw.has("dimensional") else (classes,)
    axis = len(draw.shape) - 1
    input = draw.real(draw.shape)
    linear_weight = draw.real((*outputs, draw.shape[-1]))
    target = draw.labels((*draw.shape[:-1], *outputs[1:]), classes, -100)
    if draw.regime in ("confident", "badly_wrong"):
        input = draw.round(8 * input.astype(np.float64))
        logits = np.tensordot(input.astype(np.float64), linear_weight.astype(np.float64), (-1, -1))
        target = np.where(target == -100, -100, (logits if draw.regime == "confident" else -logits).argmax(axis))
    if draw.variant.probabilities:
        target = draw.simplex((*draw.shape[:-1], *outputs), axis)
    linear_bias = draw.real(outputs) if draw.has("linear_bias") else None
    weight = draw.optional("weight", (classes,))
    return draw.arrays(input=input, linear_weight=linear_weight, target=target, linear_bias=linear_bias, weight=weight)


def unchunked(function):
    """torch.nn.functional's, which has no `chunk_size`."""
    return lambda chunk_size=None, **given: function(**given)


def chunked(chunk_size=None, **given):
    import torch

    if chunk_size is None or given["target"].is_floating_point():
        raise third_party.Unsupported("asked where the loss is chunked, and torch's can be")
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=chunk_size, allow_retain_graph=True)
    return torch.nn.functional.linear_cross_entropy(**given, options=options)


def confident(function):
    """Of class 0, where it leads by 20 in float32."""
    import torch

    return float(function(torch.tensor([[20.0]]), torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([0])))


def confident_here():
    return confident(torch_linear_cross_entropy)


def confident_there():
    import torch

    return confident(torch.nn.functional.linear_cross_entropy)


def ignored_nan(function):
    """The greatest gradient of the weight, where the row that is ignored holds a NaN."""
    import torch

    weight = torch.ones(3, 1, requires_grad=True)
    function(torch.tensor([[1.0], [torch.nan]]), weight, torch.tensor([0, -100])).backward()
    return str(float(weight.grad.abs().max()))[:6]


def ignored_nan_here():
    return ignored_nan(torch_linear_cross_entropy)


def ignored_nan_there():
    import torch

    return ignored_nan(torch.nn.functional.linear_cross_entropy)


def torch_class():
    from xloss.modules import parametric_torch

    return parametric_torch.LinearCrossEntropyLoss


def jax_class():
    from xloss.modules import parametric_jax

    return parametric_jax.LinearCrossEntropyLoss


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
        class_axes=lambda argument, rank: {"input": rank - 1, "target": 0 if rank == 1 else 1}.get(argument),
    ),
    domain=Domain(regimes=("all_ignored",)),
    peers=(Peer("torch.nn.functional", "torch", unchunked(third_party.functional("linear_cross_entropy").call)),
           Peer("torch.nn.functional, chunked", "torch", chunked)),
    differences=(
        Difference("linear_cross_entropy/confident", "logits (20, 0, 0), class 0, float32; exactly 4.12230723e-09",
                   "torch.nn.functional", confident_here, confident_there, (4.12230723e-09, 0.0), "torch 2.13.0"),
        Difference("linear_cross_entropy/ignored-nan", "gradient of the weight, where an ignored row holds a NaN",
                   "torch.nn.functional", ignored_nan_here, ignored_nan_there, ("0.6666", "nan"), "torch 2.13.0"),
    ),
    patched_torch=unchunked,
    # Rows, features, classes.
    workloads={"small": (16, 64, 256), "medium": (512, 128, 4096), "large": (4096, 256, 32000)},
    class_form=ClassForm("LinearCrossEntropyLoss", torch=torch_class, jax=jax_class),
    source="torch.nn.functional.linear_cross_entropy",
)  # fmt: skip
