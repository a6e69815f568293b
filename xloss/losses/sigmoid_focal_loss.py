r"""Focal loss of binary logits: binary cross entropy times (1 - p_t)^gamma, so that easy examples count less.

Formula, with p = sigmoid(x) and q = 1 - p_t = p (1 - t) + (1 - p) t:
l = (alpha t + (1 - alpha) (1 - t)) q^gamma * -(t log p + (1 - t) log(1 - p)); without the first factor for alpha < 0.

Args:
    input: logits x, any shape.
    target: t, 0 or 1 or between, the shape of `input`.
    alpha: the weight of positive examples, <= 1; negative ones get 1 - alpha; no weights for alpha < 0. Default: 0.25.
    gamma: the exponent, >= 0. Default: 2.0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'` (torchvision's is `'none'`).

Returns: shape () for `'mean'` and `'sum'`, the shape of `input` for `'none'`; the widest dtype of the arguments.

Domain: all reals, t in [0, 1]; an infinite logit with the label that it says has loss and gradient 0; for other t q may
be negative, and its power NaN. Gradient to `input`: that of binary cross entropy times q^gamma, plus the cross entropy
times gamma q^(gamma - 1) dq/dx. q^gamma is computed as exp(gamma log q), so that this is never 0 * inf, even for gamma
< 1. The gradient to `target` exists, but loses accuracy for confident logits (beyond 29 in float32), as targets are
labels.
Errors: `ValueError` for shapes, reductions, alpha and gamma, `TypeError` for anything but floating tensors.
Identities: `binary_cross_entropy_with_logits` for gamma = 0 and alpha < 0; for t = 1 and t = 0 without alpha,
`softmax_focal_loss` of the logits (0, x).

>>> import numpy as np, xloss.jax
>>> print(f"{xloss.jax.sigmoid_focal_loss(np.float32([0.0]), np.float32([1.0])):.4f}")  # alpha q^gamma log 2
0.0433

Source: torchvision.ops.sigmoid_focal_loss; Lin et al. 2017, arXiv:1708.02002.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_sigmoid_focal_loss(input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0,
                             reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    alpha = ops.option("alpha", alpha, input, most=1)
    gamma = ops.option("gamma", gamma, input, least=0)
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    side = ops.neg_sign(input)
    size = input * -side
    # The target's distance from the label that the logit's sign predicts, and from the other label.
    negative = 0.5 + 0.5 * side
    wrong, right = torch.lerp(1 - target, target, negative), torch.lerp(target, 1 - target, negative)
    # A constant where it is 0 in any dtype: its derivative would be multiplied by a loss that may be infinite.
    tail = torch.where(size > 1e4, 0.0, torch.exp(-size))
    log_total = ops.log1p(tail)
    loss = ops.weighted(wrong, size) + log_total
    if not arguments.is_zero(gamma):
        # q (1 + tail) = wrong + right tail; where the first term is the lesser, tail (right + wrong / tail), whose
        # logarithm is finite even where tail underflows to 0.
        lesser = (wrong == 0) | (wrong < right * tail)
        taken_out = torch.where(lesser & (size < torch.inf), size, 0.0)
        growth = torch.exp(torch.where(taken_out < math.log(float(torch.finfo(input.dtype).max)) - 1, taken_out, 0.0))
        inner = torch.where(lesser, right + wrong * growth, wrong + right * tail)
        loss = loss * torch.exp(m.scale(torch.log(inner) - taken_out - log_total, gamma))
    if not isinstance(alpha, (int, float)):
        balance = m.scale(target, alpha) + m.scale(1 - target, 1 - alpha)
        loss = loss * torch.where(alpha >= 0, balance, 1.0)
    elif alpha >= 0:
        loss = loss * (m.scale(target, alpha) + m.scale(1 - target, 1 - alpha))
    return ops.reduce(loss, reduction, dtype)


def jax_sigmoid_focal_loss(input: ArrayLike, target: ArrayLike, alpha: float = 0.25, gamma: float = 2.0,
                           reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    alpha = ops.option("alpha", alpha, input, most=1)
    gamma = ops.option("gamma", gamma, input, least=0)
    arguments.check_same_shape("target", target.shape, "input", input.shape)
    side = ops.neg_sign(input)
    size = input * -side
    # The target's distance from the label that the logit's sign predicts, and from the other label.
    negative = side > 0
    wrong, right = jnp.where(negative, target, 1 - target), jnp.where(negative, 1 - target, target)
    # A constant where it is 0 in any dtype: its derivative would be multiplied by a loss that may be infinite.
    tail = jnp.where(size > 1e4, 0.0, jnp.exp(-size))
    log_total = ops.log1p(tail)
    loss = ops.weighted(wrong, size) + log_total
    if not arguments.is_zero(gamma):
        # q (1 + tail) = wrong + right tail; where the first term is the lesser, tail (right + wrong / tail), whose
        # logarithm is finite even where tail underflows to 0.
        lesser = (wrong == 0) | (wrong < right * tail)
        taken_out = jnp.where(lesser & (size < jnp.inf), size, 0.0)
        growth = jnp.exp(jnp.where(taken_out < math.log(float(jnp.finfo(input.dtype).max)) - 1, taken_out, 0.0))
        inner = jnp.where(lesser, right + wrong * growth, wrong + right * tail)
        loss = loss * jnp.exp(m.scale(jnp.log(inner) - taken_out - log_total, gamma))
    if not isinstance(alpha, (int, float)):
        balance = m.scale(target, alpha) + m.scale(1 - target, 1 - alpha)
        loss = loss * jnp.where(alpha >= 0, balance, 1.0)
    elif alpha >= 0:
        loss = loss * (m.scale(target, alpha) + m.scale(1 - target, 1 - alpha))
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, alpha=0.25, gamma=2.0):
    p = 1 / (1 + np.exp(-input))
    # By the logit the terms have derivatives that cancel where p = target.
    entropy = -target * np.log(p) + t.subtrahend(-(1 - target) * np.log(1 - p))
    alpha = t.const(alpha)
    weight = alpha * target + (1 - alpha) * (1 - target) if alpha >= 0 else 1
    factor = (p * (1 - target) + (1 - p) * target) ** t.const(gamma) if gamma else 1
    return weight * factor * entropy


def inputs(draw):
    input, target = draw.real(draw.shape).astype(np.float64), draw.unit(draw.shape)
    if draw.regime in ("confident", "badly_wrong", "large"):
        ones = draw.rng.integers(0, 2, draw.shape)
        sign = (2 * ones - 1) * (-1 if draw.regime == "badly_wrong" else 1)
        spread = draw.rng.uniform(4, 90 if draw.regime == "confident" else draw.big, draw.shape)
        input, target = (input if draw.regime == "large" else sign * spread), draw.round(ones)
    return draw.arrays(input=draw.round(input), target=target)


def optax_focal(optax, input, target, alpha=0.25, gamma=2.0):
    return optax.losses.sigmoid_focal_loss(input, target, alpha=alpha if alpha >= 0 else None, gamma=gamma)


def keras_focal(losses, alpha=0.25, gamma=2.0):
    return losses.BinaryFocalCrossentropy(alpha >= 0, alpha=abs(alpha), gamma=gamma, from_logits=True)


def clipped(function):
    """Return the loss of the logit -50 and the target 1 in float32."""
    import jax.numpy as jnp

    input, target = jnp.asarray([-50.0], "float32"), jnp.asarray([1.0], "float32")
    return float(function(input=input, target=target, reduction="mean"))


OPTAX = third_party.optax(optax_focal)
KERAS = third_party.keras(keras_focal)

LOSS = Loss(
    name="sigmoid_focal_loss",
    summary="binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha",
    torch=torch_sigmoid_focal_loss,
    jax=jax_sigmoid_focal_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("gamma=0.5,no alpha", options={"alpha": -1.0, "gamma": 0.5}, shapes=((6, 3),)),
        Variant("gamma=0", options={"gamma": 0.0}, shapes=((6, 3),)),
    ),
    # The derivative by a label underflows on its way where a prediction is confident.
    arguments=Arguments(wrt=("input",), constant=("target",)),
    crossed=(crossed.option("alpha", -1.0, 0.0, 0.75, 1.0), crossed.option("gamma", 0.0, 0.5, 1.0, 3.0)),
    peers=(OPTAX, KERAS),
    differences=(
        Difference.between("sigmoid_focal_loss/badly-wrong", "logit -50, target 1: Keras clips the probability to 1e-7",
                           "keras", clipped, jax_sigmoid_focal_loss, KERAS.call, (12.5, 4.0295238), "keras 3.15.1"),
        Difference.between("sigmoid_focal_loss/certain",
                           "logit inf and target 1: 0, or 0 * inf",
                           "optax",
                           third_party.sum_as_text("jax", input=[math.inf], target=[1.0]),
                           jax_sigmoid_focal_loss, OPTAX.call, ("0", "nan"), "optax 0.2.8"),
    ),
    adds_nothing=lambda **_: {"input": (-np.inf, -1), "target": (0.0, -1)},
    latex=(
        r"p = \sigma(x), \qquad q = p (1 - t) + (1 - p) t",
        r"\ell = \left( \alpha t + (1 - \alpha)(1 - t) \right) q^{\gamma} \left( -t \log p - (1 - t) \log(1 - p) "
        r"\right), \qquad \text{without the first factor for } \alpha < 0",
    ),
    source="torchvision.ops.sigmoid_focal_loss; Lin et al. 2017, arXiv:1708.02002",
)  # fmt: skip
