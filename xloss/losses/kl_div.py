r"""Kullback-Leibler divergence, elementwise: target * (log target - input), where `input` holds log-probabilities.

Formula: l = y (log y - x), with 0 log 0 = 0; with `log_target`, where z = log y is given: l = exp(z) (z - x).

Args:
    input: log-probabilities x, any shape.
    target: probabilities y (their logarithms with `log_target`), a shape that broadcasts with that of `input`.
    reduction: `'none'` | `'mean'` | `'batchmean'` | `'sum'`. Default: `'mean'`, which divides by the number of
        elements, classes included. `'batchmean'` divides by the batch size, the length of the first axis of `input`:
        the mean over a batch of the divergence as it is defined.
    log_target: whether `target` holds logarithms. Default: False.

Returns: shape () for `'mean'`, `'batchmean'` and `'sum'`, the broadcast shape for `'none'`; the wider dtype of `input`
and `target`.

Domain: y >= 0 (NaN below, as in torch). Gradient: -y to `input`; log y + 1 - x to `target`, but NaN at y = 0, where
that is minus infinity, as in torch. A class that is ruled out (x = -inf with y = 0 or z = -inf) is left out: value and
gradients are 0, where torch has 0 * inf = NaN.
Errors: `ValueError` for shapes and reductions, `TypeError` for anything but floating tensors, and for a
`log_target` that is not a bool.
Identities: the sum over classes is cross entropy minus entropy; for one batch axis and one of classes, `'mean'` is
`'batchmean'` divided by the number of classes.

>>> import numpy as np, xloss.jax
>>> log_q, p = np.log(np.float32([[0.5, 0.5]])), np.float32([[0.0, 1.0]])
>>> round(float(xloss.jax.kl_div(log_q, p, reduction="batchmean")), 4)
0.6931

Source: torch.nn.functional.kl_div; Kullback and Leibler 1951.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import ClassForm, Difference, Domain, Loss, Peer, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, BatchReduction, Tensor

REDUCTIONS = ("none", "mean", "sum", "batchmean")


def torch_kl_div(input: Tensor, target: Tensor, reduction: BatchReduction = "mean", log_target: bool = False) -> Tensor:
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction, REDUCTIONS)
    log_target = arguments.check_flags(log_target=log_target)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    batch = input.shape[0] if input.ndim else 1
    input, target = ops.broadcast(input=input, target=target)
    if log_target:
        absent = (target == -torch.inf) & (input < torch.inf)
        loss = torch.exp(target) * torch.where(absent, 0.0, target - input)
    else:
        absent = (target == 0) & ops.is_infinite(input)  # the logarithm would have a derivative by target of 0 * inf
        entropy = torch.where(target == 0, 0.0, target * torch.log(torch.where(absent, 1.0, target)))
        loss = entropy - ops.weighted(target, input)
    return ops.reduce(loss, reduction, dtype, batch=batch)


def jax_kl_div(input: ArrayLike, target: ArrayLike, reduction: BatchReduction = "mean",
               log_target: bool = False) -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction, REDUCTIONS)
    log_target = arguments.check_flags(log_target=log_target)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    batch = input.shape[0] if input.ndim else 1
    input, target = ops.broadcast(input=input, target=target)
    if log_target:
        absent = (target == -jnp.inf) & (input < jnp.inf)
        loss = jnp.exp(target) * jnp.where(absent, 0.0, target - input)
    else:
        absent = (target == 0) & ops.is_infinite(input)  # the logarithm would have a derivative by target of 0 * inf
        entropy = jnp.where(target == 0, 0.0, ops.x_log_x(jnp.where(absent, 1.0, target)))
        loss = entropy - ops.weighted(target, input)
    return ops.reduce(loss, reduction, dtype, batch=batch)


def truth(t, input, target, log_target=False):
    if log_target:
        return np.exp(target) * (target - input)
    positive = t.lt(0, target)
    return t.where(positive, target * (np.log(t.where(positive, target, 1)) - input), -target * input)


def inputs(draw):
    axis = min(1, len(draw.shape) - 1)
    input, target = (draw.simplex(draw.shape, axis) for _ in range(2))
    if draw.regime == "confident":
        input = draw.nudge(np.maximum(target, draw.normal_least).astype(draw.np_dtype))
    logarithm = draw.round(np.log(np.maximum(input.astype(np.float64), draw.normal_least)))
    if draw.regime in ("nonfinite", "subnormal", "large"):
        logarithm = draw.real(draw.shape)
    if draw.regime == "subnormal":
        target = draw.unit(draw.shape)
    if draw.has("log_target"):
        target = draw.round(np.log(np.maximum(target.astype(np.float64), draw.normal_least)))
    return draw.arrays(input=logarithm, target=target)


def differentiable_mask(input, target, log_target=False, **_):
    # XLA flushes a subnormal target to 0, where the derivative is infinite.
    least = np.finfo(np.float64 if target.dtype == np.float64 else np.float32).smallest_normal
    return np.broadcast_to(log_target | (target.astype(np.float64) >= least), input.shape)


def optax_kl_div(input, target, reduction, log_target=False):
    import optax

    if reduction not in ("sum", "batchmean"):
        raise third_party.Unsupported("optax sums over the classes: only 'sum' and 'batchmean' compare")
    function = optax.losses.kl_divergence_with_log_targets if log_target else optax.losses.kl_divergence
    total = function(input, target).sum()
    return total / input.shape[0] if reduction == "batchmean" else total


FUNCTIONAL = third_party.functional("kl_div")

LOSS = Loss(
    name="kl_div",
    summary="Kullback-Leibler divergence from log-probabilities",
    torch=torch_kl_div,
    jax=jax_kl_div,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2))),
        Variant("log_target", options={"log_target": True}, draws=("log_target",), shapes=((6, 3),)),
    ),
    domain=Domain(differentiable_mask=differentiable_mask),
    crossed=(crossed.option("log_target", True, draws=("log_target",)),),
    reductions=REDUCTIONS,
    peers=(FUNCTIONAL, Peer("optax", "jax", optax_kl_div)),
    differences=(
        Difference.between("kl_div/ruled-out",
                           "an element of logarithm -inf in input and target, log_target: 0, or 0 * NaN",
                           "torch.nn.functional",
                           third_party.sum_as_text(
                               "torch", input=[-math.inf, 0.0], target=[-math.inf, 0.0], log_target=True),
                           torch_kl_div, FUNCTIONAL.call, ("0", "nan"), "torch 2.13.0"),
    ),
    class_form=ClassForm("KLDivLoss"),
    workloads={"published": (16384, 16384)},
    adds_nothing=lambda log_target=False, **_: {"input": (-np.inf, -1), "target": (-np.inf if log_target else 0.0, -1)},
    latex=(
        r"\ell = y (\log y - x), \qquad 0 \log 0 = 0",
        r"\text{with } \mathrm{log\_target}: \quad \ell = e^{z} (z - x), \qquad z = \log y",
    ),
    source="torch.nn.functional.kl_div",
)  # fmt: skip
